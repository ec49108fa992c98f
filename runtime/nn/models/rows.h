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

/* Activations by the names of transformers; without the key counts the first of a family's list. */
#define CZ_GELU                                                                                    \
  { "gelu", CZ_ACTIVATION_GELU, false }
#define CZ_GELU_NEW                                                                                \
  { "gelu_new", CZ_ACTIVATION_GELU_TANH, false }
#define CZ_OTHER_ACTIVATIONS                                                                       \
  {"relu", CZ_ACTIVATION_RELU, false}, {"tanh", CZ_ACTIVATION_TANH, false},                        \
      {"gelu_python", CZ_ACTIVATION_GELU, false},                                                  \
      {"gelu_pytorch_tanh", CZ_ACTIVATION_GELU_TANH, false},                                       \
      {"gelu_fast", CZ_ACTIVATION_GELU_TANH, false}, {                                             \
    .name = NULL                                                                                   \
  }

/* BERT's keys, which RoBERTa and ALBERT have too: before that of the classifier's dropout, and
 * behind it. */
#define CZ_BERT_SIZE_KEYS                                                                          \
  {.key = "hidden_size", .fact = CZ_FACT_D_MODEL, .missing = CZ_MISSING_ERROR},                    \
      {.key = "num_hidden_layers", .fact = CZ_FACT_N_LAYERS, .missing = CZ_MISSING_ERROR},         \
      {.key = "num_attention_heads", .fact = CZ_FACT_N_HEADS, .missing = CZ_MISSING_ERROR},        \
      {.key = "intermediate_size", .fact = CZ_FACT_D_FF, .missing = CZ_MISSING_ERROR},             \
      {.key = "hidden_act", .fact = CZ_FACT_ACTIVATION},                                           \
      {.key = "hidden_dropout_prob", .fact = CZ_FACT_DROPOUT}, {                                   \
    .key = "attention_probs_dropout_prob", .fact = CZ_FACT_ATTENTION_DROPOUT                       \
  }
#define CZ_BERT_OTHER_KEYS                                                                         \
  {.key = "max_position_embeddings", .fact = CZ_FACT_N_POSITIONS},                                 \
      {.key = "type_vocab_size", .fact = CZ_FACT_N_TYPES},                                         \
      {.key = "layer_norm_eps", .fact = CZ_FACT_NORM_EPS},                                         \
      {.key = "initializer_range", .fact = CZ_FACT_INIT_FACTOR},                                   \
      {.key = "tie_word_embeddings", .fact = CZ_FACT_TIED, .missing = CZ_MISSING_TRUE},            \
      {.key = "pad_token_id", .fact = CZ_FACT_PAD_ID},                                             \
      {.key = "eos_token_id", .fact = CZ_FACT_EOS_ID},                                             \
      {.key = "bos_token_id", .fact = CZ_FACT_BOS_ID}, {                                           \
    .key = NULL                                                                                    \
  }

#endif
