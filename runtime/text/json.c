/* Checked access to the fields of a tokenizer.json. */
#include "base/nearest.h"
#include "base/utf8.h"
#include "text/parts.h"

#include <stdio.h>
#include <string.h>

/** The place of the field KEY at AT. */
cz__text_place cz__text_place_key(const cz__text_place *at, const char *key) {
  cz__text_place p = {.file = at->file};
  snprintf(p.path, sizeof p.path, "%.120s%s%.60s", at->path, at->path[0] ? "." : "", key);
  return p;
}

/** The place of the I-th item at AT. */
cz__text_place cz__text_place_item(const cz__text_place *at, size_t i) {
  cz__text_place p = {.file = at->file};
  snprintf(p.path, sizeof p.path, "%.160s[%zu]", at->path, i);
  return p;
}

static const char *kind_of(const json_t *v) {
  static const char *const kinds[] = {"an object", "a list", "a text", "a number",
                                      "a number",  "true",   "false",  "null"};
  return v ? kinds[json_typeof(v)] : "nothing";
}

static cz_status wrong(const json_t *v, const cz__text_place *at, const char *key,
                       const char *expected) {
  cz__text_place p = cz__text_place_key(at, key);
  return CZ_FAIL(CZ_EINVAL, "%s: %s: expected %s, found %s", p.file, p.path, expected, kind_of(v));
}

/** CZ_EINVAL unless O is an object with no keys but `type` and KEYS. */
cz_status cz__json_object(const json_t *o, const cz__text_place *at, const char *const *keys,
                          size_t n_keys) {
  if (!json_is_object(o))
    return CZ_FAIL(CZ_EINVAL, "%s: %s: expected an object, found %s", at->file, at->path,
                   kind_of(o));
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)o, key, value) {
    bool known = strcmp(key, "type") == 0;
    for (size_t i = 0; i < n_keys && !known; i++) known = strcmp(key, keys[i]) == 0;
    if (!known) return CZ_FAIL(CZ_EINVAL, "%s: %s: unknown key '%s'", at->file, at->path, key);
  }
  return CZ_OK;
}

/** The list KEY of O. */
cz_status cz__json_array(const json_t **out, const json_t *o, const cz__text_place *at,
                         const char *key) {
  *out = json_object_get(o, key);
  return json_is_array(*out) ? CZ_OK : wrong(*out, at, key, "a list");
}

/** The text KEY of O, which may hold NUL; borrowed from O. */
cz_status cz__json_text(const char **out, size_t *n, const json_t *o, const cz__text_place *at,
                        const char *key) {
  const json_t *v = json_object_get(o, key);
  if (!json_is_string(v)) return wrong(v, at, key, "a text");
  *out = json_string_value(v);
  *n = json_string_length(v);
  return CZ_OK;
}

/** The boolean KEY of O. */
cz_status cz__json_bool(bool *out, const json_t *o, const cz__text_place *at, const char *key) {
  const json_t *v = json_object_get(o, key);
  if (!json_is_boolean(v)) return wrong(v, at, key, "true or false");
  *out = json_is_true(v);
  return CZ_OK;
}

/** The whole number KEY of O, 0 to 2^31 - 1. */
cz_status cz__json_count(int64_t *out, const json_t *o, const cz__text_place *at, const char *key) {
  const json_t *v = json_object_get(o, key);
  if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
    return wrong(v, at, key, "a whole number from 0 to 2147483647");
  *out = json_integer_value(v);
  return CZ_OK;
}

/** The text KEY of O, which must be one character. */
cz_status cz__json_character(uint32_t *out, const json_t *o, const cz__text_place *at,
                             const char *key) {
  const char *s;
  size_t n, k = 0;
  CZ_TRY(cz__json_text(&s, &n, o, at, key));
  if (n > 0) *out = cz_utf8_next(s, &k);
  return n > 0 && k == n ? CZ_OK : wrong(json_object_get(o, key), at, key, "one character");
}

/** The text KEY of O, which must be one of NAMES; its index. */
cz_status cz__json_choice(int *out, const json_t *o, const cz__text_place *at, const char *key,
                          const char *const *names, size_t n_names) {
  const char *s;
  size_t n;
  CZ_TRY(cz__json_text(&s, &n, o, at, key));
  for (size_t i = 0; i < n_names; i++) {
    if (strlen(names[i]) != n || memcmp(names[i], s, n) != 0) continue;
    *out = (int)i;
    return CZ_OK;
  }
  cz__text_place p = cz__text_place_key(at, key);
  const char *near = cz_nearest(s, names, n_names);
  return CZ_FAIL(CZ_EINVAL, "%s: %s: unknown value '%s'%s%s", p.file, p.path, s,
                 near ? "; did you mean " : "", near ? near : "");
}

/** Copies N bytes into the arena. */
cz_status cz__copy_bytes(char **out, cz_arena *arena, const char *s, size_t n) {
  CZ_TRY(cz_arena_alloc(arena, out, n + 1, 1));
  if (n) memcpy(*out, s, n);
  return CZ_OK;
}
