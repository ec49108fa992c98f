#include "graph_test.h"

#include "kernels/common/bf16.h"
#include "kernels/common/half.h"

#include <math.h>

bool smooth_models, eight_models, runs_once;

static const struct {
  const char *name;
  cz_precision precision;
  cz_dtype dtype; /* that numbers are rounded to, CZ_F64: none */
  bool wide;
} arithmetics[] = {
    [IN_REAL] = {"in f32", CZ_PRECISION_F32, CZ_F64, false},
    [IN_BF16] = {"in bf16", CZ_PRECISION_BF16, CZ_BF16, false},
    [IN_BF16_WIDE_STREAM] = {"in bf16, wide stream", CZ_PRECISION_BF16, CZ_BF16, true},
    [IN_F16] = {"in f16", CZ_PRECISION_F16, CZ_F16, false},
    [IN_F16_WIDE_STREAM] = {"in f16, wide stream", CZ_PRECISION_F16, CZ_F16, true},
    [ROUNDED_TO_BF16] = {"rounded to bf16", CZ_PRECISION_F32, CZ_BF16, false},
    [ROUNDED_TO_F16] = {"rounded to f16", CZ_PRECISION_F32, CZ_F16, false}};

/** For messages. */
const char *name_of(arithmetic how) { return arithmetics[how].name; }

/** Whether a net is run so: in 16 bits where the device has them, and CZ_TEST_DTYPES may leave out
 * what it does not name. */
bool tried_in(const char *device_name, arithmetic how) {
  const cz_precision precision = arithmetics[how].precision;
  if (precision == CZ_PRECISION_F32) return !any_name(NULL) || any_wants(CZ_F32);
  if (!any_wants(arithmetics[how].dtype)) return false;
  cz_device *device = any_open(device_name);
  const bool computes = cz_device_computes(device, cz_precision_dtype(precision, device)) == CZ_OK;
  cz_error_clear();
  any_close(&device);
  return computes;
}

/** A model of NAME's family with two blocks and odd sizes, parameters drawn from SEED. */
cz_model *tiny_model(const char *name, cz_device *device, uint64_t seed) {
  cz_model_config c;
  cz_model *m;
  OK(cz_model_config_named(&c, name));
  c.vocab_size = 37, c.d_model = 10, c.d_kv = 3, c.d_ff = 14, c.n_layers = c.n_decoder_layers = 2,
  c.n_heads = 4, c.buckets = 8, c.max_distance = 10;
  if (eight_models) c.d_kv = 8;
  if (smooth_models) c.activation = CZ_ACTIVATION_GELU_TANH;
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, seed));
  return m;
}

static int64_t random_spans(int32_t *spans, cz_rand *r, int64_t segments) {
  int32_t at = 0;
  for (int64_t b = 0; b < segments; b++) {
    spans[2 * b] = at;
    at += (int32_t)cz_rand_int(r, b == 0 ? 0 : 1,
                               MOST_TOKENS / MOST_SEGMENTS); /* one segment may be empty */
    spans[2 * b + 1] = at;
  }
  return at;
}

/** Fills B with SEGMENTS random segments that fit M; some targets do not count. With
 * GATHER the loss reads about half of the rows. */
void random_batch(batch *b, cz_rand *r, const cz_model *m, int64_t segments, bool loss_rows) {
  bool pair = m->config.family->architecture == CZ_ENCODER_DECODER;
  memset(b, 0, sizeof *b);
  cz_feed *f = &b->feed;
  int32_t V = (int32_t)m->config.vocab_size;
  *f = (cz_feed){.segments = segments,
                 .encoder.ids = b->enc,
                 .encoder.spans = b->enc_spans,
                 .decoder.ids = b->dec,
                 .decoder.spans = b->dec_spans,
                 .prefix = b->prefix,
                 .targets = b->targets};
  f->encoder.tokens = pair ? random_spans(b->enc_spans, r, segments) : 0;
  f->decoder.tokens = random_spans(b->dec_spans, r, segments);
  for (int64_t i = 0; i < f->encoder.tokens; i++) b->enc[i] = (int32_t)cz_rand_int(r, 0, V - 1);
  for (int64_t i = 0; i < f->decoder.tokens; i++) b->dec[i] = (int32_t)cz_rand_int(r, 0, V - 1);
  for (int64_t i = 0; i < segments; i++)
    b->prefix[i] = (int32_t)cz_rand_int(r, 0, b->dec_spans[2 * i + 1] - b->dec_spans[2 * i]);
  f->n_loss_rows = 0;
  for (int32_t i = 0; i < f->decoder.tokens; i++)
    if (!loss_rows || cz_rand_int(r, 0, 1)) b->loss_rows[f->n_loss_rows++] = i;
  if (loss_rows) f->loss_rows = b->loss_rows;
  int64_t counted = 0;
  for (int64_t i = 0; i < f->n_loss_rows; i++) {
    b->targets[i] = cz_rand_int(r, 0, 4) ? (int32_t)cz_rand_int(r, 0, V - 1) : -100;
    counted += b->targets[i] >= 0;
  }
  f->denominator = counted ? (double)counted : 1;
}

/** Options of a training net that fits every random batch. */
cz_net_options net_options(double dropout) {
  return (cz_net_options){.capacity_segments = MOST_SEGMENTS,
                          .capacity_encoder = MOST_TOKENS,
                          .capacity_decoder = MOST_TOKENS,
                          .train = true,
                          .dropout = dropout};
}

/** Copies the gradients of all parameters, one behind the other, without the gaps between
 * them, which a guard device has more of. */
void outcome_of_params(outcome *o, cz_params *p) {
  int64_t at = 0;
  o->n = p->count;
  o->grad = calloc((size_t)p->count + 1, sizeof *o->grad);
  assert_non_null(o->grad);
  for (size_t i = 0; i < p->n; at += p->list[i++]->count)
    OK(cz_device_read_real(p->device, o->grad + at, p->list[i]->grad, p->list[i]->count));
}

static double nearest(double x, cz_dtype dtype) {
  return dtype == CZ_BF16 ? (double)cz_bf16_rounded((float)x)
                          : (double)cz_f16_value(cz_f16_nearest(x));
}

/* Replaces the numbers of P by the nearest in 16 bits. */
static void round_param(cz_param *p, cz_device *device, cz_dtype dtype) {
  double *x = calloc((size_t)p->count, sizeof *x);
  assert_non_null(x);
  OK(cz_device_read_real(device, x, p->value, p->count));
  for (int64_t i = 0; i < p->count; i++) x[i] = nearest(x[i], dtype);
  OK(cz_device_write_real(device, p->value, x, p->count));
  free(x);
}

/** Trains one batch on a fresh model and net. */
void outcome_of_net(outcome *o, const char *device, const char *model,
                    const cz_net_options *options, const batch *b, uint64_t seed) {
  outcome_in(o, device, model, options, b, seed, IN_REAL);
}

/** The same computed as HOW says. */
void outcome_in(outcome *o, const char *device_name, const char *model,
                const cz_net_options *options, const batch *b, uint64_t seed, arithmetic how) {
  cz_device *device = any_open(device_name);
  outcome_on(o, device, model, options, b, seed, how);
  any_close(&device);
}

static cz_model *model_in(cz_device *device, const char *name, uint64_t seed, arithmetic how) {
  const cz_dtype dtype = arithmetics[how].dtype;
  cz_model *m = tiny_model(name, device, seed);
  OK(cz_model_compute(m, arithmetics[how].precision, arithmetics[how].wide));
  const bool rounds = arithmetics[how].precision == CZ_PRECISION_F32 && dtype != CZ_F64;
  for (size_t i = 0; i < m->params->n && rounds; i++)
    if (m->params->list[i]->ndim > 1) round_param(m->params->list[i], device, dtype);
  return m;
}

/* float16 has small gradients when the loss seed is large; a power of two moves no other bit. */
static double seed_of(arithmetic how) {
  return arithmetics[how].precision == CZ_PRECISION_F16 ? 1024 : 1;
}

/** The same on DEVICE. The batch runs twice unless runs_once, the second time in used memory; both
 * must agree in every bit. */
void outcome_on(outcome *o, cz_device *device, const char *model, const cz_net_options *options,
                const batch *b, uint64_t seed, arithmetic how) {
  cz_net *net;
  outcome first = {0};
  const double loss_seed = seed_of(how);
  cz_model *m = model_in(device, model, seed, how);
  OK(cz_net_create(&net, m, options));
  OK(cz_device_write_real(device, cz_graph_loss_seed(net->graph), &loss_seed, 1));
  for (int again = 0; again < (runs_once ? 1 : 2); again++) {
    cz_graph_run_options run = {.key = {.seed = seed, .step = 3, .shard = 1}, .training = true};
    OK(cz_net_feed(net, &b->feed));
    OK(cz_graph_train(net->graph, &run));
    outcome_of_params(o, m->params);
    for (int64_t i = 0; i < o->n; i++) o->grad[i] /= loss_seed;
    OK(cz_graph_read(net->graph, &o->loss, net->loss, 1));
    if (!again) first = *o;
  }
  if (!runs_once) {
    same_bits("the second run", o, &first);
    outcome_free(&first);
  }
  cz_net_destroy(&net);
  cz_model_destroy(&m);
}

/** Frees the gradient. */
void outcome_free(outcome *o) {
  free(o->grad);
  o->grad = NULL;
}

/** Every number the same and none NaN; zeros of either sign are the same number. */
void same_bits(const char *what, const outcome *got, const outcome *want) {
  if (!(got->loss == want->loss))
    fail_msg("%s: loss %.17g, not %.17g", what, got->loss, want->loss);
  assert_int_equal(got->n, want->n);
  for (int64_t i = 0; i < got->n; i++)
    if (!(got->grad[i] == want->grad[i]))
      fail_msg("%s: gradient element %lld is %.17g, not %.17g", what, (long long)i, got->grad[i],
               want->grad[i]);
}

/** The same up to TOLERANCE times the largest gradient element (at least 1 for the loss).
 * NaN fails. */
void nearly(const char *what, const outcome *got, const outcome *want, double tolerance) {
  double most = 0;
  assert_int_equal(got->n, want->n);
  if (!(fabs(got->loss - want->loss) <= tolerance * fmax(1, fabs(want->loss))))
    fail_msg("%s: loss %.17g, not %.17g", what, got->loss, want->loss);
  for (int64_t i = 0; i < got->n; i++) most = fmax(most, fabs(want->grad[i]));
  for (int64_t i = 0; i < got->n; i++)
    if (!(fabs(got->grad[i] - want->grad[i]) <= tolerance * most))
      fail_msg("%s: gradient element %lld is %.17g, not %.17g", what, (long long)i, got->grad[i],
               want->grad[i]);
}

/** Draws a parameter's values. */
void fill_param(cz_param *p, cz_device *device, cz_rand *r, double deviation) {
  double *x = calloc((size_t)p->count, sizeof *x);
  assert_non_null(x);
  for (int64_t i = 0; i < p->count; i++) x[i] = (float)(deviation * cz_rand_normal(r));
  OK(cz_device_write_real(device, p->value, x, p->count));
  free(x);
}
