/* The driver's own test, for targets in 16 bits: a device that widens bfloat16 arrays, calls cpu's
 * float32 kernels and rounds what they wrote passes every check of every op, in all mixtures of
 * dtypes that the rows take; with an error planted, it does not. */
#include "common/common.h"
#include "kernels/common/bf16.h"
#include "ops_test.h"

#include <stdlib.h>
#include <string.h>

typedef enum fault {
  SOUND,
  TRUNCATES, /* towards zero, not to nearest */
  LOSES,     /* the last element of an array is not written */
  BEYOND,    /* one element more is */
  STATISTIC, /* what forward leaves in 32 bits has been through 16 */
  GRADIENT,  /* the gradients of weights have */
  ADDS_LATE  /* a gradient that is added to is rounded before the addition as well */
} fault;

static fault planted;

enum { ARRAYS = 2 * (CZ_OP_IN + CZ_OP_OUT) };

typedef struct copies { /* float32 copies of a call's arrays in 16 bits */
  int n;
  void *of[ARRAYS];
  float *copy[ARRAYS];
} copies;

static void widen(copies *c, cz_arg *a) {
  if (!a->data || a->dtype != CZ_BF16) return;
  int k = 0;
  while (k < c->n && c->of[k] != a->data) k++; /* in place: one array, one copy */
  if (k == c->n) {
    int64_t n = cz_numel(a);
    c->of[c->n] = a->data;
    c->copy[c->n++] = test_calloc((size_t)n + 1, sizeof(float));
    for (int64_t i = 0; i < n; i++) c->copy[k][i] = cz_bf16_value(((cz_bf16 *)a->data)[i]);
  }
  a->data = c->copy[k];
  a->dtype = CZ_F32;
}

static cz_bf16 narrow(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return planted == TRUNCATES && x == x ? (cz_bf16)(bits >> 16) : cz_bf16_nearest(x);
}

static void write_back(const cz_arg *to, const cz_arg *from) {
  int64_t n = cz_numel(to);
  if (!to->data || to->dtype != CZ_BF16 || n == 0) return;
  for (int64_t i = 0; i < n - (planted == LOSES); i++)
    ((cz_bf16 *)to->data)[i] = narrow(((const float *)from->data)[i]);
  if (planted == BEYOND) ((cz_bf16 *)to->data)[n] = 0;
}

static void through_16_bits(const cz_arg *a) {
  for (int64_t i = 0; a->data && a->dtype == CZ_F32 && i < cz_numel(a); i++)
    ((float *)a->data)[i] = cz_bf16_rounded(((float *)a->data)[i]);
}

static void write_gradient(const cz_call *call, const cz_call *wide, int i) {
  cz_arg before = call->din[i];
  if (planted == ADDS_LATE && call->mode[i] == CZ_GRAD_ADD && before.dtype == CZ_BF16)
    for (int64_t k = 0; k < cz_numel(&before); k++) {
      float old = cz_bf16_value(((cz_bf16 *)before.data)[k]), *sum = wide->din[i].data;
      sum[k] = old + cz_bf16_rounded(sum[k] - old);
    }
  write_back(&call->din[i], &wide->din[i]);
  if (planted == GRADIENT && call->in[i].dtype == CZ_BF16) through_16_bits(&call->din[i]);
}

/* What is made again of an output has to come of its rounded numbers at once: other bits else. */
static void make_from_rounded(cz_op op, const cz_call *wide, const cz_call *call) {
  const cz_op_row *row = cz_op_rows[op];
  cz_call again = *wide;
  bool any = false;
  for (int k = 0; k < row->n_in && row->recompute; k++) {
    int from = row->recompute_in[k] - 1;
    if (from >= 0 && cz_present(&call->out[from]) && call->out[from].dtype == CZ_BF16) {
      any = true;
      again.in[k] = wide->out[from];
      for (int64_t i = 0; i < cz_numel(&again.in[k]); i++)
        ((float *)again.in[k].data)[i] = cz_bf16_rounded(((float *)again.in[k].data)[i]);
      again.out[from] = (cz_arg){0};
    }
    if (from == -2) again.in[k] = (cz_arg){0};
  }
  if (any) row->kernels[CZ_F32].forward(&again);
}

static void compute(cz_op op, bool backward, const cz_call *call) {
  const cz_kernels *near = &cz_op_rows[op]->kernels[CZ_F32];
  cz_call wide = *call;
  copies c = {0};
  for (int i = 0; i < CZ_OP_IN; i++) widen(&c, &wide.in[i]), widen(&c, &wide.din[i]);
  for (int i = 0; i < CZ_OP_OUT; i++) widen(&c, &wide.out[i]), widen(&c, &wide.dout[i]);
  wide.workspace_bytes = near->workspace ? near->workspace(&wide, backward) : 0;
  wide.workspace = test_calloc(wide.workspace_bytes / 64 + 1, 64);
  (backward ? near->backward : near->forward)(&wide);
  if (!backward) make_from_rounded(op, &wide, call);
  for (int i = 0; i < CZ_OP_OUT && (!backward || cz_op_rows[op]->fused_backward); i++) {
    write_back(&call->out[i], &wide.out[i]);
    if (planted == STATISTIC) through_16_bits(&call->out[i]);
  }
  for (int i = 0; i < CZ_OP_IN && backward; i++)
    if (call->mode[i] != CZ_GRAD_SKIP) write_gradient(call, &wide, i);
  test_free(wide.workspace);
  for (int k = 0; k < c.n; k++) test_free(c.copy[k]);
}

#define CZ_OP(name)                                                                                \
  static void fwd_##name(const cz_call *call) { compute(CZ_OP_##name, false, call); }              \
  static void bwd_##name(const cz_call *call) { compute(CZ_OP_##name, true, call); }
#include "kernels/ops.def"
#undef CZ_OP

static const cz_kernels *widening(cz_device *d, cz_op op, cz_dtype dtype) {
  static cz_kernels table[CZ_OPS] = {
#define CZ_OP(name) [CZ_OP_##name] = {fwd_##name, bwd_##name, NULL},
#include "kernels/ops.def"
#undef CZ_OP
  };
  const cz_kernels *near = &cz_op_rows[op]->kernels[CZ_F32];
  if (!near->backward) table[op].backward = NULL;
  if (cz_op_rows[op]->not_differentiable && op != CZ_OP_cache_append)
    return NULL; /* what optimizers count in has 32 bits */
  return dtype == CZ_BF16 ? &table[op] : dtype == CZ_F32 ? near : NULL;
}

static void nothing(cz_device *d) {}

static cz_device device = {
    .name = "widening", .real = CZ_F32, .host_memory = true, .kernels = widening, .close = nothing};

static const target *widened(void) {
  const target *on = ref;
  while (on->device != &device) on++;
  return on;
}

/* Failures of the first CASES cases of an op on the device; hand-made ones come first. */
static int failures(cz_op op, int cases, int silent) {
  enum { SILENT = 1000000 }; /* so many are not shown any more */
  now = (tally){.failures = silent ? SILENT : 0};
  for (int i = 0; i < cases; i++) {
    problem p, q;
    if (problem_make(&p, op, test_seed(), i)) {
      if (problem_narrow(&q, &p, widened())) {
        check_values(&q);
        check_bits(&q);
        check_nonfinite(&q);
      }
      problem_free(&q);
    }
    problem_free(&p);
  }
  return now.failures - (silent ? SILENT : 0);
}

static void sound(void **state) {
  cz_op op = (cz_op)(intptr_t)*state;
  planted = SOUND;
  if (!kernels_of(widened(), op)) return;
  assert_int_equal(failures(op, cz_op_case_table[op]->fixed + 6, false), 0);
  print_message("%-14s worst error %.3f of its limit (%s)\n", cz_op_rows[op]->name, now.worst,
                now.where);
}

static void faults_are_found(void **state) {
  static const struct {
    fault fault;
    cz_op op;
  } plants[] = {
      {TRUNCATES, CZ_OP_add},        {TRUNCATES, CZ_OP_norm},     {TRUNCATES, CZ_OP_dropout},
      {TRUNCATES, CZ_OP_activation}, {LOSES, CZ_OP_linear},       {LOSES, CZ_OP_attention},
      {LOSES, CZ_OP_gather},         {BEYOND, CZ_OP_dropout},     {BEYOND, CZ_OP_embedding},
      {STATISTIC, CZ_OP_norm},       {GRADIENT, CZ_OP_embedding}, {GRADIENT, CZ_OP_label_words},
      {ADDS_LATE, CZ_OP_activation}, {ADDS_LATE, CZ_OP_gather},   {STATISTIC, CZ_OP_label_words}};
  for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
    planted = plants[i].fault;
#ifdef CZ_SANITIZED /* which ends the program there: found, but by somebody else */
    if (planted == BEYOND) continue;
#endif
    if (failures(plants[i].op, cz_op_case_table[plants[i].op]->fixed + 6, true) == 0)
      fail_msg("fault %d in %s is not found", planted, cz_op_rows[plants[i].op]->name);
  }
  planted = SOUND;
}

/* What the limits rest on: rounding to nearest, ties to even. */
static void roundings(void **state) {
  const double one_and = 1 + 0x1p-7;
  assert_true(rounded(1 + 0x1p-8, CZ_BF16) == 1 &&
              rounded(one_and + 0x1p-8, CZ_BF16) == 1 + 0x1p-6);
  assert_true(rounded(1 + 0x1.2p-8, CZ_BF16) == one_and && rounded(-one_and, CZ_BF16) == -one_and);
  for (cz_dtype t = CZ_F32; t <= CZ_BF16; t++) {
    double u = roundoff_of(t);
    assert_true(rounded(1 + u, t) == 1 && rounded(1 + 2 * u, t) == 1 + 2 * u);
  }
}

int main(void) {
  test_seed();
  struct CMUnitTest tests[CZ_OPS + 2] = {cmocka_unit_test(roundings),
                                         cmocka_unit_test(faults_are_found)};
  for (int i = 0; i < CZ_OPS; i++)
    tests[i + 2] = (struct CMUnitTest){
        .name = cz_op_rows[i]->name, .test_func = sound, .initial_state = (void *)(intptr_t)i};
  targets_open();
  target_add("widening", CZ_BF16, &device);
  int failed = cmocka_run_group_tests_name("targets", tests, NULL, NULL);
  targets_close();
  return failed;
}
