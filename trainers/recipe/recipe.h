/* The recipe of one stage of work (pretrain, finetune, evaluate): its sections as typed
 * tables, bound from a configuration.
 *
 *   model: {...}                  sizes, or a name of a size
 *   tokenizer: FILE
 *   init: FOLDER                  a saved model to start from
 *   corpus: FILE                  what `objective: {name: ..., ...}` corrupts
 *   tasks: {...}                  what is fine-tuned on or scored
 *   batch, optimizer, train: {...}
 *   evaluate: {...}
 *   seed: N
 *
 * The keys of a section are declared by the module that reads them; `cloze help keys`
 * prints them all. */
#ifndef CZ_RECIPE_RECIPE_H
#define CZ_RECIPE_RECIPE_H

#include "config/config.h"
#include "data/reader.h"
#include "nn/model.h"
#include "objectives/vocabulary.h"
#include "text/tokenizer.h"

typedef struct cz_model_keys {
  const char *name; /* of the size table, "t5-small" */
  int64_t d_model, d_kv, d_ff, num_layers, num_decoder_layers, num_heads; /* 0: the named model's */
  int64_t vocab_size; /* 0: the tokenizer's, rounded up to a multiple of 128 */
  int64_t buckets, max_distance;
  int64_t n_positions; /* 0: the named model's */
  double dropout;
  int dropout_mask; /* cz_dropout_sharing */
} cz_model_keys;

typedef enum cz_dropout_sharing { CZ_DROPOUT_SEGMENT, CZ_DROPOUT_TOKEN } cz_dropout_sharing;

extern const cz_section cz_model_section;

/* What every stage opens first. */
typedef struct cz_recipe {    /* opened, or only bound */
  const cz_config_node *node; /* the stage's resolved configuration; borrowed */
  uint64_t seed;
  const char *tokenizer_path, *init; /* init: folder of a saved model, or null */
  cz_tokenizer *tokenizer;
  cz_vocabulary vocabulary;
  cz_model_keys model;
  unsigned heads;    /* bits of cz_head that the model has besides its family's own */
  cz_device *device; /* borrowed */
} cz_recipe;

CZ_MUST cz_status cz_recipe_begin(cz_recipe *recipe, const cz_config_node *node, cz_device *device);
CZ_MUST cz_status cz_recipe_bind_tokenizer(cz_recipe *recipe);
CZ_MUST cz_status cz_recipe_bind_model(cz_recipe *recipe);
CZ_MUST cz_status cz_recipe_open(cz_recipe *recipe, const cz_config_node *node, cz_device *device);
CZ_MUST cz_status cz_recipe_open_tokenizer(cz_recipe *recipe);
CZ_MUST cz_status cz_recipe_open_if_present(cz_recipe *recipe);
CZ_MUST cz_status cz_recipe_corpus(cz_reader **reader, const cz_recipe *recipe,
                                   const cz_config_node *node);
CZ_MUST cz_status cz_recipe_model_config(cz_model_config *config, const cz_recipe *recipe);
CZ_MUST cz_status cz_recipe_check_init(const cz_recipe *recipe);
void cz_recipe_close(cz_recipe *recipe);
CZ_MUST cz_status cz_recipe_model(cz_model **model, const cz_recipe *recipe);
CZ_MUST cz_status cz_recipe_note_memory(cz_status st);
CZ_MUST cz_status cz_recipe_objective(cz_objective *objective, const cz_recipe *recipe);
CZ_MUST cz_status cz_recipe_section(const cz_recipe *recipe, const cz_section *section, void *out);
CZ_MUST cz_status cz_model_keys_config(cz_model_config *config, const cz_model_keys *keys,
                                       int64_t tokenizer_size, const char **key);
CZ_MUST cz_status cz_recipe_same_model(const cz_model_config *there, const cz_model_config *wanted,
                                       const char *where);
CZ_MUST cz_status cz_recipe_model_folder(const char *folder);
CZ_MUST cz_status cz_recipe_ids_fit(const cz_tokenizer *t, const cz_model_config *config,
                                    const char *folder);

#endif
