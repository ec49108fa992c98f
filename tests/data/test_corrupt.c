/* Corpora that are not what they should be: cut short, with flipped bits, of another
 * tokenizer or version, not checksummed, on a full disk. */
#include "setup.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"

#include <hdf5.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int run_corrupt_tests(void);
const char *__lsan_default_suppressions(void);

/** Read by the address sanitizer: HDF5 1.10 forgets memory of its own when it refuses
 * damaged structures. */
const char *__lsan_default_suppressions(void) { return "leak:libhdf5"; }

enum { DOCUMENTS = 300 };

static void write_sample(const char *path) {
  int64_t lengths[DOCUMENTS];
  for (int i = 0; i < DOCUMENTS; i++) lengths[i] = 1 + i * 7 % 600;
  write_counting(path, lengths, DOCUMENTS);
}

/* Reads everything there is and hashes it. */
static cz_status read_all(const char *path, uint64_t *hash) {
  cz_reader *r = NULL;
  cz_ids ids = {0};
  cz_status st;
  CZ_GO(st, cz_reader_open(&r, path, NULL), done);
  const cz_reader_info *about = cz_reader_about(r);
  *hash = cz_hash_text(about->sources) ^ about->vocabulary.hash ^ (uint64_t)about->vocabulary.size;
  for (int64_t i = 0; i < about->documents; i++) {
    ids.len = 0;
    CZ_GO(st, cz_reader_append(r, &ids, i, 0, cz_reader_length(r, i)), done);
    *hash = cz_hash64(ids.data, ids.len * sizeof *ids.data, *hash);
  }
done:
  free(ids.data);
  cz_reader_close(&r);
  return st;
}

static void test_truncated(void **state) {
  cz_buf whole = {0};
  uint64_t hash;
  write_sample(under("a.h5"));
  OK(cz_fs_read(under("a.h5"), &whole));
  cz_stream s;
  cz_stream_init(&s, test_seed(), "truncate", 0, 0);
  for (int k = 0; k < 60; k++) {
    size_t n = k < 10    ? (size_t)k * 9
               : k == 10 ? whole.len - 1
                         : (size_t)draw(&s, 0, (int64_t)whole.len - 1);
    write_bytes("cut.h5", whole.data, n);
    FAILS(read_all(under("cut.h5"), &hash), CZ_ECORRUPT, "cut.h5");
  }
  cz_buf_free(&whole);
}

/* A flipped bit anywhere is an error or, in a byte that stores nothing, makes no
 * difference; never other data. */
static void test_flipped(void **state) {
  cz_buf whole = {0};
  uint64_t good, hash;
  int refused = 0;
  write_sample(under("a.h5"));
  OK(read_all(under("a.h5"), &good));
  OK(cz_fs_read(under("a.h5"), &whole));
  cz_stream s;
  cz_stream_init(&s, test_seed(), "flip", 0, 0);
  for (int k = 0; k < 150; k++) {
    size_t at = (size_t)draw(
        &s, 0, k % 2 ? 4000 : (int64_t)whole.len - 1); /* half of them where the structures lie */
    char bit = (char)(1 << draw(&s, 0, 7));
    whole.data[at] ^= bit;
    write_bytes("flip.h5", whole.data, whole.len);
    cz_status st = read_all(under("flip.h5"), &hash);
    if (st == CZ_OK)
      assert_true(hash == good);
    else
      refused++;
    if (st != CZ_OK && st != CZ_ECORRUPT && st != CZ_EINVAL)
      fail_msg("byte %zu: %s", at, cz_error_message());
    whole.data[at] ^= bit;
  }
  assert_true(refused > 50);
  cz_buf_free(&whole);
}

/* The message names data set and chunk. */
static void test_flipped_token(void **state) {
  cz_buf whole = {0};
  uint64_t hash;
  write_sample(under("a.h5"));
  OK(cz_fs_read(under("a.h5"), &whole));
  int32_t mark[4] = {70000, 70001, 70002, 70003}; /* in the second chunk */
  size_t at = 0;
  while (at + sizeof mark < whole.len && memcmp(whole.data + at, mark, sizeof mark)) at++;
  assert_true(at + sizeof mark < whole.len);
  whole.data[at] ^= 64;
  write_bytes("flip.h5", whole.data, whole.len);
  FAILS(read_all(under("flip.h5"), &hash), CZ_ECORRUPT,
        "flip.h5: data set 'tokens', chunk 1 (elements 65536 to");
  assert_non_null(strstr(cz_error_message(), "Fletcher32"));
  cz_reader *r = open_documents(under("flip.h5"));
  FAILS(cz_reader_verify(r), CZ_ECORRUPT, "chunk 1");
  cz_reader_close(&r);
  cz_buf_free(&whole);
}

/* Fletcher-32 takes a 16-bit word FFFF for 0000; the hash of the chunk does not. */
static void test_unseen_word(void **state) {
  cz_buf whole = {0};
  uint64_t hash;
  write_sample(under("a.h5"));
  OK(cz_fs_read(under("a.h5"), &whole));
  int32_t mark[4] = {5, 6, 7, 8};
  size_t at = 0;
  while (at + sizeof mark < whole.len && memcmp(whole.data + at, mark, sizeof mark)) at++;
  assert_true(at + sizeof mark < whole.len);
  memset(whole.data + at + 2, 0xFF, 2); /* 5 becomes -65531: also no id, but said first */
  write_bytes("word.h5", whole.data, whole.len);
  FAILS(read_all(under("word.h5"), &hash), CZ_ECORRUPT,
        "word.h5: data set 'tokens', chunk 0 (elements 0 to 65535) was changed");
  cz_buf_free(&whole);
}

/* A corpus of an older program has no hashes: read, with a warning that says so. */
static void test_without_hashes(void **state) {
  uint64_t before, after;
  cz_buf said = {0};
  write_sample(under("old.h5"));
  OK(read_all(under("old.h5"), &before));
  hid_t f = H5Fopen(under("old.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
  assert_true(H5Ldelete(f, "hashes", H5P_DEFAULT) >= 0);
  H5Fclose(f);
  OK(cz_log_open(under("log")));
  cz_log_quiet(true);
  OK(read_all(under("old.h5"), &after));
  cz_log_quiet(false);
  cz_log_close();
  assert_true(before == after);
  OK(cz_fs_read(under("log"), &said));
  OK(cz_buf_add(&said, "", 1));
  assert_non_null(strstr(said.data, "built before corpora carried hashes"));
  cz_buf_free(&said);
}

/* More chunks than the reader keeps, in random order. */
static void test_eviction(void **state) {
  enum { MANY = 600, LONG = 9000 }; /* 83 chunks */
  static int64_t lengths[MANY];
  cz_ids ids = {0};
  cz_stream s;
  cz_stream_init(&s, test_seed(), "eviction", 0, 0);
  for (int i = 0; i < MANY; i++) lengths[i] = LONG;
  write_counting(under("long.h5"), lengths, MANY);
  cz_reader *r = open_documents(under("long.h5"));
  for (int k = 0; k < 1200; k++) {
    int64_t d = draw(&s, 0, MANY - 1);
    ids.len = 0;
    OK(cz_reader_append(r, &ids, d, 0, LONG));
    for (int i = 0; i < LONG; i++) assert_true(ids.data[i] == d * LONG + i);
  }
  cz_reader_close(&r);
  free(ids.data);
}

static void test_foreign(void **state) {
  cz_reader *r;
  write_sample(under("a.h5"));
  uint64_t other = 0xabc;
  FAILS(cz_reader_open(&r, under("a.h5"), &other), CZ_EINVAL,
        "built with tokenizer 0000000000000007, but the tokenizer in use is 0000000000000abc");
  assert_null(r);
  FAILS(cz_reader_open(&r, under("none.h5"), NULL), CZ_EIO, "none.h5: No such file");
  write_text("text.h5",
             "this is no HDF5 file, though it is long enough to be looked at as if it were one");
  FAILS(cz_reader_open(&r, under("text.h5"), NULL), CZ_ECORRUPT, "text.h5: not a whole HDF5 file");
  FAILS(cz_reader_open(&r, under(""), NULL), CZ_EINVAL, "is a folder");
  hid_t f = H5Fcreate(under("other.h5"), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT);
  H5Fclose(f);
  FAILS(cz_reader_open(&r, under("other.h5"), NULL), CZ_ECORRUPT, "attribute 'format' is missing");
}

/* Changes one thing in a good corpus with the library itself, so that all checksums are
 * right. */
static hid_t reopen(void) {
  write_sample(under("edit.h5"));
  hid_t f = H5Fopen(under("edit.h5"), H5F_ACC_RDWR, H5P_DEFAULT);
  assert_true(f >= 0);
  return f;
}

static void set_number(const char *name, uint64_t value) {
  hid_t f = reopen(), a = H5Aopen(f, name, H5P_DEFAULT);
  assert_true(H5Awrite(a, H5T_NATIVE_UINT64, &value) >= 0);
  H5Aclose(a);
  H5Fclose(f);
}

static void set_kind(const char *text) {
  hid_t f = reopen(), type = H5Tcopy(H5T_C_S1), space = H5Screate(H5S_SCALAR);
  H5Tset_size(type, strlen(text) + 1);
  H5Adelete(f, "kind");
  hid_t a = H5Acreate2(f, "kind", type, space, H5P_DEFAULT, H5P_DEFAULT);
  assert_true(H5Awrite(a, type, text) >= 0);
  H5Aclose(a);
  H5Sclose(space);
  H5Tclose(type);
  H5Fclose(f);
}

/* One offset; without hashes, as older programs wrote corpora, when OLD. */
static void set_offset(hsize_t i, uint64_t value, bool old) {
  hid_t f = reopen(), d = H5Dopen2(f, "offsets", H5P_DEFAULT), space = H5Dget_space(d),
        one = H5Screate(H5S_SCALAR);
  H5Sselect_elements(space, H5S_SELECT_SET, 1, &i);
  assert_true(H5Dwrite(d, H5T_NATIVE_UINT64, one, space, H5P_DEFAULT, &value) >= 0);
  if (old) H5Ldelete(f, "hashes", H5P_DEFAULT);
  H5Sclose(one);
  H5Sclose(space);
  H5Dclose(d);
  H5Fclose(f);
}

static void replace_tokens(hid_t type, hsize_t n, bool checksummed, bool write) {
  hsize_t most = H5S_UNLIMITED, chunk = 1 << 16;
  hid_t f = reopen(), space = H5Screate_simple(1, &n, &most), how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_chunk(how, 1, &chunk);
  if (checksummed) H5Pset_fletcher32(how);
  H5Ldelete(f, "tokens", H5P_DEFAULT);
  hid_t d = H5Dcreate2(f, "tokens", type, space, H5P_DEFAULT, how, H5P_DEFAULT);
  int64_t *zeros = calloc(n, sizeof *zeros);
  if (write) assert_true(H5Dwrite(d, H5T_NATIVE_INT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, zeros) >= 0);
  free(zeros);
  H5Dclose(d);
  H5Pclose(how);
  H5Sclose(space);
  H5Fclose(f);
}

static void test_edited(void **state) {
  uint64_t hash;
  const char *path = under("edit.h5");
  set_number("version", 2);
  FAILS(read_all(path, &hash), CZ_EINVAL, "corpus version 2");
  set_kind("documents");
  OK(read_all(path, &hash));
  set_kind("pairs");
  FAILS(read_all(path, &hash), CZ_EINVAL, "holds 'pairs', this program reads documents");
  set_number("vocabulary", 0);
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "vocabulary of 0");
  set_number("vocabulary", 1000);
  FAILS(read_all(path, &hash), CZ_ECORRUPT,
        "'tokens'[1000] is 1000, outside the vocabulary of 1000");
  set_offset(3, 20, false); /* in order, but not what was written */
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "'offsets' was changed");
  set_offset(3, 1, true);
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "'offsets'[3] is 1 after");
  set_offset(0, 1, true);
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "'offsets'[0] is 1");
  set_offset(DOCUMENTS, UINT64_MAX, true);
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "'offsets' ends at 18446744073709551615");
  replace_tokens(H5T_STD_I32LE, 100, true, true);
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "hashes for 1 chunks of tokens");
  replace_tokens(H5T_STD_I16LE, 100, true, true); /* -1 would be read as 0 */
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "'tokens' is not a list of uint16 or int32");
  replace_tokens(H5T_STD_I32LE, 100, false, true);
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "no fletcher32");
  replace_tokens(H5T_STD_I64LE, 100, true, true);
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "'tokens' is not a list of uint16 or int32");
  replace_tokens(H5T_IEEE_F32LE, 100, true, true);
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "'tokens' is not a list of uint16 or int32");
  replace_tokens(H5T_STD_I32LE, 1ULL << 30, true, false);
  FAILS(read_all(path, &hash), CZ_ECORRUPT, "promises 1073741824 elements, the file holds fewer");
}

/* A file system with no room, played by a limit on the size of files, in a process of its
 * own. */
static void test_full_disk(void **state) {
  write_sample(under("full.h5"));
  uint64_t before = file_hash(under("full.h5"));
  int files = count_files();
  pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){100000, 100000});
    cz_corpus_writer *w;
    cz_status st = cz_corpus_create(&w, under("full.h5"), (cz_corpus_vocabulary){.size = 10});
    int32_t zeros[1000] = {0};
    for (int i = 0; i < 500 && st == CZ_OK; i++)
      st = cz_corpus_add(w, &(cz_ids){.data = zeros, .len = 1000});
    if (st == CZ_OK)
      st = cz_corpus_commit(&w, NULL);
    else
      cz_corpus_abandon(&w);
    bool said = strstr(cz_error_message(), "full.h5: can't write") &&
                strstr(cz_error_message(), "File too large");
    if (!said) fprintf(stderr, "said: %s\n", cz_error_message());
    H5close(); /* a file that could not be written crashes here when HDF5 still holds it */
    _exit(st == CZ_EIO && said ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
  assert_true(file_hash(under("full.h5")) == before);
  assert_int_equal(count_files(), files);
}

/** Runs the tests of this file. */
int run_corrupt_tests(void) {
  H5Eset_auto2(H5E_DEFAULT, NULL, NULL);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_truncated),      cmocka_unit_test(test_flipped),
      cmocka_unit_test(test_flipped_token),  cmocka_unit_test(test_foreign),
      cmocka_unit_test(test_edited),         cmocka_unit_test(test_unseen_word),
      cmocka_unit_test(test_without_hashes), cmocka_unit_test(test_eviction),
      cmocka_unit_test(test_full_disk)};
  return cmocka_run_group_tests_name("corrupt corpora", tests, make_folder, drop_folder);
}
