#include "setup.h"
#include "base/fs.h"
#include "base/hash.h"

#include <dirent.h>
#include <stdio.h>

/** A hash of the file's bytes. */
uint64_t file_hash(const char *path) {
  cz_buf b = {0};
  OK(cz_fs_read(path, &b));
  uint64_t h = cz_hash64(b.data, b.len, 0);
  cz_buf_free(&b);
  return h;
}

/** Files in the folder: shows that nothing half-written was left. */
int count_files(void) {
  int n = 0;
  DIR *d = opendir(folder());
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

/** A whole number in [LOW, HIGH]. */
int64_t draw(cz_stream *s, int64_t low, int64_t high) {
  return low + (int64_t)cz_stream_below(s, (uint64_t)(high - low + 1));
}

/** Writes a corpus of N documents of the given lengths with tokens 0, 1, 2, ... */
void write_counting(const char *path, const int64_t *lengths, int64_t n) {
  cz_corpus_writer *w;
  cz_ids document = {0};
  int32_t next = 0;
  OK(cz_corpus_create(&w, path, (cz_corpus_vocabulary){.hash = 7, .size = 1 << 30}));
  for (int64_t i = 0; i < n; i++) {
    document.len = 0;
    for (int64_t k = 0; k < lengths[i]; k++) OK(cz_ids_add(&document, next++));
    OK(cz_corpus_add(w, &document));
  }
  OK(cz_corpus_commit(&w, NULL));
  free(document.data);
}

/** Opens a corpus of documents of any tokenizer with a small cache. */
cz_reader *open_documents(const char *path) {
  cz_reader *r;
  OK(cz_reader_open(&r, path, NULL));
  return r;
}

/** Targets are the piece, the input is its index. */
cz_status keep_piece(const void *self, const cz_piece *piece, cz_example *out) {
  out->inputs.len = out->targets.len = 0;
  CZ_TRY(cz_ids_add(&out->inputs, (int32_t)piece->index));
  for (int64_t i = 0; i < piece->n; i++) CZ_TRY(cz_ids_add(&out->targets, piece->ids[i]));
  return CZ_OK;
}

/** Frees both lists. */
void free_example(cz_example *e) { cz_example_free(e); }
