/* config.json of a model: what is read passes the checks of a model's sizes, and is written
 * and read again as the same. */
#include "base/fs.h"
#include "fuzz/fuzz.h"
#include "nn/hf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char folder[] = "/tmp/cloze-fuzz-XXXXXX", path[64];

static void leave(void) {
  unlink(path);
  rmdir(folder);
}

static void begin(void) {
  if (path[0]) return;
  if (!mkdtemp(folder)) abort();
  snprintf(path, sizeof path, "%s/config.json", folder);
  atexit(leave);
}

static void put(const cz_model_config *c, cz_buf *text) {
  if (cz_hf_config_write(c, path) != CZ_OK || cz_fs_read(path, text) != CZ_OK) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cz_model_config c, again;
  const char *name;
  cz_buf first = {0}, second = {0};
  begin();
  if (cz_hf_config_read(&c, fuzz_file(data, size)) != CZ_OK) return 0;
  if (cz_model_config_check(&c, &name) != CZ_OK) abort();
  put(&c, &first);
  if (cz_hf_config_read(&again, path) != CZ_OK) abort();
  put(&again, &second);
  if (first.len != second.len || memcmp(first.data, second.data, first.len)) abort();
  cz_buf_free(&first);
  cz_buf_free(&second);
  return 0;
}
