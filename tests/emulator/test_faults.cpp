/* The emulator has to show every planted fault, and none where there is none: in three orders of
 * threads in the plain build, in each of them in the checking one. Sanitizers end the process:
 * there, and where the emulator itself ends it, the kernel runs in a child. */
#include "emulator/control.h"
#include "emulator/faults.h"
#include "kernels/common/launch.h"

#include <cuda_runtime_api.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
extern "C" {
#include "common/common.h"
}

enum { N = 256, ARRAY = N * (int)sizeof(float) };

typedef void (*planted)(float *y, const float *x, const float *host);

static float *host;             /* N numbers */
static struct sigaction faults; /* what is done at one, when the test does not look for it */

void cz_cuda_launched(void *stream, const char *kernel, int error) {}
void *cz_cuda_stream_of(void *stream) { return stream; }

static void give(float **p, const float *numbers) {
  assert_int_equal(cudaMalloc((void **)p, ARRAY), cudaSuccess);
  if (numbers)
    assert_int_equal(cudaMemcpyAsync(*p, numbers, ARRAY, cudaMemcpyHostToDevice, nullptr),
                     cudaSuccess);
}

/* Runs it once; the error, or null. Y gets what it wrote. */
static const char *run(planted kernel, float *y) {
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

/* ---- in a process of its own ---- */

static void run_in_child(planted kernel, int seconds, int out) {
  float y[N];
  alarm(60);
  dup2(out, STDERR_FILENO);
  sigaction(SIGSEGV, &faults, nullptr);
  emu_set_limit(seconds);
  run(kernel, y);
  _exit(0);
}

/* What a process that runs it has written when it ended by it; good until the next call. */
static const char *ending(planted kernel, int seconds) {
  static char text[1 << 16];
  int out[2], status;
  size_t n = 0;
  assert_int_equal(pipe(out), 0);
  const pid_t child = fork();
  assert_true(child >= 0);
  if (child == 0) run_in_child(kernel, seconds, out[1]);
  close(out[1]);
  for (ssize_t k; (k = read(out[0], text + n, sizeof text - 1 - n)) > 0;) n += (size_t)k;
  text[n] = 0;
  close(out[0]);
  assert_int_equal(waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? nullptr : text;
}

static void check_ending(const char *what, planted kernel, int seconds, const char *words) {
  const char *text = ending(kernel, seconds);
  if (!text) fail_msg("%s: the process has not ended by it", what);
  if (!strstr(text, words) || !strstr(text, "kernel planted: block (0,0,0) thread ("))
    fail_msg("%s: it should say '%s' and the thread, and says:\n%s", what, words, text);
}

/* ---- faults ---- */

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
  if (error && text && !strcmp(text, BY_NUMBER))
    fail_msg("%s: only numbers should be wrong, and it says: %s", f->what, error);
  if (text && strcmp(text, BY_NUMBER) && !error)
    fail_msg("%s: no error, it should say '%s'", f->what, text);
  return error || is_wrong(y, want);
}

#ifdef CZ_EMULATOR_CHECKS
static const char *text_of(const fault *f) { return f->check_text; }
static bool as_often(const fault *f, int found, int runs) {
  return found == (f->check_text ? runs : 0);
}
#else
static const char *text_of(const fault *f) { return f->plain_text; }
static bool as_often(const fault *f, int found, int runs) {
  switch (f->plain) {
  case NEVER: return found == 0;
  case ALWAYS: return found == runs;
  case SOME_ORDER: return found > 0;
  default: return true;
  }
}
#endif

static void in_order(int k) {
  emu_set_order(k < EMU_RANDOM ? (emu_order)k : EMU_RANDOM, test_seed() + (uint64_t)k);
}

static void check_fault(const fault *f) {
  const int runs = 3 + 8; /* eight random orders */
  float right[N];
  int found = 0;
#ifdef CZ_SANITIZED
  for (int k = 0; f->ending && k < EMU_ORDERS; k++) {
    in_order(k);
    check_ending(f->what, f->run, 0, f->ending);
  }
  if (f->ending) return;
#endif
  emu_set_order(EMU_ASCENDING, 0);
  const char *error = f->right ? run(f->right, right) : nullptr;
  if (error) fail_msg("%s: what should be right: %s", f->what, error);
  for (int k = 0; k < runs; k++) {
    in_order(k);
    found += shown(f, f->right ? right : nullptr, text_of(f));
  }
  if (!as_often(f, found, runs)) fail_msg("%s: shown in %d of %d runs", f->what, found, runs);
}

static void threads(void **state) {
  for (size_t i = 0; i < n_faults_of_threads; i++) check_fault(&faults_of_threads[i]);
}

static void memory(void **state) {
  for (size_t i = 0; i < n_faults_of_memory; i++) check_fault(&faults_of_memory[i]);
}

static void products(void **state) {
  for (size_t i = 0; i < n_faults_of_products; i++) check_fault(&faults_of_products[i]);
}

/* Kernels after which there is no process. */
static void endings(void **state) {
  emu_set_order(EMU_ASCENDING, 0);
  check_ending("a loop without end", run_for_ever, 1, "has taken 1 s of the processor's time");
#ifdef CZ_SANITIZED
  check_ending("a full stack", run_too_deep, 0, "stack-overflow");
#else
  check_ending("a full stack", run_too_deep, 0, "the thread's stack of");
#endif
}

/* ---- the runtime ---- */

#define REFUSES(call, error)                                                                       \
  do {                                                                                             \
    assert_int_equal(call, error);                                                                 \
    assert_int_equal(cudaGetLastError(), error);                                                   \
    assert_int_equal(cudaGetLastError(), cudaSuccess);                                             \
  } while (0)

/* Copies and fillings that leave an allocation, or take the host's memory for the card's. */
static void copies(void **state) {
  float *x, back[N + 1];
  give(&x, host);
  const cudaMemcpyKind up = cudaMemcpyHostToDevice, down = cudaMemcpyDeviceToHost,
                       inside = cudaMemcpyDeviceToDevice;
  assert_int_equal(cudaMemcpy(back, x, ARRAY, down), cudaSuccess);
  assert_memory_equal(back, host, ARRAY);
  REFUSES(cudaMemcpy(back, x, ARRAY + 1, down), cudaErrorInvalidValue);
  REFUSES(cudaMemcpy(back, x + 1, ARRAY, down), cudaErrorInvalidValue);
  REFUSES(cudaMemcpy(x + N - 1, host, 8, up), cudaErrorInvalidValue);
  REFUSES(cudaMemcpy(x - 1, host, 8, up), cudaErrorInvalidValue);
  REFUSES(cudaMemcpy(x, x + N - 1, 8, inside), cudaErrorInvalidValue);
  REFUSES(cudaMemcpy(host, back, 8, up), cudaErrorInvalidValue);
  REFUSES(cudaMemcpy(back, host, 8, down), cudaErrorInvalidValue);
  REFUSES(cudaMemsetAsync(x + 1, 0, ARRAY, nullptr), cudaErrorInvalidValue);
  REFUSES(cudaMemsetAsync(back, 0, 8, nullptr), cudaErrorInvalidValue);
  assert_int_equal(cudaMemcpy(back, x, ARRAY, down), cudaSuccess);
  assert_memory_equal(back, host, ARRAY);
  REFUSES(cudaFree(x + 1), cudaErrorInvalidValue);
  assert_int_equal(cudaFree(x), cudaSuccess);
  REFUSES(cudaFree(x), cudaErrorInvalidValue);
  REFUSES(cudaMemcpy(back, x, 8, down), cudaErrorInvalidValue);
}

int main(void) {
  float numbers[N];
  for (int i = 0; i < N; i++) numbers[i] = (float)(i * i % 97) + 0.5f;
  host = numbers;
  sigaction(SIGSEGV, nullptr, &faults);
  const struct CMUnitTest tests[] = {cmocka_unit_test(threads), cmocka_unit_test(memory),
                                     cmocka_unit_test(products), cmocka_unit_test(endings),
                                     cmocka_unit_test(copies)};
  return cmocka_run_group_tests_name("faults", tests, NULL, NULL);
}
