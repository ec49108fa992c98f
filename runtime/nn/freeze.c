/* Which of a model's parameters are not trained, said by a text of a configuration. */
#include "base/nearest.h"
#include "nn/model.h"

#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether WORD names parameter I: `body` those that are no head's, as the pooler and an output
 * matrix besides the embedding are, else by its name, with * for any part. */
static bool names(const char *word, const cz_model *m, size_t i) {
  const cz_param *p = m->params->list[i];
  if (!strcmp(word, "body")) return !m->origins[i].heads && (p != m->head || p == m->embedding);
  return !fnmatch(word, p->name, 0);
}

static cz_status unknown(const cz_model *m, const char *word) {
  const cz_params *p = m->params;
  const char **all;
  CZ_TRY(cz_alloc(&all, p->n, sizeof *all));
  for (size_t i = 0; i < p->n; i++) all[i] = p->list[i]->name;
  const cz_status st = CZ_FAIL(CZ_EUSAGE, "freeze: no parameter of this model is called '%s'%s",
                               word, cz_suggest(word, all, p->n).text);
  free(all);
  return st;
}

/* Marks what WORD names. */
static cz_status mark(bool *frozen, const cz_model *m, const char *word) {
  bool any = false;
  for (size_t i = 0; i < m->params->n; i++)
    if (names(word, m, i)) frozen[i] = any = true;
  return any ? CZ_OK : unknown(m, word);
}

static cz_status mark_all(bool *frozen, const cz_model *m, const char *what) {
  for (const char *at = what; *at;) {
    char word[256];
    const size_t blanks = strspn(at, " ,"), n = strcspn(at + blanks, " ,");
    at += blanks;
    if (n >= sizeof word)
      return CZ_FAIL(CZ_EUSAGE, "freeze: a name of %zu characters is none of a parameter", n);
    snprintf(word, sizeof word, "%.*s", (int)n, at);
    if (n) CZ_TRY(mark(frozen, m, word));
    at += n;
  }
  return CZ_OK;
}

/** From now on the parameters of M that WHAT names are not trained (cz_params_freeze, with its
 * conditions): `body`, all that belong to no head, or names with * for any part of one, separated
 * by commas; null or empty: none. CZ_EUSAGE for a name that is no parameter's, and when nothing is
 * left to train. M may be without memory. */
cz_status cz_model_freeze(cz_model *m, const char *what) {
  size_t trained = 0;
  bool *frozen;
  if (!what || !*what) return CZ_OK;
  CZ_TRY(cz_alloc(&frozen, m->params->n, sizeof *frozen));
  cz_status st = mark_all(frozen, m, what);
  for (size_t i = 0; i < m->params->n; i++) trained += !frozen[i];
  if (st == CZ_OK && !trained)
    st = CZ_FAIL(CZ_EUSAGE,
                 "freeze: '%s' are all parameters of this model: nothing is left to train", what);
  if (st == CZ_OK) st = cz_params_freeze(m->params, frozen);
  free(frozen);
  return st;
}
