/* The count mode counts what is known of the kernels of counted.cu. */
#include "emulator/counted.h"
#include "kernels/common/launch.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
extern "C" {
#include "common/common.h"
}

enum { N = 2048 };

void cz_cuda_launched(void *stream, const char *kernel, int error) { assert_int_equal(error, 0); }
void *cz_cuda_stream_of(void *stream) { return stream; }

static float *x, *y;

static int make_arrays(void **state) {
  static float numbers[N];
  cudaMalloc((void **)&x, sizeof numbers);
  cudaMalloc((void **)&y, sizeof numbers);
  return cudaMemcpy(x, numbers, sizeof numbers, cudaMemcpyHostToDevice) != cudaSuccess;
}

static int drop_arrays(void **state) {
  cudaFree(x);
  return cudaFree(y) != cudaSuccess;
}

static void check_number(const char *what, const char *which, uint64_t got, uint64_t want) {
  if (got != want) fail_msg("%s: %s are %zu, not %zu", what, which, (size_t)got, (size_t)want);
}

static const emu_counts *counts_of_one(const char *kernel) {
  const emu_counts *c = emu_counts_of(kernel);
  assert_null(emu_take_error());
  assert_non_null(c);
  assert_int_equal(c->launches, 1);
  return c;
}

static void check_case(const counted *k) {
  assert_true(emu_begin_counting());
  k->run(y, x);
  const emu_counts *c = counts_of_one("counted");
  const emu_traffic *t = &c->traffic[k->kind];
  check_number(k->what, "requests", t->requests, k->traffic.requests);
  check_number(k->what, "lanes", t->lanes, k->traffic.lanes);
  check_number(k->what, "bytes", t->bytes, k->traffic.bytes);
  check_number(k->what, "moved", t->moved, k->traffic.moved);
  check_number(k->what, "least", t->least, k->traffic.least);
  check_number(k->what, "bytes to be read", c->read_bytes, k->read_bytes);
  check_number(k->what, "bytes to be written", c->written_bytes, k->written_bytes);
  emu_end_counting();
}

/* In every order of threads the same. */
static void test_cases(void **state) {
  for (int order = 0; order < EMU_ORDERS; order++) {
    emu_set_order((emu_order)order, test_seed());
    for (size_t i = 0; i < n_counted; i++) check_case(&counted_cases[i]);
  }
}

static void test_events(void **state) {
  assert_true(emu_begin_counting());
  counted_products(y);
  const emu_counts *c = counts_of_one("counted");
  check_number("products", "mma", c->events[EMU_COUNT_MMA], 2 * 2 * 3);
  check_number("products", "shuffles", c->events[EMU_COUNT_SHUFFLE], 2 * 2 * 5);
  check_number("products", "votes", c->events[EMU_COUNT_VOTE], 2 * 2);
  check_number("products", "barriers", c->events[EMU_COUNT_BARRIER], 0);
  check_number("products", "blocks", c->blocks, 2);
  check_number("products", "threads", c->threads, 128);
  check_number("products", "shared bytes", c->shared_bytes, 0);
  assert_int_equal(c->grid[0], 2);
  assert_int_equal(c->block[0], 64);
  emu_end_counting();
}

static const counted *named(const char *what) {
  for (size_t i = 0; i < n_counted; i++)
    if (!strcmp(counted_cases[i].what, what)) return &counted_cases[i];
  fail_msg("no case %s", what);
  return nullptr;
}

/* What a reader makes of the numbers. */
static void test_ratios(void **state) {
  emu_begin_counting();
  named("every second")->run(y, x);
  assert_true(emu_efficiency(counts_of_one("counted"), EMU_GLOBAL_LOAD, EMU_GLOBAL_LOAD) == 0.5);
  assert_true(emu_conflict_factor(emu_counts_of("counted")) == 1);
  emu_begin_counting();
  named("a few lanes")->run(y, x);
  assert_true(emu_mean_lanes(counts_of_one("counted")) == 8);
  emu_begin_counting();
  named("a warp and eight")->run(y, x);
  assert_true(emu_mean_lanes(counts_of_one("counted")) == 20);
  emu_begin_counting();
  named("transposed")->run(y, x);
  assert_true(emu_conflict_factor(counts_of_one("counted")) == (1024. + 32) / 64); /* with stores */
  emu_begin_counting();
  named("one word")->run(y, x);
  assert_int_equal(counts_of_one("counted")->events[EMU_COUNT_SYNCWARP], 1);
  emu_begin_counting();
  named("read twice")->run(y, x);
  const emu_counts *c = counts_of_one("counted");
  assert_true(c->events[EMU_COUNT_BARRIER] == 4);
  assert_true(emu_loaded_bytes(c) == 2 * c->read_bytes);
  assert_true(emu_stored_bytes(c) == c->written_bytes);
  emu_begin_counting();
  named("copies read")->run(y, x);
  assert_int_equal(counts_of_one("counted")->events[EMU_COUNT_COPY], 2);
  assert_int_equal(emu_counts_of("counted")->shared_bytes, 1024);
  emu_end_counting();
}

/* Races are looked for again when counting has ended; what is counted adds up over launches. */
static void test_modes(void **state) {
  emu_begin_counting();
  named("4 bytes")->run(y, x);
  named("4 bytes")->run(y, x);
  const emu_counts *c = emu_counts_of("counted");
  assert_int_equal(c->launches, 2);
  assert_int_equal(c->traffic[EMU_GLOBAL_LOAD].moved, 8);
  assert_int_equal(c->read_bytes, 256);
  emu_end_counting();
  named("4 bytes")->run(y, x);
  assert_int_equal(emu_counts_of("counted")->launches, 2);
  assert_null(emu_counts_of("another"));
  assert_null(emu_take_error());
}

/* The text of the file; freed by the caller. */
static char *read_text(const char *path) {
  char *text = (char *)calloc(1, 1 << 20);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
  fclose(f);
  return text;
}

/* Lines name the kernel's source, also where the device's language made the access. */
static void test_report(void **state) {
  emu_begin_counting();
  named("either")->run(y, x);
  assert_true(emu_write_counts(under("counts.jsonl")));
  assert_false(emu_write_counts(under("no/such/folder")));
  char *text = read_text(under("counts.jsonl"));
  assert_non_null(strstr(text, "{\"kernel\":\"counted\",\"launches\":1,\"blocks\":1,"));
  assert_non_null(strstr(text, "\"global_load\":{\"requests\":2,\"lanes\":32,\"bytes\":512,"));
  int lines = 0;
  for (const char *at = text; (at = strstr(at, "\"line\":\"counted.cu:")); at++) lines++;
  assert_int_equal(lines, 3);
  assert_int_equal(text[strlen(text) - 1], '\n');
  free(text);
  emu_end_counting();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cases), cmocka_unit_test(test_events), cmocka_unit_test(test_ratios),
      cmocka_unit_test(test_modes),
      cmocka_unit_test_setup_teardown(test_report, make_folder, drop_folder)};
  return cmocka_run_group_tests_name("counts", tests, make_arrays, drop_arrays);
}
