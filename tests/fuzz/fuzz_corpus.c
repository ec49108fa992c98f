/* A corpus with edits: refused, on opening or on reading, or its documents are those that
 * were stored. */
#include "base/fs.h"
#include "data/reader.h"
#include "fuzz/edited.h"

#include <stdio.h>
#include <unistd.h>

enum { DOCUMENTS = 9, LONGEST = 40 };

static void make(cz_buf *good) {
  char folder[] = "/tmp/cloze-fuzz-XXXXXX", path[64];
  cz_corpus_writer *w;
  if (!mkdtemp(folder)) abort();
  snprintf(path, sizeof path, "%s/c.h5", folder);
  if (cz_corpus_create(&w, path, (cz_corpus_vocabulary){.hash = 1, .size = 1000}) != CZ_OK) abort();
  for (int d = 0; d < DOCUMENTS; d++) {
    int32_t ids[LONGEST];
    for (int i = 0; i < LONGEST; i++) ids[i] = d * i;
    if (cz_corpus_add(w, &(cz_ids){.data = ids, .len = (size_t)(LONGEST - d)}) != CZ_OK) abort();
  }
  if (cz_corpus_commit(&w, NULL) != CZ_OK || cz_fs_read(path, good) != CZ_OK) abort();
  unlink(path);
  rmdir(folder);
}

static void check(cz_reader *r) {
  cz_ids ids = {0};
  if (cz_reader_about(r)->documents != DOCUMENTS) abort();
  for (int d = 0; d < DOCUMENTS; d++) {
    ids.len = 0;
    if (cz_reader_length(r, d) != LONGEST - d) abort();
    if (cz_reader_append(r, &ids, d, 0, LONGEST - d) != CZ_OK) break;
    for (int i = 0; i < LONGEST - d; i++)
      if (ids.data[i] != d * i) abort();
  }
  free(ids.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static cz_buf good;
  cz_reader *r;
  if (!good.len) make(&good);
  if (cz_reader_open(&r, edited_file(&good, data, size), NULL) == CZ_OK)
    check(r);
  else if (!edits_of(size))
    abort();
  cz_reader_close(&r);
  return 0;
}
