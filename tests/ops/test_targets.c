/* The driver's own test, for targets in 16 bits: a device that widens bfloat16 or float16 arrays,
 * calls cpu's float32 kernels and rounds what they wrote passes every check of every op, in all
 * mixtures of dtypes that the rows take; with an error planted, it does not. */
#include "common/common.h"
#include "device/any.h"
#include "kernels/common/bf16.h"
#include "kernels/common/half.h"
#include "ops_test.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef enum fault {
  SOUND,
  TRUNCATES, /* towards zero, not to nearest */
  LOSES,     /* the last element of an array is not written */
  BEYOND,    /* one element more is */
  STATISTIC, /* what forward leaves in 32 bits has been through 16 */
  GRADIENT,  /* the gradients of weights have */
  ADDS_LATE, /* a gradient that is added to is rounded before the addition as well */
  FLUSHES,   /* what is below the smallest normal number becomes 0 */
  SATURATES  /* at the largest number, where infinity is nearest */
} fault;

static fault planted;

enum { ARRAYS = 2 * (CZ_OP_IN + CZ_OP_OUT) };

typedef struct copies { /* float32 copies of a call's arrays in 16 bits */
  int n;
  void *of[ARRAYS];
  float *copy[ARRAYS];
} copies;

static bool is_short(const cz_arg *a) { return a->dtype == CZ_BF16 || a->dtype == CZ_F16; }

static float value_at(const cz_arg *a, int64_t i) {
  const uint16_t bits = ((const uint16_t *)a->data)[i];
  return a->dtype == CZ_BF16 ? cz_bf16_value(bits) : cz_f16_value(bits);
}

static float through(float x, cz_dtype dtype) {
  return dtype == CZ_BF16 ? cz_bf16_rounded(x) : cz_f16_rounded((double)x);
}

static void widen(copies *c, cz_arg *a) {
  if (!a->data || !is_short(a)) return;
  int k = 0;
  while (k < c->n && c->of[k] != a->data) k++; /* in place: one array, one copy */
  if (k == c->n) {
    int64_t n = cz_numel(a);
    c->of[c->n] = a->data;
    c->copy[c->n++] = test_calloc((size_t)n + 1, sizeof(float));
    for (int64_t i = 0; i < n; i++) c->copy[k][i] = value_at(a, i);
  }
  a->data = c->copy[k];
  a->dtype = CZ_F32;
}

/* Towards zero: what nearest gives, or what lies below it. */
static uint16_t truncated(float x, uint16_t nearest, float value) {
  return (uint16_t)(nearest - (x == x && fabsf(value) > fabsf(x)));
}

static uint16_t narrow(float x, cz_dtype dtype) {
  const float most = dtype == CZ_BF16 ? 0x1.fep127F : (float)CZ_F16_LARGEST,
              least = dtype == CZ_BF16 ? 0x1p-126F : (float)CZ_F16_LEAST;
  if (planted == FLUSHES && fabsf(x) < least) x = 0;
  if (planted == SATURATES && fabsf(x) > most && !isinf(x)) x = copysignf(most, x);
  const uint16_t bits = dtype == CZ_BF16 ? cz_bf16_nearest(x) : cz_f16_nearest((double)x);
  return planted == TRUNCATES ? truncated(x, bits, through(x, dtype)) : bits;
}

static void write_back(const cz_arg *to, const cz_arg *from) {
  int64_t n = cz_numel(to);
  if (!to->data || !is_short(to) || n == 0) return;
  for (int64_t i = 0; i < n - (planted == LOSES); i++)
    ((uint16_t *)to->data)[i] = narrow(((const float *)from->data)[i], to->dtype);
  if (planted == BEYOND) ((uint16_t *)to->data)[n] = 0;
}

static void through_16_bits(const cz_arg *a, cz_dtype dtype) {
  for (int64_t i = 0; a->data && a->dtype == CZ_F32 && i < cz_numel(a); i++)
    ((float *)a->data)[i] = through(((float *)a->data)[i], dtype);
}

static void write_gradient(const cz_call *call, const cz_call *wide, int i) {
  cz_arg before = call->din[i];
  if (planted == ADDS_LATE && call->mode[i] == CZ_GRAD_ADD && is_short(&before))
    for (int64_t k = 0; k < cz_numel(&before); k++) {
      float old = value_at(&before, k), *sum = wide->din[i].data;
      sum[k] = old + through(sum[k] - old, before.dtype);
    }
  write_back(&call->din[i], &wide->din[i]);
  if (planted == GRADIENT && is_short(&call->in[i]))
    through_16_bits(&call->din[i], call->in[i].dtype);
}

/* What is made again of an output has to come of its rounded numbers at once: other bits else. */
static void make_from_rounded(cz_op op, const cz_call *wide, const cz_call *call) {
  const cz_op_row *row = cz_op_rows[op];
  cz_call again = *wide;
  bool any = false;
  for (int k = 0; k < row->n_in && row->recompute; k++) {
    int from = row->recompute_in[k] - 1;
    if (from >= 0 && cz_present(&call->out[from]) && is_short(&call->out[from])) {
      any = true;
      again.in[k] = wide->out[from];
      for (int64_t i = 0; i < cz_numel(&again.in[k]); i++)
        ((float *)again.in[k].data)[i] =
            through(((float *)again.in[k].data)[i], call->out[from].dtype);
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
    if (planted == STATISTIC) through_16_bits(&call->out[i], cz_call_dtype(call));
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
  if ((cz_op_rows[op]->not_differentiable && op != CZ_OP_cache_append) || op == CZ_OP_choices)
    return NULL; /* what optimizers count in has 32 bits, and so has a loss made of losses */
  return dtype == CZ_BF16 || dtype == CZ_F16 ? &table[op] : dtype == CZ_F32 ? near : NULL;
}

static void nothing(cz_device *d) {}

static cz_device *cpu, device; /* cpu's memory, and these kernels */

static const target *widened(cz_dtype dtype) {
  const target *on = ref;
  while (on->device != &device || on->dtype != dtype) on++;
  return on;
}

/* Failures of cases FIRST, FIRST + STEP ... below CASES of an op on the device; hand-made ones come
 * first. SILENT: of the first case that has any. */
static int failures(cz_op op, cz_dtype dtype, int first, int step, int cases, int silent) {
  enum { SILENT = 1000000 }; /* so many are not shown any more */
  now = (tally){.failures = silent ? SILENT : 0};
  for (int i = first; i < cases && now.failures <= SILENT; i += step) {
    problem p, q;
    if (problem_make(&p, op, test_seed(), i)) {
      if (problem_narrow(&q, &p, widened(dtype))) {
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

/* Hand-made cases, where the ends of float16 are met, in both types; random ones in one each.
 * Attention, which takes most of the time, meets no end. */
static void sound(void **state) {
  cz_op op = (cz_op)(intptr_t)*state;
  const int fixed = cz_op_case_table[op]->fixed;
  planted = SOUND;
  if (!kernels_of(widened(CZ_BF16), op)) return;
  for (cz_dtype dtype = CZ_BF16; dtype <= CZ_F16; dtype++) {
    const int step = op == CZ_OP_attention ? 2 : 1;
    assert_int_equal(failures(op, dtype, step == 2 && dtype == CZ_F16, step, fixed, false), 0);
    double worst = now.worst;
    char where[sizeof now.where];
    memcpy(where, now.where, sizeof where);
    int beyond = now.overflowing;
    assert_int_equal(failures(op, dtype, fixed + (dtype == CZ_F16), 2, fixed + 6, false), 0);
    print_message("%-14s %s: worst error %.3f of its limit (%s), %d cases beyond float16\n",
                  cz_op_rows[op]->name, cz_dtype_names[dtype], fmax(worst, now.worst),
                  now.worst > worst ? now.where : where, beyond + now.overflowing);
  }
}

static void faults_are_found(void **state) {
  enum { BOTH = CZ_I32 };
  static const struct {
    fault fault;
    cz_op op;
    int dtype;
  } plants[] = {{TRUNCATES, CZ_OP_add, BOTH},         {TRUNCATES, CZ_OP_norm, BOTH},
                {TRUNCATES, CZ_OP_dropout, BOTH},     {TRUNCATES, CZ_OP_activation, BOTH},
                {LOSES, CZ_OP_linear, BOTH},          {LOSES, CZ_OP_attention, CZ_BF16},
                {LOSES, CZ_OP_gather, BOTH},          {BEYOND, CZ_OP_dropout, BOTH},
                {BEYOND, CZ_OP_embedding, BOTH},      {STATISTIC, CZ_OP_norm, BOTH},
                {GRADIENT, CZ_OP_embedding, BOTH},    {GRADIENT, CZ_OP_label_words, CZ_BF16},
                {ADDS_LATE, CZ_OP_activation, BOTH},  {ADDS_LATE, CZ_OP_gather, BOTH},
                {STATISTIC, CZ_OP_label_words, BOTH}, {FLUSHES, CZ_OP_activation, CZ_F16},
                {FLUSHES, CZ_OP_dropout, CZ_F16},     {SATURATES, CZ_OP_activation, CZ_F16},
                {SATURATES, CZ_OP_linear, CZ_F16}};
  for (size_t i = 0; i < sizeof plants / sizeof *plants; i++) {
    planted = plants[i].fault;
#ifdef CZ_SANITIZED /* which ends the program there: found, but by somebody else */
    if (planted == BEYOND) continue;
#endif
    for (cz_dtype t = CZ_BF16; t <= CZ_F16; t++) {
      const bool tried = plants[i].dtype == (int)t || plants[i].dtype == BOTH;
      const int cases = cz_op_case_table[plants[i].op]->fixed + 6;
      if (tried && failures(plants[i].op, t, 0, 1, cases, true) == 0)
        fail_msg("fault %d in %s in %s is not found", planted, cz_op_rows[plants[i].op]->name,
                 cz_dtype_names[t]);
    }
  }
  planted = SOUND;
}

/* What the limits rest on: rounding to nearest, ties to even. */
static void roundings(void **state) {
  const double one_and = 1 + 0x1p-7;
  assert_true(rounded(1 + 0x1p-8, CZ_BF16) == 1 &&
              rounded(one_and + 0x1p-8, CZ_BF16) == 1 + 0x1p-6);
  assert_true(rounded(1 + 0x1.2p-8, CZ_BF16) == one_and && rounded(-one_and, CZ_BF16) == -one_and);
  for (cz_dtype t = CZ_F32; t <= CZ_F16; t++) {
    double u = roundoff_of(t);
    assert_true(rounded(1 + u, t) == 1 && rounded(1 + 2 * u, t) == 1 + 2 * u);
  }
}

int main(void) {
  test_seed();
  struct CMUnitTest tests[CZ_OPS + 2] = {cmocka_unit_test(roundings),
                                         cmocka_unit_test(faults_are_found)};
  size_t n = 2;
  for (int i = 0; i < CZ_OPS; i++)
    if (!cz_op_rows[i]->of_library) /* which cpu has no kernels of */
      tests[n++] = (struct CMUnitTest){
          .name = cz_op_rows[i]->name, .test_func = sound, .initial_state = (void *)(intptr_t)i};
  targets_open();
  cpu = any_open("cpu");
  device = *cpu;
  device.name = "widening", device.kernels = widening, device.close = nothing;
  target_add("widening", CZ_BF16, &device);
  target_add("widening to f16", CZ_F16, &device);
  int failed = _cmocka_run_group_tests("targets", tests, n, NULL, NULL);
  targets_close();
  any_close(&cpu);
  return failed;
}
