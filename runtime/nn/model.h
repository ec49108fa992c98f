/* From a model's facts to its graphs. A family (family.h) lists what its models compute
 * and how Hugging Face names and writes them; a configuration fills in sizes; a model
 * (this header) is a configuration and its declared parameters, empty, drawn
 * (cz_params_init) or read from a directory (hf.h). layers.h builds a stack as nodes of a
 * graph; net.h makes of it the graph that trains and scores batches, decode.h the two
 * graphs that generate token by token. Data goes the same way at run time: a batch is
 * checked and fed (cz_net_feed), the graph runs, losses, logits and gradients are read
 * from it. */
#ifndef CZ_NN_MODEL_H
#define CZ_NN_MODEL_H

#include "base/mem.h"
#include "nn/family.h"
#include "tensor/params.h"

/* Parameters in the shape of the computation, so that layers need no slot. Absent ones
 * are null, and a layer then leaves out what they would do. All are owned by the list in
 * cz_model. */
typedef struct cz_linear_weights {
  cz_param *weight; /* [out, in], as in torch's Linear */
  cz_param *bias;   /* [out] */
} cz_linear_weights;

typedef struct cz_norm_weights {
  cz_param *gain, *bias; /* [D] */
} cz_norm_weights;

typedef struct cz_attention_layer {
  cz_norm_weights norm;
  cz_linear_weights q, k, v; /* [H*K, D] */
  cz_linear_weights o;       /* [D, H*K] */
} cz_attention_layer;

typedef struct cz_ffn_layer {
  cz_norm_weights norm;
  cz_linear_weights wi;   /* [F, D]; of gated feed-forwards the activated one */
  cz_linear_weights gate; /* [F, D]; absent when not gated */
  cz_linear_weights wo;   /* [D, F] */
} cz_ffn_layer;

/* One block of a stack (Vaswani et al. 2017, figure 1): self-attention, cross-attention
 * in a decoder that has an encoder, feed-forward, each with its norm. */
typedef struct cz_block {
  cz_attention_layer self, cross; /* cross is absent in stacks without cross-attention */
  cz_ffn_layer ffn;
} cz_block;

typedef struct cz_stack {
  const char *name;
  int64_t n;
  bool cross; /* the blocks have cross-attention */
  cz_block *blocks;
  cz_param *positions;             /* [offset + n_positions, E], learned */
  cz_param *types;                 /* [types, E] */
  cz_norm_weights embedding_norm;  /* [E] */
  cz_linear_weights embedding_map; /* [D, E] */
  cz_param *position_bias;         /* [buckets, H], of all self-attentions of the stack */
  cz_norm_weights final_norm;      /* [D] */
} cz_stack;

/* Where a parameter stands in files: rows `part` of `parts` of a tensor. Kept for each
 * parameter, so that loading, saving and trace go through the list of parameters and
 * never through names. */
typedef struct cz_origin {
  const char *tensor;
  int part, parts; /* parts = 1: all of it */
  bool transposed;
  unsigned heads; /* bits of cz_head that it is for, 0: the body's. Those of equal bits are in a
                     file together or not at all */
} cz_origin;

/* Parameters of the heads that the configuration names. */
typedef struct cz_head_weights {
  cz_linear_weights lm_dense;                  /* [E, D] */
  cz_norm_weights lm_norm;                     /* [E] */
  cz_param *lm_bias;                           /* [V] */
  cz_linear_weights pooler;                    /* [D, D] */
  cz_linear_weights next_sentence, classifier; /* [2, D], [C, D] */
} cz_head_weights;

/* A single stack is the decoder, with an empty encoder: it is the stack that predicts.
 * Tied weights are one parameter with two users; their gradients meet in it. */
typedef struct cz_model {
  cz_model_config config;
  cz_device *device;  /* borrowed */
  cz_params *params;  /* params->compute: what products, and all that is not named below, are in */
  cz_dtype stream;    /* of the residual stream: params->compute, or the values' dtype */
  cz_origin *origins; /* of each parameter, in order of declaration */
  size_t cap_origins;
  cz_arena *arena;
  cz_param *embedding; /* [V, E] */
  cz_param *head;      /* [V, E]; the embedding when tied */
  cz_head_weights heads;
  const char **labels; /* [C] names of the classes; null: LABEL_0, ... */
  unsigned drawn;      /* heads whose parameters the folder did not have: bits of cz_head */
  cz_stack encoder;    /* n = 0 for single stacks */
  cz_stack decoder;
} cz_model;

/* create declares and allocates; declare leaves the memory out, for counting and for
 * printing shapes. Either way *MODEL is null after a failure. */
CZ_MUST cz_status cz_model_create(cz_model **model, const cz_model_config *config,
                                  cz_device *device);
CZ_MUST cz_status cz_model_declare(cz_model **model, const cz_model_config *config,
                                   cz_device *device);
void cz_model_destroy(cz_model **model);

/* What a model computes in; F32 stands for the device's own dtype, which is float64 on ref. */
typedef enum cz_precision {
  CZ_PRECISION_F32,
  CZ_PRECISION_BF16,
  CZ_PRECISION_F16,
  CZ_PRECISIONS
} cz_precision;

#define CZ_PRECISION_NAMES "f32", "bf16", "fp16" /* in the enumeration's order */
extern const char *const cz_precision_names[];   /* null behind the last */
CZ_MUST cz_status cz_precision_find(cz_precision *precision, const char *name);
cz_dtype cz_precision_dtype(cz_precision precision, const cz_device *device);

/* Mixed precision (tensor/params.h), chosen before the first graph is built. check refuses what
 * compute would, without a model's memory. */
CZ_MUST cz_status cz_precision_check(const cz_model_config *config, cz_device *device,
                                     cz_precision precision, bool wide_stream);
CZ_MUST cz_status cz_model_compute(cz_model *model, cz_precision precision, bool wide_stream);
CZ_MUST cz_status cz_model_count(int64_t *count, const cz_model_config *config);
CZ_MUST cz_status cz_model_set_labels(cz_model *model, const char *const *names, int64_t n);
void cz_model_take_dropout(cz_model *model, const cz_model_config *from);
int64_t cz_model_blocks(const cz_model_config *config);
bool cz_model_reads_rows(const cz_model_config *config);

/* freeze.c */
CZ_MUST cz_status cz_model_freeze(cz_model *model, const char *what);

/* declare.c */
CZ_MUST cz_status cz__model_declare(cz_model *model);

#endif
