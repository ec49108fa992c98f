/* Names of tensors. Files of one model differ in them: saved from a data-parallel wrapper, by old
 * programs, from the body alone or under a head. One pass brings them to the names of the
 * family's weight map; all else here asks for those. */
#include "nn/hf_files.h"

#include <fnmatch.h>
#include <stdio.h>
#include <string.h>

static bool starts(const char *text, const char *with) {
  return !strncmp(text, with, strlen(with));
}

static bool ends(const char *text, const char *with) {
  const size_t n = strlen(text), m = strlen(with);
  return n >= m && !strcmp(text + n - m, with);
}

/* The model has a parameter there, or the family another name for one. */
static bool is_ours(const cz_model *m, const char *name) {
  for (size_t i = 0; i < m->params->n; i++)
    if (!strcmp(m->origins[i].tensor, name)) return true;
  for (const cz_weight_alias *a = m->config.family->aliases; a && a->tensor; a++)
    if (!strcmp(a->alias, name)) return true;
  return false;
}

/* The output where it is the embedding, and what the family's list of unused tensors has. */
static bool is_unused(const cz_family *f, const char *name) {
  const cz_weight *head = cz_family_weight(f, CZ_SLOT_HEAD);
  if (head && !strcmp(head->tensor, name)) return true;
  for (const char *const *u = f->unused; u && *u; u++)
    if (!fnmatch(*u, name, 0)) return true;
  return false;
}

/* The name with the newer words for a norm's gain and bias. */
static void rename_norm(char *name, size_t bytes) {
  static const char *const from[] = {"LayerNorm.gamma", "LayerNorm.beta"}, *const to[] = {"weight",
                                                                                          "bias"};
  for (int i = 0; i < 2; i++)
    if (ends(name, from[i])) {
      const size_t n = strlen(name) - strlen(from[i]) + strlen("LayerNorm.");
      snprintf(name + n, bytes - n, "%s", to[i]);
    }
}

static cz_status normalise(const char **out, cz_arena *arena, const cz_model *m, const char *name) {
  const cz_family *f = m->config.family;
  char plain[512], full[576];
  char *kept;
  while (starts(name, "module.")) name += strlen("module.");
  snprintf(plain, sizeof plain - 8, "%s", name);
  rename_norm(plain, sizeof plain);
  snprintf(full, sizeof full, "%s%s", f->prefix ? f->prefix : "", plain);
  const bool lacks = f->prefix && !starts(plain, f->prefix) && !is_ours(m, plain) &&
                     !is_unused(f, plain) && (is_ours(m, full) || is_unused(f, full));
  CZ_TRY(cz_arena_strdup(arena, &kept, lacks ? full : plain));
  *out = kept;
  return CZ_OK;
}

/** Gives every tensor of FILE the name that M's family has for it. Free NAMES in any case. */
cz_status cz__hf_names_make(cz__hf_names *names, cz_safetensors *file, const cz_model *m) {
  const size_t n = cz_safetensors_count(file);
  *names = (cz__hf_names){.file = file, .family = m->config.family};
  CZ_TRY(cz_arena_create(&names->arena, "tensor names"));
  CZ_TRY(cz_arena_alloc(names->arena, &names->canonical, n ? n : 1, sizeof *names->canonical));
  for (size_t i = 0; i < n; i++)
    CZ_TRY(normalise(&names->canonical[i], names->arena, m, cz_safetensors_at(file, i)->name));
  return CZ_OK;
}

/** Frees what NAMES holds; accepts a zero-initialised one. */
void cz__hf_names_free(cz__hf_names *names) {
  if (names->arena) cz_arena_destroy(&names->arena);
}

/** The file's tensor of exactly that canonical name, or null. */
const cz_safetensors_info *cz__hf_exact(const cz__hf_names *names, const char *tensor) {
  for (size_t i = 0; i < cz_safetensors_count(names->file); i++)
    if (!strcmp(names->canonical[i], tensor)) return cz_safetensors_at(names->file, i);
  return NULL;
}

/** The file's tensor for TENSOR: under that name, or else the first alias that is present. */
const cz_safetensors_info *cz__hf_find(const cz__hf_names *names, const char *tensor) {
  const cz_safetensors_info *found = cz__hf_exact(names, tensor);
  for (const cz_weight_alias *a = names->family->aliases; !found && a && a->tensor; a++)
    if (!strcmp(a->tensor, tensor)) found = cz__hf_exact(names, a->alias);
  return found;
}

/** CZ_EINVAL for a tensor that the model would not use, and for two that are one by their
 * names. */
cz_status cz__hf_check_names(const cz__hf_names *names, const cz_model *m, const char *folder) {
  for (size_t i = 0; i < cz_safetensors_count(names->file); i++) {
    const char *name = cz_safetensors_at(names->file, i)->name, *canonical = names->canonical[i];
    if (!is_ours(m, canonical) && !is_unused(names->family, canonical))
      return CZ_FAIL(CZ_EINVAL, "%s: tensor %s does not belong to this model", folder, name);
    for (size_t j = 0; j < i; j++)
      if (is_ours(m, canonical) && !strcmp(canonical, names->canonical[j]))
        return CZ_FAIL(CZ_EINVAL, "%s: tensors %s and %s are both %s", folder,
                       cz_safetensors_at(names->file, j)->name, name, canonical);
  }
  return CZ_OK;
}

/** How parameter I of M lies in its tensor. */
cz__hf_layout cz__hf_layout_of(const cz_model *m, size_t i) {
  cz__hf_layout l = {.p = m->params->list[i], .o = &m->origins[i]};
  l.ndim = l.p->ndim;
  l.count = l.p->count * l.o->parts;
  int64_t rows = l.p->dim[0] * l.o->parts, columns = l.p->ndim > 1 ? l.p->dim[1] : 1;
  bool turned = l.o->transposed && l.ndim > 1;
  l.dim[0] = turned ? columns : rows;
  l.dim[1] = turned ? rows : columns;
  return l;
}

/* Where element (r, c) of the parameter lies in the tensor. */
static int64_t place_in_tensor(const cz__hf_layout *l, int64_t r, int64_t c) {
  int64_t row = l->p->dim[0] * l->o->part + r, columns = l->ndim > 1 ? l->p->dim[1] : 1;
  return l->o->transposed && l->ndim > 1 ? c * l->dim[1] + row : row * columns + c;
}

/** Copies numbers of SIZE bytes between the parameter (row major) and its places. */
void cz__hf_copy_part(const cz__hf_layout *l, char *param, char *tensor, size_t size,
                      bool to_tensor) {
  int64_t columns = l->ndim > 1 ? l->p->dim[1] : 1;
  for (int64_t r = 0; r < l->p->dim[0]; r++)
    for (int64_t c = 0; c < columns; c++) {
      char *p = param + (size_t)(r * columns + c) * size,
           *t = tensor + (size_t)place_in_tensor(l, r, c) * size;
      memcpy(to_tensor ? t : p, to_tensor ? p : t, size);
    }
}

/** The parameter is its tensor, as it lies there. */
bool cz__hf_is_whole(const cz__hf_layout *l) { return l->o->parts == 1 && !l->o->transposed; }
