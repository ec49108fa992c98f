/* Keys without effect. A changed run that is the unchanged run under a new name is the worst error
 * of a comparison, so a key that nothing reads is refused. */
#include "experiment/plan_internal.h"

#include "base/nearest.h"

#include <string.h>

enum { MAX_NAMES = 256 };

static size_t add_name(const char **names, size_t n, const char *name) {
  for (size_t i = 0; i < n; i++)
    if (!strcmp(names[i], name)) return n;
  if (n < MAX_NAMES) names[n++] = name;
  return n;
}

/** CZ_EUSAGE with the nearest spelling when a section of `common` is of no kind of stage. */
cz_status cz__plan_check_common(const cz_config_node *root) {
  const cz_config_node *common = cz_config_get(root, "common");
  const char *names[MAX_NAMES];
  size_t n = 0;
  if (!common) return CZ_OK;
  CZ_TRY(cz_config_expect(common, CZ_CONFIG_MAPPING));
  for (size_t k = 0; k < cz_stage_row_count; k++)
    for (const cz_stage_part *const *part = cz_stage_rows[k]->parts; *part; part++)
      n = add_name(names, n, (*part)->key.name);
  for (size_t i = 0; i < cz_config_count(common); i++) {
    const char *key = cz_config_key_at(common, i);
    bool known = false;
    for (size_t k = 0; k < n; k++) known |= !strcmp(key, names[k]);
    if (!known)
      return cz_config_error(cz_config_at(common, i), "common: no kind of stage has '%s'%s", key,
                             cz_suggest(key, names, n).text);
  }
  return CZ_OK;
}

/* The node at PATH (N bytes, names with points between) below NODE; null where there is none. */
static const cz_config_node *at_path(const cz_config_node *node, const char *path, size_t n) {
  while (node && n > 0) {
    const char *point = memchr(path, '.', n);
    size_t length = point ? (size_t)(point - path) : n;
    const cz_config_node *next = NULL;
    if (cz_config_kind_of(node) != CZ_CONFIG_MAPPING) return NULL;
    for (size_t i = 0; i < cz_config_count(node) && !next; i++) {
      const char *key = cz_config_key_at(node, i);
      if (strlen(key) == length && !memcmp(key, path, length)) next = cz_config_at(node, i);
    }
    node = next;
    path += length + (point != NULL), n -= length + (point != NULL);
  }
  return node;
}

static bool same_text(const cz_config_node *a, const char *text) {
  const char *other;
  return a && cz_config_kind_of(a) == CZ_CONFIG_SCALAR && cz_config_text(&other, a) == CZ_OK &&
         !strcmp(other, text);
}

/* Whether some stage of the first seed, of the name STAGE (N bytes; any where it is null), has
 * TEXT at PATH. */
static bool is_used(const cz_plan *p, const char *stage, size_t n, const char *path,
                    size_t path_bytes, const char *text) {
  for (size_t r = 0; r < p->n_rows; r++)
    for (size_t i = 0; i < p->n_stages; i++) {
      const cz_plan_stage *s = &p->stages[r * p->n_stages + i];
      if (s->left_out || (stage && (strlen(s->name) != n || memcmp(s->name, stage, n)))) continue;
      if (same_text(at_path(s->node, path, path_bytes), text)) return true;
    }
  return false;
}

/* One override of a single value below `common` or `stages`. What is resolved on the way ($data,
 * $STAGE) and whole sections are not followed. */
static cz_status check_word(const cz_plan *p, const cz_config_node *root, const char *word) {
  const char *end = strchr(word, '='), *path = strchr(word, '.'), *stage = NULL, *text;
  if (!end || !path || path > end) return CZ_OK;
  size_t stage_bytes = 0;
  const cz_config_node *value = at_path(root, word, (size_t)(end - word));
  if (!value || cz_config_kind_of(value) != CZ_CONFIG_SCALAR) return CZ_OK;
  CZ_TRY(cz_config_text(&text, value));
  if (strchr(text, '$')) return CZ_OK;
  path++;
  if (!strncmp(word, "stages.", strlen("stages."))) {
    const char *point = memchr(path, '.', (size_t)(end - path));
    if (!point) return CZ_OK;
    stage = path, stage_bytes = (size_t)(point - path), path = point + 1;
  } else if (strncmp(word, "common.", strlen("common."))) {
    return CZ_OK;
  }
  if (is_used(p, stage, stage_bytes, path, (size_t)(end - path), text)) return CZ_OK;
  return cz_config_error(
      value, "has no effect: %s; set it there",
      stage ? "every row sets this key, the axis does, or rows are without the stage"
            : "every stage that takes this key sets it, or a row or the axis does");
}

/** CZ_EUSAGE when an override (WORDS, `a.b=c`) of a single value below `common` or `stages` is
 * read by no stage of any row, since stages or rows set the same key. The plan is resolved. */
cz_status cz__plan_check_words(const cz_plan *p, const cz_config_node *root, char *const *words,
                               size_t n_words) {
  for (size_t i = 0; i < n_words; i++) CZ_TRY(check_word(p, root, words[i]));
  return CZ_OK;
}
