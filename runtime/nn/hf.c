/* Opening a Hugging Face directory as a model. */
#include "base/fs.h"
#include "base/log.h"
#include "nn/hf_files.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Training may meet numbers that are not finite; a file of weights that has them is damaged.
 * X: the tensor's numbers, of which the device holds float32 or float64. */
static cz_status check_finite(const cz_model *m, const cz__hf_layout *l, const double *x,
                              const char *name, const char *folder) {
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

/* No infinity and no NaN among N float32 numbers of any alignment. */
static bool all_finite(const char *bytes, int64_t n) {
  const uint32_t exponent = 0x7f800000u;
  uint32_t bits, bad = 0;
  for (int64_t i = 0; i < n; i++) {
    memcpy(&bits, bytes + 4 * i, sizeof bits);
    bad |= (bits & exponent) == exponent;
  }
  return !bad;
}

/* Numbers that are in the file as the device holds them go there from the mapping, so that no
 * process has a copy of its own beside the parameters. *DONE: they were such, and finite. */
static cz_status load_mapped(bool *done, const cz_model *m, const cz__hf_layout *l,
                             const cz__hf_names *s, const cz_safetensors_info *info) {
  const void *values;
  *done = false;
  if (m->device->real != CZ_F32 || info->type != CZ_SAFETENSORS_F32 || !cz__hf_is_whole(l))
    return CZ_OK;
  CZ_TRY(cz_safetensors_map_f32(s->file, &values, info->name, l->dim, l->ndim));
  if (!all_finite(values, l->count)) return CZ_OK; /* the other way says which is not */
  *done = true;
  return m->device->write(m->device, l->p->value, values, (size_t)info->bytes);
}

static cz_status load_param(const cz_model *m, const cz__hf_names *s, size_t i,
                            const char *folder) {
  const cz__hf_layout l = cz__hf_layout_of(m, i);
  const cz_safetensors_info *info = cz__hf_find(s, l.o->tensor);
  double *host = NULL, *part = NULL;
  bool mapped;
  cz_status st;
  CZ_CHECK(info);
  CZ_TRY(load_mapped(&mapped, m, &l, s, info));
  if (mapped) return CZ_OK;
  CZ_GO(st, cz_alloc(&host, (size_t)l.count, sizeof *host), done);
  CZ_GO(st, cz_safetensors_read_f64(s->file, host, info->name, l.dim, l.ndim), done);
  CZ_GO(st, check_finite(m, &l, host, info->name, folder), done);
  if (!cz__hf_is_whole(&l)) {
    CZ_GO(st, cz_alloc(&part, (size_t)l.p->count, sizeof *part), done);
    cz__hf_copy_part(&l, (char *)part, (char *)host, sizeof *host, false);
  }
  st = cz_device_write_real(m->device, l.p->value, part ? part : host, l.p->count);
done:
  free(host);
  free(part);
  return st;
}

static cz_status wrong_shape(const char *folder, const cz_safetensors_info *info,
                             const cz__hf_layout *l) {
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

static cz_status check_shape(const cz_model *m, const cz__hf_names *s, size_t i,
                             const char *folder) {
  const cz__hf_layout l = cz__hf_layout_of(m, i);
  const cz_safetensors_info *info = cz__hf_find(s, l.o->tensor);
  bool fits = info->rank == l.ndim;
  for (int d = 0; fits && d < l.ndim; d++) fits = info->dims[d] == l.dim[d];
  return fits ? CZ_OK : wrong_shape(folder, info, &l);
}

/* True when the file has one of the tensors that exist for the same heads as parameter I. */
static bool has_some_like(const cz_model *m, const cz__hf_names *s, size_t i) {
  for (size_t j = 0; j < m->params->n; j++)
    if (m->origins[j].heads == m->origins[i].heads && cz__hf_find(s, m->origins[j].tensor))
      return true;
  return false;
}

/* Before any memory is taken: every parameter's tensor is in the file and has its shape, or is of a
 * head that the file lacks altogether, and the file has no others. */
static cz_status check_tensors(cz_model *m, const cz__hf_names *s, const char *folder) {
  for (size_t i = 0; i < m->params->n; i++) {
    const cz_origin *o = &m->origins[i];
    if (cz__hf_find(s, o->tensor))
      CZ_TRY(check_shape(m, s, i, folder));
    else if (o->heads && !has_some_like(m, s, i))
      m->drawn |= o->heads & m->config.heads;
    else
      return CZ_FAIL(CZ_EINVAL, "%s: tensor %s is missing", folder, o->tensor);
  }
  return cz__hf_check_names(s, m, folder);
}

/* Says in one line which tensors are drawn, since what was thought to be a trained head is none. */
static void say_drawn(const cz_model *m, const cz__hf_names *s, uint64_t seed, const char *folder) {
  char heads[128] = "", tensors[1024] = "";
  size_t n = 0, k = 0;
  for (int h = 0; h < CZ_HEADS; h++)
    if (m->drawn & CZ_HEAD_BIT(h) && n < sizeof heads)
      n += (size_t)snprintf(heads + n, sizeof heads - n, "%s%s", n ? ", " : "", cz_head_names[h]);
  for (size_t i = 0; i < m->params->n && k < sizeof tensors; i++)
    if (!cz__hf_find(s, m->origins[i].tensor))
      k += (size_t)snprintf(tensors + k, sizeof tensors - k, "%s%s", k ? ", " : "",
                            m->origins[i].tensor);
  cz_warn("%s: no tensors of head %s; drawn from seed %llu: %s", folder, heads,
          (unsigned long long)seed, tensors);
}

/* A second name for the parameter that L describes must hold the same numbers, or one of the
 * two would be dropped in silence. */
static cz_status check_alias(cz_safetensors *s, const cz__hf_layout *l, const char *used,
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

static cz_status check_aliases(const cz_model *m, const cz__hf_names *s, const char *folder) {
  for (size_t i = 0; i < m->params->n; i++) {
    const cz__hf_layout l = cz__hf_layout_of(m, i);
    const cz_safetensors_info *used = cz__hf_find(s, l.o->tensor);
    for (const cz_weight_alias *a = m->config.family->aliases; used && a && a->tensor; a++) {
      const cz_safetensors_info *other = cz__hf_exact(s, a->alias);
      if (!strcmp(a->tensor, l.o->tensor) && other && other != used)
        CZ_TRY(check_alias(s->file, &l, used->name, other->name, folder));
    }
  }
  return CZ_OK;
}

static cz_status load_or_draw(const cz_model *m, const cz__hf_names *s, size_t i, uint64_t seed,
                              const char *folder) {
  return cz__hf_find(s, m->origins[i].tensor) ? load_param(m, s, i, folder)
                                              : cz_params_init_one(m->params, i, seed);
}

static cz_status load_weights(cz_model *m, const cz__hf_names *s, const cz_hf_options *o,
                              const char *folder) {
  const uint64_t seed = o->seed;
  for (size_t i = 0; i < m->params->n; i++) CZ_TRY(load_or_draw(m, s, i, seed, folder));
  if (m->drawn & ~o->fresh) say_drawn(m, s, seed, folder);
  cz_params_values_written(m->params);
  return check_aliases(m, s, folder);
}

/* Whether the file's output matrix is one of its own: present, and different from the
 * embedding. */
static cz_status has_own_head(const cz__hf_names *s, const cz_model_config *c, bool *own) {
  const cz_weight *out = cz_family_weight(c->family, CZ_SLOT_HEAD),
                  *in = cz_family_weight(c->family, CZ_SLOT_EMBEDDING);
  const cz_safetensors_info *head = out ? cz__hf_exact(s, out->tensor) : NULL,
                            *embedding = cz__hf_find(s, in->tensor);
  const int64_t dims[2] = {c->vocab_size, cz_model_embedding_width(c)};
  size_t n = (size_t)(dims[0] * dims[1]);
  float *a = NULL, *b = NULL;
  cz_status st = CZ_OK;
  *own = head != NULL;
  if (!head || !embedding || !c->tied) return CZ_OK;
  CZ_GO(st, cz_alloc(&a, n, sizeof *a), done);
  CZ_GO(st, cz_alloc(&b, n, sizeof *b), done);
  CZ_GO(st, cz_safetensors_read_f32(s->file, a, head->name, dims, 2), done);
  CZ_GO(st, cz_safetensors_read_f32(s->file, b, embedding->name, dims, 2), done);
  *own = memcmp(a, b, n * sizeof *a) != 0;
done:
  free(a);
  free(b);
  return st;
}

/* Whether the output is tied decides what is declared, and the file decides it; its names are those
 * of a model, which is declared once before to ask. */
static cz_status decide_tied(cz_model_config *c, cz_safetensors *s, cz_device *device) {
  cz_model *m;
  cz__hf_names names = {0};
  bool own = false;
  CZ_TRY(cz_model_declare(&m, c, device));
  cz_status st = cz__hf_names_make(&names, s, m);
  if (st == CZ_OK) st = has_own_head(&names, c, &own);
  cz__hf_names_free(&names);
  cz_model_destroy(&m);
  c->tied = !own;
  return st;
}

/** Declares a model of CONFIG on DEVICE, without memory, whose tensors are those of the open FILE
 * of FOLDER: tied as they say, all of them there and of its shapes, but for heads that are not
 * there at all, which (*MODEL)->drawn has. NAMES get the file's names; free both in any case. */
cz_status cz__hf_declare(cz_model **model, cz__hf_names *names, const cz_model_config *config,
                         cz_safetensors *file, const char *folder, cz_device *device) {
  cz_model_config c = *config;
  CZ_TRY(decide_tied(&c, file, device));
  CZ_TRY(cz_model_declare(model, &c, device));
  CZ_TRY(cz__hf_names_make(names, file, *model));
  return check_tensors(*model, names, folder);
}

static cz_status load(cz_model **model, const cz_model_config *config, const char *folder,
                      cz_device *device, const cz_hf_options *o) {
  cz_safetensors *s = NULL;
  cz__hf_names names = {0};
  cz_status st;
  *model = NULL;
  CZ_GO(st, cz_safetensors_open_model(&s, folder), done);
  CZ_GO(st, cz__hf_declare(model, &names, config, s, folder, device), done);
  CZ_GO(st, cz_params_allocate((*model)->params), done);
  CZ_GO(st, load_weights(*model, &names, o, folder), done);
done:
  cz__hf_names_free(&names);
  cz_safetensors_close(&s);
  if (st != CZ_OK) cz_model_destroy(model);
  return st;
}

/** Opens the weights in FOLDER as a model of CONFIG on DEVICE, with the heads that it names;
 * whether the output is tied, they decide. Errors as cz_hf_open. */
cz_status cz_hf_load(cz_model **model, const cz_model_config *config, const char *folder,
                     cz_device *device) {
  return load(model, config, folder, device, &(cz_hf_options){0});
}

/** Reads the config.json of FOLDER. Errors as cz_hf_config_read_as. */
cz_status cz_hf_config_of(cz_model_config *config, const char *folder) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.json"));
  return cz_hf_config_read(config, path);
}

/** The same where FOLDER has a config.json; *FOUND: whether it has. */
cz_status cz_hf_config_find(bool *found, cz_model_config *config, const char *folder) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.json"));
  *found = cz_fs_exists(path);
  return *found ? cz_hf_config_read(config, path) : CZ_OK;
}

/** Opens a Hugging Face directory (config.json, model.safetensors or its shards) as a
 * model on DEVICE, with the heads of OPTIONS (null: those of its class). Strict: a missing, extra
 * or wrongly shaped tensor, a second name of one with other numbers and a key out of range are
 * CZ_EINVAL with file, name and values; a number that is not finite is CZ_ENUMERIC with its place.
 * A head that the folder does not have at all is drawn from the seed, said in a warning unless it
 * is one of OPTIONS->fresh, and marked in model->drawn. The caller destroys the model. */
cz_status cz_hf_open_with(cz_model **model, const char *folder, cz_device *device,
                          const cz_hf_options *options) {
  const cz_hf_options none = {0}, *o = options ? options : &none;
  char path[4096];
  cz_model_config config;
  *model = NULL;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.json"));
  CZ_TRY(cz_hf_config_read(&config, path));
  if (o->heads) config.heads = o->heads;
  if (o->n_labels) { /* one number is no class, and Hugging Face opens no folder that says so */
    config.n_labels = o->n_labels;
    config.problem = o->n_labels == 1 ? CZ_PROBLEM_REGRESSION : CZ_PROBLEM_SINGLE_LABEL;
  }
  CZ_TRY(load(model, &config, folder, device, o));
  cz_status st = o->n_labels ? CZ_OK : cz__hf_labels_read(*model, path);
  if (st != CZ_OK) cz_model_destroy(model);
  return st;
}

/** As cz_hf_open_with, with the heads of the folder's class. */
cz_status cz_hf_open(cz_model **model, const char *folder, cz_device *device) {
  return cz_hf_open_with(model, folder, device, NULL);
}

struct cz_hf_weights {
  cz_safetensors *file;
  cz__hf_names names;
  char folder[4096];
};

/** Opens the weights of FOLDER, from which M was opened with cz_hf_open_with, to be put into M
 * again: the members of an ensemble begin from one. The file is mapped, so that processes share
 * its one copy in the page cache. The caller closes it, before the model. */
cz_status cz_hf_weights_open(cz_hf_weights **w, const cz_model *m, const char *folder) {
  cz_status st;
  *w = NULL;
  CZ_TRY(cz_alloc(w, 1, sizeof **w));
  if (snprintf((*w)->folder, sizeof(*w)->folder, "%s", folder) >= (int)sizeof(*w)->folder)
    CZ_GO(st, CZ_FAIL(CZ_EINVAL, "path too long: %s", folder), fail);
  CZ_GO(st, cz_safetensors_open_model(&(*w)->file, folder), fail);
  CZ_GO(st, cz__hf_names_make(&(*w)->names, (*w)->file, m), fail);
  return CZ_OK;
fail:
  cz_hf_weights_close(w);
  return st;
}

/** Gives every parameter of M the folder's numbers, and those of heads that the folder lacks new
 * ones from SEED: the same bits as when M is opened with that seed. Weights that were replaced
 * since by a rename are still the old ones. Errors as cz_hf_open_with. */
cz_status cz_hf_weights_load(cz_hf_weights *w, cz_model *m, uint64_t seed) {
  CZ_TRY(check_tensors(m, &w->names, w->folder));
  for (size_t i = 0; i < m->params->n; i++) CZ_TRY(load_or_draw(m, &w->names, i, seed, w->folder));
  cz_safetensors_leave(w->names.file);
  cz_params_values_written(m->params);
  return CZ_OK;
}

/** Closes the file, clears the pointer, accepts null. */
void cz_hf_weights_close(cz_hf_weights **w) {
  if (!*w) return;
  cz__hf_names_free(&(*w)->names);
  cz_safetensors_close(&(*w)->file);
  free(*w);
  *w = NULL;
}
