/* Between the files hf_*.c: how a file's names become the family's, and how parameters lie in its
 * tensors. */
#ifndef CZ_NN_HF_FILES_H
#define CZ_NN_HF_FILES_H

#include "checkpoint/safetensors.h"
#include "nn/hf.h"

/* The tensors of an open file under the names that the family's weight map has. */
typedef struct cz__hf_names {
  cz_safetensors *file; /* borrowed */
  const cz_family *family;
  const char **canonical; /* of each tensor of the file */
  cz_arena *arena;
} cz__hf_names;

CZ_MUST cz_status cz__hf_names_make(cz__hf_names *names, cz_safetensors *file, const cz_model *m);
void cz__hf_names_free(cz__hf_names *names);
const cz_safetensors_info *cz__hf_exact(const cz__hf_names *names, const char *tensor);
const cz_safetensors_info *cz__hf_find(const cz__hf_names *names, const char *tensor);
CZ_MUST cz_status cz__hf_check_names(const cz__hf_names *names, const cz_model *m,
                                     const char *folder);

/* hf.c */
CZ_MUST cz_status cz__hf_declare(cz_model **model, cz__hf_names *names,
                                 const cz_model_config *config, cz_safetensors *file,
                                 const char *folder, cz_device *device);

/* A parameter P as part of the file's tensor. DIM and NDIM are the tensor's. */
typedef struct cz__hf_layout {
  const cz_param *p;
  const cz_origin *o;
  int ndim;
  int64_t dim[2], count;
} cz__hf_layout;

cz__hf_layout cz__hf_layout_of(const cz_model *m, size_t i);
bool cz__hf_is_whole(const cz__hf_layout *l);
void cz__hf_copy_part(const cz__hf_layout *l, char *param, char *tensor, size_t size,
                      bool to_tensor);

/* hf_config.c */
CZ_MUST cz_status cz__hf_config_write(const cz_model_config *config, const char *const *labels,
                                      const char *path);
CZ_MUST cz_status cz__hf_labels_read(cz_model *model, const char *path);

#endif
