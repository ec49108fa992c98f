/* Plans by the real cuDNN, where it is installed, for cards that are not there: cuDNN takes a
 * card's properties for the card, finds the engine, compiles its kernel and says how much workspace
 * it wants. Only a run needs a card. */
#include "common/common.h"
#include "cuda/cudnn.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

/* A program that knows of no libraries besides the loader's. */
static const char *asked;

static bool no_library(const char *file) {
  asked = file;
  return false;
}

static void no_places(char *text, size_t n) { snprintf(text, n, "/here, /there"); }

static const cz_host_api program = {.library = no_library, .places = no_places};
const cz_host_api *cz_host = &program;

static cz_cudnn_library library;

static void missing(void **state) {
  static const char none[] = "libcudnn_none.so.9";
  cz_cudnn_library found;
  char why[1024], *given = getenv("CZ_CUDNN");
  if (given) given = strdup(given);
  unsetenv("CZ_CUDNN");
  assert_false(cz_cudnn_library_open(&found, none, why, sizeof why));
  assert_string_equal(asked, none);
  assert_string_equal(
      why, "attention by cuDNN needs libcudnn_none.so.9: libcudnn_none.so.9: cannot open shared "
           "object file: No such file or directory. Besides where the loader looks it was looked "
           "for in /here, /there. NVIDIA's package nvidia-cudnn-cu13 has it; CZ_CUDNN names "
           "another file");
  if (given) assert_int_equal(setenv("CZ_CUDNN", given, 1), 0);
  free(given);
}

/* False, with why, where there is no cuDNN. */
static bool there(void) {
  char why[1024];
  if (cz_cudnn_library_open(&library, CZ_CUDNN_FILE, why, sizeof why)) return true;
  print_message("%s\n", why);
  return false;
}

/* A real driver serves as well. */
static int load(void **state) {
  return !dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL) &&
         !dlopen(CZ_DRIVER, RTLD_NOW | RTLD_GLOBAL);
}

/* What cudaGetDeviceProperties says of an H100 and of an A100. */
static cudnnBackendDescriptor_t card(int capability) {
  char text[1024];
  const bool hopper = capability >= 900;
  const int shared = hopper ? 232448 : 166912;
  cudnnBackendDescriptor_t d;
  snprintf(text, sizeof text,
           "{\"cudaDeviceId\": 0, \"deviceVer\": %d, \"driverVer\": 13000, \"totalGlobalMem\": "
           "85899345920, \"maxGridSize\": [2147483647, 65535, 65535], \"maxBlockSize\": [1024, "
           "1024, 64], \"regsPerBlock\": 65536, \"multiProcessorCount\": %d, \"warpSize\": 32, "
           "\"maxSharedMemoryPerBlock\": 49152, \"maxSharedMemoryPerBlockOptin\": %d, "
           "\"reservedSharedMemoryPerBlock\": 1024, \"maxRegistersPerSM\": 65536, "
           "\"maxCtasPerSM\": 32, \"maxThreadsPerBlock\": 1024, \"maxThreadsPerSM\": 2048, "
           "\"pciDeviceId\": 0, \"isTccDriver\": 0, \"supportCoopLaunch\": 1, \"smClockRateKHz\": "
           "1980000, \"memClockRateKHz\": 2619000, \"l2CacheSize\": 52428800, \"deviceName\": "
           "\"a card\"}",
           capability, hopper ? 132 : 108, shared);
  assert_int_equal(library.BackendCreateDescriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR, &d), 0);
  assert_int_equal(library.BackendSetAttribute(d, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION,
                                               CUDNN_TYPE_CHAR, (int64_t)strlen(text), text),
                   0);
  assert_int_equal(library.BackendFinalize(d), 0);
  return d;
}

/* The workspace of a plan; 0, with why, when there is none. */
static size_t plan(char *why, size_t n, int capability, const cz_cudnn_shape *shape) {
  cz_cudnn_plan p;
  const cz_cudnn_place place = {.properties = card(capability)};
  cz_cudnn_plan_make(&p, &library, &place, shape);
  const size_t bytes = p.plan ? p.workspace + 1 : 0;
  snprintf(why, n, "%s", p.why);
  cz_cudnn_plan_free(&p, &library);
  assert_int_equal(library.BackendDestroyDescriptor(place.properties), 0);
  return bytes;
}

/* Encoders, language models and cross-attention; each kind of head that the op takes. Backward
 * keeps dS of 16 bits and no more than that and a bit. */
static void plans(void **state) {
  static const cz_cudnn_shape shapes[] = {
      {16, 256, 256, 16, 64, CZ_BF16, false, false}, {16, 256, 256, 16, 64, CZ_BF16, false, true},
      {4, 128, 512, 12, 64, CZ_F16, false, true},    {1, 1024, 1024, 12, 64, CZ_BF16, true, false},
      {1, 1024, 1024, 12, 64, CZ_BF16, true, true},  {3, 64, 64, 3, 8, CZ_F16, true, false},
      {3, 64, 64, 3, 8, CZ_F16, true, true},         {2, 192, 64, 2, 256, CZ_BF16, false, true}};
  if (!there()) skip();
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
    const cz_cudnn_shape *s = &shapes[i];
    char why[400];
    const size_t bytes = plan(why, sizeof why, 900, s);
    const int64_t square = s->segments * s->heads * ((s->queries + 127) / 128 * 128) *
                           ((s->keys + 127) / 128 * 128) * 2;
    if (!bytes) fail_msg("plan %zu: %s", i, why);
    if ((int64_t)bytes > (s->backward ? square + square / 64 : 0) + (1 << 20))
      fail_msg("plan %zu wants %zu bytes of workspace", i, bytes - 1);
  }
}

/* What the op's documents say that cuDNN cannot. */
static void refusals(void **state) {
  static const struct {
    int capability;
    cz_cudnn_shape shape;
  } rows[] = {{800, {4, 64, 64, 2, 64, CZ_BF16, false, true}},
              {1000, {4, 64, 64, 2, 64, CZ_BF16, false, true}},
              {900, {4, 64, 64, 2, 12, CZ_BF16, false, false}},
              {900, {4, 64, 64, 2, 12, CZ_BF16, false, true}},
              {900, {4, 64, 64, 2, 264, CZ_BF16, false, true}}};
  if (!there()) skip();
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char why[400];
    if (plan(why, sizeof why, rows[i].capability, &rows[i].shape))
      fail_msg("row %zu has a plan", i);
    if (!strstr(why, "no engine of cuDNN computes it")) fail_msg("row %zu: %s", i, why);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(missing), cmocka_unit_test(plans),
                                     cmocka_unit_test(refusals)};
  return cmocka_run_group_tests_name("cudnn plans", tests, load, NULL);
}
