/* What a Hugging Face directory holds, told without reading its weights: the configuration, which
 * heads have their tensors in it, and what becomes of each tensor. */
#ifndef CZ_NN_HF_SURVEY_H
#define CZ_NN_HF_SURVEY_H

#include "checkpoint/safetensors.h"
#include "nn/hf.h"

typedef enum cz_tensor_use {
  CZ_TENSOR_READ,   /* becomes a parameter, or some of it */
  CZ_TENSOR_ALIAS,  /* another name of one that is read; must hold the same numbers */
  CZ_TENSOR_IGNORED /* of a head that is not asked for, or a buffer of old versions */
} cz_tensor_use;

typedef struct cz_hf_survey {
  cz_model_config config;
  unsigned present; /* bits of cz_head whose tensors are all there */
  unsigned drawn;   /* heads of the folder's class that would be drawn from a seed */
  int64_t parameters;
  cz_safetensors *weights; /* open: names, types, shapes */
  cz_tensor_use *uses;     /* of each of its tensors */
} cz_hf_survey;

CZ_MUST cz_status cz_hf_survey_open(cz_hf_survey *s, const char *folder);
void cz_hf_survey_close(cz_hf_survey *s);

#endif
