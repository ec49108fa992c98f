/* Scores that float32 takes below its range: they weigh nothing beside finite ones, whichever block
 * of keys they fall into, and a query with no other score comes out as NaN. */
#include "common/common.h"
#include "kernels/attention/attention.h"
#include "kernels/common/units.h"

#include <math.h>
#include <stdlib.h>

enum { K = 8, KEYS = 4100 /* two blocks of keys and more */ };

typedef struct problem {
  float q[K], k[KEYS * K], v[KEYS * K], o[K], stats[2];
  int32_t q_spans[2], k_spans[2];
} problem;

static cz_arg array(void *data, cz_dtype dtype, int64_t rows, int64_t columns) {
  return (cz_arg){.data = data, .dtype = dtype, .ndim = 2, .dim = {rows, columns}};
}

/* Keys from `from` to `to` score 0 and have the value 1; all others score -8e40 and have 5. */
static float attend(problem *p, cz_units *units, int64_t from, int64_t to) {
  cz_attention_attr attr = {.heads = 1, .mask = CZ_ATTENTION_MASK_FULL, .scale = 1};
  for (int64_t i = 0; i < KEYS * K; i++) {
    bool finite = i / K >= from && i / K < to;
    p->k[i] = finite ? 0 : -1e20F, p->v[i] = finite ? 1 : 5;
  }
  for (int i = 0; i < K; i++) p->q[i] = 1e20F;
  p->q_spans[1] = 1, p->k_spans[1] = KEYS;
  cz_call call = {.n_in = 7, .n_out = 2, .attr = &attr, .stream = units};
  call.in[CZ_ATTENTION_Q] = array(p->q, CZ_F32, 1, K);
  call.in[CZ_ATTENTION_K] = array(p->k, CZ_F32, KEYS, K);
  call.in[CZ_ATTENTION_V] = array(p->v, CZ_F32, KEYS, K);
  call.in[CZ_ATTENTION_Q_SPANS] = array(p->q_spans, CZ_I32, 1, 2);
  call.in[CZ_ATTENTION_K_SPANS] = array(p->k_spans, CZ_I32, 1, 2);
  call.out[CZ_ATTENTION_O] = array(p->o, CZ_F32, 1, K);
  size_t bytes = cz_attention_workspace_cpu(&call, false);
  call.workspace = aligned_alloc(64, (bytes + 63) / 64 * 64), call.workspace_bytes = bytes;
  assert_non_null(call.workspace);
  cz_attention_fwd_cpu(&call);
  free(call.workspace);
  for (int i = 1; i < K; i++) assert_memory_equal(&p->o[i], &p->o[0], sizeof p->o[0]);
  return p->o[0];
}

static void check(cz_units *units) {
  static const int64_t finite[][2] = {{0, 1},    {0, 2050},    {2100, 2101}, {KEYS - 1, KEYS},
                                      {0, KEYS}, {1000, 4000}, {2040, 2060}, {4090, 4095}};
  problem *p = calloc(1, sizeof *p);
  assert_non_null(p);
  for (size_t i = 0; i < sizeof finite / sizeof *finite; i++) {
    float o = attend(p, units, finite[i][0], finite[i][1]);
    if (!(fabsf(o - 1) <= 1e-5F))
      fail_msg("finite scores at keys %lld to %lld: %g, not 1", (long long)finite[i][0],
               (long long)finite[i][1], (double)o);
  }
  assert_true(isnan(attend(p, units, 0, 0)));
  free(p);
}

static void below_range(void **state) { check(NULL); }

static void below_range_by_units(void **state) {
  char why[CZ_UNITS_TEXT] = "";
  cz_units *u = cz_units_open("auto", why, sizeof why);
  assert_non_null(u);
  bool there = cz_units_take_float32(u);
  if (there) check(u);
  cz_units_close(&u);
  assert_int_equal(there, CZ_TEST_ONEDNN);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(below_range),
                                     cmocka_unit_test(below_range_by_units)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
