/* The folder of a model that a stage leaves: what Hugging Face's from_pretrained reads,
 * config.json and model.safetensors (nn/hf.h), beside the tokenizer's file and
 * tokenizer_config.json, which says how to open it. */
#ifndef CZ_STAGES_MODEL_FOLDER_H
#define CZ_STAGES_MODEL_FOLDER_H

#include "recipe/recipe.h"

CZ_MUST cz_status cz_model_folder_save(const cz_model *model, const cz_recipe *recipe,
                                       const char *folder);
CZ_MUST cz_status cz_model_folder_tokenizer_config(const cz_tokenizer *t, const char *folder);
CZ_MUST cz_status cz_model_folder_take_tokenizer(const cz_tokenizer *t, const char *from,
                                                 const char *to);
CZ_MUST cz_status cz_model_folder_copy_others(const char *from, const char *to);
CZ_MUST cz_status cz_model_folder_tokenizer_file(const char **name, const char *folder);

#endif
