/* Prepared examples in memory, for a bidirectional stack: texts as the model reads them,
 * special tokens included, with token types, rows of the head of classes, a class or soft
 * targets. The analogue of cz_pairs (source.h), and a source of them: in a new order each
 * epoch to train, in the set's order or sorted by length to score. */
#ifndef CZ_DATA_PREPARED_H
#define CZ_DATA_PREPARED_H

#include "data/source.h"

/* Lists of ids one after another; list i ends at ends[i]. */
typedef struct cz_id_lists {
  cz_ids all;
  uint64_t *ends; /* [count of the set] */
  size_t ends_cap;
} cz_id_lists;

/* Zero-initialised is empty. Free with cz_prepared_free. */
typedef struct cz_prepared {
  cz_id_lists inputs, types, labels, rows, answers, ends; /* of each example, as in cz_example */
  cz_reals soft;                                          /* [count, soft_classes] */
  int64_t soft_classes;                                   /* 0: no example has soft targets */
  int32_t *classes;                                       /* [count] */
  int64_t *texts;                                         /* [count] raw tokens */
  size_t count, classes_cap, texts_cap;
} cz_prepared;

/* LENGTH: longest first, so that batches that are filled by a budget waste little of it and the
 * one that needs most memory is the first. */
typedef enum cz_order { CZ_ORDER_DRAWN, CZ_ORDER_FILE, CZ_ORDER_LENGTH } cz_order;

/* How a source hands out a set. ALTER, where not null, changes each example after it was
 * filled in, for masks that are drawn anew whenever a text is read: it gets the epoch and the
 * example's number in the set. */
typedef struct cz_prepared_use {
  cz_order order;
  uint64_t seed;    /* DRAWN */
  int64_t together; /* DRAWN: so many draws after another are one batch, and no text is in it twice
                       unless the set is smaller; 0: each epoch by itself */
  int64_t first;    /* of each epoch's order so many alone; 0: all */
  cz_status (*alter)(const void *self, cz_example *e, uint32_t epoch, uint32_t number);
  const void *alter_self;
} cz_prepared_use;

const int32_t *cz_id_lists_at(const cz_id_lists *l, size_t i, size_t *n);
CZ_MUST cz_status cz_prepared_add(cz_prepared *p, const cz_example *e);
void cz_prepared_free(cz_prepared *p);
CZ_MUST cz_status cz_source_prepared(cz_source *out, const cz_prepared *p,
                                     const cz_prepared_use *use);

#endif
