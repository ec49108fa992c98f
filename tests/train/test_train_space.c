/* A training stage asks the disk for what it will write before it computes a step. The disk is made
 * up: this program's own statvfs stands before the C library's. */
#include "train_test.h"

#include "base/log.h"
#include "config/config.h"
#include "stages/session.h"
#include "stages/stage.h"

#include <math.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

static uint64_t free_bytes; /* what the disk says */

int statvfs(const char *path, struct statvfs *s) {
  (void)path;
  *s = (struct statvfs){.f_bavail = free_bytes, .f_frsize = 1};
  return 0;
}

/* Runs the stage KIND of the file NAME in FOLDER, with the override WORD. */
static cz_status run_stage(const char *kind, const char *name, const char *out, const char *word) {
  cz_config *config;
  cz_session s;
  char set[64];
  OK(cz_session_open(&s, "cpu", "self"));
  OK(cz_config_open(&config, under(name)));
  snprintf(set, sizeof set, "kind=%s", kind);
  OK(cz_config_set(config, set));
  OK(cz_config_set(config, word));
  cz_status st = cz_stage_run(&s, cz_config_root(config), cz_config_root(config), under(out));
  cz_config_destroy(&config);
  cz_session_close(&s, st);
  return st;
}

static bool there(const char *name) { return cz_fs_exists(under(name)); }

/* Refused with the folder and both numbers, before a step is computed. Returns what is
 * asked for. */
static uint64_t refused(const char *kind, const char *name, const char *word) {
  char metrics[64];
  free_bytes = 12345;
  assert_int_equal(run_stage(kind, name, "full", word), CZ_EIO);
  const char *why = cz_error_message(), *needs = strstr(why, " MB (");
  if (!strstr(why, "/full: training, with ") || !strstr(why, "3 checkpoints") || !needs ||
      !strstr(why, "but the disk has only 0.0 MB free (12345 bytes)"))
    fail_msg("said: %s", why);
  snprintf(metrics, sizeof metrics, "full/metrics.jsonl");
  assert_false(there(metrics));
  assert_false(there("full/checkpoint.h5"));
  return strtoull(needs + 5, NULL, 10);
}

/* Bytes of the files that the stage left. */
static uint64_t left(const char *out) {
  static const char *const names[] = {"checkpoint.h5", "checkpoint.prev.h5", "model/config.json",
                                      "model/model.safetensors", "model/tokenizer.json"};
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[200];
    struct stat s;
    snprintf(path, sizeof path, "%s/%s", out, names[i]);
    if (stat(under(path), &s) == 0) sum += (uint64_t)s.st_size;
  }
  return sum;
}

/* One byte less than what is asked for is refused, as much is enough; and as much covers what the
 * stage leaves. */
static void room(const char *kind, const char *name, const char *word) {
  uint64_t asked = refused(kind, name, word);
  free_bytes = asked - 1;
  assert_int_equal(run_stage(kind, name, "full", word), CZ_EIO);
  free_bytes = asked;
  OK(run_stage(kind, name, "full", word));
  uint64_t took = left("full");
  print_message("%s: asked for %llu bytes, left %llu\n", kind, (unsigned long long)asked,
                (unsigned long long)took);
  assert_true(took > 0 && took <= asked);
  remove_tree("full");
}

static void pretrain(void **state) {
  room("pretrain", "pretrain.yaml", "train={steps: 3, checkpoint_seconds: 0}");
  room("pretrain", "pretrain.yaml", "train.checkpoint_steps=1");
}

static void finetune(void **state) { room("finetune", "finetune.yaml", "optimizer.name=adamw"); }

/* Weights that are read from a folder, and a device of another width. */
static uint64_t size_of_model(const char *word) {
  return refused("pretrain", "pretrain.yaml", word);
}

static void grows_with_the_model(void **state) {
  uint64_t small = size_of_model("model.d_ff=24"), large = size_of_model("model.d_ff=20024"),
           adam = size_of_model("optimizer.name=adamw");
  /* encoder and decoder, in and out, d_model 16, float32: values, and as many second moments, since
   * Adafactor factors no matrix this narrow; in three checkpoints with 1/64 for metadata */
  double more = 20000.0 * 2 * 2 * 16 * 4 * 2 * 3 * 65 / 64;
  print_message("%llu and %llu bytes\n", (unsigned long long)small, (unsigned long long)large);
  assert_true(fabs((double)(large - small) - more) < 1e5);
  assert_true(adam > small);
  remove_tree("full");
}

/* A run that goes on replaces its checkpoints: they count as room. */
static void goes_on(void **state) {
  static const char word[] = "model.d_ff=20024";
  uint64_t asked = refused("pretrain", "pretrain.yaml", word);
  free_bytes = UINT64_MAX;
  assert_int_equal(run_stage("pretrain", "pretrain.yaml", "full", word), CZ_OK);
  uint64_t took = left("full");
  assert_int_equal(remove(under("full/result.json")), 0);
  free_bytes = asked - took / 2;
  OK(run_stage("pretrain", "pretrain.yaml", "full", word));
  remove_tree("full");
}

int main(void) {
  cz_log_quiet(true);
  const struct CMUnitTest tests[] = {cmocka_unit_test(pretrain), cmocka_unit_test(finetune),
                                     cmocka_unit_test(grows_with_the_model),
                                     cmocka_unit_test(goes_on)};
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}
