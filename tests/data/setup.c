#include "setup.h"
#include "base/fs.h"
#include "base/text.h"

#include <dirent.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

uint64_t seed;
static char folder[256];

/** Draws or takes over the seed, prints it, and makes an empty folder for this program's files. */
int make_folder(void **state) {
  const char *given = getenv("CZ_TEST_SEED"), *top = getenv("TMPDIR");
  seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL);
  print_message("CZ_TEST_SEED=%llu\n", (unsigned long long)seed);
  snprintf(folder, sizeof folder, "%s/cloze-test-XXXXXX", top ? top : "/tmp");
  return mkdtemp(folder) ? 0 : -1;
}

/** Removes the folder and the files in it. */
int drop_folder(void **state) {
  DIR *d = opendir(folder);
  for (struct dirent *e; d && (e = readdir(d));)
    if (e->d_name[0] != '.') unlinkat(dirfd(d), e->d_name, 0);
  if (d) closedir(d);
  return rmdir(folder);
}

/** FOLDER/NAME; the same name gives the same pointer, which lives until the folder changes. */
const char *path_of(const char *name) {
  static char paths[32][600];
  char path[600];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  for (int i = 0; i < 32; i++) {
    if (!paths[i][0] || strncmp(paths[i], folder, strlen(folder))) strcpy(paths[i], path); /* free, or of an older folder */
    if (!strcmp(paths[i], path)) return paths[i];
  }
  fail_msg("more than 32 file names");
  return NULL;
}

/** Writes N bytes as the whole file PATH, without the care of cz_fs_write_atomic. */
void write_bytes(const char *path, const void *bytes, size_t n) {
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
}

/** Writes TEXT as the whole file PATH. */
void write_text(const char *path, const char *text) { write_bytes(path, text, strlen(text)); }

/** A hash of the file's bytes. */
uint64_t file_hash(const char *path) {
  cz_buf b = {0};
  assert_ok(cz_fs_read(path, &b));
  uint64_t h = cz_hash64(b.data, b.len, 0);
  cz_buf_free(&b);
  return h;
}

/** Files in the folder: shows that nothing half-written was left. */
int count_files(void) {
  int n = 0;
  DIR *d = opendir(folder);
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) n += e->d_name[0] != '.';
  closedir(d);
  return n;
}

/** A whole number in [LOW, HIGH]. */
int64_t draw(cz_stream *s, int64_t low, int64_t high) { return low + (int64_t)cz_stream_below(s, (uint64_t)(high - low + 1)); }

/** Writes a corpus of N documents of the given lengths with tokens 0, 1, 2, ... */
void write_counting(const char *path, const int64_t *lengths, int64_t n) {
  cz_corpus_writer *w;
  cz_ids document = {0};
  int32_t next = 0;
  assert_ok(cz_corpus_create(&w, path, (cz_corpus_vocabulary){.hash = 7, .size = 1 << 30}));
  for (int64_t i = 0; i < n; i++) {
    document.len = 0;
    for (int64_t k = 0; k < lengths[i]; k++) assert_ok(cz_ids_add(&document, next++));
    assert_ok(cz_corpus_add(w, &document));
  }
  assert_ok(cz_corpus_commit(&w, NULL));
  free(document.data);
}

/** Opens a corpus of documents of any tokenizer with a small cache. */
cz_reader *open_documents(const char *path) {
  cz_reader *r;
  assert_ok(cz_reader_open(&r, path, NULL, 1 << 20));
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
void free_example(cz_example *e) {
  free(e->inputs.data);
  free(e->targets.data);
  *e = (cz_example){0};
}
