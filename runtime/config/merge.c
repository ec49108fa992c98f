/* New nodes from old ones: merge, replace, remove, override. Nothing is changed in
 * place. */
#include "config/tree.h"
#include "base/number.h"

#include <stdio.h>
#include <string.h>

/** UNDER with OVER laid upon it: mappings key by key, at every depth; anything else is
 * replaced whole, lists too. UNDER's keys come first, in its order; every value keeps
 * the place it was written at. */
cz_status cz_config_merge(cz_config *config, const cz_config_node **out,
                          const cz_config_node *under, const cz_config_node *over) {
  if (under->kind != CZ_CONFIG_MAPPING || over->kind != CZ_CONFIG_MAPPING) {
    *out = over;
    return CZ_OK;
  }
  cz_config_node *made;
  CZ_TRY(cz__config_node(config->arena, &made, CZ_CONFIG_MAPPING, over->at, over->path));
  for (size_t i = 0; i < under->count; i++) {
    cz__entry e = under->entries[i];
    size_t k = cz__config_find(over, e.key);
    if (k < over->count) {
      e.at = over->entries[k].at;
      CZ_TRY(cz_config_merge(config, &e.value, e.value, over->entries[k].value));
    }
    CZ_TRY(cz__config_add(config->arena, made, e.key, e.at, e.value));
  }
  for (size_t k = 0; k < over->count; k++) {
    const cz__entry *e = &over->entries[k];
    if (!cz_config_get(under, e->key))
      CZ_TRY(cz__config_add(config->arena, made, e->key, e->at, e->value));
  }
  *out = made;
  return CZ_OK;
}

/** NODE, a mapping, without KEY; the same node when it has none. */
cz_status cz_config_without(cz_config *config, const cz_config_node **out,
                            const cz_config_node *node, const char *key) {
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_MAPPING));
  cz_config_node *made;
  CZ_TRY(cz__config_node(config->arena, &made, CZ_CONFIG_MAPPING, node->at, node->path));
  for (size_t i = 0; i < node->count; i++) {
    const cz__entry *e = &node->entries[i];
    if (strcmp(e->key, key)) CZ_TRY(cz__config_add(config->arena, made, e->key, e->at, e->value));
  }
  *out = made;
  return CZ_OK;
}

static bool is_null(const cz_config_node *node) {
  return node->kind == CZ_CONFIG_SCALAR && !node->quoted &&
         cz__config_looks(node->text, NULL, NULL) == CZ__LOOKS_NULL;
}

/* The entry of NODE that KEY names: a key of a mapping, an index of a list; COUNT when a
 * mapping has none yet. */
static cz_status find_entry(const cz_config_node *node, const char *key,
                            const cz_config_node *value, size_t *found) {
  if (node->kind == CZ_CONFIG_SCALAR)
    return cz__config_fail(value->at, value->path,
                           "'%s' holds a single value, nothing can be set inside it", node->path);
  int64_t index = -1;
  if (node->kind == CZ_CONFIG_SEQUENCE) {
    bool number = cz_parse_int(key, &index) == CZ_OK;
    if (!number || index < 0 || index >= (int64_t)node->count)
      return cz__config_fail(value->at, value->path,
                             "'%s' is a list of %zu items, '%s' is none of 0 to %zu", node->path,
                             node->count, key, node->count ? node->count - 1 : 0);
    *found = (size_t)index;
    return CZ_OK;
  }
  *found = cz__config_find(node, key);
  return CZ_OK;
}

/* One key of cz_config_with and then the rest: KEYS are N texts, one behind the other;
 * PATH is NODE's, which may be missing yet. */
static cz_status with_keys(cz_config *c, const cz_config_node **out, const cz_config_node *node,
                           const char *path, const char *keys, size_t n,
                           const cz_config_node *value) {
  cz_config_node *made;
  char *below;
  size_t found = 0;
  if (!n) {
    *out = value;
    return CZ_OK;
  }
  if (!node || is_null(node)) {
    CZ_TRY(cz__config_node(c->arena, &made, CZ_CONFIG_MAPPING, value->at, path));
  } else {
    CZ_TRY(find_entry(node, keys, value, &found));
    CZ_TRY(cz__config_node(c->arena, &made, node->kind, node->at, node->path));
    for (size_t i = 0; i < node->count; i++)
      CZ_TRY(cz__config_add(c->arena, made, node->entries[i].key, node->entries[i].at,
                            node->entries[i].value));
  }
  if (found == made->count) CZ_TRY(cz__config_add(c->arena, made, keys, value->at, NULL));
  cz__entry *e = &made->entries[found];
  if (e->key) e->at = value->at;
  *out = made;
  CZ_TRY(cz__config_path(c->arena, &below, made->path, keys));
  return with_keys(c, &e->value, e->value, below, keys + strlen(keys) + 1, n - 1, value);
}

static size_t depth_of(const cz_config_node *node) {
  size_t deepest = 0;
  if (node->kind == CZ_CONFIG_SCALAR) return 0;
  for (size_t i = 0; i < node->count; i++) {
    size_t below = depth_of(node->entries[i].value);
    if (below > deepest) deepest = below;
  }
  return deepest + 1;
}

/** NODE with VALUE at PATH (`a.b.c`; a number picks an item of a list); mappings on the
 * way are made when missing. */
cz_status cz_config_with(cz_config *config, const cz_config_node **out, const cz_config_node *node,
                         const char *path, const cz_config_node *value) {
  char *keys;
  CZ_TRY(cz_arena_strdup(config->arena, &keys, path));
  size_t n = 1;
  for (char *s = keys; *s; s++)
    if (*s == '.') *s = '\0', n++;
  if (n + depth_of(value) > CZ__CONFIG_DEPTH)
    return cz__config_fail(value->at, NULL, "nested deeper than %d levels", CZ__CONFIG_DEPTH);
  const char *key = keys;
  for (size_t i = 0; i < n; i++, key += strlen(key) + 1)
    if (!*key) return cz__config_fail(value->at, NULL, "'%s' has an empty key", path);
  return with_keys(config, out, node, node->path, keys, n, value);
}

/** NODE with one override `a.b.c=value`. A value that begins with [, {, " or ' is read as
 * YAML; any other is taken as it stands, a number when it looks like one. Whether the
 * key exists is seen when its section is bound; the message then names the argument. */
cz_status cz_config_with_word(cz_config *config, const cz_config_node **out,
                              const cz_config_node *node, const char *word) {
  const char *equals = strchr(word, '=');
  if (!equals || equals == word)
    return CZ_FAIL(CZ_EUSAGE, "argument '%s': expected key=value", word);
  cz__source *source;
  char *path;
  const cz_config_node *value;
  CZ_TRY(cz__config_source(config->arena, &source, word, word, strlen(word), true));
  CZ_TRY(cz_arena_strdup(config->arena, &path, word));
  path[equals - word] = '\0';
  CZ_TRY(cz__config_bytes(source));
  const char *text = source->text + (equals - word) + 1;
  if (*text && strchr("[{\"'", *text)) {
    CZ_TRY(cz__config_yaml(config->arena, &value, source, (size_t)(text - source->text), path));
  } else {
    cz_config_node *scalar;
    CZ_TRY(cz__config_node(config->arena, &scalar, CZ_CONFIG_SCALAR,
                           (cz__config_place){source, 1, (int)(text - source->text) + 1}, path));
    scalar->text = text;
    value = scalar;
  }
  return cz_config_with(config, out, node, path, value);
}
