/* The recipe of one stage of work (pretrain, finetune, evaluate): its sections as typed
 * tables, bound from a configuration.
 *
 *   model: {...}  tokenizer: FILE  corpus: FILE  objective: {name: ..., ...}  tasks:
 *                                                {...}  batch: {...}  optimizer: {...}
 *                                                train: {...}
 *   evaluate: {...}  seed: N  init: FOLDER
 *
 * Every key is declared once, in recipe.c; `cloze help keys` prints them. */
#ifndef CZ_RECIPE_RECIPE_H
#define CZ_RECIPE_RECIPE_H

#include "config/config.h"
#include "data/reader.h"
#include "nn/model.h"
#include "text/tokenizer.h"
#include "objectives/vocabulary.h"

typedef struct cz_model_keys {
  const char *name; /* of the size table, "t5-small" */
  int64_t d_model, d_kv, d_ff, num_layers, num_decoder_layers, num_heads; /* 0: the named model's */
  int64_t vocab_size; /* 0: the tokenizer's, rounded up to a multiple of 128 */
  int64_t buckets, max_distance;
  double dropout;
  int dropout_mask; /* cz_dropout_sharing */
} cz_model_keys;

typedef enum cz_dropout_sharing { CZ_DROPOUT_SEGMENT, CZ_DROPOUT_TOKEN } cz_dropout_sharing;

typedef struct cz_batch_keys {
  int64_t input_tokens, target_tokens; /* of the global batch */
  int64_t max_inputs, max_targets;     /* of one example, with EOS; 0: the shard's budget */
  int64_t shards, window;
  int on_long; /* cz_long */
} cz_batch_keys;

typedef enum cz_optimizer_name {
  CZ_OPTIMIZER_ADAFACTOR,
  CZ_OPTIMIZER_ADAMW,
  CZ_OPTIMIZER_ADAMW_SCALE
} cz_optimizer_name;
typedef enum cz_schedule {
  CZ_SCHEDULE_CONSTANT,
  CZ_SCHEDULE_RSQRT,
  CZ_SCHEDULE_LINEAR,
  CZ_SCHEDULE_COSINE
} cz_schedule;

typedef struct cz_optimizer_keys {
  int name, schedule;
  double learning_rate; /* the peak; with rsqrt the rate is learning_rate / sqrt(max(step,
                           warmup_steps)) */
  double final_rate;    /* where linear and cosine end, as a part of learning_rate */
  int64_t warmup_steps;
  double clip_norm;                           /* 0: none */
  double beta1, beta2, epsilon, weight_decay; /* AdamW */
  double decay_exponent, clip_threshold;      /* Adafactor */
} cz_optimizer_keys;

typedef enum cz_normalisation {
  CZ_NORMALISE_COUNTED,
  CZ_NORMALISE_PADDED,
  CZ_NORMALISE_CONSTANT
} cz_normalisation;

typedef struct cz_train_keys {
  int64_t steps;
  int loss_normalisation;  /* cz_normalisation */
  double loss_denominator; /* CONSTANT: positions */
  double z_loss, label_smoothing;
  bool loss_on_inputs; /* single stacks */
  bool recompute;
  int64_t checkpoint_steps, log_steps;
  double checkpoint_seconds;
  int64_t nonfinite_limit; /* skipped steps in a row that end the run */
} cz_train_keys;

typedef enum cz_mixing_rule { CZ_MIXING_PROPORTIONAL, CZ_MIXING_EQUAL } cz_mixing_rule;

typedef struct cz_mixing_keys {
  int mixing; /* cz_mixing_rule */
  double limit, temperature;
} cz_mixing_keys;

typedef struct cz_evaluate_keys {
  int64_t max_examples; /* per task; 0: all */
  int64_t beams;
  double length_penalty; /* alpha of ((5 + n) / 6)^alpha */
  int64_t max_length;    /* tokens of an output, EOS included */
  int64_t max_inputs;    /* tokens of an input with EOS; longer ones are cut */
  int64_t batch_tokens;
  int split; /* index into cz_split_names */
} cz_evaluate_keys;

typedef struct cz_held_out_keys {
  const char *corpus;
  int64_t batches; /* at most */
} cz_held_out_keys;

extern const char *const cz_split_names[];

extern const cz_section cz_stage_keys, cz_model_section, cz_batch_section, cz_optimizer_section,
    cz_train_section, cz_mixing_section, cz_evaluate_section, cz_held_out_section;

/* What every stage opens first. */
typedef struct cz_recipe {    /* opened, or only bound */
  const cz_config_node *node; /* the stage's resolved configuration; borrowed */
  uint64_t seed;
  const char *tokenizer_path, *init; /* init: folder of a saved model, or null */
  cz_tokenizer *tokenizer;
  cz_vocabulary vocabulary;
  cz_model_keys model;
  cz_device *device; /* borrowed */
} cz_recipe;

CZ_MUST cz_status cz_recipe_bind(cz_recipe *stage, const cz_config_node *node, cz_device *device);
CZ_MUST cz_status cz_recipe_open(cz_recipe *stage, const cz_config_node *node, cz_device *device);
CZ_MUST cz_status cz_recipe_open_if_present(cz_recipe *stage);
CZ_MUST cz_status cz_recipe_corpus(cz_reader **reader, const cz_recipe *stage,
                                   const cz_config_node *node);
CZ_MUST cz_status cz_recipe_model_config(cz_model_config *config, const cz_recipe *stage);
CZ_MUST cz_status cz_recipe_check_init(const cz_recipe *stage);
void cz_recipe_close(cz_recipe *stage);
CZ_MUST cz_status cz_recipe_model(cz_model **model, const cz_recipe *stage);
CZ_MUST cz_status cz_recipe_objective(cz_objective *objective, const cz_recipe *stage);
CZ_MUST cz_status cz_recipe_section(const cz_recipe *stage, const cz_section *section, void *out);
CZ_MUST cz_status cz_model_keys_config(cz_model_config *config, const cz_model_keys *keys,
                                       int64_t tokenizer_size);
CZ_MUST cz_status cz_recipe_same_model(const cz_model_config *there, const cz_model_config *wanted,
                                       const char *where);
CZ_MUST cz_status cz_recipe_model_folder(const char *folder);
CZ_MUST cz_status cz_recipe_help(cz_buf *out, bool markdown);

#endif
