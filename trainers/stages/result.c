#include "stages/result.h"
#include "base/fs.h"
#include "base/hash.h"
#include "json/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KEY "\n  \"hash\": \"" /* on a line of its own: texts hold no line feed */
enum { DIGITS = 16 };

static const char zeros[DIGITS + 1] = "0000000000000000";

/* Where the digits of the hash stand in TEXT; null when it has none. */
static char *digits_of(char *text) {
  char *at = text ? strstr(text, KEY) : NULL;
  return at && strlen(at) >= sizeof KEY - 1 + DIGITS ? at + sizeof KEY - 1 : NULL;
}

/* The hash of N bytes of TEXT, whose digits at AT become zeros, as digits. */
static void hash_digits(char out[DIGITS + 1], char *text, size_t n, char *at) {
  memcpy(at, zeros, DIGITS);
  snprintf(out, DIGITS + 1, "%016" PRIx64, cz_hash64(text, n, 0));
}

/** Adds its hash to ROOT and writes it as FOLDER/result.json, whole or not at all. */
cz_status cz_result_write(json_t *root, const char *folder) {
  char path[4096], digits[DIGITS + 1];
  cz_buf text = {0};
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "result.json"));
  CZ_TRY(cz_json_set_text(root, "hash", zeros));
  cz_status st =
      cz_json_print(&text, root, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
  char *at = st == CZ_OK ? digits_of(text.data) : NULL;
  if (at) {
    hash_digits(digits, text.data, text.len, at);
    memcpy(at, digits, DIGITS);
    st = cz_fs_write_atomic(path, text.data, text.len);
  }
  cz_buf_free(&text);
  return st;
}

/* The bytes of TEXT are those that were written. A file of before the hash was stored has the
 * known keys and no other, so that a damaged name of the key is found too. */
static cz_status check_hash(const json_t *root, cz_buf *text, const char *path) {
  static const char *const keys[] = {"config_hash", "hash", "kind", "measured", "metrics", "model"};
  const cz_json_place place = {.file = path};
  const char *stored = json_string_value(json_object_get(root, "hash"));
  char found[DIGITS + 1], kept[DIGITS + 1], *at = digits_of(text->data);
  if (!json_object_get(root, "hash"))
    return cz_json_only(root, &place, keys, sizeof keys / sizeof *keys);
  if (!stored || !at) return cz_json_fail(&place, "hash", "expected 16 digits on a line");
  snprintf(kept, sizeof kept, "%.16s", at);
  hash_digits(found, text->data, text->len, at);
  return strcmp(found, kept) || strcmp(found, stored)
             ? CZ_FAIL(CZ_EINVAL,
                       "%s: has changed since its stage left it: its hash is %s, stored %s", path,
                       found, kept)
             : CZ_OK;
}

/** Reads FOLDER/result.json. CZ_ECORRUPT when it is missing, no JSON, changed since it was written,
 * or without metrics. */
cz_status cz_result_open(json_t **root, const char *folder) {
  char path[4096];
  cz_buf text = {0};
  *root = NULL;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "result.json"));
  if (!cz_fs_exists(path)) return CZ_FAIL(CZ_ECORRUPT, "%s: there is no such file", path);
  cz_status st = cz_fs_read(path, &text);
  if (st == CZ_OK) st = cz_json_parse(root, text.data ? text.data : "", text.len, path);
  if (st == CZ_OK) st = check_hash(*root, &text, path);
  if (st == CZ_OK && !json_is_object(json_object_get(*root, "metrics")))
    st = CZ_FAIL(CZ_EINVAL, "%s: it has no metrics", path);
  if (st == CZ_EINVAL) st = CZ_FAIL(CZ_ECORRUPT, "%s", cz_error_message());
  if (st != CZ_OK) {
    json_decref(*root);
    *root = NULL;
  }
  cz_buf_free(&text);
  return st;
}

/** Whether FOLDER holds a result, whole or not. */
bool cz_result_exists(const char *folder) {
  char path[4096];
  return cz_fs_join(path, sizeof path, folder, "result.json") == CZ_OK && cz_fs_exists(path);
}
