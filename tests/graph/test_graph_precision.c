/* Whole models in 16 bits against ref, with the same dropout masks: fused and not, recomputed,
 * guarded, with a residual stream in 16 and in 32 bits.
 *
 * How far may they be off? As far as roundings lead, and no formula says how a softmax or a norm
 * makes them larger. So a second device tells: ref with matrices that 16 bits could hold, where
 * every activation and every gradient of one is changed at random, by as much as rounding to
 * nearest would on the average. Over DRAWS of these the distance to ref has a root mean square,
 * tensor by tensor, and a device in 16 bits may be off by FACTOR times that. Of these 8, 1.4 are
 * for the roundings inside attention, probabilities and dS, which the noise leaves out and which
 * are as many again; 1.4 for the mean of six draws being what it is; and 4 for chance: where one
 * direction rules, the distance is a normal number's size, and some 10,000 are compared. One wrong
 * mask, or a missing term, is as large as the gradient itself, which is 10 to 100 times the mean.
 */
#include "base/log.h"
#include "graph_test.h"

#include <math.h>

enum { DRAWS = 6 };
static const double FACTOR = 8;
static uint64_t seed;

static const char *const models[] = {"t5-nano", "t5-v1_1-nano", "lm-nano", "prefix-lm-nano"};
enum { MODELS = sizeof models / sizeof *models };

static cz_device *ref;    /* what the noisy device is made of */
static cz_rand noise;     /* of this draw, begun anew by each run */
static uint64_t the_draw; /* its number */
static double unit;       /* roundings are that of the power of two below a number: of bfloat16
                             2^-9, of float16 2^-12 */

/* Roundings to nearest are even in +-unit of the power of two below a number, of which the number
 * is 1.44 times on the average. */
static void disturb(const cz_arg *a) {
  double *x = a->data;
  if (!x || a->dtype != CZ_F64 || a->ndim != 2) return; /* statistics have one or three */
  for (int64_t i = 0; i < cz_numel(a); i++) x[i] *= 1 + cz_rand_real(&noise, -1, 1) * unit / 1.44;
}

static void call_and_disturb(cz_op op, bool backward, const cz_call *call) {
  const cz_op_row *row = cz_op_rows[op];
  const cz_kernels *kernels = ref->kernels(ref, op, CZ_F64);
  (backward ? kernels->backward : kernels->forward)(call);
  for (int i = 0; i < row->n_out && !backward; i++) disturb(&call->out[i]);
  for (int i = 0; i < row->n_in && backward; i++)
    if (call->mode[i] && !(row->weights >> i & 1)) disturb(&call->din[i]);
}

#define CZ_OP(name)                                                                                \
  static void fwd_##name(const cz_call *call) { call_and_disturb(CZ_OP_##name, false, call); }     \
  static void bwd_##name(const cz_call *call) { call_and_disturb(CZ_OP_##name, true, call); }
#include "kernels/ops.def"
#undef CZ_OP

static const cz_kernels *noisy_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  static cz_kernels table[CZ_OPS] = {
#define CZ_OP(name) [CZ_OP_##name] = {fwd_##name, bwd_##name, NULL},
#include "kernels/ops.def"
#undef CZ_OP
  };
  const cz_kernels *near = ref->kernels(ref, op, dtype);
  if (!near) return NULL;
  if (!near->backward) table[op].backward = NULL;
  table[op].workspace = near->workspace;
  return &table[op];
}

/* A run begins by writing its step and shard: there the draw begins anew, so that two runs are the
 * same. */
static cz_status noisy_write(cz_device *d, void *to, const void *host, size_t bytes) {
  noise.state = the_draw;
  return ref->write(ref, to, host, bytes);
}

static double distance(const double *a, const double *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
  return sqrt(sum);
}

/* Root mean squares over the draws, of the loss and of each tensor, by which rounding moves what
 * ref computes. */
typedef struct expected {
  double loss, *of; /* [parameters] */
} expected;

static void expect_rounding(expected *e, const cz_params *p, const outcome *want, const char *model,
                            const cz_net_options *options, const batch *b, uint64_t key,
                            bool half) {
  cz_device noisy = *ref;
  noisy.kernels = noisy_kernels, noisy.write = noisy_write;
  unit = half ? 0x1p-12 : 0x1p-9;
  *e = (expected){.of = test_calloc(p->n, sizeof(double))};
  for (int draw = 0; draw < DRAWS; draw++) {
    outcome got;
    the_draw = seed + (uint64_t)draw;
    outcome_on(&got, &noisy, model, options, b, key, half ? ROUNDED_TO_F16 : ROUNDED_TO_BF16);
    e->loss += pow(got.loss - want->loss, 2) / DRAWS;
    int64_t at = 0;
    for (size_t i = 0; i < p->n; at += p->list[i++]->count)
      e->of[i] += pow(distance(got.grad + at, want->grad + at, p->list[i]->count), 2) / DRAWS;
    outcome_free(&got);
  }
  e->loss = sqrt(e->loss);
  for (size_t i = 0; i < p->n; i++) e->of[i] = sqrt(e->of[i]);
}

/* Tensor by tensor: GOT is as near to WANT as rounding allows; and all in all not much nearer. */
static void near_enough(const char *what, const cz_params *p, const outcome *got,
                        const outcome *want, const expected *e) {
  double all = 0, most = 0;
  int64_t at = 0;
  if (!(fabs(got->loss - want->loss) <= FACTOR * (e->loss + unit)))
    fail_msg("%s, seed %llu: loss %.9g, on ref %.9g", what, (unsigned long long)seed, got->loss,
             want->loss);
  for (size_t i = 0; i < p->n; at += p->list[i++]->count) {
    double off = distance(got->grad + at, want->grad + at, p->list[i]->count);
    if (!(off <= FACTOR * e->of[i]))
      fail_msg("%s, seed %llu: gradient of %s is off by %.3g, roundings by %.3g", what,
               (unsigned long long)seed, p->list[i]->name, off, e->of[i]);
    all += off * off, most += e->of[i] * e->of[i];
  }
  if (!(all >= 0.1 * most)) /* float32 would be a thousand times nearer */
    fail_msg("%s: off by %.3g, roundings by %.3g: is it in 16 bits?", what, sqrt(all), sqrt(most));
}

/* Every way of computing MODEL in one dtype, HALF: float16, against WANT. Where runs take long
 * there is one way: that the others have its bits test_graph_nets says. */
static void one_dtype(const char *model, const cz_params *p, const outcome *want, const batch *b,
                      const cz_net_options *o, uint64_t key, bool half) {
  static const char *const own[] = {"cpu", "guard:cpu", NULL};
  static const char *const ways[] = {"", ", not fused", ", recomputed"};
  const arithmetic kinds[] = {half ? IN_F16 : IN_BF16,
                              half ? IN_F16_WIDE_STREAM : IN_BF16_WIDE_STREAM};
  expected e;
  outcome got;
  char what[128];
  if (!tried_in(any_name("cpu"), kinds[0])) return;
  expect_rounding(&e, p, want, model, o, b, key, half);
  const char *const *on = any_devices(own);
  for (int d = 0; on[d] && (d == 0 || !runs_once); d++)
    for (int i = 0; i < (runs_once ? 2 : 6); i++) {
      cz_net_options options = *o;
      options.no_fusion = i / 2 == 1, options.recompute = i / 2 == 2;
      snprintf(what, sizeof what, "%s on %s %s%s", model, on[d], name_of(kinds[i % 2]),
               ways[i / 2]);
      outcome_in(&got, on[d], model, &options, b, key, kinds[i % 2]);
      near_enough(what, p, &got, want, &e);
      outcome_free(&got);
    }
  test_free(e.of);
}

static void one_model(const char *name, cz_rand *r) {
  cz_model *m = tiny_model(name, ref, 1);
  batch b;
  outcome want;
  random_batch(&b, r, m, runs_once ? 3 : 6, false);
  cz_net_options o = net_options(0.3);
  const uint64_t key = cz_rand_u64(r);
  outcome_in(&want, "ref", name, &o, &b, key, IN_REAL);
  for (int half = 0; half < 2; half++) one_dtype(name, m->params, &want, &b, &o, key, half);
  outcome_free(&want);
  cz_model_destroy(&m);
}

static void against_ref(void **state) {
  cz_rand r = {.state = seed};
  smooth_models = true; /* at a ReLU's kink a rounding decides about a whole gradient */
  OK(cz_device_open(&ref, "ref"));
  for (int again = 0; again < any_cases(3); again++)
    for (int i = 0; i < MODELS; i++) one_model(models[i], &r);
  cz_device_close(&ref);
  smooth_models = false;
}

/* A plan, memory of one's own for each tensor, fusions and recomputation change no bit. */
static void check_plans(const char *model, cz_rand *r, arithmetic how) {
  const char *on = any_name("cpu"), *guard = any_guard(on) ? any_guard(on) : on;
  cz_device *device;
  batch b;
  outcome want, got;
  OK(cz_device_open(&device, "ref"));
  cz_model *m = tiny_model(model, device, 1);
  random_batch(&b, r, m, 6, false);
  cz_model_destroy(&m);
  cz_device_close(&device);
  cz_net_options o = net_options(0.2);
  outcome_in(&want, on, model, &o, &b, seed, how);
  o.no_reuse = true;
  outcome_in(&got, on, model, &o, &b, seed, how);
  same_bits("no memory shared", &got, &want);
  outcome_free(&got);
  o.no_reuse = false, o.recompute = true;
  outcome_in(&got, guard, model, &o, &b, seed, how);
  same_bits("recomputed", &got, &want);
  outcome_free(&got);
  o.recompute = false, o.no_fusion = true;
  outcome_in(&got, on, model, &o, &b, seed, how);
  same_bits("not fused", &got, &want);
  outcome_free(&got);
  outcome_free(&want);
}

static void plans(void **state) {
  static const arithmetic kinds[] = {IN_BF16, IN_F16};
  cz_rand r = {.state = seed + 1};
  for (int k = 0; k < 2 && !runs_once; k++)
    for (int i = 0; i < MODELS && tried_in(any_name("cpu"), kinds[k]); i++)
      check_plans(models[i], &r, kinds[k]);
}

static const cz_kernels *half_as_bf16(cz_device *d, cz_op op, cz_dtype dtype) {
  (void)d;
  return &cz_op_rows[op]->kernels[dtype == CZ_F16 ? CZ_BF16 : dtype];
}

/* A device that has float16 is told what T5 makes of it; bf16 is not. */
static void half_is_warned_of(void **state) {
  cz_device *device;
  char text[2048] = "";
  OK(cz_device_open(&device, "cpu"));
  device->kernels = half_as_bf16;
  OK(cz_log_open(under("warnings.txt")));
  cz_model *m = tiny_model("t5-nano", device, 1);
  OK(cz_model_compute(m, CZ_PRECISION_BF16, false));
  cz_model_destroy(&m);
  m = tiny_model("t5-nano", device, 1);
  OK(cz_model_compute(m, CZ_PRECISION_F16, false));
  cz_log_close();
  FILE *f = fopen(under("warnings.txt"), "r");
  assert_non_null(f);
  text[fread(text, 1, sizeof text - 1, f)] = '\0';
  fclose(f);
  const char *first = strstr(text, "t5 in fp16: ");
  assert_non_null(first);
  assert_null(strstr(first + strlen("t5 in fp16"), " in fp16: ")); /* said once */
  cz_model_destroy(&m);
  cz_device_close(&device);
}

/* What a device lacks is said, and so is what a family can't have. */
static void refused(void **state) {
  cz_device *device;
  OK(cz_device_open(&device, "ref"));
  cz_model *m = tiny_model("t5-nano", device, 1);
  assert_int_equal(cz_model_compute(m, CZ_PRECISION_BF16, false), CZ_EUSAGE);
  assert_string_equal(cz_error_message(), "ref does not compute in bf16, it does in f64");
  cz_model_destroy(&m);
  cz_device_close(&device);
  OK(cz_device_open(&device, "cpu"));
  m = tiny_model("t5-nano", device, 1);
  assert_int_equal(cz_model_compute(m, CZ_PRECISION_F16, false), CZ_EUSAGE);
  assert_non_null(
      strstr(cz_error_message(),
             "cpu does not compute in fp16, it does in f32 and bf16; --device cuda does"));
  assert_non_null(strstr(cz_error_message(), "65504")); /* and that T5 would not like it */
  cz_error_clear();
  OK(cz_model_compute(m, CZ_PRECISION_BF16, false));
  for (size_t i = 0; i < m->params->n; i++) { /* matrices alone have copies */
    const cz_param *p = m->params->list[i];
    bool table = strstr(p->name, "relative_attention_bias") != NULL;
    assert_int_equal(p->copy != NULL, p->ndim > 1 && !table);
  }
  cz_model_destroy(&m);
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(against_ref), cmocka_unit_test(plans),
                                     cmocka_unit_test(refused),
                                     cmocka_unit_test(half_is_warned_of)};
  seed = test_seed();
  runs_once = any_name(NULL) && any_cases(3) < 3;
  cz_log_quiet(runs_once);
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
