/* A stage's result.json is sealed by a hash of its own bytes: whatever changes in it is found
 * where the stage is taken for finished and where a report reads it, and the stage is done again.
 */
#include "train_test.h"

#include "device/random.h"
#include "stages/result.h"

#include <jansson.h>

#define PRETRAIN "pretrain @/pretrain.yaml --out @/run train.steps=3 "

static void write_run_result(const char *bytes, size_t n) {
  write_bytes("run/result.json", bytes, n);
}

static void expect_damage(const char *bytes, size_t n, const char *what, size_t at) {
  json_t *root;
  write_run_result(bytes, n);
  if (cz_result_open(&root, under("run")) != CZ_ECORRUPT)
    fail_msg("%s of byte %zu of %zu is not seen:\n%.*s", what, at, n, (int)n, bytes);
  assert_null(root);
}

/* Every bit, every byte left out, and every byte doubled. */
static void every_byte(void **state) {
  size_t n;
  json_t *root;
  expect(0, PRETRAIN, "done, see");
  char *whole = read_text(under("run/result.json"), &n), *other = malloc(n + 1);
  OK(cz_result_open(&root, under("run")));
  assert_true(json_is_string(json_object_get(root, "hash")));
  json_decref(root);
  for (size_t i = 0; i < n; i++) {
    for (int bit = 0; bit < 8; bit++) {
      memcpy(other, whole, n);
      other[i] ^= (char)(1 << bit);
      expect_damage(other, n, "a flipped bit", i);
    }
    memcpy(other, whole, i);
    memcpy(other + i, whole + i + 1, n - i - 1);
    expect_damage(other, n - 1, "the loss", i);
    memcpy(other + i + 1, whole + i, n - i);
    other[i] = whole[i];
    expect_damage(other, n + 1, "a double", i);
  }
  expect_damage(whole, n / 2, "the end", n / 2);
  write_run_result(whole, n);
  OK(cz_result_open(&root, under("run")));
  json_decref(root);
  free(other);
  free(whole);
  remove_tree("run");
}

/* A digit of the loss, which leaves right JSON: said by the same command, which does the stage
 * again, and by a report, which leaves it out. */
static void said_by_commands(void **state) {
  expect(0, "run @/experiment.yaml --out @/run", "full report");
  char *metrics = metrics_of("run");
  char command[1024];
  snprintf(command, sizeof command,
           "cd %s/run && rm result.json && for f in stages/pretrain-*/result.json; do "
           "sed -i 's/\"loss\": [0-9]/\"loss\": 0/' $f; done",
           folder());
  assert_int_equal(system(command), 0);
  expect(0, "report @/run", "/result.json: has changed since its stage left it: its hash is ");
  expect(0, "run @/experiment.yaml --out @/run", "has changed since its stage left it");
  char *again = metrics_of("run");
  assert_string_equal(metrics, again);
  expect(0, "report @/run", "");
  if (strstr(said(), "has changed")) fail_msg("the repaired run: %s", said());
  free(metrics);
  free(again);
  remove_tree("run");
}

/* A file of before the hash was stored is taken as it is. */
static void older(void **state) {
  json_t *root;
  write_text("old/result.json", "{\"kind\": \"pretrain\", \"config_hash\": \"0\", \"metrics\": {},"
                                " \"measured\": {}}");
  OK(cz_result_open(&root, under("old")));
  json_decref(root);
  write_text("old/result.json", "{\"kind\": \"pretrain\"}");
  FAILS(cz_result_open(&root, under("old")), CZ_ECORRUPT, "old/result.json: it has no metrics");
  FAILS(cz_result_open(&root, under("none")), CZ_ECORRUPT,
        "none/result.json: there is no such file");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_byte),
                                     cmocka_unit_test(said_by_commands), cmocka_unit_test(older)};
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}
