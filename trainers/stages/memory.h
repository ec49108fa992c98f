/* What the processes of `--jobs N` will take of the machine's memory, before any is started. */
#ifndef CZ_STAGES_MEMORY_H
#define CZ_STAGES_MEMORY_H

#include "few_shot/shape.h"
#include "recipe/recipe.h"

/* Bytes of one process that computes members. */
typedef struct cz_member_memory {
  double parameters, gradients, states; /* taken for sure; parameters with their 16-bit copies */
  double activations; /* at most: of nets whose batches have nothing but the longest texts */
} cz_member_memory;

CZ_MUST cz_status cz_member_memory_find(cz_member_memory *m, cz_device *device, const char *init,
                                        const cz_loop_job *job, const cz_member_shape *shape);
CZ_MUST cz_status cz_member_memory_holds(const cz_member_memory *m, int64_t jobs,
                                         const char *optimizer);

#endif
