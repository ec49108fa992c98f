/* Building trees and writing them. */
#include "base/fs.h"
#include "base/utf8.h"
#include "json/json.h"

#include <math.h>
#include <string.h>

/** A number; JSON's null when it is not finite. The caller owns it; null without memory. */
json_t *cz_json_real(double value) { return isfinite(value) ? json_real(value) : json_null(); }

/** A text of bytes that need not be UTF-8, as names of files: a byte that is none becomes
 * `\xHH`. The caller owns it; null without memory. */
json_t *cz_json_string(const char *bytes) {
  json_t *plain = json_string(bytes);
  if (plain) return plain;
  cz_buf text = {0};
  if (cz_utf8_escape(&text, bytes, strlen(bytes)) == CZ_OK) plain = json_string(text.data);
  cz_buf_free(&text);
  return plain;
}

/** Sets KEY to VALUE, which is taken over; a null VALUE means that there was no memory
 * for it. */
cz_status cz_json_set(json_t *object, const char *key, json_t *value) {
  return value && json_object_set_new(object, key, value) == 0
             ? CZ_OK
             : CZ_FAIL(CZ_ENOMEM, "no memory for %s", key);
}

/** Sets KEY to a number; one that is not finite becomes null, which JSON has. */
cz_status cz_json_set_real(json_t *object, const char *key, double value) {
  return cz_json_set(object, key, cz_json_real(value));
}

/** Sets KEY to a whole number. */
cz_status cz_json_set_int(json_t *object, const char *key, int64_t value) {
  return cz_json_set(object, key, json_integer(value));
}

/** Sets KEY to a text; see cz_json_string for bytes that are not UTF-8. */
cz_status cz_json_set_text(json_t *object, const char *key, const char *bytes) {
  return cz_json_set(object, key, cz_json_string(bytes));
}

/** Appends VALUE, which is taken over; a null VALUE means that there was no memory for
 * it. */
cz_status cz_json_add(json_t *array, json_t *value) {
  return value && json_array_append_new(array, value) == 0
             ? CZ_OK
             : CZ_FAIL(CZ_ENOMEM, "no memory for an item of a list");
}

static int add_bytes(const char *bytes, size_t n, void *buf) {
  return cz_buf_add(buf, bytes, n) == CZ_OK ? 0 : -1;
}

/** Appends ROOT as text; FLAGS are jansson's (JSON_INDENT and the like). Real numbers read
 * back to the same double. */
cz_status cz_json_print(cz_buf *out, const json_t *root, size_t flags) {
  return root && json_dump_callback(root, add_bytes, out, flags) == 0
             ? CZ_OK
             : CZ_FAIL(CZ_ENOMEM, "no memory for the text of a JSON value");
}

/** Writes ROOT to the file at PATH, whole or not at all; FLAGS are jansson's. */
cz_status cz_json_write(const json_t *root, const char *path, size_t flags) {
  cz_buf text = {0};
  cz_status st = cz_json_print(&text, root, flags);
  if (st == CZ_OK) st = cz_fs_write_atomic(path, text.data, text.len);
  cz_buf_free(&text);
  return st;
}
