/* The program beside its CUDA modules: what `cloze devices` says of a card, of none, and of a
 * module that cannot be loaded; and that the program itself needs nothing of NVIDIA's. */
#include "common/common.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* What COMMAND prints, both ways; static. *CODE: its exit code. */
static const char *output(const char *command, int *code) {
  static char text[1 << 16];
  char whole[2048];
  snprintf(whole, sizeof whole, "%s 2>&1", command);
  FILE *f = popen(whole, "r");
  assert_non_null(f);
  text[fread(text, 1, sizeof text - 1, f)] = 0;
  const int how = pclose(f);
  assert_true(WIFEXITED(how));
  *code = WEXITSTATUS(how);
  return text;
}

static void has(const char *command, int code, const char *what) {
  int is;
  const char *text = output(command, &is);
  if (is != code || !strstr(text, what))
    fail_msg("%s ends with %d, not %d, or '%s' is not in: %s", command, is, code, what, text);
}

static void lacks(const char *command, const char *what) {
  int is;
  const char *text = output(command, &is);
  if (is != 0 || strstr(text, what)) fail_msg("%s: %d, '%s' in: %s", command, is, what, text);
}

static void use(const char *folder) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", CZ_MODULE_FOLDERS, folder);
  assert_int_equal(setenv("CZ_MODULE_PATH", path, 1), 0);
}

static void devices(void **state) {
  use("fake");
  has(CZ_PROGRAM " devices", 0, "\nCUDA card          Fake H100\nmultiprocessors    132\n");
  has(CZ_PROGRAM " devices", 0, "\nlibraries          CUDA runtime 13.0, cuBLASLt 13.1.0");
  has(CZ_PROGRAM " devices", 0, "\nkind               Fake H100, compute 9.0, cuBLASLt 13.1.0\n");
  has(CZ_PROGRAM " devices --json", 0, "\"card\": \"Fake H100\"");
  use("nowhere");
  has(CZ_PROGRAM " devices", 0,
      "\nno CUDA card       device cuda: there is no CUDA module: libcloze_cuda.so was looked for "
      "in ");
  has(CZ_PROGRAM " devices --json", 0, "\"why\": \"device cuda: there is no CUDA module: ");
}

/* What was found of NVIDIA's libraries is said with a card and without a driver: version and file,
 * or why not. */
static void libraries(void **state) {
  char dnn[2048], blas[2048], json[4096];
  snprintf(blas, sizeof blas, "%s/fake/libcloze_cuda.so", CZ_MODULE_FOLDERS);
  snprintf(dnn, sizeof dnn, "%s/fake/libcudnn_fake.so", CZ_MODULE_FOLDERS);
  use("fake");
  assert_int_equal(setenv("CZ_CUDNN", CZ_HAVE_CUDNN ? dnn : "/nowhere/libcudnn.so.9", 1), 0);
  for (int driver = 1; driver >= 0; driver--) {
    if (!driver) assert_int_equal(setenv("FAKE_CARD", "driver=0", 1), 0);
    has(CZ_PROGRAM " devices", 0, driver ? "\nCUDA card          Fake H100\n" : "no NVIDIA driver");
    snprintf(json, sizeof json, "\ncuBLASLt           13.1.0, %s\n", blas);
    has(CZ_PROGRAM " devices", 0, json);
    snprintf(json, sizeof json,
             "  \"cublaslt\": {\n   \"version\": \"13.1.0\",\n   \"path\": \"%s\"\n  },\n", blas);
    has(CZ_PROGRAM " devices --json", 0, json);
    if (!CZ_HAVE_CUDNN) {
      has(CZ_PROGRAM " devices", 0, "\ncuDNN              none: this module was built without");
      continue;
    }
    snprintf(json, sizeof json, "\ncuDNN              9.19.0, %s\n", dnn);
    has(CZ_PROGRAM " devices", 0, json);
    snprintf(json, sizeof json,
             "  \"cudnn\": {\n   \"version\": \"9.19.0\",\n   \"path\": \"%s\"\n  }\n", dnn);
    has(CZ_PROGRAM " devices --json", 0, json);
  }
  assert_int_equal(setenv("FAKE_CARD", "driver=0,library=120300", 1), 0);
  has(CZ_PROGRAM " devices", 0,
      "/fake/libcloze_cuda.so, which is not used: cuBLASLt has version 12, this module was built "
      "with 13\n");
  assert_int_equal(unsetenv("FAKE_CARD"), 0);
  if (CZ_HAVE_CUDNN) {
    assert_int_equal(setenv("CZ_CUDNN", "/nowhere/libcudnn.so.9", 1), 0);
    has(CZ_PROGRAM " devices", 0,
        "\ncuDNN              none: attention by cuDNN: CZ_CUDNN is /nowhere/libcudnn.so.9: ");
    has(CZ_PROGRAM " devices --json", 0,
        "  \"cudnn\": {\n   \"why\": \"attention by cuDNN: CZ_CUDNN is /nowhere/libcudnn.so.9: ");
  }
  assert_int_equal(unsetenv("CZ_CUDNN"), 0);
  use("nowhere");
  has(CZ_PROGRAM " devices", 0,
      "\ncuBLASLt           none: device cuda: there is no CUDA module: libcloze_cuda.so ");
  has(CZ_PROGRAM " devices", 0,
      "\ncuDNN              none: the CUDA module cannot be used, see above\n");
}

#define MISSING                                                                                    \
  "device cuda: libcublasLt.so.99: cannot open shared object file: No such file or directory. "    \
  "libcloze_cuda.so needs it; besides where the loader looks it was looked for in "                \
  "$CUDA_HOME/lib64, /usr/local/cuda*/lib64, "

/* The library that a module stands on: what is said, and where it is found. */
static void library(void **state) {
  char folder[1024], link[1200];
  use("needy");
  assert_int_equal(unsetenv("CUDA_HOME"), 0);
  has(CZ_PROGRAM " devices", 0, "\nno CUDA card       " MISSING);
  has(CZ_PROGRAM " devices", 0, "\ncuBLASLt           none: " MISSING);
  has(CZ_PROGRAM " devices", 0,
      "LD_LIBRARY_PATH\ncuDNN              none: the CUDA module cannot be used, see above\n");
  has(CZ_PROGRAM " devices --json", 0, "  \"cublaslt\": {\n   \"why\": \"" MISSING);
  has(CZ_PROGRAM " devices --json", 0,
      "  \"cudnn\": {\n   \"why\": \"the CUDA module cannot be used, see above\"\n  }\n");
  snprintf(folder, sizeof folder, "%s", under("toolkit"));
  snprintf(link, sizeof link, "mkdir -p %s/lib64 && ln -s %s/hidden/libcublasLt.so.99 %s/lib64",
           folder, CZ_MODULE_FOLDERS, folder);
  assert_int_equal(system(link), 0);
  assert_int_equal(setenv("CUDA_HOME", folder, 1), 0);
  has(CZ_PROGRAM " devices", 0, "this is no module: it has no cz_module_device");
  assert_int_equal(unsetenv("CUDA_HOME"), 0);
}

/* Without CZ_MODULE_PATH the program finds the modules of its build folder. */
static void build_folder(void **state) {
  assert_int_equal(unsetenv("CZ_MODULE_PATH"), 0);
  if (!CZ_HAVE_MODULE)
    has(CZ_PROGRAM " devices", 0, "/../modules, LD_LIBRARY_PATH and the system's library folders");
  else if (access("/dev/nvidiactl", F_OK))
    has(CZ_PROGRAM " devices", 0, "libcloze_cuda.so: there is no NVIDIA driver");
  else
    has(CZ_PROGRAM " devices", 0, "\nCUDA card          ");
  if (CZ_HAVE_MODULE) has(CZ_PROGRAM " devices", 0, "/libcublasLt.so.13\ncuDNN              ");
}

/* Algorithms that are committed for a card are found beside the program, where it is installed and
 * in its build folder, without a variable. */
static void algorithms(void **state) {
  char command[4096], built[4096], committed[4096], found[4096];
  use("fake");
  assert_int_equal(unsetenv("CZ_CUDA_ALGORITHMS"), 0);
  assert_int_equal(setenv("XDG_CACHE_HOME", under("cache"), 1), 0);
  snprintf(command, sizeof command,
           CZ_CMAKE " --install " CZ_BINARY_DIR " --component algorithms --prefix %s",
           under("installed"));
  has(command, 0, "");
  assert_int_equal(access(under("installed/share/cloze/gpu"), F_OK), 0);
  write_text("installed/share/cloze/gpu/Fake-H100.cublaslt-130100.txt", "by hand\n");
  snprintf(command, sizeof command, "mkdir %s && cp " CZ_PROGRAM " %s", under("installed/bin"),
           under("installed/bin/cloze"));
  has(command, 0, "");
  snprintf(command, sizeof command, "%s devices", under("installed/bin/cloze"));
  has(command, 0, "/share/cloze/gpu/Fake-H100.cublaslt-130100.txt:1: this line is passed over");
  lacks(CZ_PROGRAM " devices", "this line is passed over");
  assert_non_null(realpath(CZ_PROGRAM, built));
  *strrchr(built, '/') = 0;
  strcat(built, "/../share/cloze/gpu");
  assert_non_null(realpath(built, found));
  assert_non_null(realpath(CZ_SOURCE_DIR "/experiments/results/gpu", committed));
  assert_string_equal(found, committed);
}

static void needs(void **state) {
  static const char *const names[] = {"libcuda", "libcublas", "libcudnn", "libnv", "cloze_cuda"};
  has("readelf -d " CZ_PROGRAM, 0, "NEEDED");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    lacks("readelf -d " CZ_PROGRAM, names[i]);
  if (!CZ_HAVE_MODULE) return;
  has("readelf -d " CZ_MODULE_FILE, 0, "[libcublasLt.so.");
  lacks("readelf -d " CZ_MODULE_FILE, "[libcuda.so");
  lacks("readelf -d " CZ_MODULE_FILE, "[libcudart.so");
  lacks("readelf -d " CZ_MODULE_FILE, "/usr/local");
  has("nm -D --defined-only " CZ_MODULE_FILE " | cut -d' ' -f3", 0,
      "cz_module_device\ncz_module_libraries\n");
  has("nm -D --defined-only " CZ_MODULE_FILE " | wc -l", 0, "2\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(devices), cmocka_unit_test(libraries),
                                     cmocka_unit_test(library), cmocka_unit_test(build_folder),
                                     cmocka_unit_test(needs),   cmocka_unit_test(algorithms)};
  return cmocka_run_group_tests_name("cuda program", tests, make_folder, drop_folder);
}
