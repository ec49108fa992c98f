/* Steps of the loop against a computation of their own: the net's gradient of each shard,
 * taken here and added here, the normaliser counted here, the clipping and the optimizers
 * written out here in double precision. Everything that a recipe can turn on is on. */
#include "train_test.h"

#include "base/hash.h"
#include "base/log.h"
#include "device/random.h"
#include "training/loop.h"

#include <jansson.h>
#include <math.h>

enum {
  EOS = 1,
  V = 130,
  D = 128,
  STEPS = 5,
  SHARDS = 3,
  PAIRS = 150,
  BUDGET = 72,
  LEAST_FACTORED = 128
};
static const double PEAK = 0.02, DROPOUT = 0.3, Z_LOSS = 0.02, SMOOTHING = 0.15, DENOMINATOR = 37.5,
                    TOLERANCE = 1e-9;
static const double BETA1 = 0.8, BETA2 = 0.95, EPSILON = 1e-3, DECAY = 0.1, EXPONENT = 0.7,
                    THRESHOLD = 0.6;

/* Linear, two steps up, down to a quarter at the last of STEPS. */
static const double rates[STEPS] = {0.5, 1, 1, 0.625, 0.25};

/* `clip` below every gradient's norm bites, far above it does nothing. */
typedef struct recipe {
  const char *model;
  int optimizer, normalisation, mask;
  double clip;
  bool on_inputs, recompute;
} recipe;

static const recipe recipes[] = {
    {"t5-nano", CZ_OPTIMIZER_ADAFACTOR, CZ_NORMALISE_COUNTED, CZ_DROPOUT_SEGMENT, 0.1, false,
     false},
    {"t5-nano", CZ_OPTIMIZER_ADAMW, CZ_NORMALISE_PADDED, CZ_DROPOUT_TOKEN, 0.1, false, true},
    {"t5-v1_1-nano", CZ_OPTIMIZER_ADAMW_SCALE, CZ_NORMALISE_CONSTANT, CZ_DROPOUT_SEGMENT, 0.1,
     false, false},
    {"t5-v1_1-nano", CZ_OPTIMIZER_ADAFACTOR, CZ_NORMALISE_PADDED, CZ_DROPOUT_TOKEN, 1000, false,
     false},
    {"lm-nano", CZ_OPTIMIZER_ADAMW, CZ_NORMALISE_COUNTED, CZ_DROPOUT_SEGMENT, 1000, true, false},
    {"prefix-lm-nano", CZ_OPTIMIZER_ADAMW_SCALE, CZ_NORMALISE_PADDED, CZ_DROPOUT_TOKEN, 0.1, false,
     false},
    {"prefix-lm-nano", CZ_OPTIMIZER_ADAFACTOR, CZ_NORMALISE_CONSTANT, CZ_DROPOUT_SEGMENT, 0.1, true,
     false},
};

/* What the loop is given, and the copy of the model that this file trains by itself. */
typedef struct bench {
  const recipe *r;
  cz_device *device;
  cz_comm *comm;
  cz_model *model, *twin;
  cz_pairs pairs;
  cz_source source;
  cz_loop_job job;
  cz_net *net; /* of the twin */
  double *grad, *u, *a,
      *b; /* [flat] each: the batch's gradient, an update, the optimizer's two states */
  double loss, norm, smooth, rate;
  int64_t inputs, targets; /* tokens so far */
  int full;                /* batches that have no padding: a budget may happen to be met */
} bench;

static cz_model *make_model(cz_device *device, const char *name) {
  cz_model_config c;
  cz_model *m;
  OK(cz_model_config_named(&c, name));
  c.vocab_size = V, c.d_model = D, c.d_kv = 5, c.d_ff = 24, c.n_layers = c.n_decoder_layers = 1,
  c.n_heads = 3;
  c.buckets = 8, c.max_distance = 16, c.dropout = DROPOUT;
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, test_seed()));
  return m;
}

static void make_pairs(bench *b) {
  cz_stream s;
  int32_t ids[2][8];
  cz_stream_init(&s, test_seed(), "pairs of the step test", 0, 0);
  for (int i = 0; i < PAIRS; i++) {
    int64_t n[2];
    for (int side = 0; side < 2; side++) {
      n[side] = 2 + (int64_t)cz_stream_below(&s, 6);
      for (int64_t k = 0; k < n[side]; k++) ids[side][k] = 2 + (int32_t)cz_stream_below(&s, V - 2);
    }
    OK(cz_pairs_add(&b->pairs, ids[0], n[0], ids[1], n[1]));
  }
  OK(cz_source_pairs(&b->source, &b->pairs, EOS, 7));
}

static bool is_pair(const bench *b) {
  return b->model->config.family->architecture == CZ_ENCODER_DECODER;
}

static void fill_job(bench *b) {
  b->job = (cz_loop_job){
      .what = "step",
      .folder = under("run"),
      .comm = b->comm,
      .model = b->model,
      .source = &b->source,
      .layout = is_pair(b) ? CZ_LAYOUT_ENCDEC : CZ_LAYOUT_STACK,
      .seed = test_seed() + 1,
      .examples = PAIRS,
      .dropout_mask = b->r->mask,
      .batch = {.input_tokens = BUDGET,
                .target_tokens = BUDGET,
                .shards = SHARDS,
                .window = 2,
                .on_long = CZ_LONG_REFUSE},
      .optimizer = {.name = b->r->optimizer,
                    .schedule = CZ_SCHEDULE_LINEAR,
                    .learning_rate = PEAK,
                    .final_rate = 0.25,
                    .warmup_steps = 2,
                    .clip_norm = b->r->clip,
                    .beta1 = BETA1,
                    .beta2 = BETA2,
                    .epsilon = EPSILON,
                    .weight_decay = DECAY,
                    .decay_exponent = EXPONENT,
                    .clip_threshold = THRESHOLD},
      .train = {.steps = STEPS,
                .loss_normalisation = b->r->normalisation,
                .loss_denominator = DENOMINATOR,
                .z_loss = Z_LOSS,
                .label_smoothing = SMOOTHING,
                .loss_on_inputs = b->r->on_inputs,
                .recompute = b->r->recompute,
                .checkpoint_seconds = 1e9,
                .log_steps = 1,
                .nonfinite_limit = 1},
  };
}

static void open_bench(bench *b, const recipe *r) {
  *b = (bench){.r = r};
  OK(cz_device_open(&b->device, "ref"));
  OK(cz_comm_open(&b->comm, "self"));
  b->model = make_model(b->device, r->model);
  b->twin = make_model(b->device, r->model);
  make_pairs(b);
  fill_job(b);
  cz_net_options o = {.capacity_segments = BUDGET,
                      .capacity_encoder = BUDGET,
                      .capacity_decoder = 2 * BUDGET,
                      .train = true,
                      .dropout = DROPOUT,
                      .dropout_per_token = r->mask == CZ_DROPOUT_TOKEN,
                      .z_loss = Z_LOSS,
                      .label_smoothing = SMOOTHING};
  OK(cz_net_create(&b->net, b->twin, &o));
  double **arrays[] = {&b->grad, &b->u, &b->a, &b->b};
  for (int i = 0; i < 4; i++)
    assert_non_null(*arrays[i] = calloc((size_t)b->twin->params->flat, sizeof(double)));
  remove_tree("run");
  OK(cz_fs_make_dirs(under("run")));
}

static void close_bench(bench *b) {
  free(b->grad);
  free(b->u);
  free(b->a);
  free(b->b);
  cz_net_destroy(&b->net);
  cz_source_destroy(&b->source);
  cz_pairs_free(&b->pairs);
  cz_model_destroy(&b->twin);
  cz_model_destroy(&b->model);
  cz_comm_close(&b->comm);
  cz_device_close(&b->device);
}

/* What the loss is divided by. Notes a batch that is full. */
static double denominator(bench *b, const cz_batch *batch) {
  double counted = 0;
  for (int64_t s = 0; s < SHARDS; s++)
    for (int64_t i = 0; i < batch->shards[s].decoder.tokens; i++)
      counted += batch->shards[s].targets[i] >= 0;
  double padded = is_pair(b) ? BUDGET : 2 * BUDGET; /* a stack's row holds inputs and targets */
  assert_true(counted > 0 && counted <= padded && counted != DENOMINATOR);
  b->full += counted == padded;
  return b->r->normalisation == CZ_NORMALISE_COUNTED  ? counted
         : b->r->normalisation == CZ_NORMALISE_PADDED ? padded
                                                      : DENOMINATOR;
}

/* The loss of the batch and its gradient: the sums of the shards', each under masks of
 * its own, divided at the end. */
static void differentiate(bench *b, const cz_batch *batch, uint32_t step) {
  const int64_t flat = b->twin->params->flat;
  double by = denominator(b, batch), squares = 0;
  b->loss = 0;
  memset(b->grad, 0, (size_t)flat * sizeof *b->grad);
  for (uint32_t s = 0; s < SHARDS; s++) {
    const cz_shard *d = &batch->shards[s];
    double loss;
    cz_feed f = {.segments = d->segments,
                 .encoder.tokens = d->encoder.tokens,
                 .decoder.tokens = d->decoder.tokens,
                 .n_loss_rows = d->decoder.tokens,
                 .encoder.ids = d->encoder.ids,
                 .encoder.spans = d->encoder.spans,
                 .decoder.ids = d->decoder.ids,
                 .decoder.spans = d->decoder.spans,
                 .prefix = d->prefix,
                 .targets = d->targets,
                 .denominator = 1};
    cz_graph_run_options run = {
        .key = {.seed = b->job.seed ^ cz_hash_text("step"), .step = step, .shard = s},
        .training = true};
    OK(cz_net_feed(b->net, &f));
    OK(cz_graph_train(b->net->graph, &run));
    OK(cz_graph_read(b->net->graph, &loss, b->net->loss, 1));
    b->loss += loss / by;
    for (int64_t i = 0; i < flat; i++)
      b->grad[i] += ((const double *)b->twin->params->grads)[i] / by;
  }
  for (int64_t i = 0; i < flat; i++) squares += b->grad[i] * b->grad[i];
  b->norm = sqrt(squares);
}

static double rms(const double *x, int64_t n) {
  double squares = 0;
  for (int64_t i = 0; i < n; i++) squares += x[i] * x[i] / (double)n;
  return sqrt(squares);
}

/* Shazeer and Stern 2018, algorithm 4, with mesh-tensorflow's constants; steps count from
 * 0. R and C are means over columns and rows, or R is V. */
static void adafactor(const cz_param *p, double *w, const double *g, double *u, double *r,
                      double *c, int step, double rate) {
  const double kept = 1 - pow(step + 1, -EXPONENT);
  const int64_t rows = p->dim[0], columns = p->ndim == 2 ? p->dim[1] : 1;
  if (p->ndim == 2 && rows >= LEAST_FACTORED && columns >= LEAST_FACTORED) {
    double mean = 0;
    for (int64_t i = 0; i < rows; i++) r[i] *= kept;
    for (int64_t j = 0; j < columns; j++) c[j] *= kept;
    for (int64_t i = 0; i < p->count; i++) {
      double q = (1 - kept) * (g[i] * g[i] + 1e-30);
      r[i / columns] += q / (double)columns;
      c[i % columns] += q / (double)rows;
    }
    for (int64_t i = 0; i < rows; i++) mean += r[i] / (double)rows;
    for (int64_t i = 0; i < p->count; i++)
      u[i] = g[i] / sqrt(r[i / columns] * c[i % columns] / mean);
  } else {
    for (int64_t i = 0; i < p->count; i++) {
      r[i] = kept * r[i] + (1 - kept) * (g[i] * g[i] + 1e-30);
      u[i] = g[i] / sqrt(r[i]);
    }
  }
  double scale = rate * fmax(1e-3, rms(w, p->count)) / fmax(1, rms(u, p->count) / THRESHOLD);
  for (int64_t i = 0; i < p->count; i++) w[i] -= scale * u[i];
}

/* Loshchilov and Hutter 2019, algorithm 2; steps count from 1; only matrices decay. */
static void adamw(const cz_param *p, double *w, const double *g, double *m, double *v, int step,
                  double rate, bool scaled) {
  const double scale = scaled ? fmax(1e-3, rms(w, p->count)) : 1, decay = p->ndim == 2 ? DECAY : 0;
  for (int64_t i = 0; i < p->count; i++) {
    m[i] = BETA1 * m[i] + (1 - BETA1) * g[i];
    v[i] = BETA2 * v[i] + (1 - BETA2) * g[i] * g[i];
    double m_hat = m[i] / (1 - pow(BETA1, step + 1)), v_hat = v[i] / (1 - pow(BETA2, step + 1));
    w[i] -= rate * (scale * m_hat / (sqrt(v_hat) + EPSILON) + decay * w[i]);
  }
}

static void step_twin(bench *b, const cz_batch *batch, int step) {
  const cz_params *params = b->twin->params;
  differentiate(b, batch, (uint32_t)step);
  b->smooth = step == 0 ? b->loss : 0.98 * b->smooth + 0.02 * b->loss;
  b->rate = PEAK * rates[step];
  b->inputs += batch->encoder_tokens;
  b->targets += batch->decoder_tokens;
  bool bites = b->r->clip < 1;
  assert_true(bites ? b->norm > 2 * b->r->clip : b->norm < 0.5 * b->r->clip);
  for (int64_t i = 0; bites && i < params->flat; i++) b->grad[i] *= b->r->clip / b->norm;
  for (size_t i = 0; i < params->n; i++) {
    const cz_param *p = params->list[i];
    const int64_t o = p->offset;
    if (b->r->optimizer == CZ_OPTIMIZER_ADAFACTOR)
      adafactor(p, p->value, b->grad + o, b->u + o, b->a + o, b->b + o, step, b->rate);
    else
      adamw(p, p->value, b->grad + o, b->a + o, b->b + o, step, b->rate,
            b->r->optimizer == CZ_OPTIMIZER_ADAMW_SCALE);
  }
}

static void expect_near(const bench *b, int step, const char *what, double got, double want) {
  if (!(fabs(got - want) <= TOLERANCE * fmax(1, fabs(want))))
    fail_msg("%s, optimizer %d, normalisation %d, step %d: %s is %.15g, should be %.15g",
             b->r->model, b->r->optimizer, b->r->normalisation, step, what, got, want);
}

/* One line of metrics.jsonl against the twin's step. */
static void check_line(const bench *b, FILE *lines, int step) {
  const struct {
    const char *name;
    double want;
  } values[] = {{"step", step + 1},
                {"loss", b->loss},
                {"smooth_loss", b->smooth},
                {"gradient_norm", b->norm},
                {"learning_rate", b->rate},
                {"input_tokens", (double)b->inputs},
                {"target_tokens", (double)b->targets}};
  char text[1024];
  assert_non_null(fgets(text, sizeof text, lines));
  json_t *line = json_loads(text, 0, NULL);
  for (size_t i = 0; i < sizeof values / sizeof *values; i++)
    expect_near(b, step, values[i].name, json_number_value(json_object_get(line, values[i].name)),
                values[i].want);
  json_decref(line);
}

static void check_weights(const bench *b) {
  for (size_t i = 0; i < b->model->params->n; i++) {
    const cz_param *p = b->model->params->list[i];
    const double *got = p->value, *want = b->twin->params->list[i]->value;
    for (int64_t k = 0; k < p->count; k++) expect_near(b, STEPS - 1, p->name, got[k], want[k]);
  }
}

static void check(const recipe *r) {
  bench b;
  cz_loop_result result;
  cz_batches *batches;
  open_bench(&b, r);
  OK(cz_loop_run(&result, &b.job));
  cz_batch_plan plan = {.layout = b.job.layout,
                        .loss_on_inputs = r->on_inputs,
                        .input_tokens = BUDGET,
                        .target_tokens = BUDGET,
                        .shards = SHARDS,
                        .window = 2,
                        .on_long = CZ_LONG_REFUSE};
  OK(cz_batches_open(&batches, &b.source, &plan, NULL));
  FILE *lines = fopen(under("run/metrics.jsonl"), "r");
  assert_non_null(lines);
  for (int step = 0; step < STEPS; step++) {
    const cz_batch *batch;
    OK(cz_batches_next(batches, &batch));
    assert_true(batch->segments > SHARDS);
    step_twin(&b, batch, step);
    check_line(&b, lines, step);
  }
  assert_true(b.full < STEPS); /* else two of the normalisations are one */
  check_weights(&b);
  expect_near(&b, STEPS - 1, "result.loss", result.loss, b.smooth);
  expect_near(&b, STEPS - 1, "result.last_loss", result.last_loss, b.loss);
  assert_true(result.steps == STEPS && result.skipped == 0 && result.input_tokens == b.inputs &&
              result.target_tokens == b.targets);
  fclose(lines);
  cz_batches_close(&batches);
  close_bench(&b);
}

static void steps(void **state) {
  for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) check(&recipes[i]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(steps)};
  cz_log_quiet(true);
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}
