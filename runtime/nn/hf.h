/* Hugging Face directories: config.json and safetensors in, a directory that
 * `from_pretrained` loads out. */
#ifndef CZ_NN_HF_H
#define CZ_NN_HF_H

#include "nn/model.h"

CZ_MUST cz_status cz_hf_load(cz_model **model, const cz_model_config *config, const char *folder,
                             cz_device *device);
CZ_MUST cz_status cz_hf_open(cz_model **model, const char *folder, cz_device *device);
CZ_MUST cz_status cz_hf_save(const cz_model *model, const char *folder);
CZ_MUST cz_status cz_hf_config_read(cz_model_config *config, const char *path);
CZ_MUST cz_status cz_hf_config_read_as(cz_model_config *config, const char *path,
                                       const cz_family *family);
CZ_MUST cz_status cz_hf_config_write(const cz_model_config *config, const char *path);
CZ_MUST cz_status cz_hf_generation_write(const cz_model_config *config, const char *path);

#endif
