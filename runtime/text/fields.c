/* Fields of a tokenizer.json that are more than JSON knows of. */
#include "base/utf8.h"
#include "text/parts.h"

#include <string.h>

/** The whole number KEY of O, 0 to 2^31 - 1. */
cz_status cz__json_count(int64_t *out, const json_t *o, const cz_json_place *at, const char *key) {
  return cz_json_get_int(out, o, at, key, 0, INT32_MAX);
}

/** The text KEY of O, which must be one character. */
cz_status cz__json_character(uint32_t *out, const json_t *o, const cz_json_place *at,
                             const char *key) {
  const char *s;
  size_t n, k = 0;
  CZ_TRY(cz_json_get_bytes(&s, &n, o, at, key));
  if (n > 0) *out = cz_utf8_next(s, &k);
  return n > 0 && k == n ? CZ_OK
                         : cz_json_expected(at, key, json_object_get(o, key), "one character");
}

/** Copies N bytes into the arena, and a NUL behind them. */
cz_status cz__copy_bytes(char **out, cz_arena *arena, const char *s, size_t n) {
  CZ_TRY(cz_arena_alloc(arena, out, n + 1, 1));
  if (n) memcpy(*out, s, n);
  return CZ_OK;
}
