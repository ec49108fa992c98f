/* Hugging Face directories: config.json and safetensors in, a directory that
 * `from_pretrained` loads out. The family's tables say which tensors, row ranges and keys
 * these are. Reading is strict: what the model would not use is refused by name, and so
 * are numbers that are not finite. Whether the output is the embedding, the weights
 * decide (docs/models.md 2.6). */
#ifndef CZ_NN_HF_H
#define CZ_NN_HF_H

#include "nn/model.h"

/* load takes the shapes from a configuration that the caller has, open from the folder's
 * config.json. Both leave *MODEL null after a failure, and save leaves the folder's old
 * files whole. */
CZ_MUST cz_status cz_hf_load(cz_model **model, const cz_model_config *config, const char *folder,
                             cz_device *device);
CZ_MUST cz_status cz_hf_open(cz_model **model, const char *folder, cz_device *device);

/* What is asked for beyond what the folder's class has. */
typedef struct cz_hf_options {
  unsigned heads;   /* bits of cz_head; 0: those of its class in "architectures" */
  int64_t n_labels; /* classes of the classification head; 0: what config.json says */
  uint64_t seed;    /* of heads that the folder does not have */
  unsigned fresh;   /* bits of those that mostly begin so, of which no warning is wanted */
} cz_hf_options;

CZ_MUST cz_status cz_hf_open_with(cz_model **model, const char *folder, cz_device *device,
                                  const cz_hf_options *options);

/* The folder's weights, kept open to be put into a model more than once. */
typedef struct cz_hf_weights cz_hf_weights;

CZ_MUST cz_status cz_hf_weights_open(cz_hf_weights **w, const cz_model *m, const char *folder);
CZ_MUST cz_status cz_hf_weights_load(cz_hf_weights *w, cz_model *m, uint64_t seed);
void cz_hf_weights_close(cz_hf_weights **w);

/* A tensor in the names and shapes of files. */
typedef struct cz_hf_tensor_view {
  const char *name; /* borrowed from the model */
  int rank;
  int64_t dims[2], count;
  double *data; /* [count], owned by the caller */
} cz_hf_tensor_view;

CZ_MUST cz_status cz_hf_tensor(cz_hf_tensor_view *out, bool *first, const cz_model *m, size_t i,
                               const double *host);
CZ_MUST cz_status cz_hf_save(const cz_model *model, const char *folder);
CZ_MUST cz_status cz_hf_config_read(cz_model_config *config, const char *path);
CZ_MUST cz_status cz_hf_config_read_as(cz_model_config *config, const char *path,
                                       const cz_family *family);
CZ_MUST cz_status cz_hf_config_of(cz_model_config *config, const char *folder);
CZ_MUST cz_status cz_hf_config_find(bool *found, cz_model_config *config, const char *folder);
CZ_MUST cz_status cz_hf_config_write(const cz_model_config *config, const char *path);
CZ_MUST cz_status cz_hf_generation_write(const cz_model_config *config, const char *path);

#endif
