/* The kind of processor that computed something: recorded, said when a run moves to another, and
 * the same on all ranks of a run. OpenBLAS plays another processor when OPENBLAS_CORETYPE names
 * its kernel; Haswell's and Zen's both need AVX2 and FMA, and no more. */
#include "train_test.h"

#include <jansson.h>
#include <signal.h>
#include <sys/stat.h>

#define PRETRAIN "pretrain @/pretrain.yaml --out @/run "
#define MOVED    "computed on another kind of processor"

/* Every command from here on runs on this BLAS kernel. */
static void become(const char *core) { setenv("OPENBLAS_CORETYPE", core, 1); }

static int count(const char *text, const char *word) {
  int n = 0;
  for (const char *at = text; (at = strstr(at, word)); at += strlen(word)) n++;
  return n;
}

/* Elsewhere OpenBLAS refuses the kernels, or there is none. */
static void need_kernels(void) {
  become("Haswell");
  expect(0, "list devices", "");
  if (strstr(said(), "float32, BLAS Haswell, ")) return;
  print_message("skipped: no OpenBLAS with a kernel for Haswell: %s\n", said());
  skip();
}

static void listed(void **state) {
  need_kernels();
  become("Zen");
  expect(0, "list devices", "all cores (default); float32, BLAS Zen, ");
  assert_non_null(strstr(said(), "serial: the oracle; float64, "));
}

/* What `cloze devices` says of bfloat16 is what CZ_BF16 made of it. */
static void paths(void **state) {
  assert_int_equal(setenv("CZ_BF16", "panels", 1), 0);
  expect(0, "devices", "bf16 goes by       panels\n");
  assert_non_null(strstr(said(), "because            CZ_BF16=panels asks for it\n"));
  expect(0, "devices --json", "\"path\": \"panels\"");
  assert_int_equal(setenv("CZ_BF16", "quick", 1), 0);
  expect(2, "devices", "CZ_BF16 is 'quick', not auto, panels or onednn");
  assert_int_equal(unsetenv("CZ_BF16"), 0);
  expect(0, "devices", "instructions       ");
}

static char *processor_of(const char *run) {
  char name[600];
  json_error_t why;
  snprintf(name, sizeof name, "%s/result.json", run);
  json_t *result = json_load_file(under(name), 0, &why);
  if (!result) fail_msg("%s: %s", under(name), why.text);
  const char *text =
      json_string_value(json_object_get(json_object_get(result, "measured"), "processor"));
  if (!text) fail_msg("%s has no measured.processor", under(name));
  char *copy = strdup(text);
  json_decref(result);
  return copy;
}

/* In `measured` of every stage, and nowhere in `metrics`. */
static void recorded(void **state) {
  need_kernels();
  expect(0, PRETRAIN, "done, see");
  char *kind = processor_of("run"), *metrics = metrics_of("run");
  if (strncmp(kind, "float32, BLAS Haswell, ", 23)) fail_msg("measured.processor is '%s'", kind);
  assert_null(strstr(metrics, "Haswell"));
  assert_null(strstr(metrics, "processor"));
  free(kind);
  free(metrics);
  remove_tree("run");
  expect(0, PRETRAIN "--device ref train.steps=2", "done, see");
  kind = processor_of("run");
  if (strncmp(kind, "float64, ", 9)) fail_msg("measured.processor is '%s'", kind);
  free(kind);
  remove_tree("run");
}

/* A run that goes on elsewhere says so once, names both kinds, and goes on. */
static void resumed(void **state) {
  need_kernels();
  stop_midway("train.steps=300", "run/checkpoint.h5");
  expect(0, PRETRAIN "train.steps=300", "going on at step");
  if (strstr(said(), MOVED)) fail_msg("the same kind: %s", said());
  stop_midway("train.steps=300", "run/checkpoint.h5");
  become("Zen");
  expect(0, PRETRAIN "train.steps=300", "going on at step");
  if (count(said(), MOVED) != 1 || !strstr(said(), "BLAS Haswell") || !strstr(said(), "BLAS Zen"))
    fail_msg("a resume on another kind of processor said:\n%s", said());
  char *kind = processor_of("run");
  assert_non_null(strstr(kind, "Zen"));
  free(kind);
  remove_tree("run");
}

/* A run that is moved between two stages: the finished ones were computed elsewhere. One that has
 * nothing left to compute says nothing. */
static void moved_between_stages(void **state) {
  char command[600];
  need_kernels();
  expect(0, "run @/experiment.yaml --out @/moved", "full report");
  snprintf(command, sizeof command, "cd %s/moved && rm -r result.json stages/finetune-* %s",
           folder(), "stages/evaluate-*");
  assert_int_equal(system(command), 0);
  become("Zen");
  expect(0, "run @/experiment.yaml --out @/moved", "full report");
  if (count(said(), MOVED) != 1 || !strstr(said(), "stages/pretrain-"))
    fail_msg("a run that was moved between its stages said:\n%s", said());
  expect(0, "run @/experiment.yaml --out @/moved", "full report");
  if (strstr(said(), MOVED)) fail_msg("nothing was left to compute, but it said:\n%s", said());
  remove_tree("moved");
}

/* Ranks of unlike kinds would add sums that were rounded in different ways. */
static void unlike_ranks(void **state) {
#ifdef CZ_HAVE_MPI
  char runner[512];
  need_kernels();
  write_format("unlike.sh", "#!/bin/sh\n"
                            "[ \"$OMPI_COMM_WORLD_RANK\" = 1 ] && export OPENBLAS_CORETYPE=Zen\n"
                            "exec \"$@\"\n");
  snprintf(runner, sizeof runner, "%s", under("unlike.sh"));
  assert_int_equal(chmod(runner, 0755), 0);
  int code = cloze(&(start){.ranks = 2, .runner = runner}, PRETRAIN "--comm mpi");
  if (code != 2 || !strstr(said(), "rank 0 computes on float32, BLAS Haswell") ||
      !strstr(said(), "rank 1 on float32, BLAS Zen"))
    fail_msg("unlike ranks: exit code %d, said:\n%s", code, said());
  assert_false(cz_fs_exists(under("run/checkpoint.h5")));
  code = cloze(&(start){.ranks = 2}, PRETRAIN "--comm mpi");
  if (code) fail_msg("like ranks: exit code %d, said:\n%s", code, said());
  remove_tree("run");
#else
  print_message("skipped: built without MPI\n");
  skip();
#endif
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(listed),
                                     cmocka_unit_test(paths),
                                     cmocka_unit_test(recorded),
                                     cmocka_unit_test(resumed),
                                     cmocka_unit_test(moved_between_stages),
                                     cmocka_unit_test(unlike_ranks)};
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}
