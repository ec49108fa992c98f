/* The ops that use a device's matrix units, through them: in float32 by oneDNN, and in bfloat16
 * with each piece computed in float32, which is all that the units' path does but their
 * instructions. On a processor that has those, test_ops goes this way too. */
#include "common/common.h"
#include "kernels/common/units.h"
#include "ops_test.h"

enum { RANDOM_CASES = 12 };

static cz_device *in_float32, *in_bf16;

static const target *target_of(const cz_device *device) {
  const target *on = ref;
  while (on && on->device != device) on = next_with(on, CZ_OP_linear);
  return on;
}

static void check_case(cz_op op, int index) {
  problem p, q;
  if (problem_make(&p, op, test_seed(), index)) {
    if (in_float32) {
      check_values(&p);
      check_bits(&p);
      check_nonfinite(&p);
    }
    if (problem_narrow(&q, &p, target_of(in_bf16))) {
      check_values(&q);
      check_bits(&q);
      check_nonfinite(&q);
    }
    problem_free(&q);
  }
  problem_free(&p);
}

static void test_op(void **state) {
  cz_op op = (cz_op)(intptr_t)*state;
  now = (tally){0};
  for (int i = 0; i < cz_op_case_table[op]->fixed + RANDOM_CASES; i++) check_case(op, i);
  print_message("%-14s worst error %.3f of its limit (%s)\n", cz_op_rows[op]->name, now.worst,
                now.where);
  assert_int_equal(now.failures, 0);
}

static void open_targets(void) {
  targets_open();
  assert_int_equal(cz_device_open(&in_bf16, "cpu"), CZ_OK);
  cz_units_take_bf16_here(in_bf16->stream);
  target_add("cpu in bf16 as by units", CZ_BF16, in_bf16);
  assert_int_equal(cz_device_open(&in_float32, "cpu"), CZ_OK);
  if (cz_units_take_float32(in_float32->stream)) {
    target_add("cpu by oneDNN", CZ_F32, in_float32);
  } else {
    assert_false(CZ_TEST_ONEDNN);
    cz_device_close(&in_float32);
  }
}

int main(void) {
  static const cz_op ops[] = {CZ_OP_linear, CZ_OP_cross_entropy, CZ_OP_attention};
  enum { OPS = sizeof ops / sizeof *ops };
  test_seed();
  struct CMUnitTest tests[OPS];
  for (int i = 0; i < OPS; i++)
    tests[i] = (struct CMUnitTest){.name = cz_op_rows[ops[i]]->name,
                                   .test_func = test_op,
                                   .initial_state = (void *)(intptr_t)ops[i]};
  open_targets();
  int failed = cmocka_run_group_tests_name("units", tests, NULL, NULL);
  targets_close();
  return failed;
}
