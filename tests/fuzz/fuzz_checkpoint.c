/* A checkpoint with edits: refused, or every entry holds what was stored. */
#include "base/fs.h"
#include "checkpoint/checkpoint.h"
#include "fuzz/edited.h"

#include <stdio.h>
#include <unistd.h>

enum { N = 600 };

static float stored[N];
static const int64_t dims[2] = {20, N / 20};

static void make(cz_buf *good) {
  char folder[] = "/tmp/cloze-fuzz-XXXXXX", path[64];
  cz_checkpoint_writer *w;
  for (int i = 0; i < N; i++) stored[i] = i % 3 ? 0 : (float)i;
  if (!mkdtemp(folder)) abort();
  snprintf(path, sizeof path, "%s/checkpoint.h5", folder);
  if (cz_checkpoint_begin(&w, folder, 7, 0) != CZ_OK ||
      cz_checkpoint_put(w, "parameters/w", CZ_CHECKPOINT_F32, stored, dims, 2) != CZ_OK ||
      cz_checkpoint_put_int(w, "step", 42) != CZ_OK || cz_checkpoint_commit(&w) != CZ_OK ||
      cz_fs_read(path, good) != CZ_OK)
    abort();
  unlink(path);
  rmdir(folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static cz_buf good;
  cz_checkpoint *c;
  float read[N];
  int64_t step;
  if (!good.len) make(&good);
  if (cz_checkpoint_open_file(&c, edited_file(&good, data, size)) != CZ_OK) {
    if (!edits_of(size)) abort();
    return 0;
  }
  if (cz_checkpoint_get(c, read, "parameters/w", CZ_CHECKPOINT_F32, dims, 2) != CZ_OK ||
      memcmp(read, stored, sizeof read) || cz_checkpoint_get_int(c, &step, "step") != CZ_OK ||
      step != 42)
    abort();
  cz_checkpoint_close(&c);
  return 0;
}
