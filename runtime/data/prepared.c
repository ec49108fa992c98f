#include "data/prepared.h"

#include <stdlib.h>

static cz_status add_list(cz_id_lists *l, const cz_ids *list, size_t count) {
  CZ_TRY(cz_grow(&l->ends, &l->ends_cap, count + 1, sizeof *l->ends));
  CZ_TRY(cz_ids_append(&l->all, list->data, (int64_t)list->len));
  l->ends[count] = l->all.len;
  return CZ_OK;
}

/* All examples of a set have soft targets over the same classes, or none has. */
static cz_status check(const cz_prepared *p, const cz_example *e) {
  const int64_t C = (int64_t)e->soft.len;
  if (!e->inputs.len) return CZ_FAIL(CZ_EINVAL, "example %zu has no tokens", p->count);
  if (p->count && C != p->soft_classes)
    return CZ_FAIL(CZ_EINVAL,
                   "example %zu has soft targets over %lld classes, those before it over %lld",
                   p->count, (long long)C, (long long)p->soft_classes);
  if (p->count == INT32_MAX) return CZ_FAIL(CZ_EINVAL, "a set of more than 2^31 - 1 examples");
  return CZ_OK;
}

static cz_status add_soft(cz_prepared *p, const cz_reals *soft) {
  cz_reals *all = &p->soft;
  if (!soft->len) return CZ_OK;
  CZ_TRY(cz_grow(&all->data, &all->cap, all->len + soft->len, sizeof *all->data));
  memcpy(all->data + all->len, soft->data, soft->len * sizeof *all->data);
  all->len += soft->len;
  return CZ_OK;
}

/** Copies E to the end of P, all but its number, which is its place in the set, and its
 * padding. CZ_EINVAL for an example without tokens, or with soft targets over other classes
 * than those before it; P is then as it was. */
cz_status cz_prepared_add(cz_prepared *p, const cz_example *e) {
  const size_t n = p->count;
  CZ_TRY(check(p, e));
  CZ_TRY(cz_grow(&p->classes, &p->classes_cap, n + 1, sizeof *p->classes));
  CZ_TRY(cz_grow(&p->texts, &p->texts_cap, n + 1, sizeof *p->texts));
  CZ_TRY(add_list(&p->inputs, &e->inputs, n));
  CZ_TRY(add_list(&p->types, &e->types, n));
  CZ_TRY(add_list(&p->labels, &e->labels, n));
  CZ_TRY(add_list(&p->rows, &e->rows, n));
  CZ_TRY(add_list(&p->answers, &e->answers, n));
  CZ_TRY(add_list(&p->ends, &e->ends, n));
  CZ_TRY(add_soft(p, &e->soft));
  p->classes[n] = e->klass;
  p->texts[n] = e->text;
  p->soft_classes = (int64_t)e->soft.len;
  p->count++;
  return CZ_OK;
}

/** List I of L and its length *N. Good until L changes. */
const int32_t *cz_id_lists_at(const cz_id_lists *l, size_t i, size_t *n) {
  const size_t begin = i ? l->ends[i - 1] : 0;
  *n = l->ends[i] - begin;
  return l->all.data + begin;
}

static void free_lists(cz_id_lists *l) {
  free(l->all.data);
  free(l->ends);
}

/** Frees the lists and empties P. */
void cz_prepared_free(cz_prepared *p) {
  free_lists(&p->inputs);
  free_lists(&p->types);
  free_lists(&p->labels);
  free_lists(&p->rows);
  free_lists(&p->answers);
  free_lists(&p->ends);
  free(p->soft.data);
  free(p->classes);
  free(p->texts);
  *p = (cz_prepared){0};
}
