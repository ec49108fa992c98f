/* The emulator has to show every planted fault of faults.cu, and none where there is none: in three
 * orders of threads in the plain build, in each of them in the checking one. */
#include "emulator/control.h"
#include "emulator/faults.h"
#include "kernels/common/launch.h"

#include <cuda_runtime_api.h>
extern "C" {
#include "common/common.h"
}

enum { N = 256, ARRAY = N * (int)sizeof(float) };

static float *host; /* N numbers */

void cz_cuda_launched(void *stream, const char *kernel, int error) {}
void *cz_cuda_stream_of(void *stream) { return stream; }

static void give(float **p, const float *numbers) {
  assert_int_equal(cudaMalloc((void **)p, ARRAY), cudaSuccess);
  if (numbers)
    assert_int_equal(cudaMemcpyAsync(*p, numbers, ARRAY, cudaMemcpyHostToDevice, nullptr),
                     cudaSuccess);
}

/* Runs it once; the error, or null. Y gets what it wrote. */
static const char *run(void (*kernel)(float *, const float *, const float *), float *y) {
  float *to, *x;
  give(&to, nullptr);
  give(&x, host);
  kernel(to, x, host);
  const char *error = emu_take_error();
  memcpy(y, to, ARRAY);
  cudaFree(to);
  cudaFree(x);
  return error;
}

/* Numbers differ from what they should be; a NaN does, where one should be written. */
static bool is_wrong(const float *y, const float *want) {
  for (int i = 0; i < (want ? N : N / 2); i++) {
    if (want ? want[i] == want[i] && !(y[i] == want[i]) : y[i] != y[i]) return true;
  }
  return false;
}

static bool shown(const fault *f, const float *want, const char *text) {
  float y[N];
  const char *error = run(f->run, y);
  if (error) print_message("%-38s %s\n", f->what, error);
  if (error && text && !strstr(error, text))
    fail_msg("%s: the error should say '%s' and says: %s", f->what, text, error);
  if (text && !error) fail_msg("%s: no error, it should say '%s'", f->what, text);
  return error || is_wrong(y, want);
}

static void check_fault(const fault *f) {
  const int runs = 3 + 8; /* eight random orders */
  float right[N];
  int found = 0;
  emu_set_order(EMU_ASCENDING, 0);
  const char *error = f->right ? run(f->right, right) : nullptr;
  if (error) fail_msg("%s: what should be right: %s", f->what, error);
  for (int k = 0; k < runs; k++) {
    emu_set_order(k < EMU_RANDOM ? (emu_order)k : EMU_RANDOM, test_seed() + (uint64_t)k);
#ifdef CZ_EMULATOR_CHECKS
    found += shown(f, f->right ? right : nullptr, f->check_text);
#else
    found += shown(f, f->right ? right : nullptr, f->plain_text);
#endif
  }
#ifdef CZ_EMULATOR_CHECKS
  const bool good = found == (f->check_text ? runs : 0);
#else
  const bool good = f->plain == SOMEHOW || (f->plain == NEVER ? found == 0
                                            : f->plain == ALWAYS ? found == runs
                                                                 : found > 0);
#endif
  if (!good) fail_msg("%s: shown in %d of %d runs", f->what, found, runs);
}

static void test_faults(void **state) {
  for (size_t i = 0; i < n_faults; i++) check_fault(&faults[i]);
}

int main(void) {
  float numbers[N];
  for (int i = 0; i < N; i++) numbers[i] = (float)(i * i % 97) + 0.5f;
  host = numbers;
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_faults)};
  return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
