/* metrics.jsonl cut back to a step, as a run that goes on does: what stays is a beginning of
 * what was there and ends with a line. */
#include "base/fs.h"
#include "metrics/jsonl.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *path = fuzz_file(data, size);
  cz_buf kept = {0};
  cz_status st = cz_jsonl_resume(path, 3);
  if (cz_fs_read(path, &kept) != CZ_OK) { /* the pointer of Git LFS is no such file */
    if (st == CZ_OK) abort();
    cz_buf_free(&kept);
    return 0;
  }
  if (kept.len > size || (kept.len && memcmp(kept.data, data, kept.len))) abort();
  if (st != CZ_OK && kept.len != size) abort();
  if (st == CZ_OK && kept.len && kept.data[kept.len - 1] != '\n') abort();
  cz_buf_free(&kept);
  return 0;
}
