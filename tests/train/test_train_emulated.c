/* Training on the CUDA kernels, emulated, as a user starts it: what was stopped goes on to the same
 * bytes; a card without memory says which arena wanted how much, and by which keys it wants less; a
 * card that somebody else fills, or a kernel that fails, in the middle of a run costs nothing but
 * the steps since the last checkpoint. What a card says before it is opened is in
 * tests/cuda/test_cuda_faults.c, with a list of all faults. */
#include "train_test.h"

#include <signal.h>

#define EMU      "--device emu"
#define PRETRAIN "pretrain @/pretrain.yaml --out @/run " EMU " "
#define GO_ON    "pretrain @/pretrain.yaml " EMU

static void set(const char *name, const char *value) {
  assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

/* What the others are compared with. */
static int make_whole(void **state) {
  if (make_runs(state)) return -1;
  run_into(&(start){0}, GO_ON, "whole");
  return 0;
}

/* The run goes on from its checkpoint and comes to what it comes to without an interruption. */
static void goes_on(void) {
  run_into(&(start){0}, GO_ON, "run");
  assert_non_null(strstr(said(), "pretrain: going on at step "));
  same_run("whole", "run");
}

/* The card's memory is what the file says, which others write. */
static const char *memory_file(void) { return under("memory"); }

static void resumed(void **state) {
  stop_midway(EMU, "run/checkpoint.h5");
  goes_on();
  stop_midway(EMU " train.precision=fp16", "run/checkpoint.h5");
  run_into(&(start){0}, GO_ON " train.precision=fp16", "run");
  assert_non_null(strstr(said(), "pretrain: going on at step "));
  run_into(&(start){0}, GO_ON " train.precision=fp16", "half");
  same_run("half", "run");
}

/* A run has what it needs from its first step on, whoever fills the card after that; one that comes
 * when the card is full says so, touches nothing, and goes on when there is room. */
static void filled(void **state) {
  set("CZ_EMULATOR_MEMORY", memory_file());
  remove_tree("run");
  pid_t pid = launch(&(start){0}, PRETRAIN);
  wait_for_file(pid, under("run/checkpoint.h5"));
  write_format("memory", "1000");
  if (wait_for(pid)) fail_msg("a run that had its memory ended, saying:\n%s", said());
  same_run("whole", "run");
  assert_int_equal(remove(memory_file()), 0);
  stop_midway(EMU, "run/checkpoint.h5");
  copy_file(under("before.h5"), under("run/checkpoint.h5"));
  write_format("memory", "1000");
  expect(1, PRETRAIN,
         "cloze: emu: 54208 bytes are wanted; 1000 of the 1000 bytes of the emulator are free\n"
         "  (0.1 MB for parameters)\n"
         "  (a smaller model wants less: model.d_model, model.d_ff, model.num_layers, or another "
         "one as init)\n");
  same_file("before.h5", "run/checkpoint.h5");
  assert_int_equal(remove(memory_file()), 0);
  goes_on();
  set("CZ_EMULATOR_MEMORY", NULL);
}

/* What a run says that finds no room for one of its arenas, and how many bytes would do. */
static size_t refused(size_t bytes, char *what, size_t n) {
  size_t wants = 0, left = 0, all = 0;
  double mega = 0;
  char name[100];
  const char *text = strstr(said(), "cloze: emu: ");
  if (!text ||
      sscanf(text,
             "cloze: emu: %zu bytes are wanted; %zu of the %zu bytes of the emulator are free\n"
             "  (%lf MB for %99[^)])",
             &wants, &left, &all, &mega, name) != 5)
    fail_msg("with %zu bytes it said:\n%s", bytes, said());
  assert_true(all == bytes && wants > left && mega < 1e-6 * (double)wants + 0.06 &&
              mega > 1e-6 * (double)wants - 0.06);
  snprintf(what, n, "%s", name);
  return bytes - left + wants;
}

/* A card that grows until the run fits shows each arena once. */
static void memory(void **state) {
  static const char *const arenas[] = {"parameters",
                                       "copies of the parameters in 16 bits",
                                       "gradients",
                                       "activations",
                                       "workspace",
                                       "the optimizer's states",
                                       "sums of the shards' gradients",
                                       "workspace of op adafactor"};
  enum { ARENAS = sizeof arenas / sizeof *arenas };
  bool seen[ARENAS] = {0};
  size_t bytes = 1000;
  char text[32], what[100];
  for (int turn = 0;; turn++) {
    assert_true(turn < 60);
    remove_tree("run");
    snprintf(text, sizeof text, "%zu", bytes);
    set("CZ_EMULATOR_MEMORY", text);
    const int code = cloze(&(start){0}, PRETRAIN "train.precision=bf16 train.steps=1");
    if (code == 0) break;
    assert_int_equal(code, 1);
    bytes = refused(bytes, what, sizeof what);
    int arena = 0;
    while (arena < ARENAS && strcmp(what, arenas[arena]) != 0) arena++;
    if (arena < ARENAS) seen[arena] = true;
    const char *keys =
        arena < 2 ? "\n  (a smaller model wants less: model.d_model, model.d_ff, model.num_layers"
                  : " MB for the states of adafactor";
    if (!strstr(said(), keys)) fail_msg("'%s' is not in:\n%s", keys, said());
    if (arena >= 2 && !strstr(said(), "activations are fewer with less batch.input_tokens and "
                                      "batch.target_tokens, with more batch.shards, and with "
                                      "train.recompute=true; all of it is less for a smaller "
                                      "model)\n"))
      fail_msg("no keys in:\n%s", said());
  }
  for (int i = 0; i < ARENAS; i++)
    if (!seen[i]) fail_msg("no run found too little memory for %s", arenas[i]);
  set("CZ_EMULATOR_MEMORY", NULL);
}

/* A kernel of step 5 fails, behind the checkpoint of step 3: the message names it as well as it can
 * be known, and the run goes on. */
static void failing(const char *sync, const char *message) {
  remove_tree("run");
  set("CZ_CUDA_SYNC", sync), set("CZ_EMULATOR_FAIL", "norm backward:140");
  expect(1, PRETRAIN, message);
  set("CZ_CUDA_SYNC", NULL), set("CZ_EMULATOR_FAIL", NULL);
  assert_true(cz_fs_exists(under("run/checkpoint.h5")));
  assert_false(cz_fs_exists(under("run/result.json")));
  goes_on();
}

static void failing_kernel(void **state) {
  failing("1", "cloze: emu: cudaErrorLaunchFailure (kernel norm backward: CZ_EMULATOR_FAIL has "
               "planted this) in the kernel norm backward\n"
               "  (backward of op norm, node encoder.block.0.self.norm)\n");
  failing("0", "cloze: emu: cudaErrorLaunchFailure (kernel norm backward: CZ_EMULATOR_FAIL has "
               "planted this) in one of the ");
}

/* What the environment says wrong is told before anything is begun, by the exit code of usage. */
static void environment(void **state) {
  remove_tree("run");
  set("CZ_EMULATOR_ORDER", "backwards");
  expect(
      2, PRETRAIN,
      "libcloze_emu.so: CZ_EMULATOR_ORDER is 'backwards'; it takes 0, 1, 2 or 2:SEED, SEED being a "
      "whole number\n");
  set("CZ_EMULATOR_ORDER", NULL);
  assert_false(cz_fs_exists(under("run/checkpoint.h5")));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(resumed), cmocka_unit_test(filled),
                                     cmocka_unit_test(memory), cmocka_unit_test(failing_kernel),
                                     cmocka_unit_test(environment)};
  return cmocka_run_group_tests(tests, make_whole, drop_runs);
}
