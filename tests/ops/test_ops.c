/* Runs every op of kernels/ops.def through the checks of this folder: its fixed cases,
 * then fresh random ones.
 *
 * CZ_TEST_SEED replays a seed, CZ_TEST_INDEX runs one case of it, CZ_TEST_OPS=linear,norm
 * selects ops, CZ_TEST_CASES sets the random cases an op gets, CZ_TEST_SHARE=K/N takes every N-th
 * case, so that N runs of one day have each of them once, CZ_TEST_CHECKS=values,bits what is
 * checked besides values (gradient, bits, nonfinite), CZ_TEST_DEVICE and CZ_TEST_DTYPES the targets
 * (targets.c). CZ_TEST_LIST: prints each op and how many fixed cases it has, and does nothing. */
#include "common/common.h"
#include "ops_test.h"
#include "select.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { RANDOM_CASES = 24 };

static double seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* In 16 bits each target has a problem of its own. */
static void check_narrow(const problem *p) {
  for (const target *on = next_with(ref, p->op); on; on = next_with(on, p->op)) {
    problem q;
    if (!has_16_bits(on)) continue;
    if (problem_narrow(&q, p, on)) {
      check_values(&q);
      if (selected("CZ_TEST_CHECKS", "bits")) check_bits(&q);
      if (selected("CZ_TEST_CHECKS", "nonfinite")) check_nonfinite(&q);
    }
    problem_free(&q);
  }
}

static void check_case(cz_op op, int index) {
  problem p;
  if (problem_make(&p, op, test_seed(), index)) {
    check_shapes(&p);
    check_needs(&p);
    check_values(&p);
    if (selected("CZ_TEST_CHECKS", "gradient")) check_gradient(&p);
    if (selected("CZ_TEST_CHECKS", "bits")) check_bits(&p);
    if (selected("CZ_TEST_CHECKS", "nonfinite")) check_nonfinite(&p);
    check_narrow(&p);
  }
  problem_free(&p);
}

static void test_op(void **state) {
  cz_op op = (cz_op)(intptr_t)*state;
  const cz_op_row *row = cz_op_rows[op];
  now = (tally){0};
  check_row(op);
  check_bench(op, test_seed());
  assert_int_equal(now.failures, 0);
  long only = number_of("CZ_TEST_INDEX", -1);
  if (only >= 0) {
    check_case(op, (int)only);
    assert_int_equal(now.failures, 0);
    return;
  }
  int fixed = cz_op_case_table[op]->fixed,
      cases = fixed + (int)number_of("CZ_TEST_CASES", RANDOM_CASES), done = 0;
  double began = seconds();
  for (; done < cases; done++)
    if (in_share(done)) check_case(op, done);
  const bool whole = !getenv("CZ_TEST_SHARE");
  if (whole) check_optional_seen(row);
  print_message("%-14s %2d fixed and %2d random cases, %.2f s, %d derivatives; worst error %.3f of "
                "its limit (%s)\n",
                row->name, fixed, done - fixed, seconds() - began, now.differences, now.worst,
                now.where);
  if (now.not_smooth || now.not_aliased) {
    print_message(
        "%-14s skipped: central differences of %d cases with a kink, %d aliases of unlike size\n",
        row->name, now.not_smooth, now.not_aliased);
  }
  if (now.overflowing)
    print_message("%-14s %d cases with results beyond float16\n", row->name, now.overflowing);
  for (const target *on = next_with(ref, op); on; on = next_with(on, op))
    if (whole && has_16_bits(on) && now.narrow[target_number(on)] == 0)
      fail_msg("no case of %s was tried on %s", row->name, on->name);
  const bool differentiates = selected("CZ_TEST_CHECKS", "gradient") && !row->not_differentiable;
  if (whole && differentiates && now.differences == 0)
    fail_msg("no case of %s is smooth: its gradient is never compared", row->name);
  assert_int_equal(now.failures, 0);
}

/* Every target has ops, and every op a target besides ref, where all ops are asked for. */
static void coverage(void **state) {
  const char *some = getenv("CZ_TEST_OPS");
  const int bad = targets_covered();
  if (!some || !*some) assert_int_equal(bad, 0);
}

static int list(void) {
  for (int i = 0; i < CZ_OPS; i++)
    printf("%s %d\n", cz_op_rows[i]->name, cz_op_case_table[i]->fixed);
  return 0;
}

int main(void) {
  if (getenv("CZ_TEST_LIST")) return list();
  test_seed();
  struct CMUnitTest tests[CZ_OPS + 1] = {cmocka_unit_test(coverage)};
  size_t n = 1;
  for (int i = 0; i < CZ_OPS; i++) {
    if (selected("CZ_TEST_OPS", cz_op_rows[i]->name))
      tests[n++] = (struct CMUnitTest){
          .name = cz_op_rows[i]->name, .test_func = test_op, .initial_state = (void *)(intptr_t)i};
  }
  if (n == 1) {
    fprintf(stderr, "CZ_TEST_OPS names no op\n");
    return 2;
  }
  targets_open();
  if (n <= CZ_OPS) print_message("%d ops are not in CZ_TEST_OPS\n", CZ_OPS + 1 - (int)n);
  int failed = _cmocka_run_group_tests("ops", tests, n, NULL, NULL);
  targets_close();
  return failed;
}
