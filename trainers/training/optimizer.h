/* Optimizers and schedules: which op updates a parameter, which state it keeps, and at
 * what rate. */
#ifndef CZ_TRAINING_OPTIMIZER_H
#define CZ_TRAINING_OPTIMIZER_H

#include "checkpoint/checkpoint.h"
#include "graph/graph.h"
#include "recipe/recipe.h"

typedef struct cz_optimizer cz_optimizer;

CZ_MUST cz_status cz_optimizer_create(cz_optimizer **o, const cz_optimizer_keys *keys,
                                      cz_params *params);
void cz_optimizer_destroy(cz_optimizer **o);
CZ_MUST cz_status cz_optimizer_norm(cz_optimizer *o, double *norm);
CZ_MUST cz_status cz_optimizer_finite(cz_optimizer *o, bool *finite);
CZ_MUST cz_status cz_optimizer_step(cz_optimizer *o, int64_t step, double rate,
                                    double gradient_scale);
CZ_MUST cz_status cz_optimizer_save(cz_optimizer *o, cz_checkpoint_writer *w);
CZ_MUST cz_status cz_optimizer_load(cz_optimizer *o, cz_checkpoint *c);
size_t cz_optimizer_bytes(const cz_optimizer *o);
double cz_schedule_rate(const cz_optimizer_keys *keys, int64_t step, int64_t steps);

#endif
