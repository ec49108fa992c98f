#include "nn/hf.h"
#include "base/fs.h"
#include "checkpoint/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The file's tensor for NAME: under that name, or else the first alias that is present. */
static const cz_safetensors_info *find_tensor(const cz_family *f, const cz_safetensors *s,
                                              const char *name) {
  const cz_safetensors_info *found = cz_safetensors_find(s, name);
  for (const cz_weight_alias *a = f->aliases; !found && a && a->tensor; a++)
    if (!strcmp(a->tensor, name)) found = cz_safetensors_find(s, a->alias);
  return found;
}

/* Aliases, the output where it is the embedding, and tensors of old files that nothing
 * reads. */
static bool may_be_extra(const cz_family *f, const char *name) {
  const cz_weight *head = cz_family_weight(f, CZ_SLOT_HEAD);
  if (head && !strcmp(head->tensor, name)) return true;
  for (const cz_weight_alias *a = f->aliases; a && a->tensor; a++)
    if (!strcmp(a->alias, name)) return true;
  for (const char *const *u = f->unused; u && *u; u++)
    if (!strcmp(*u, name)) return true;
  return false;
}

/* A parameter P as part of the file's tensor. DIM and NDIM are the tensor's. */
typedef struct layout {
  const cz_param *p;
  const cz_origin *o;
  int ndim;
  int64_t dim[2], count;
} layout;

static layout layout_of(const cz_model *m, size_t i) {
  layout l = {.p = m->params->list[i], .o = &m->origins[i]};
  l.ndim = l.p->ndim;
  l.count = l.p->count * l.o->parts;
  int64_t rows = l.p->dim[0] * l.o->parts, columns = l.p->ndim > 1 ? l.p->dim[1] : 1;
  bool turned = l.o->transposed && l.ndim > 1;
  l.dim[0] = turned ? columns : rows;
  l.dim[1] = turned ? rows : columns;
  return l;
}

/* Where element (r, c) of the parameter lies in the tensor. */
static int64_t place_in_tensor(const layout *l, int64_t r, int64_t c) {
  int64_t row = l->p->dim[0] * l->o->part + r, columns = l->ndim > 1 ? l->p->dim[1] : 1;
  return l->o->transposed && l->ndim > 1 ? c * l->dim[1] + row : row * columns + c;
}

/* Copies numbers of SIZE bytes between the parameter (row major) and its places. */
static void copy_part(const layout *l, char *param, char *tensor, size_t size, bool to_tensor) {
  int64_t columns = l->ndim > 1 ? l->p->dim[1] : 1;
  for (int64_t r = 0; r < l->p->dim[0]; r++)
    for (int64_t c = 0; c < columns; c++) {
      char *p = param + (size_t)(r * columns + c) * size,
           *t = tensor + (size_t)place_in_tensor(l, r, c) * size;
      memcpy(to_tensor ? t : p, to_tensor ? p : t, size);
    }
}

static bool is_whole(const layout *l) { return l->o->parts == 1 && !l->o->transposed; }

/* Training may meet numbers that are not finite; a file of weights that has them is damaged.
 * X: the tensor's numbers, of which the device holds float32 or float64. */
static cz_status check_finite(const cz_model *m, const layout *l, const double *x, const char *name,
                              const char *folder) {
  const int64_t columns = l->ndim > 1 ? l->dim[1] : 1;
  for (int64_t i = 0; i < l->count; i++) {
    if (isfinite(m->device->real == CZ_F64 ? x[i] : (double)(float)x[i])) continue;
    const char *why = isfinite(x[i]) ? "does not fit float32" : "is not finite";
    return l->ndim > 1
               ? CZ_FAIL(CZ_ENUMERIC, "%s: %g in tensor %s at [%lld, %lld] %s", folder, x[i], name,
                         (long long)(i / columns), (long long)(i % columns), why)
               : CZ_FAIL(CZ_ENUMERIC, "%s: %g in tensor %s at [%lld] %s", folder, x[i], name,
                         (long long)i, why);
  }
  return CZ_OK;
}

static cz_status load_param(const cz_model *m, cz_safetensors *s, size_t i, const char *folder) {
  const layout l = layout_of(m, i);
  const cz_safetensors_info *info = find_tensor(m->config.family, s, l.o->tensor);
  double *host = NULL, *part = NULL;
  cz_status st;
  CZ_CHECK(info);
  CZ_GO(st, cz_alloc(&host, (size_t)l.count, sizeof *host), done);
  CZ_GO(st, cz_safetensors_read_f64(s, host, info->name, l.dim, l.ndim), done);
  CZ_GO(st, check_finite(m, &l, host, info->name, folder), done);
  if (!is_whole(&l)) {
    CZ_GO(st, cz_alloc(&part, (size_t)l.p->count, sizeof *part), done);
    copy_part(&l, (char *)part, (char *)host, sizeof *host, false);
  }
  st = cz_device_write_real(m->device, l.p->value, part ? part : host, l.p->count);
done:
  free(host);
  free(part);
  return st;
}

static bool belongs(const cz_model *m, const char *tensor) {
  for (size_t i = 0; i < m->params->n; i++)
    if (!strcmp(m->origins[i].tensor, tensor)) return true;
  return may_be_extra(m->config.family, tensor);
}

static cz_status wrong_shape(const char *folder, const cz_safetensors_info *info, const layout *l) {
  char have[128] = "";
  size_t n = 0;
  for (int i = 0; i < info->rank && n < sizeof have; i++)
    n += (size_t)snprintf(have + n, sizeof have - n, "%s%lld", i ? ", " : "",
                          (long long)info->dims[i]);
  return l->ndim > 1 ? CZ_FAIL(CZ_EINVAL, "%s: tensor %s is [%s], not [%lld, %lld]", folder,
                               info->name, have, (long long)l->dim[0], (long long)l->dim[1])
                     : CZ_FAIL(CZ_EINVAL, "%s: tensor %s is [%s], not [%lld]", folder, info->name,
                               have, (long long)l->dim[0]);
}

/* Before any memory is taken: every parameter's tensor is in the file and has its shape, and
 * the file has no others. */
static cz_status check_tensors(const cz_model *m, const cz_safetensors *s, const char *folder) {
  for (size_t i = 0; i < m->params->n; i++) {
    const layout l = layout_of(m, i);
    const cz_safetensors_info *info = find_tensor(m->config.family, s, l.o->tensor);
    if (!info) return CZ_FAIL(CZ_EINVAL, "%s: tensor %s is missing", folder, l.o->tensor);
    bool fits = info->rank == l.ndim;
    for (int d = 0; fits && d < l.ndim; d++) fits = info->dims[d] == l.dim[d];
    if (!fits) return wrong_shape(folder, info, &l);
  }
  for (size_t i = 0; i < cz_safetensors_count(s); i++) {
    const char *name = cz_safetensors_at(s, i)->name;
    if (!belongs(m, name))
      return CZ_FAIL(CZ_EINVAL, "%s: tensor %s does not belong to this model", folder, name);
  }
  return CZ_OK;
}

/* A second name for the parameter that L describes must hold the same numbers, or one of the
 * two would be dropped in silence. */
static cz_status check_alias(cz_safetensors *s, const layout *l, const char *used,
                             const char *alias, const char *folder) {
  double *a = NULL, *b = NULL;
  cz_status st;
  CZ_GO(st, cz_alloc(&a, (size_t)l->count, sizeof *a), done);
  CZ_GO(st, cz_alloc(&b, (size_t)l->count, sizeof *b), done);
  CZ_GO(st, cz_safetensors_read_f64(s, a, used, l->dim, l->ndim), done);
  CZ_GO(st, cz_safetensors_read_f64(s, b, alias, l->dim, l->ndim), done);
  if (memcmp(a, b, (size_t)l->count * sizeof *a))
    st = CZ_FAIL(CZ_EINVAL, "%s: tensor %s differs from %s, and this model has one for both",
                 folder, alias, used);
done:
  free(a);
  free(b);
  return st;
}

static cz_status check_aliases(const cz_model *m, cz_safetensors *s, const char *folder) {
  for (size_t i = 0; i < m->params->n; i++) {
    const layout l = layout_of(m, i);
    const cz_safetensors_info *used = find_tensor(m->config.family, s, l.o->tensor);
    for (const cz_weight_alias *a = m->config.family->aliases; a && a->tensor; a++)
      if (!strcmp(a->tensor, l.o->tensor) && strcmp(a->alias, used->name) &&
          cz_safetensors_find(s, a->alias))
        CZ_TRY(check_alias(s, &l, used->name, a->alias, folder));
  }
  return CZ_OK;
}

static cz_status load_weights(cz_model *m, cz_safetensors *s, const char *folder) {
  for (size_t i = 0; i < m->params->n; i++) CZ_TRY(load_param(m, s, i, folder));
  cz_params_values_written(m->params);
  return check_aliases(m, s, folder);
}

/* Whether the file's output matrix is one of its own: present, and different from the
 * embedding. */
static cz_status has_own_head(cz_safetensors *s, const cz_model_config *c, bool *own) {
  const cz_weight *out = cz_family_weight(c->family, CZ_SLOT_HEAD),
                  *in = cz_family_weight(c->family, CZ_SLOT_EMBEDDING);
  const cz_safetensors_info *head = out ? cz_safetensors_find(s, out->tensor) : NULL,
                            *embedding = find_tensor(c->family, s, in->tensor);
  const int64_t dims[2] = {c->vocab_size, c->d_model};
  size_t n = (size_t)(c->vocab_size * c->d_model);
  float *a = NULL, *b = NULL;
  cz_status st = CZ_OK;
  *own = head != NULL;
  if (!head || !embedding || !c->tied) return CZ_OK;
  CZ_GO(st, cz_alloc(&a, n, sizeof *a), done);
  CZ_GO(st, cz_alloc(&b, n, sizeof *b), done);
  CZ_GO(st, cz_safetensors_read_f32(s, a, head->name, dims, 2), done);
  CZ_GO(st, cz_safetensors_read_f32(s, b, embedding->name, dims, 2), done);
  *own = memcmp(a, b, n * sizeof *a) != 0;
done:
  free(a);
  free(b);
  return st;
}

/** Opens the weights in FOLDER as a model of CONFIG on DEVICE; whether the output is tied,
 * they decide. Errors as cz_hf_open. */
cz_status cz_hf_load(cz_model **model, const cz_model_config *config, const char *folder,
                     cz_device *device) {
  cz_model_config c = *config;
  cz_safetensors *s = NULL;
  cz_status st;
  bool own;
  *model = NULL;
  CZ_GO(st, cz_safetensors_open_model(&s, folder), done);
  CZ_GO(st, has_own_head(s, &c, &own), done);
  c.tied = !own;
  CZ_GO(st, cz_model_declare(model, &c, device), done);
  CZ_GO(st, check_tensors(*model, s, folder), done);
  CZ_GO(st, cz_params_allocate((*model)->params), done);
  CZ_GO(st, load_weights(*model, s, folder), done);
done:
  cz_safetensors_close(&s);
  if (st != CZ_OK) cz_model_destroy(model);
  return st;
}

/** Opens a Hugging Face directory (config.json, model.safetensors or its shards) as a
 * model on DEVICE. Strict: a missing, extra or wrongly shaped tensor, a second name of one
 * with other numbers and a key out of range are CZ_EINVAL with file, name and values; a
 * number that is not finite is CZ_ENUMERIC with its place. The caller destroys the model. */
cz_status cz_hf_open(cz_model **model, const char *folder, cz_device *device) {
  char path[4096];
  cz_model_config config;
  *model = NULL;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.json"));
  CZ_TRY(cz_hf_config_read(&config, path));
  return cz_hf_load(model, &config, folder, device);
}

/* One tensor of the file: its parameters' numbers from HOST, the flat values. Parameters
 * that are whole tensors are used where they lie; others are put together in a copy. */
static cz_status fill_item(cz_safetensors_item *item, const cz_model *m, size_t first, char *host,
                           cz_arena *copies) {
  const size_t size = cz_dtype_bytes(m->device->real);
  const cz_safetensors_type type =
      m->device->real == CZ_F64 ? CZ_SAFETENSORS_F64 : CZ_SAFETENSORS_F32;
  const layout l = layout_of(m, first);
  char *data = cz_param_at(m->params, host, l.p);
  int64_t *dims;
  CZ_TRY(cz_arena_alloc(copies, &dims, 2, sizeof *dims));
  memcpy(dims, l.dim, sizeof l.dim);
  if (!is_whole(&l)) {
    CZ_TRY(cz_arena_alloc(copies, &data, (size_t)l.count, size));
    for (size_t i = first; i < m->params->n; i++) {
      const layout part = layout_of(m, i);
      if (!strcmp(part.o->tensor, l.o->tensor))
        copy_part(&part, cz_param_at(m->params, host, part.p), data, size, true);
    }
  }
  *item = (cz_safetensors_item){
      .name = l.o->tensor, .type = type, .from = type, .rank = l.ndim, .dims = dims, .data = data};
  return CZ_OK;
}

/* True when an earlier parameter lies in the same tensor. */
static bool is_filled(const cz_safetensors_item *items, size_t n, const char *tensor) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(items[i].name, tensor)) return true;
  return false;
}

static cz_status save_weights(const cz_model *m, const char *folder) {
  const cz_params *p = m->params;
  char *host = NULL;
  cz_safetensors_item *items = NULL;
  cz_arena *copies = NULL;
  size_t n = 0;
  cz_status st;
  CZ_GO(st, cz_alloc(&items, p->n, sizeof *items), done);
  CZ_GO(st, cz_alloc(&host, (size_t)p->flat, cz_dtype_bytes(m->device->real)), done);
  CZ_GO(st, cz_arena_create(&copies, "saved tensors"), done);
  CZ_GO(st, m->device->read(m->device, host, p->values, cz_params_bytes(p)), done);
  for (size_t i = 0; i < p->n; i++)
    if (m->origins[i].parts == 1 || !is_filled(items, n, m->origins[i].tensor))
      CZ_GO(st, fill_item(&items[n++], m, i, host, copies), done);
  CZ_GO(st, cz_safetensors_write_model(folder, items, n, (uint64_t)5 << 30), done);
done:
  cz_arena_destroy(&copies);
  free(items);
  free(host);
  return st;
}

/** Saves config.json, generation_config.json and the weights (float32, or float64 from
 * `ref`) so that transformers' from_pretrained loads them; single stacks have no class
 * there and are marked as this program's own. The folder is made when missing. */
cz_status cz_hf_save(const cz_model *m, const char *folder) {
  char path[4096];
  CZ_TRY(cz_fs_make_dirs(folder));
  CZ_TRY(save_weights(m, folder));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "generation_config.json"));
  CZ_TRY(cz_hf_generation_write(&m->config, path));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.json"));
  return cz_hf_config_write(&m->config, path);
}
