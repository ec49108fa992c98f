#include "nn/hf.h"
#include "base/fs.h"
#include "checkpoint/safetensors.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The names under which a file may hold a parameter, best first (models.md 2.6: the
 * embedding is the first present of three). */
static const cz_safetensors_info *find_weight(const cz_safetensors *s, const char *name) {
  static const char *const embedding[] = {"shared.weight", "encoder.embed_tokens.weight",
                                          "decoder.embed_tokens.weight"};
  const cz_safetensors_info *found = cz_safetensors_find(s, name);
  for (int i = 0; !found && !strcmp(name, "shared.weight") && i < 3; i++)
    found = cz_safetensors_find(s, embedding[i]);
  return found;
}

/* Aliases of the embedding, and a table that old files carry though nothing reads it. */
static bool may_be_extra(const char *name) {
  static const char *const extra[] = {
      "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight",
      "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"};
  for (size_t i = 0; i < sizeof extra / sizeof *extra; i++)
    if (!strcmp(name, extra[i])) return true;
  return false;
}

static cz_status load_param(const cz_model *m, cz_safetensors *s, const cz_param *p,
                            const char *folder) {
  const cz_safetensors_info *info = find_weight(s, p->name);
  double *host;
  if (!info) return CZ_FAIL(CZ_EINVAL, "%s: tensor %s is missing", folder, p->name);
  CZ_TRY(cz_alloc(&host, (size_t)p->count, sizeof *host));
  cz_status st = cz_safetensors_read_f64(s, host, info->name, p->dim, p->ndim);
  if (st == CZ_OK) st = cz_device_write_real(m->device, p->value, host, p->count);
  free(host);
  return st;
}

static cz_status load_weights(cz_model *m, cz_safetensors *s, const char *folder) {
  for (size_t i = 0; i < m->params->n; i++) CZ_TRY(load_param(m, s, m->params->list[i], folder));
  for (size_t i = 0; i < cz_safetensors_count(s); i++) {
    const char *name = cz_safetensors_at(s, i)->name;
    if (!cz_params_find(m->params, name) && !may_be_extra(name))
      return CZ_FAIL(CZ_EINVAL, "%s: tensor %s does not belong to this model", folder, name);
  }
  return CZ_OK;
}

/* Whether the file's output matrix is one of its own: present, and different from the
 * embedding. */
static cz_status has_own_head(cz_safetensors *s, const cz_model_config *c, bool *own) {
  const cz_safetensors_info *head = cz_safetensors_find(s, "lm_head.weight"),
                            *shared = find_weight(s, "shared.weight");
  const int64_t dims[2] = {c->vocab_size, c->d_model};
  size_t n = (size_t)(c->vocab_size * c->d_model);
  float *a = NULL, *b = NULL;
  cz_status st = CZ_OK;
  *own = head != NULL;
  if (!head || !shared || !c->tied) return CZ_OK;
  CZ_GO(st, cz_alloc(&a, n, sizeof *a), done);
  CZ_GO(st, cz_alloc(&b, n, sizeof *b), done);
  CZ_GO(st, cz_safetensors_read_f32(s, a, head->name, dims, 2), done);
  CZ_GO(st, cz_safetensors_read_f32(s, b, shared->name, dims, 2), done);
  *own = memcmp(a, b, n * sizeof *a) != 0;
done:
  free(a);
  free(b);
  return st;
}

/** Opens a Hugging Face directory (config.json, model.safetensors or its shards) as a
 * model on DEVICE. Strict: a missing, extra or wrongly shaped tensor and a key out of
 * range are CZ_EINVAL with file, name and values. The caller destroys the model. */
cz_status cz_hf_open(cz_model **model, const char *folder, cz_device *device) {
  char path[4096];
  cz_model_config config;
  cz_safetensors *s = NULL;
  cz_status st;
  *model = NULL;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.json"));
  CZ_TRY(cz_hf_config_read(&config, path));
  CZ_GO(st, cz_safetensors_open_model(&s, folder), done);
  bool own;
  CZ_GO(st, has_own_head(s, &config, &own), done);
  config.tied = !own;
  CZ_GO(st, cz_model_create(model, &config, device), done);
  CZ_GO(st, load_weights(*model, s, folder), done);
done:
  cz_safetensors_close(&s);
  if (st != CZ_OK) cz_model_destroy(model);
  return st;
}

static cz_status save_weights(const cz_model *m, const char *folder) {
  const cz_params *p = m->params;
  bool f64 = m->device->real == CZ_F64;
  char *host = NULL;
  cz_safetensors_item *items = NULL;
  cz_status st;
  CZ_GO(st, cz_alloc(&items, p->n, sizeof *items), done);
  CZ_GO(st, cz_alloc(&host, (size_t)p->flat, cz_dtype_bytes(m->device->real)), done);
  CZ_GO(st,
        m->device->read(m->device, host, p->values,
                        (size_t)p->flat * cz_dtype_bytes(m->device->real)),
        done);
  for (size_t i = 0; i < p->n; i++) {
    const cz_param *q = p->list[i];
    cz_safetensors_type type = f64 ? CZ_SAFETENSORS_F64 : CZ_SAFETENSORS_F32;
    items[i] =
        (cz_safetensors_item){.name = q->name,
                              .type = type,
                              .from = type,
                              .rank = q->ndim,
                              .dims = q->dim,
                              .data = host + (size_t)q->offset * cz_dtype_bytes(m->device->real)};
  }
  CZ_GO(st, cz_safetensors_write_model(folder, items, p->n, (uint64_t)5 << 30), done);
done:
  free(items);
  free(host);
  return st;
}

/** Saves config.json, generation_config.json and the weights (float32, or float64 from
 * `ref`) so that transformers' from_pretrained loads them; single stacks have no class
 * there and are marked as this program's own. The folder is made when missing. */
cz_status cz_hf_save(const cz_model *m, const char *folder) {
  char path[4096], text[256];
  CZ_TRY(cz_fs_make_dirs(folder));
  CZ_TRY(save_weights(m, folder));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "generation_config.json"));
  int n = snprintf(text, sizeof text,
                   "{\n  \"decoder_start_token_id\": %lld,\n  \"eos_token_id\": %lld,\n  "
                   "\"pad_token_id\": %lld\n}\n",
                   (long long)m->config.start_id, (long long)m->config.eos_id,
                   (long long)m->config.pad_id);
  CZ_TRY(cz_fs_write_atomic(path, text, (size_t)n));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.json"));
  return cz_hf_config_write(&m->config, path);
}
