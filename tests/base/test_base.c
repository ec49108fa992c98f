/* What stands on nothing: numbers, UTF-8, lines, names, files that are none, messages with
 * long paths, JSON with places. */
#include "common/common.h"

#include "base/fs.h"
#include "base/lines.h"
#include "base/log.h"
#include "base/nearest.h"
#include "base/number.h"
#include "base/utf8.h"
#include "json/json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Texts, what our grammar reads and what Python 3.11's float() reads; NAN: refused. */
static void test_numbers(void **state) {
  static const struct {
    const char *text;
    double ours, python;
  } cases[] = {{"0", 0, 0},
               {"-1.5e-3", -1.5e-3, -1.5e-3},
               {"+.5", .5, .5},
               {"5.", 5, 5},
               {"1e400", NAN, INFINITY},
               {"0x5", NAN, NAN},
               {"0x1p3", NAN, NAN},
               {" 1", NAN, 1},
               {"1\n", NAN, 1},
               {"1_000.2_5", NAN, 1000.25},
               {"1__0", NAN, NAN},
               {"_1", NAN, NAN},
               {"1_", NAN, NAN},
               {"1._5", NAN, NAN},
               {"1e1_0", NAN, 1e10},
               {"inf", NAN, INFINITY},
               {"-Infinity", NAN, -INFINITY},
               {"infinit", NAN, NAN},
               {"", NAN, NAN},
               {".", NAN, NAN},
               {"e5", NAN, NAN},
               {"1e", NAN, NAN},
               {"1e+", NAN, NAN},
               {"--1", NAN, NAN},
               {"1d5", NAN, NAN},
               {"5.0 stars", NAN, NAN},
               {"4.8\xC2\xA0", NAN, NAN},
               {"1,5", NAN, NAN}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    double ours = NAN, python = NAN;
    if (cz_parse_real(cases[i].text, &ours) != CZ_OK) ours = NAN;
    if (cz_parse_python_float(cases[i].text, &python) != CZ_OK) python = NAN;
    bool good = (ours == cases[i].ours || (isnan(ours) && isnan(cases[i].ours))) &&
                (python == cases[i].python || (isnan(python) && isnan(cases[i].python)));
    if (!good) fail_msg("'%s' gives %g and %g", cases[i].text, ours, python);
  }
  double v = 0;
  OK(cz_parse_python_float(" -NaN ", &v));
  assert_true(isnan(v));
}

static void test_integers(void **state) {
  int64_t v = 7;
  OK(cz_parse_int("-9223372036854775808", &v));
  assert_true(v == INT64_MIN);
  OK(cz_parse_int("+12", &v));
  assert_int_equal(v, 12);
  FAILS(cz_parse_int("9223372036854775808", &v), CZ_EINVAL, "out of range");
  static const char *const bad[] = {"", "-", "+-1", " 1", "1 ", "0x10", "1e3", "1.0", "1_0"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    FAILS(cz_parse_int(bad[i], &v), CZ_EINVAL, "expected an integer");
  assert_int_equal(v, 12);
}

#define FFFD "\xEF\xBF\xBD"

static void test_utf8(void **state) {
  cz_buf b = {0};
  OK(cz_utf8_expect("a\xC3\xA4\r\nb", 6, "file"));
  OK(cz_utf8_expect(NULL, 0, "file"));
  FAILS(cz_utf8_expect("a\r\nbc\xE9", 6, "file"), CZ_EINVAL, "file:2:3: the byte 0xe9");
  FAILS(cz_utf8_expect("a\0b", 3, "file"), CZ_EINVAL, "file:1:2: the byte 0x00");
  FAILS(cz_utf8_expect("\xED\xA0\x80", 3, "file"), CZ_EINVAL, "file:1:1: the byte 0xed");
  OK(cz_utf8_escape(&b, "caf\xE9/\xC3\xA4\xFF", 8));
  assert_string_equal(b.data, "caf\\xe9/\xC3\xA4\\xff");
  b.len = 0; /* the Unicode Standard's own example in 3.9, surrogates, and an end too early */
  OK(cz_utf8_replace(&b,
                     "a\xF1\x80\x80\xE1\x80\xC2"
                     "b\x80"
                     "c\x80\xBF"
                     "d",
                     13));
  assert_string_equal(b.data, "a" FFFD FFFD FFFD "b" FFFD "c" FFFD FFFD "d");
  b.len = 0;
  OK(cz_utf8_replace(&b,
                     "\xED\xA0\x80"
                     "x\xF4\x91\xC3\xA4\xE2\x82",
                     9));
  assert_string_equal(b.data, FFFD FFFD FFFD "x" FFFD FFFD "\xC3\xA4" FFFD);
  cz_buf_free(&b);
}

static void test_lines(void **state) {
  static const char text[] = "\xEF\xBB\xBF"
                             "a\rb\nc\r\nd\r\r\n\r\r\ne";
  static const char *const wanted[] = {"a", "b", "c", "d", "", "e"};
  cz_line_walk l = cz_line_walk_over(text, sizeof text - 1, "file");
  const char *line;
  size_t n;
  for (size_t i = 0; i < 6; i++) {
    assert_true(cz_line_next(&l, &line, &n));
    assert_int_equal(n, strlen(wanted[i]));
    assert_memory_equal(line, wanted[i], n);
    assert_int_equal(l.number, i + 1);
  }
  assert_false(cz_line_next(&l, &line, &n));
}

static void test_names(void **state) {
  static const char *const names[] = {"paper", "code", "corrected"};
  size_t i;
  OK(cz_find_name(&i, "mode", "code", names, 3));
  assert_int_equal(i, 1);
  FAILS(cz_find_name(&i, "mode", "papre", names, 3), CZ_EUSAGE,
        "no mode is called 'papre'; did you mean 'paper'?");
  FAILS(cz_find_name(&i, "mode", "xyz", names, 3), CZ_EUSAGE,
        "no mode is called 'xyz'; known are paper, code, corrected");
  FAILS(cz_find_name(&i, "mode", "xyz", names, 0), CZ_EUSAGE, "no mode is called 'xyz'");
  const char *many[400]; /* more than a message holds */
  for (i = 0; i < 400; i++) many[i] = "corrected";
  assert_non_null(strstr(cz_suggest("x", many, 400).text, ", ..."));
}

/* A format's other names mean what they mean, however near another format is by spelling. */
static void test_names_of_formats(void **state) {
  static const char *const names[] = {"f32", "bf16", "fp16"}, *const dtypes[] = {"f32", "f16"};
  static const struct {
    const char *word, *name;
  } meant[] = {{"f16", "fp16"},      {"F16", "fp16"},    {"float16", "fp16"}, {"half", "fp16"},
               {"bfloat16", "bf16"}, {"float32", "f32"}, {"fp32", "f32"},     {"bf61", "bf16"}};
  for (size_t i = 0; i < sizeof meant / sizeof *meant; i++)
    assert_string_equal(cz_nearest(meant[i].word, names, 3), meant[i].name);
  assert_string_equal(cz_nearest("fp16", dtypes, 2), "f16");
  assert_null(cz_nearest("half", dtypes, 2));
}

/* What is no regular file is refused at once, and so is a file that no memory holds. */
static void test_files(void **state) {
  cz_buf b = {0};
  FILE *f;
  FAILS(cz_fs_read("/dev/zero", &b), CZ_EINVAL, "/dev/zero: is a device, not a regular file");
  FAILS(cz_fs_read(folder(), &b), CZ_EINVAL, "is a folder, not a regular file");
  assert_int_equal(mkfifo(under("fifo"), 0600), 0);
  FAILS(cz_fs_read(under("fifo"), &b), CZ_EINVAL, "is a FIFO, not a regular file");
  FAILS(cz_fs_open_stream(&f, under("fifo")), CZ_EINVAL, "is a FIFO, not a regular file");
  assert_null(f);
  const char *large = write_text("large", "");
  if (truncate(large, (off_t)1 << 40) == 0)
    FAILS(cz_fs_read(large, &b), CZ_EINVAL, "1099511627776 bytes are too many to read at once");
  FAILS(cz_fs_read(under("missing"), &b), CZ_EIO, "No such file");
  assert_null(b.data);
}

/* A path may have 4,095 bytes; what stands behind it in a message is the more important. */
static void test_long_paths(void **state) {
  char path[4096];
  json_t *root;
  memset(path, 'p', sizeof path - 1);
  path[sizeof path - 1] = '\0';
  FAILS(cz_json_parse(&root, "{\n\"a\": nul}", 11, path), CZ_EINVAL, "p:2:");
  cz_status st = CZ_NOTE(CZ_EINVAL, "in %s, row 7", path);
  FAILS(st, CZ_EINVAL, "row 7)");
  st = CZ_FAIL(CZ_EIO, "%s -> %s: %s", path, path, "disk full");
  FAILS(st, CZ_EIO, "disk full");
}

static cz_status take(void *context, const json_t *value, const cz_json_place *at) {
  const char *text;
  int *n = context;
  ++*n;
  return cz_json_get_text(&text, value, at, "text");
}

static void test_json(void **state) {
  json_t *root;
  const json_t *list;
  cz_json_place at = {.file = "f.json"};
  int64_t whole;
  int n = 0;
  FAILS(cz_json_parse(&root, "{}\0{}", 5, "f.json"), CZ_EINVAL, "f.json:1:3: the byte 0x00");
  FAILS(cz_json_parse(&root, "{}\n{}", 5, "f.json"), CZ_EINVAL, "f.json:2:");
  FAILS(cz_json_parse(&root, "{\"a\":1,\"a\":2}", 13, "f.json"), CZ_EINVAL, "duplicate");
  static const char text[] = "{\"a\": [1, 2.5], \"b\": 4294967424, \"t\": \"x\\u0000y\"}";
  OK(cz_json_parse(&root, text, sizeof text - 1, "f.json"));
  OK(cz_json_get_array(&list, root, &at, "a"));
  FAILS(cz_json_get_array(&list, root, &at, "c"), CZ_EINVAL,
        "f.json: c: expected a list, but it is missing");
  FAILS(cz_json_get_int(&whole, root, &at, "b", 0, INT32_MAX), CZ_EINVAL,
        "f.json: b: expected a whole number from 0 to 2147483647, found 4294967424");
  const char *s;
  FAILS(cz_json_get_text(&s, root, &at, "t"), CZ_EINVAL, "f.json: t: the text holds a NUL");
  json_decref(root);
  write_text("lines", "{\"text\": \"a\"}\r\n\r\n{\"text\": \"b\"}\r{\"text\": 3}\n");
  FAILS(cz_json_lines(under("lines"), take, &n), CZ_EINVAL,
        "lines:4: text: expected a text, found 3");
  assert_int_equal(n, 3);
}

/* Names of files need not be UTF-8; JSON that holds them is written all the same. */
static void test_json_of_bytes(void **state) {
  json_t *o = json_object();
  cz_buf out = {0};
  OK(cz_json_set_text(o, "path", "caf\xE9"));
  OK(cz_json_set_real(o, "loss", NAN));
  OK(cz_json_print(&out, o, JSON_COMPACT | JSON_SORT_KEYS));
  assert_string_equal(out.data, "{\"loss\":null,\"path\":\"caf\\\\xe9\"}");
  cz_buf_free(&out);
  json_decref(o);
}

/* Linked with --wrap=flock: the answer of a file system that keeps no locks, or of the real one. */
static int flock_error;
int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);
int __wrap_flock(int fd, int operation) {
  if (flock_error) return errno = flock_error, -1;
  return __real_flock(fd, operation);
}

/* Where there are no locks files are written all the same; any other failure is an error. */
static void test_no_locks(void **state) {
  static const int none[] = {ENOLCK, EOPNOTSUPP, ENOSYS};
  int handle = -1;
  cz_buf text = {0};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
    flock_error = none[i];
    OK(cz_fs_write_atomic(under("unlocked"), "text", 4));
    OK(cz_fs_lock(under("lock"), &handle)); /* with a warning */
    cz_fs_unlock(&handle);
  }
  flock_error = EBADF;
  FAILS(cz_fs_write_atomic(under("unlocked"), "other", 5), CZ_EIO, "can't be locked: Bad file");
  FAILS(cz_fs_lock(under("lock"), &handle), CZ_EIO, "lock: Bad file");
  flock_error = 0;
  OK(cz_fs_read(under("unlocked"), &text));
  assert_string_equal(text.data, "text");
  cz_buf_free(&text);
}

/* What is no file is neither replaced by one nor waited for. */
static void test_not_files(void **state) {
  struct stat s;
  int fd;
  assert_int_equal(mkfifo(under("pipe"), 0600), 0);
  assert_int_equal(mkfifo(under("new.tmp"), 0600), 0);
  FAILS(cz_fs_write_atomic(under("pipe"), "x", 1), CZ_EINVAL,
        "pipe: is a FIFO, not a regular file");
  assert_true(stat(under("pipe"), &s) == 0 && S_ISFIFO(s.st_mode));
  FAILS(cz_fs_write_atomic(under("new"), "x", 1), CZ_EINVAL, "new.tmp: is a FIFO");
  FAILS(cz_fs_write_atomic("/dev/null", "x", 1), CZ_EINVAL, "/dev/null: is a device");
  FAILS(cz_fs_write_atomic(folder(), "x", 1), CZ_EINVAL, "is a folder, not a regular file");
  FAILS(cz_fs_open_append(&fd, under("pipe")), CZ_EINVAL, "pipe: is a FIFO");
  FAILS(cz_log_open(under("pipe")), CZ_EINVAL, "pipe: is a FIFO");
  OK(cz_log_open(under("log.txt")));
  cz_log_close();
  assert_true(stat(under("log.txt"), &s) == 0 && s.st_size == 0);

  cz_buf text = {0};
  write_text("tokenizer.json", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n");
  FAILS(cz_fs_read(under("tokenizer.json"), &text), CZ_EINVAL, "tokenizer.json: a Git LFS pointer");
  cz_buf_free(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_numbers),  cmocka_unit_test(test_integers),
      cmocka_unit_test(test_utf8),     cmocka_unit_test(test_lines),
      cmocka_unit_test(test_names),    cmocka_unit_test(test_names_of_formats),
      cmocka_unit_test(test_files),    cmocka_unit_test(test_long_paths),
      cmocka_unit_test(test_json),     cmocka_unit_test(test_json_of_bytes),
      cmocka_unit_test(test_no_locks), cmocka_unit_test(test_not_files)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
