/* metrics.jsonl: lines, numbers, and the cut after a kill at any byte. */
#include "common/common.h"
#include "base/fs.h"
#include "metrics/jsonl.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <signal.h>
#include <errno.h>

static const char *path;

static int fresh(void **state) {
  if (make_folder(state)) return -1;
  path = write_text("metrics.jsonl", "");
  return 0;
}

static void write_steps(int64_t first, int64_t last) {
  cz_jsonl *w = NULL;
  assert_int_equal(cz_jsonl_open(&w, path), CZ_OK);
  for (int64_t s = first; s <= last; s++) {
    assert_int_equal(cz_jsonl_begin(w), CZ_OK);
    assert_int_equal(cz_jsonl_int(w, "step", s), CZ_OK);
    assert_int_equal(cz_jsonl_real(w, "loss", 10 / (double)(s + 3)), CZ_OK);
    assert_int_equal(cz_jsonl_int(w, s % 2 ? "a \"b\"\n" : "\xC3\xA4", s),
                     CZ_OK); /* bytes that a cut may part */
    assert_int_equal(cz_jsonl_end(w), CZ_OK);
  }
  assert_int_equal(cz_jsonl_close(&w), CZ_OK);
  assert_null(w);
}

static cz_buf content(void) {
  cz_buf b = {0};
  assert_int_equal(cz_fs_read(path, &b), CZ_OK);
  return b;
}

static void test_lines_are_json(void **state) {
  const double values[] = {0,       -0.0,    1,      0.1,   1.0 / 3,
                           DBL_MAX, DBL_MIN, 5e-324, -1e-7, 123456789012345680.0};
  cz_jsonl *w = NULL;
  assert_int_equal(cz_jsonl_open(&w, path), CZ_OK);
  assert_int_equal(cz_jsonl_begin(w), CZ_OK);
  for (int i = 0; i < 10; i++)
    assert_int_equal(cz_jsonl_real(w, (const char[]){(char)('a' + i), 0}, values[i]), CZ_OK);
  assert_int_equal(cz_jsonl_int(w, "low", INT64_MIN), CZ_OK);
  assert_int_equal(cz_jsonl_real(w, "nan", NAN), CZ_OK);
  assert_int_equal(cz_jsonl_real(w, "minus", -INFINITY), CZ_OK);
  assert_int_equal(cz_jsonl_int(w, "q\" b\\ \x01\n\xFF\xE2\x82\xAC", 3),
                   CZ_OK); /* keys are quoted as texts are */
  assert_int_equal(cz_jsonl_end(w), CZ_OK);
  assert_int_equal(cz_jsonl_close(&w), CZ_OK);
  cz_buf b = content();
  json_t *o = json_loadb(b.data, b.len, 0, NULL);
  assert_non_null(o);
  for (int i = 0; i < 10; i++) {
    double v = json_number_value(json_object_get(o, (const char[]){(char)('a' + i), 0}));
    assert_true(v == values[i]);
  }
  assert_true(json_integer_value(json_object_get(o, "low")) == INT64_MIN);
  assert_string_equal(json_string_value(json_object_get(o, "nan")), "nan");
  assert_string_equal(json_string_value(json_object_get(o, "minus")), "-inf");
  assert_true(json_integer_value(json_object_get(o, "q\" b\\ \x01\n\xEF\xBF\xBD\xE2\x82\xAC")) ==
              3);
  json_decref(o);
  cz_buf_free(&b);
}

static void test_killed_anywhere(void **state) {
  write_steps(1, 6);
  cz_buf whole = content();
  for (size_t cut = 0; cut <= whole.len;
       cut++) /* torn at every byte, then resumed from every checkpoint */
    for (int64_t step = 0; step <= 6; step++) {
      write_bytes(path, whole.data, cut);
      assert_int_equal(cz_jsonl_resume(path, step), CZ_OK);
      int64_t have = 0;
      cz_buf kept = content();
      for (size_t i = 0; i < kept.len; i++) have += kept.data[i] == '\n';
      assert_true(have <= step && (!kept.len || kept.data[kept.len - 1] == '\n') &&
                  (!kept.len || !memcmp(kept.data, whole.data, kept.len)));
      cz_buf_free(&kept);
      if (cut % 17 || step % 2) continue;
      write_steps(have + 1, 6);
      cz_buf again = content();
      assert_int_equal(again.len, whole.len);
      assert_memory_equal(again.data, whole.data, whole.len);
      cz_buf_free(&again);
    }
  cz_buf_free(&whole);
}

static void test_odd_files(void **state) {
  write_text(path, "{\"step\": 1}\nnonsense\n{\"step\": 2}\n");
  assert_int_equal(cz_jsonl_resume(path, 5), CZ_ECORRUPT);
  assert_non_null(strstr(cz_error_message(), ":2: this line is not a JSON object: nonsense"));
  cz_buf b = content();
  assert_int_equal(b.len, 33); /* nothing was cut */
  cz_buf_free(&b);
  write_text(path,
             "{\"step\": 1}\n{\"stage\": \"no step\"}\n[1]\n"); /* a last line that is broken goes,
                                                                   one without a step stays */
  assert_int_equal(cz_jsonl_resume(path, 1), CZ_OK);
  b = content();
  assert_string_equal(b.data, "{\"step\": 1}\n{\"stage\": \"no step\"}\n");
  cz_buf_free(&b);
  write_text(path, "");
  assert_int_equal(cz_jsonl_resume(path, 1), CZ_OK);
  assert_int_equal(cz_jsonl_resume(under("none"), 1), CZ_OK);
  cz_jsonl *w = NULL;
  assert_int_equal(cz_jsonl_open(&w, "/nowhere/metrics.jsonl"), CZ_EIO);
  assert_null(w);
  assert_int_equal(cz_jsonl_close(&w), CZ_OK);
}

/* A file that may not grow past N bytes stands for a full disk; in a child, because the
 * limit can't be taken back. */
static void test_full_disk(void **state) {
  write_text(path, "{\"step\": 1}\n");
  pid_t child = fork();
  if (!child) {
    cz_jsonl *w = NULL;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &(struct rlimit){20, 20});
    bool ok = cz_jsonl_open(&w, path) == CZ_OK && cz_jsonl_begin(w) == CZ_OK &&
              cz_jsonl_int(w, "a key longer than what is left", 1) == CZ_OK &&
              cz_jsonl_end(w) == CZ_EIO && strstr(cz_error_message(), path) &&
              cz_jsonl_close(&w) == CZ_OK;
    _exit(ok ? 0 : 1);
  }
  int status;
  waitpid(child, &status, 0);
  assert_int_equal(status, 0);
  cz_buf b = content();
  assert_string_equal(b.data, "{\"step\": 1}\n");
  cz_buf_free(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(test_lines_are_json, fresh, drop_folder),
      cmocka_unit_test_setup_teardown(test_killed_anywhere, fresh, drop_folder),
      cmocka_unit_test_setup_teardown(test_odd_files, fresh, drop_folder),
      cmocka_unit_test_setup_teardown(test_full_disk, fresh, drop_folder)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
