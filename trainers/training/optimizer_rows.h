/* What is known of each optimizer, the rows of optimizers.def: nothing else of a run knows one of
 * them by name. */
#ifndef CZ_TRAINING_OPTIMIZER_ROWS_H
#define CZ_TRAINING_OPTIMIZER_ROWS_H

#include "graph/graph.h"
#include "graph/ops.h"
#include "training/optimizer.h"

enum { CZ_OPTIMIZER_STATES = 2 }; /* maximum of arrays that one keeps for a parameter */

typedef struct cz_optimizer_row {
  cz_op op;
  int first_step; /* the number by which the op knows the first step */
  /* Writes the op's attributes, attr_bytes of its row, where MAXIMUM is that of all parts. */
  void (*fill)(void *attr, const cz_optimizer_keys *keys, const cz_parts_maximum *maximum);
  /* Whether a parameter of such sizes has row and column statistics in place of its states; null:
   * none has. */
  bool (*factored)(int ndim, const int64_t *dim);
  const char *state[CZ_OPTIMIZER_STATES]; /* names of those that it has, of the parameter's size */
} cz_optimizer_row;

extern const cz_optimizer_row cz_optimizer_rows[CZ_OPTIMIZERS];

#endif
