/* Configuration: the first line is an override, the rest a file. What is read is written
 * and read again. */
#include "config/config.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static void write_again(const cz_config *c) {
  cz_buf text = {0}, second = {0};
  cz_config *again = NULL;
  if (cz_config_emit(&text, cz_config_root(c)) != CZ_OK) abort();
  if (cz_config_parse(&again, "again", text.data, text.len) != CZ_OK) abort();
  if (cz_config_emit(&second, cz_config_root(again)) != CZ_OK) abort();
  if (text.len != second.len || memcmp(text.data, second.data, text.len)) abort();
  cz_config_destroy(&again);
  cz_buf_free(&text);
  cz_buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data, *line = size ? memchr(text, '\n', size) : NULL;
  size_t n = line ? (size_t)(line - text) + 1 : 0;
  cz_config *c = NULL;
  char *word = calloc(n + 1, 1);
  if (!word) abort();
  if (n) memcpy(word, text, n - 1);
  if (cz_config_parse(&c, "file.yaml", text, size) == CZ_OK) {
    if (cz_config_kind_of(cz_config_root(c)) == CZ_CONFIG_MAPPING &&
        cz_config_set(c, word) != CZ_OK)
      cz_error_clear();
    write_again(c);
  }
  cz_config_destroy(&c);
  free(word);
  return 0;
}
