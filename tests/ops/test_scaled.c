/* The checks' own test: how small a fault of a kernel they see. All results of the targets' kernels
 * are multiplied by a number near 1 after they were computed; each result of each op has to be
 * found wrong in some case when it is 3 % too large in 16 bits, or 2^-10 of it in float32, and in
 * half of the cases when it is 10 %.
 *
 * Only results count that are well conditioned (check_values.c): a gradient that is 0 in exact
 * arithmetic, as that of a softmax over one key, is 0 times any number; and one that is the
 * difference of far larger numbers is their roundings.
 *
 * CZ_TEST_DEVICE, CZ_TEST_DTYPES, CZ_TEST_OPS, CZ_TEST_CASES and CZ_TEST_SHARE as in test_ops.c. */
#include "common/common.h"
#include "ops_test.h"
#include "select.h"

#include <stdio.h>
#include <string.h>

enum {
  RANDOM_CASES = 6,
  RESULTS = CZ_OP_OUT + CZ_OP_IN,
  SILENT = 1000000 /* not shown any more */
};

static const double LARGE = 1.1, SMALL = 1.03, SMALL_IN_FLOAT32 = 1 + 0x1p-10;

/* Cases of one op on one target. */
typedef struct sight {
  int had[RESULTS], small[RESULTS], large[RESULTS]; /* that have a result, and where it is seen */
} sight;

/* Results that are found wrong when all are multiplied by FACTOR; SEEN: that count. */
static uint32_t wrong_by(const problem *p, double factor, uint32_t *seen) {
  now = (tally){.failures = SILENT};
  fault_factor = factor;
  check_values(p);
  fault_factor = 1;
  *seen = now.seen;
  return now.wrong & now.seen;
}

static void look(sight *s, const problem *p, const target *on) {
  uint32_t had, large, small = wrong_by(p, has_16_bits(on) ? SMALL : SMALL_IN_FLOAT32, &had);
  large = small == had ? small : small | wrong_by(p, LARGE, &had);
  for (int i = 0; i < RESULTS; i++) {
    s->had[i] += had >> i & 1;
    s->small[i] += small >> i & 1;
    s->large[i] += large >> i & 1;
  }
}

static void look_at_case(sight *s, cz_op op, int index, const target *on) {
  problem p, q;
  if (problem_make(&p, op, test_seed(), index)) {
    if (!has_16_bits(on)) {
      look(s, &p, on);
    } else {
      if (problem_narrow(&q, &p, on)) look(s, &q, on);
      problem_free(&q);
    }
  }
  problem_free(&p);
}

static const char *name_of(const cz_op_row *row, int result) {
  return result < CZ_OP_OUT ? row->out_name[result] : row->in_name[result - CZ_OP_OUT];
}

/* Whether the op makes it and it is a real number. */
static bool is_result(const cz_op_row *row, int result) {
  return result < CZ_OP_OUT ? result < row->n_out : row->grad >> (result - CZ_OP_OUT) & 1;
}

/* Prints what was seen; the number of results that were not seen often enough. */
static int judge(const sight *s, const cz_op_row *row, const target *on) {
  int bad = 0;
  for (int i = 0; i < RESULTS; i++) {
    if (!is_result(row, i)) continue;
    const bool enough = s->small[i] > 0 && 2 * s->large[i] >= s->had[i];
    print_message("%-14s %-12s %s%-14s seen in %3d (1.1: %3d) of %3d cases%s\n", row->name,
                  on->name, i < CZ_OP_OUT ? " " : "d", name_of(row, i), s->small[i], s->large[i],
                  s->had[i], enough ? "" : ": TOO FEW");
    bad += !enough;
  }
  return bad;
}

static void scaled(void **state) {
  const cz_op op = (cz_op)(intptr_t)*state;
  const int cases = cz_op_case_table[op]->fixed + (int)number_of("CZ_TEST_CASES", RANDOM_CASES);
  int bad = 0;
  for (const target *on = next_with(ref, op); on; on = next_with(on, op)) {
    sight s = {{0}, {0}, {0}};
    for (int i = 0; i < cases; i++)
      if (in_share(i)) look_at_case(&s, op, i, on);
    bad += judge(&s, cz_op_rows[op], on);
  }
  assert_int_equal(bad, 0);
}

int main(void) {
  test_seed();
  struct CMUnitTest tests[CZ_OPS];
  size_t n = 0;
  targets_open();
  for (int i = 0; i < CZ_OPS; i++)
    if (next_with(ref, (cz_op)i) && selected("CZ_TEST_OPS", cz_op_rows[i]->name))
      tests[n++] = (struct CMUnitTest){
          .name = cz_op_rows[i]->name, .test_func = scaled, .initial_state = (void *)(intptr_t)i};
  if (n == 0) fprintf(stderr, "CZ_TEST_OPS names no op that a target has\n");
  int failed = n == 0 ? 2 : _cmocka_run_group_tests("scaled", tests, n, NULL, NULL);
  targets_close();
  return failed;
}
