#include "nn/model.h"

#include <stdlib.h>

/** Declares CONFIG's parameters for DEVICE (borrowed; null for a model that is only counted)
 * without memory, which cz_params_allocate gives them. CZ_EINVAL for a configuration that no
 * model can have. The caller destroys the model. */
cz_status cz_model_declare(cz_model **model, const cz_model_config *config, cz_device *device) {
  cz_status st;
  *model = NULL;
  CZ_TRY(cz_model_config_check(config, NULL));
  CZ_TRY(cz_alloc(model, 1, sizeof **model));
  cz_model *m = *model;
  m->config = *config;
  m->device = device;
  CZ_GO(st, cz_arena_create(&m->arena, "model"), fail);
  CZ_GO(st, cz_params_create(&m->params, device), fail);
  CZ_GO(st, cz__model_declare(m), fail);
  return CZ_OK;
fail:
  cz_model_destroy(model);
  return st;
}

/** Declares CONFIG's parameters on DEVICE (borrowed) and allocates them, zeroed:
 * cz_params_init or cz_hf_load fills them. The caller destroys the model. CZ_EINVAL for a
 * configuration that no model can have. */
cz_status cz_model_create(cz_model **model, const cz_model_config *config, cz_device *device) {
  CZ_TRY(cz_model_declare(model, config, device));
  cz_status st = cz_params_allocate((*model)->params);
  if (st != CZ_OK) cz_model_destroy(model);
  return st;
}

/** Frees the model and its parameters; clears the pointer, accepts null. */
void cz_model_destroy(cz_model **model) {
  if (!*model) return;
  cz_params_destroy(&(*model)->params);
  cz_arena_destroy(&(*model)->arena);
  free((*model)->origins);
  free(*model);
  *model = NULL;
}

/** Number of parameters of a configuration: declares them and allocates none. Errors as
 * cz_model_create. */
cz_status cz_model_count(int64_t *count, const cz_model_config *config) {
  cz_model *m;
  CZ_TRY(cz_model_declare(&m, config, NULL));
  *count = m->params->count;
  cz_model_destroy(&m);
  return CZ_OK;
}
