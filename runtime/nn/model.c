#include "nn/model.h"
#include "base/log.h"
#include "base/nearest.h"

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
  m->stream = device ? device->real : CZ_F32;
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

const char *const cz_precision_names[] = {CZ_PRECISION_NAMES, NULL};

/** The precision called NAME; CZ_EUSAGE that lists the others. */
cz_status cz_precision_find(cz_precision *precision, const char *name) {
  size_t i = 0;
  CZ_TRY(cz_find_name(&i, "precision", name, cz_precision_names, CZ_PRECISIONS));
  *precision = (cz_precision)i;
  return CZ_OK;
}

/** The dtype of products and activations on DEVICE. */
cz_dtype cz_precision_dtype(cz_precision precision, const cz_device *device) {
  switch (precision) {
  case CZ_PRECISION_BF16: return CZ_BF16;
  case CZ_PRECISION_F16: return CZ_F16;
  case CZ_PRECISION_F32:
  case CZ_PRECISIONS: break;
  }
  return device->real;
}

/* Says beside a refusal what the family makes of float16, so that nobody looks for a device first.
 */
static cz_status check_device(const cz_family *family, cz_device *device, cz_precision precision) {
  cz_status st = cz_device_computes(device, cz_precision_dtype(precision, device));
  if (st == CZ_OK || precision != CZ_PRECISION_F16 || !family->float16) return st;
  return CZ_NOTE(st, "%s", family->float16);
}

/** CZ_EUSAGE for a precision that the device does not have, and for a residual stream WIDE beside
 * it in a family whose norms stand behind the additions: there what a norm yields is the stream,
 * and goes into products too. */
cz_status cz_precision_check(const cz_model_config *config, cz_device *device,
                             cz_precision precision, bool wide_stream) {
  const cz_family *family = config->family;
  if (precision != CZ_PRECISION_F32) CZ_TRY(check_device(family, device, precision));
  if (!wide_stream || family->norm_place == CZ_NORM_BEFORE) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE,
                 "the residual stream of family %s has the precision of its products, %s: its "
                 "norms stand behind the additions, and products read what they yield",
                 family->name, cz_precision_names[precision]);
}

/** From now on the model's graphs compute in PRECISION, their residual stream too unless it is
 * WIDE: then it stays in the dtype of the parameters. Warns of a family that float16 is known to
 * harm. Errors as cz_precision_check. */
cz_status cz_model_compute(cz_model *m, cz_precision precision, bool wide_stream) {
  CZ_TRY(cz_precision_check(&m->config, m->device, precision, wide_stream));
  if (precision == CZ_PRECISION_F16 && m->config.family->float16)
    cz_warn("%s in fp16: %s", m->config.family->name, m->config.family->float16);
  CZ_TRY(cz_params_compute(m->params, cz_precision_dtype(precision, m->device)));
  m->stream = wide_stream ? m->device->real : m->params->compute;
  return CZ_OK;
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

/** Names the classes of the classification head; N must be their number (CZ_EINVAL), and the names
 * are copied. */
cz_status cz_model_set_labels(cz_model *m, const char *const *names, int64_t n) {
  if (n != m->config.n_labels)
    return CZ_FAIL(CZ_EINVAL, "%lld labels for a classifier of %lld classes", (long long)n,
                   (long long)m->config.n_labels);
  CZ_TRY(cz_arena_alloc(m->arena, &m->labels, (size_t)n, sizeof *m->labels));
  for (int64_t i = 0; i < n; i++) {
    char *kept;
    CZ_TRY(cz_arena_strdup(m->arena, &kept, names[i]));
    m->labels[i] = kept;
  }
  return CZ_OK;
}

/** From the next net on the rates of dropout in the body are those of FROM. */
void cz_model_take_dropout(cz_model *m, const cz_model_config *from) {
  m->config.dropout = from->dropout;
  m->config.attention_dropout = from->attention_dropout;
  m->config.embedding_dropout = from->embedding_dropout;
}

/** Blocks that run one after the other in a single stack: in families that share them more than
 * are declared. */
int64_t cz_model_blocks(const cz_model_config *c) {
  return c->family->shared_blocks ? c->n_layers * c->n_inner : c->n_layers;
}

/** Whether the last block can be computed of the rows that heads read alone, and of all tokens no
 * more than its keys and values: where each token sees all of its segment, whatever its place. */
bool cz_model_reads_rows(const cz_model_config *c) {
  return c->family->architecture == CZ_ENCODER && c->family->positions != CZ_POSITIONS_BUCKETS;
}
