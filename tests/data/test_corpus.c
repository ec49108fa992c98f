/* Corpora: what is written is read, from tokens and from text; what is wrong with the
 * text is said with file and line, and harms nothing. */
#include "setup.h"
#include "base/fs.h"

#include <stdio.h>
#include <unistd.h>

int run_corrupt_tests(void);

typedef struct lists {
  int32_t *ids;
  int64_t *end; /* [n + 1] */
  int64_t n;
} lists;

static lists random_lists(cz_stream *s, int64_t n, int64_t most, int64_t vocabulary) {
  lists l = {.n = n};
  OK(cz_alloc(&l.end, (size_t)n + 1, sizeof *l.end));
  for (int64_t i = 0; i < n; i++) l.end[i + 1] = l.end[i] + draw(s, 1, draw(s, 0, 3) ? 40 : most);
  OK(cz_alloc(&l.ids, (size_t)l.end[n], sizeof *l.ids));
  for (int64_t i = 0; i < l.end[n]; i++) l.ids[i] = (int32_t)draw(s, 0, vocabulary - 1);
  return l;
}

static cz_ids list_at(const lists *l, int64_t i) {
  return (cz_ids){.data = l->ids + l->end[i], .len = (size_t)(l->end[i + 1] - l->end[i])};
}

static void free_lists(lists *l) {
  free(l->ids);
  free(l->end);
}

static void check_slice(cz_reader *r, const lists *l, int64_t i, cz_stream *s) {
  cz_ids expected = list_at(l, i), found = {0};
  assert_int_equal(cz_reader_length(r, i), expected.len);
  int64_t begin = draw(s, 0, (int64_t)expected.len), n = draw(s, 0, (int64_t)expected.len - begin);
  OK(cz_reader_append(r, &found, i, begin, n));
  assert_int_equal(found.len, n);
  if (n) assert_memory_equal(found.data, expected.data + begin, (size_t)n * sizeof(int32_t));
  free(found.data);
}

/* Random documents over several chunks, read as random slices in random order through a
 * cache of one chunk. */
static void test_documents(void **state) {
  static const int64_t sizes[] = {1, 300, 65536, 65537, INT32_MAX};
  const uint64_t hash = test_seed();
  for (int v = 0; v < 5; v++) {
    cz_stream s;
    cz_stream_init(&s, test_seed(), "documents", (uint32_t)v, 0);
    lists l = random_lists(&s, 60, 20000, sizes[v]);
    cz_corpus_writer *w;
    cz_corpus_totals totals;
    OK(cz_corpus_create(&w, under("a.h5"), (cz_corpus_vocabulary){.hash = hash, .size = sizes[v]}));
    for (int64_t i = 0; i < l.n; i++) {
      cz_ids document = list_at(&l, i);
      OK(cz_corpus_add(w, &document));
      OK(cz_corpus_add(w, &(cz_ids){0})); /* left out */
    }
    OK(cz_corpus_commit(&w, &totals));
    assert_int_equal(totals.documents, l.n);
    assert_int_equal(totals.tokens, l.end[l.n]);
    cz_reader *r;
    OK(cz_reader_open(&r, under("a.h5"), &hash));
    OK(cz_reader_verify(r));
    assert_int_equal(cz_reader_about(r)->documents, l.n);
    assert_int_equal(cz_reader_about(r)->tokens, l.end[l.n]);
    assert_int_equal(cz_reader_about(r)->vocabulary.size, sizes[v]);
    for (int k = 0; k < 500; k++) check_slice(r, &l, draw(&s, 0, l.n - 1), &s);
    cz_reader_close(&r);
    free_lists(&l);
  }
  assert_int_equal(count_files(), 1);
}

/* One token a byte; refuses '!'. */
static cz_status encode_bytes(const void *self, cz_ids *out, const char *text, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (text[i] == '!') return CZ_FAIL(CZ_EINVAL, "no exclamation marks");
    CZ_TRY(cz_ids_add(out, (unsigned char)text[i]));
  }
  return CZ_OK;
}

static cz_status build(const char *const *files, size_t n, cz_corpus_split split,
                       cz_corpus_totals *totals) {
  cz_corpus_job job = {.split = split,
                       .vocabulary = {.hash = 3, .size = 256},
                       .encode = encode_bytes,
                       .files = files,
                       .n_files = n};
  return cz_corpus_build(under("built.h5"), totals, &job);
}

static void expect_documents(const char *const *texts, int64_t n) {
  cz_reader *r;
  OK(cz_reader_open(&r, under("built.h5"), NULL));
  assert_int_equal(cz_reader_about(r)->documents, n);
  for (int64_t i = 0; i < n; i++) {
    cz_ids ids = {0};
    OK(cz_reader_append(r, &ids, i, 0, cz_reader_length(r, i)));
    assert_int_equal(ids.len, strlen(texts[i]));
    for (size_t k = 0; k < ids.len; k++) assert_int_equal(ids.data[k], (unsigned char)texts[i][k]);
    free(ids.data);
  }
  cz_reader_close(&r);
}

static void test_text(void **state) {
  const char *files[] = {under("one.txt"), under("two.txt")};
  write_text(files[0], "\xEF\xBB\xBF"
                       "a b\r\nc\n\n \t\n\nd\xC3\xA9\n");
  write_text(files[1], "\nlast, no newline");
  cz_corpus_totals totals;
  OK(build(files, 2, CZ_SPLIT_BLANK_LINE, &totals));
  expect_documents((const char *[]){"a b\nc", "d\xC3\xA9", "last, no newline"}, 3);
  assert_int_equal(totals.bytes, 19 + 17);
  OK(build(files, 2, CZ_SPLIT_LINE, &totals));
  expect_documents((const char *[]){"a b", "c", "d\xC3\xA9", "last, no newline"}, 4);
  write_text(files[0], "a b\rc\r\r \t\rd\xC3\xA9\r\r\n\r\r\n"); /* CR alone, and CR CR LF */
  OK(build(files, 2, CZ_SPLIT_BLANK_LINE, &totals));
  expect_documents((const char *[]){"a b\nc", "d\xC3\xA9", "last, no newline"}, 3);
  cz_reader *r = open_documents(under("built.h5"));
  assert_non_null(strstr(cz_reader_about(r)->sources, "two.txt"));
  assert_non_null(strstr(cz_reader_about(r)->sources, "\"bytes\":17"));
  cz_reader_close(&r);
}

/* Each of these texts is refused with a message that says where, and the corpus that was
 * there stays as it was. */
static void test_bad_text(void **state) {
  static const struct {
    const char *text;
    const char *message;
  } bad[] = {
      {"", "bad.txt: the file is empty"},
      {"\n \n\t\n", "no text"},
      {"good\n\nbad!\n", "bad.txt:3: no exclamation marks"},
      {"good\r\rbad!\r", "bad.txt:3: no exclamation marks"},
      {"good\rb\xff", "bad.txt:2:2: the byte 0xff does not belong in a UTF-8 text"},
  };
  const char *file = under("bad.txt");
  write_text("one.txt", "fine");
  const char *fine = under("one.txt");
  OK(build(&fine, 1, CZ_SPLIT_LINE, NULL));
  uint64_t before = file_hash(under("built.h5"));
  write_text(file, "");
  int files = count_files();
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    file = under("bad.txt");
    write_text(file, bad[i].text);
    FAILS(build(&file, 1, CZ_SPLIT_BLANK_LINE, NULL), CZ_EINVAL, bad[i].message);
    assert_true(file_hash(under("built.h5")) == before);
    assert_int_equal(count_files(), files);
  }
  file = under("absent.txt");
  FAILS(build(&file, 1, CZ_SPLIT_LINE, NULL), CZ_EIO, "absent.txt: No such file");
  file = under("");
  FAILS(build(&file, 1, CZ_SPLIT_LINE, NULL), CZ_EINVAL, "is a folder");
  FAILS(build(NULL, 0, CZ_SPLIT_LINE, NULL), CZ_EINVAL, "no text");
  assert_int_equal(count_files(), files);
}

/* The second is refused, and does the first no harm. */
static void test_two_writers(void **state) {
  const cz_corpus_vocabulary vocabulary = {.size = 10};
  cz_corpus_writer *first, *second;
  int32_t ids[] = {0, 9};
  OK(cz_corpus_create(&first, under("two.h5"), vocabulary));
  OK(cz_corpus_add(first, &(cz_ids){.data = ids, .len = 2}));
  FAILS(cz_corpus_create(&second, under("two.h5"), vocabulary), CZ_EBUSY, "is writing this file");
  assert_null(second);
  OK(cz_corpus_commit(&first, NULL));
  cz_reader *r;
  OK(cz_reader_open(&r, under("two.h5"), NULL));
  assert_int_equal(cz_reader_about(r)->tokens, 2);
  cz_reader_close(&r);
  assert_int_equal(unlink(under("two.h5")), 0);
}

static void test_bad_ids(void **state) {
  cz_corpus_writer *w;
  int32_t ids[] = {0, 9, 10, -1};
  OK(cz_corpus_create(&w, under("ids.h5"), (cz_corpus_vocabulary){.size = 10}));
  OK(cz_corpus_add(w, &(cz_ids){.data = ids, .len = 2}));
  FAILS(cz_corpus_add(w, &(cz_ids){.data = ids + 2, .len = 1}), CZ_EINVAL,
        "id 10 is outside the vocabulary of 10");
  FAILS(cz_corpus_add(w, &(cz_ids){.data = ids + 3, .len = 1}), CZ_EINVAL, "id -1");
  cz_corpus_abandon(&w);
  assert_null(w);
  assert_false(cz_fs_exists(under("ids.h5")));
  FAILS(cz_corpus_create(&w, under("no/such/folder.h5"), (cz_corpus_vocabulary){.size = 10}),
        CZ_EIO, "folder.h5");
  assert_null(w);
  FAILS(cz_corpus_create(&w, under("ids.h5"), (cz_corpus_vocabulary){.size = 0}), CZ_EINVAL,
        "vocabulary of 0");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_documents), cmocka_unit_test(test_text),
                                     cmocka_unit_test(test_bad_text),
                                     cmocka_unit_test(test_two_writers),
                                     cmocka_unit_test(test_bad_ids)};
  int failed = cmocka_run_group_tests_name("corpus", tests, make_folder, drop_folder);
  return failed + run_corrupt_tests();
}
