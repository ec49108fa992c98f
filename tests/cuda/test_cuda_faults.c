/* What a user reads who asks for the CUDA device and cannot have it, as a shell sees it: message,
 * exit code 2 and no file; 1 where the card is there and too small. The card is the fake one, of
 * which the environment's FAKE_CARD says what is wrong.
 *
 * Where each fault of the CUDA device is tested:
 *
 * | fault | here | and in |
 * |---|---|---|
 * | no driver | cards | test_cuda_device refuses_cards; test_cuda_program build_folder |
 * | a driver older than the toolkit | cards | test_cuda_device refuses_cards |
 * | no card; CUDA_VISIBLE_DEVICES | cards | test_cuda_device refuses_cards |
 * | a card too old | cards | test_cuda_device refuses_cards |
 * | too little memory: each arena, keys | small_card | train/test_train_emulated memory |
 * | another process fills the card in the middle | | train/test_train_emulated filled |
 * | a kernel fails: op and node by CZ_CUDA_SYNC=1, the launches by the ring | |
 *   train/test_train_emulated failing_kernel, with the checkpoint; test_cuda_errors |
 * | a launch is refused | | test_cuda_errors refused_launch; device/test_module |
 * | a module of another version or build | modules | device/test_module unfit |
 * | cuBLASLt missing | modules | test_cuda_program library |
 * | cuBLASLt of another major version | cards | test_cuda_device refuses_cards |
 * | --device cuda in a build without it | modules | cli/test_cli_messages test_no_cuda_module |
 * | a corrupt cache of algorithms: warned of, and tuned anew | | test_cuda_choices corrupt | */
#include "common/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define T5   CZ_SOURCE_DIR "/tests/fixtures/t5/v1_0"
#define FAKE CZ_MODULE_FOLDERS "/fake"
#define STUB CZ_STUB_FOLDERS "/stub"

/* Tracing a model on the card of the module in FOLDER, with one variable more in the environment,
 * ends with CODE and says WHAT, the whole of it. */
static void says(const char *modules, const char *variable, int code, const char *what) {
  static char text[1 << 14], want[1 << 14];
  char command[2048];
  snprintf(command, sizeof command,
           "%s CZ_MODULE_PATH='%s' '%s' trace '%s' --batch '%s/batch.jsonl' --out '%s' --device "
           "cuda 2>&1",
           variable, modules, CZ_PROGRAM, T5, T5, under("trace.h5"));
  FILE *f = popen(command, "r");
  assert_non_null(f);
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  const int how = pclose(f);
  snprintf(want, sizeof want, "cloze: %s\n", what);
  if (!WIFEXITED(how) || WEXITSTATUS(how) != code || strcmp(text, want) != 0)
    fail_msg("%s: %d, not exit code %d; it said '%s', not '%s'", command, how, code, text, want);
  assert_int_not_equal(access(under("trace.h5"), F_OK), 0);
}

static void cards(void **state) {
  static const struct {
    const char *card, *why;
  } faults[] = {
      {"driver=0", "there is no NVIDIA driver: libcuda.so.1 was not found (nvidia-smi says whether "
                   "one is installed; a container has to be given it)"},
      {"driver=12040",
       "the NVIDIA driver is too old: it is for CUDA 12.4, this module needs one for 13.0"},
      {"cards=0", "there is no NVIDIA card"},
      {"cards=0 CUDA_VISIBLE_DEVICES=7", "there is no NVIDIA card: CUDA_VISIBLE_DEVICES is 7"},
      {"major=7,minor=5", "the Fake H100 is too old: it has compute capability 7.5, 8.0 is needed"},
      {"library=120600", "cuda: cuBLASLt has version 12, this module was built with 13"}};
  for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
    char variable[100], what[2048];
    snprintf(variable, sizeof variable, "FAKE_CARD=%s", faults[i].card);
    snprintf(what, sizeof what, "device cuda: " FAKE "/libcloze_cuda.so: %s", faults[i].why);
    says(FAKE, variable, 2, what);
  }
}

static void small_card(void **state) {
  says(FAKE, "FAKE_CARD=memory=1000", 1,
       "cuda: 45248 bytes are wanted; 1000 of the 1000 bytes of the Fake H100 are free\n"
       "  (0.0 MB for parameters)");
}

static void modules(void **state) {
  static const char built[] = "device cuda: " STUB "/libcloze_cuda.so: it was built for ";
  char what[2048];
  snprintf(what, sizeof what, "%sversion 10 of modules, the program has version 4", built);
  says(STUB, "STUB=version", 2, what);
  says(CZ_STUB_FOLDERS "/no", "", 2,
       "device cuda: " CZ_STUB_FOLDERS
       "/no/libcloze_cuda.so: this is no module: it has no cz_module_device");
  says(CZ_MODULE_FOLDERS "/nowhere", "", 2,
       "device cuda: there is no CUDA module: libcloze_cuda.so was looked for in " CZ_MODULE_FOLDERS
       "/nowhere");
  says(CZ_MODULE_FOLDERS "/needy", "CUDA_HOME=", 2,
       "device cuda: libcublasLt.so.99: cannot open shared object file: No such file or directory. "
       "libcloze_cuda.so needs it; besides where the loader looks it was looked for in "
       "$CUDA_HOME/lib64, /usr/local/cuda*/lib64, "
       "$VIRTUAL_ENV/lib/python3*/site-packages/nvidia/*/lib, "
       "$HOME/.local/lib/python3*/site-packages/nvidia/*/lib, "
       "/usr/local/lib/python3*/*-packages/nvidia/*/lib. Install NVIDIA's cuBLAS of this version, "
       "or name its folder in LD_LIBRARY_PATH");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(cards), cmocka_unit_test(small_card),
                                     cmocka_unit_test(modules)};
  return cmocka_run_group_tests_name("cuda faults", tests, make_folder, drop_folder);
}
