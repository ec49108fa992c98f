/* The emulated module as a device: what is written is read, kernels run, and what one does wrong is
 * told with its name, where it happened. */
#include "common/common.h"
#include "base/log.h"
#include "device/device.h"
#include "kernels/add/add.h"
#include "kernels/attention/attention.h"

#include <stdio.h>
#include <stdlib.h>

enum { N = 1003 };

static const char *const names[] = {
    "emu",
    "guard:emu",
#ifdef CZ_HAVE_CHECKED /* not under sanitizers, which look at accesses themselves */
    "emu:check",
#endif
};

static float *floats(cz_device *d, int64_t n, float first) {
  float *p, *host = test_malloc((size_t)n * sizeof *host);
  for (int64_t i = 0; i < n; i++) host[i] = first + (float)i;
  OK(cz_device_alloc(d, &p, (size_t)n * sizeof *p));
  OK(d->write(d, p, host, (size_t)n * sizeof *p));
  test_free(host);
  return p;
}

static void add(cz_device *d, float *y, const float *a, const float *b, int64_t n) {
  cz_call call = {.n_in = 2, .n_out = 1, .stream = d->stream};
  const cz_kernels *k;
  call.in[0] = call.in[1] = call.out[0] = (cz_arg){.dtype = CZ_F32, .ndim = 1, .dim = {n}};
  call.in[CZ_ADD_A].data = (void *)a, call.in[CZ_ADD_B].data = (void *)b;
  call.out[0].data = y;
  OK(cz_device_kernels(d, &k, CZ_OP_add, &call, false));
  k->forward(&call);
}

static void free_all(cz_device *d, float *x, float *y) {
  cz_device_free(d, &x, N * sizeof *x);
  cz_device_free(d, &y, N * sizeof *y);
  cz_device_close(&d);
}

static void computes(void **state) {
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    cz_device *d;
    cz_device_info info;
    float first[N], second[N];
    uint64_t ticket;
    bool there;
    OK(cz_device_open(&d, names[i]));
    assert_string_equal(d->name, names[i]);
    assert_true(d->host_memory);
    assert_int_equal(d->guard_bytes > 0, !strcmp(names[i], "guard:emu"));
    OK(d->info(d, &info));
    assert_non_null(strstr(info.libraries, ", products by CBLAS"));
    float *x = floats(d, N, 1), *y = floats(d, N, 0);
    add(d, y, x, x, N);
    OK(d->failed(d));
    OK(d->read_later(d, first, y, sizeof first, &ticket));
    add(d, y, y, x, N);
    OK(d->arrived(d, ticket, true, &there));
    OK(d->read(d, second, y, sizeof second));
    for (int j = 0; j < N; j++)
      assert_true(there && first[j] == 2 * (float)(j + 1) && second[j] == 3 * (float)(j + 1));
    free_all(d, x, y);
  }
}

#ifdef CZ_HAVE_CHECKED
static void fails(void **state) {
  static const char words[] = "emu:check: cudaErrorLaunchFailure (kernel add forward: block ",
                    place[] = "add_cuda.cu";
  cz_device *d;
  float *x, *y;
  OK(cz_device_open(&d, "emu:check"));
  x = floats(d, N, 1), y = floats(d, N, 0);
  add(d, y, x + 1, x, N);
  FAILS(d->failed(d), CZ_EIO, words);
  FAILS(d->sync(d), CZ_EIO, place);
  FAILS(d->sync(d), CZ_EIO, " in the kernel add forward");
  free_all(d, x, y);
}
#endif

/* One query and one key of WIDTH numbers a head, BUCKETS of position bias. */
static void attend(cz_device *d, float *x, const int32_t *spans, int64_t width, int buckets) {
  const cz_attention_attr attr = {.heads = 1,
                                  .scale = 1,
                                  .buckets = buckets,
                                  .max_distance = 2 * buckets,
                                  .bidirectional = false};
  const cz_arg row = {.data = x, .dtype = CZ_F32, .ndim = 2, .dim = {1, width}},
               span = {.data = (void *)spans, .dtype = CZ_I32, .ndim = 2, .dim = {1, 2}};
  cz_call call = {.n_in = 7, .n_out = 2, .stream = d->stream, .attr = &attr};
  const cz_kernels *k;
  call.in[CZ_ATTENTION_Q] = call.in[CZ_ATTENTION_K] = call.in[CZ_ATTENTION_V] = row;
  call.in[CZ_ATTENTION_Q_SPANS] = call.in[CZ_ATTENTION_K_SPANS] = span;
  if (buckets > 0)
    call.in[CZ_ATTENTION_POSITION_BIAS] =
        (cz_arg){.data = x, .dtype = CZ_F32, .ndim = 2, .dim = {buckets, 1}};
  call.out[CZ_ATTENTION_O] = row;
  OK(cz_device_kernels(d, &k, CZ_OP_attention, &call, false));
  k->forward(&call);
}

/* What the op allows and no kernel of the card can do: told by name, at the launch. WORDS: null
 * where it can. */
static void attend_or_refuse(int64_t width, int buckets, const char *words) {
  static const int32_t one[2] = {0, 1};
  cz_device *d;
  int32_t *spans;
  OK(cz_device_open(&d, "emu"));
  float *x = floats(d, N, 1), *y = floats(d, N, 0);
  OK(cz_device_alloc(d, &spans, sizeof one));
  OK(d->write(d, spans, one, sizeof one));
  attend(d, x, spans, width, buckets);
  if (words)
    FAILS(d->sync(d), CZ_EIO, words);
  else
    OK(d->sync(d));
  cz_device_free(d, &spans, sizeof one);
  free_all(d, x, y);
}

static void refuses(void **state) {
  attend_or_refuse(128, 512, NULL);
  attend_or_refuse(129, 0, "attention of more than 128 numbers a head");
  attend_or_refuse(128, 514, "attention with more than 512 buckets a direction");
  assert_int_equal(setenv("CZ_EMULATOR_SHARED", "65536", 1), 0);
  attend_or_refuse(64, 0, NULL);
  attend_or_refuse(128, 0, "attention whose tiles want more shared memory than the card has");
  assert_int_equal(unsetenv("CZ_EMULATOR_SHARED"), 0);
}

/* More than CZ_EMULATOR_MEMORY says that there is: what it lacks, no other process holds. */
static void no_memory(void **state) {
  cz_device *d;
  void *p, *q;
  assert_int_equal(setenv("CZ_EMULATOR_MEMORY", "10000", 1), 0);
  OK(cz_device_open(&d, "emu"));
  FAILS(d->alloc(d, &p, 10001), CZ_ENOMEM,
        "emu: 10001 bytes are wanted; 10000 of the 10000 bytes of the emulator are free");
  OK(cz_device_alloc(d, &q, 4000));
  assert_int_equal(d->alloc(d, &p, 10000), CZ_ENOMEM);
  assert_non_null(strstr(cz_error_message(), " of the 10000 bytes of the emulator are free"));
  assert_null(strstr(cz_error_message(), "nvidia-smi"));
  cz_error_clear();
  cz_device_free(d, &q, 4000);
  assert_int_equal(unsetenv("CZ_EMULATOR_MEMORY"), 0);
  cz_device_close(&d);
}

/* A variable that is wrong keeps the device from opening, with what it takes; a right one does not,
 * nor one that is empty. */
static void environment(void **state) {
  static const struct {
    const char *name, *right[4], *wrong[6], *takes;
  } cases[] = {
      {"CZ_EMULATOR_ORDER",
       {"0", "2", "2:18446744073709551615"},
       {"3", "-1", "2:", "2:x", "1:5", "2:18446744073709551616"},
       "0, 1, 2 or 2:SEED, SEED being a whole number"},
      {"CZ_EMULATOR_MODE", {"check"}, {"counts", "1", "Check"}, "check or count"},
      {"CZ_EMULATOR_SECONDS",
       {"0", "60"},
       {"-1", "1.5", "60s", "99999999999"},
       "a whole number of seconds, 0 for any"},
      {"CZ_EMULATOR_MEMORY",
       {"1", "1000000", "/nowhere/yet"},
       {"0", "1G", "-5", "memory"},
       "a whole number of bytes above 0, or /FILE, which has one"},
      {"CZ_EMULATOR_SHARED",
       {"2048", "232448"},
       {"0", "232449", "48K", "+5"},
       "a whole number of bytes, from 1 to 232448"},
      {"CZ_EMULATOR_FAIL",
       {"add forward:1"},
       {"add forward", "add forward:0", ":1", "add forward:", "add forward:1x"},
       "NAME:N, the N-th launch of the kernel NAME, N from 1 on"},
      {"CZ_EMULATOR_EPILOGUES", {"0", "1"}, {"2", "no", "00"}, "0 or 1"},
  };
  char words[256];
  cz_device *d;
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    for (int j = 0; j < 6 && cases[i].wrong[j]; j++) {
      snprintf(words, sizeof words, "libcloze_emu.so: %s is '%s'; it takes %s", cases[i].name,
               cases[i].wrong[j], cases[i].takes);
      assert_int_equal(setenv(cases[i].name, cases[i].wrong[j], 1), 0);
      FAILS(cz_device_open(&d, "emu"), CZ_EUSAGE, words);
    }
    for (int j = 0; j < 4; j++) {
      assert_int_equal(setenv(cases[i].name, cases[i].right[j] ? cases[i].right[j] : "", 1), 0);
      OK(cz_device_open(&d, "emu"));
      cz_device_close(&d);
    }
    assert_int_equal(unsetenv(cases[i].name), 0);
  }
}

/* Accesses are seen by one of the two modules. */
static void counting(void **state) {
  cz_device *d;
  assert_int_equal(setenv("CZ_EMULATOR_MODE", "count", 1), 0);
  FAILS(cz_device_open(&d, "emu"), CZ_EUSAGE,
        "CZ_EMULATOR_MODE is 'count', and accesses are counted by emu:check alone");
#ifdef CZ_HAVE_CHECKED
  OK(cz_device_open(&d, "emu:check"));
  cz_device_close(&d);
#endif
  assert_int_equal(unsetenv("CZ_EMULATOR_MODE"), 0);
}

int main(void) {
  cz_log_quiet(true);
  const struct CMUnitTest tests[] = {cmocka_unit_test(computes),
#ifdef CZ_HAVE_CHECKED
                                     cmocka_unit_test(fails),
#endif
                                     cmocka_unit_test(refuses),     cmocka_unit_test(no_memory),
                                     cmocka_unit_test(environment), cmocka_unit_test(counting)};
  return cmocka_run_group_tests_name("emulated module", tests, NULL, NULL);
}
