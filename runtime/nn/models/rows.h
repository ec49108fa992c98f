/* How the tables of families are written: a row of a weight map for a matrix, a norm, and a linear
 * layer with its bias. Standard deviations are initializer_range, biases begin at 0, norms at 1. */
#ifndef CZ_NN_MODELS_ROWS_H
#define CZ_NN_MODELS_ROWS_H

#include "graph/ops.h"
#include "nn/family.h"

static inline double cz_row_one(const cz_model_config *c) { return 1; }

#define CZ_MATRIX(slot_, tensor_, ...)                                                             \
  { .slot = CZ_SLOT_##slot_, .tensor = tensor_, .init = CZ_INIT_NORMAL, __VA_ARGS__ }
#define CZ_VECTOR(slot_, tensor_, ...)                                                             \
  { .slot = CZ_SLOT_##slot_, .tensor = tensor_, __VA_ARGS__ }
#define CZ_LINEAR(slot_, tensor_)                                                                  \
  CZ_MATRIX(slot_, tensor_ ".weight"), CZ_VECTOR(slot_##_BIAS, tensor_ ".bias")
#define CZ_NORM(slot_, tensor_)                                                                    \
  {.slot = CZ_SLOT_##slot_,                                                                        \
   .tensor = tensor_ ".weight",                                                                    \
   .init = CZ_INIT_ONE,                                                                            \
   .scale = cz_row_one},                                                                           \
      CZ_VECTOR(slot_##_BIAS, tensor_ ".bias")

#define CZ_LM       CZ_HEAD_BIT(CZ_HEAD_CAUSAL_LM)
#define CZ_MASKED   CZ_HEAD_BIT(CZ_HEAD_MASKED_LM)
#define CZ_NEXT     CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE)
#define CZ_CLASSIFY CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION)

/* Keys with a value that means what no model here does. */
#define CZ_ENCODER_MUSTS                                                                           \
  {.key = "position_embedding_type", .text = "absolute"}, {.key = "is_decoder"},                   \
      {.key = "add_cross_attention"}, {                                                            \
    .key = NULL                                                                                    \
  }

#endif
