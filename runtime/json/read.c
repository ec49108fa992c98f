/* From bytes to trees, and checked access to their members. */
#include "base/fs.h"
#include "base/lines.h"
#include "base/nearest.h"
#include "base/utf8.h"
#include "json/json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A NUL in a string is written \u0000 and allowed; a raw one is refused before. */
enum { FLAGS = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL };

/** Parses the N bytes of a file called NAME: an object or a list, and nothing behind it.
 * CZ_EINVAL with line and column. */
cz_status cz_json_parse(json_t **root, const char *bytes, size_t n, const char *name) {
  json_error_t why;
  *root = NULL;
  CZ_TRY(cz_utf8_expect(bytes, n, name));
  if ((*root = json_loadb(bytes, n, FLAGS, &why))) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%s:%d:%d: %s", name, why.line > 0 ? why.line : 1,
                 why.column > 0 ? why.column : 1, why.text);
}

/** Parses the file at PATH, which another program wrote. CZ_EIO when it cannot be read,
 * CZ_EINVAL with line and column when it is not JSON. */
cz_status cz_json_read(json_t **root, const char *path) {
  cz_buf text = {0};
  *root = NULL;
  cz_status st = cz_fs_read(path, &text);
  if (st == CZ_OK) st = cz_json_parse(root, text.data ? text.data : "", text.len, path);
  cz_buf_free(&text);
  return st;
}

/** Parses the file at PATH, which this program wrote: one that is missing or broken is
 * CZ_ECORRUPT. */
cz_status cz_json_open(json_t **root, const char *path) {
  *root = NULL;
  if (!cz_fs_exists(path)) return CZ_FAIL(CZ_ECORRUPT, "%s: there is no such file", path);
  cz_status st = cz_json_read(root, path);
  return st == CZ_EINVAL ? CZ_FAIL(CZ_ECORRUPT, "%s", cz_error_message()) : st;
}

static cz_status take_line(const cz_line_walk *l, const char *line, size_t n, cz_json_line_fn take,
                           void *context) {
  json_error_t why;
  cz_json_place at = {.file = l->name, .line = l->number};
  json_t *value = json_loadb(line, n, FLAGS | JSON_DECODE_ANY, &why);
  if (!value)
    return CZ_FAIL(CZ_EINVAL, "%s:%lld:%d: %s", l->name, (long long)l->number,
                   why.column > 0 ? why.column : 1, why.text);
  cz_status st = take(context, value, &at);
  json_decref(value);
  return st;
}

/** Calls TAKE for the value on each line of the file at PATH; lines of blanks are
 * skipped. Stops at the first failure. */
cz_status cz_json_lines(const char *path, cz_json_line_fn take, void *context) {
  cz_buf text = {0};
  const char *line;
  size_t n;
  cz_status st;
  CZ_GO(st, cz_fs_read(path, &text), done);
  CZ_GO(st, cz_utf8_expect(text.data, text.len, path), done);
  cz_line_walk l = cz_line_walk_over(text.data, text.len, path);
  while (cz_line_next(&l, &line, &n))
    if (!cz_line_is_blank(line, n)) CZ_GO(st, take_line(&l, line, n, take, context), done);
done:
  cz_buf_free(&text);
  return st;
}

/** The place of the member KEY at AT. */
cz_json_place cz_json_place_key(const cz_json_place *at, const char *key) {
  cz_json_place p = {.file = at->file, .line = at->line};
  snprintf(p.path, sizeof p.path, "%.160s%s%.80s", at->path, at->path[0] ? "." : "", key);
  return p;
}

/** The place of item I, from 0, at AT. */
cz_json_place cz_json_place_item(const cz_json_place *at, size_t i) {
  cz_json_place p = {.file = at->file, .line = at->line};
  snprintf(p.path, sizeof p.path, "%.220s[%zu]", at->path, i);
  return p;
}

/** Raises CZ_EINVAL about the member KEY at AT, or about AT itself when KEY is null:
 * `FILE:LINE: PATH: MESSAGE`. */
cz_status cz_json_fail(const cz_json_place *at, const char *key, const char *format, ...) {
  cz_json_place p = key ? cz_json_place_key(at, key) : *at;
  char text[4 << 10], line[32] = "";
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  if (p.line) snprintf(line, sizeof line, ":%lld", (long long)p.line);
  return CZ_FAIL(CZ_EINVAL, "%s%s: %s%s%s", p.file, line, p.path, p.path[0] ? ": " : "", text);
}

/** Raises CZ_EINVAL: "expected EXPECTED, found ..." with the value FOUND (null: missing). */
cz_status cz_json_expected(const cz_json_place *at, const char *key, const json_t *found,
                           const char *expected) {
  static const char *const kinds[] = {"an object", "a list", "a text", "a whole number",
                                      "a number",  "true",   "false",  "null"};
  if (!found) return cz_json_fail(at, key, "expected %s, but it is missing", expected);
  if (json_is_string(found))
    return cz_json_fail(at, key, "expected %s, found the text '%.80s'", expected,
                        json_string_value(found));
  if (json_is_integer(found))
    return cz_json_fail(at, key, "expected %s, found %lld", expected,
                        (long long)json_integer_value(found));
  if (json_is_real(found))
    return cz_json_fail(at, key, "expected %s, found %.17g", expected, json_real_value(found));
  return cz_json_fail(at, key, "expected %s, found %s", expected, kinds[json_typeof(found)]);
}

/** CZ_EINVAL unless O is an object with no keys but the N_KEYS KEYS. */
cz_status cz_json_only(const json_t *o, const cz_json_place *at, const char *const *keys,
                       size_t n_keys) {
  if (!json_is_object(o)) return cz_json_expected(at, NULL, o, "an object");
  const char *key;
  json_t *value;
  json_object_foreach((json_t *)o, key, value) {
    size_t i = 0;
    while (i < n_keys && strcmp(key, keys[i])) i++;
    if (i == n_keys) return cz_json_fail(at, NULL, "unknown key '%.80s'", key);
  }
  return CZ_OK;
}

/** The list KEY of O; borrowed. */
cz_status cz_json_get_array(const json_t **out, const json_t *o, const cz_json_place *at,
                            const char *key) {
  *out = json_object_get(o, key);
  return json_is_array(*out) ? CZ_OK : cz_json_expected(at, key, *out, "a list");
}

/** The text KEY of O, which may hold NUL: N bytes and a NUL that is not counted; borrowed
 * from O. */
cz_status cz_json_get_bytes(const char **out, size_t *n, const json_t *o, const cz_json_place *at,
                            const char *key) {
  const json_t *v = json_object_get(o, key);
  if (!json_is_string(v)) return cz_json_expected(at, key, v, "a text");
  *out = json_string_value(v);
  *n = json_string_length(v);
  return CZ_OK;
}

/** The text KEY of O as a C string; borrowed from O. A text that holds NUL is refused:
 * what stands behind it would be lost. */
cz_status cz_json_get_text(const char **out, const json_t *o, const cz_json_place *at,
                           const char *key) {
  size_t n;
  CZ_TRY(cz_json_get_bytes(out, &n, o, at, key));
  return strlen(*out) == n ? CZ_OK : cz_json_fail(at, key, "the text holds a NUL character");
}

/** The boolean KEY of O. */
cz_status cz_json_get_bool(bool *out, const json_t *o, const cz_json_place *at, const char *key) {
  const json_t *v = json_object_get(o, key);
  if (!json_is_boolean(v)) return cz_json_expected(at, key, v, "true or false");
  *out = json_is_true(v);
  return CZ_OK;
}

/** The whole number KEY of O, MIN to MAX. */
cz_status cz_json_get_int(int64_t *out, const json_t *o, const cz_json_place *at, const char *key,
                          int64_t min, int64_t max) {
  const json_t *v = json_object_get(o, key);
  char expected[80];
  *out = json_integer_value(v);
  if (json_is_integer(v) && *out >= min && *out <= max) return CZ_OK;
  if (min == INT64_MIN && max == INT64_MAX) return cz_json_expected(at, key, v, "a whole number");
  snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)min,
           (long long)max);
  return cz_json_expected(at, key, v, expected);
}

/** The number KEY of O, whole or not. */
cz_status cz_json_get_real(double *out, const json_t *o, const cz_json_place *at, const char *key) {
  const json_t *v = json_object_get(o, key);
  *out = json_number_value(v);
  return json_is_number(v) ? CZ_OK : cz_json_expected(at, key, v, "a number");
}

/** The text KEY of O, which must be one of NAMES; its index. */
cz_status cz_json_get_choice(int *out, const json_t *o, const cz_json_place *at, const char *key,
                             const char *const *names, size_t n_names) {
  const char *s;
  CZ_TRY(cz_json_get_text(&s, o, at, key));
  for (size_t i = 0; i < n_names; i++)
    if (!strcmp(names[i], s)) return *out = (int)i, CZ_OK;
  return cz_json_fail(at, key, "unknown value '%.80s'%s", s, cz_suggest(s, names, n_names).text);
}
