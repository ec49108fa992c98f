/* JSON: what is read is written and read again. */
#include "fuzz/fuzz.h"
#include "json/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  json_t *root, *again;
  cz_buf text = {0};
  if (cz_json_parse(&root, (const char *)data, size, "file.json") != CZ_OK) return 0;
  if (cz_json_print(&text, root, JSON_REAL_PRECISION(17)) != CZ_OK) abort();
  if (cz_json_parse(&again, text.data, text.len, "again") != CZ_OK) abort();
  if (!json_equal(root, again)) abort();
  json_decref(root);
  json_decref(again);
  cz_buf_free(&text);
  return 0;
}
