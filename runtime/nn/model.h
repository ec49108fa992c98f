/* Models: a family is a table row, a model is its configuration and its parameters. One
 * builder (nn/net.h) makes the graphs of all of them. */
#ifndef CZ_NN_MODEL_H
#define CZ_NN_MODEL_H

#include "base/mem.h"
#include "tensor/params.h"

typedef enum cz_architecture {
  CZ_ENCODER_DECODER, /* T5: bidirectional encoder, causal decoder with cross-attention */
  CZ_LANGUAGE_MODEL,  /* one causal stack */
  CZ_PREFIX_LM        /* one stack; the inputs see one another, the targets see what came before */
} cz_architecture;

struct cz_model;

/* What a family fixes; sizes come from the size table or from config.json. */
typedef struct cz_family {
  const char *name;
  const char *help;
  cz_architecture architecture;
  int activation;       /* cz_activation_kind */
  bool gated;           /* feed-forward: act(x Wi0) * (x Wi1) */
  bool tied;            /* the output matrix is the embedding ... */
  bool scaled;          /* ... and its input is multiplied by d_model^-0.5 */
  const char *hf_class; /* "architectures" in config.json */
  cz_status (*declare)(
      struct cz_model *model); /* declares the parameters under their Hugging Face names */
} cz_family;

typedef struct cz_model_config {
  const cz_family *family;
  int64_t vocab_size;                 /* V, rows of the embedding */
  int64_t d_model;                    /* D */
  int64_t d_kv;                       /* K, size of a head; heads * d_kv need not be d_model */
  int64_t d_ff;                       /* F */
  int64_t n_layers, n_decoder_layers; /* L; single stacks use n_layers */
  int64_t n_heads;                    /* H */
  int64_t buckets, max_distance;      /* relative position bias */
  double dropout, norm_eps, init_factor;
  bool gated, tied, scaled;
  int activation;
  int64_t pad_id, eos_id, start_id;
} cz_model_config;

typedef struct cz_attention_layer { /* weights [out, in] as in Hugging Face; no biases */
  cz_param *norm;                   /* [D] */
  cz_param *q, *k, *v;              /* [H*K, D] */
  cz_param *o;                      /* [D, H*K] */
} cz_attention_layer;

typedef struct cz_ffn_layer {
  cz_param *norm; /* [D] */
  cz_param *wi;   /* [F, D]; of gated feed-forwards the activated one */
  cz_param *gate; /* [F, D] or null */
  cz_param *wo;   /* [D, F] */
} cz_ffn_layer;

typedef struct cz_block {
  cz_attention_layer self, cross; /* cross.q is null without cross-attention */
  cz_ffn_layer ffn;
} cz_block;

typedef struct cz_stack {
  const char *name;
  int64_t n;
  cz_block *blocks;
  cz_param *table;      /* [buckets, H], position bias of all self-attentions of the stack */
  cz_param *final_norm; /* [D] */
} cz_stack;

typedef struct cz_model {
  cz_model_config config;
  cz_device *device; /* borrowed */
  cz_params *params;
  cz_arena *arena;
  cz_param *embedding; /* [V, D] */
  cz_param *head;      /* [V, D]; the embedding when tied */
  cz_stack encoder;    /* n = 0 for single stacks */
  cz_stack decoder;
} cz_model;

CZ_MUST cz_status cz_model_config_named(cz_model_config *config, const char *name);
CZ_MUST cz_status cz_model_config_check(const cz_model_config *config, const char **key);
CZ_MUST cz_status cz_family_find(const cz_family **family, const char *name);
CZ_MUST cz_status cz_model_create(cz_model **model, const cz_model_config *config,
                                  cz_device *device);
void cz_model_destroy(cz_model **model);
int64_t cz_model_count(const cz_model_config *config);
size_t cz_model_names(const char **names, size_t n);

/* models/t5.c */
CZ_MUST cz_status cz_t5_declare(cz_model *model);

#endif
