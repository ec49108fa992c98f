/* Multiplications and additions of a training step, from the model's configuration and
 * the lengths of a batch: one formula for predictions. What a benchmark counts on the
 * graph itself must agree with it. */
#ifndef CZ_TRAINING_FLOPS_H
#define CZ_TRAINING_FLOPS_H

#include "nn/model.h"

#include <stdbool.h>

typedef struct cz_step_shape {
  double segments;        /* examples in a step */
  double inputs, targets; /* mean tokens of an example, EOS included */
  bool loss_on_inputs;    /* single stacks: every token is predicted */
  double read;            /* encoders: rows of an example that heads read; 0: all */
} cz_step_shape;

double cz_flops_forward(const cz_model_config *config, const cz_step_shape *shape);
double cz_flops_step(const cz_model_config *config, const cz_step_shape *shape);

#endif
