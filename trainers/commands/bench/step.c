/* `cloze bench step`: training steps and plain matrix products in turns, so that speed is
 * a share of what the machine gives at that time. */
#include "base/args.h"
#include "base/clock.h"
#include "base/nearest.h"
#include "base/number.h"
#include "commands/bench/bench.h"
#include "commands/bench/pet.h"
#include "commands/bench/unwaited.h"
#include "device/probe.h"
#include "device/random.h"
#include "kernels/common/cpu.h"
#include "kernels/common/hyper.h"
#include "nn/net.h"
#include "training/feed.h"
#include "training/optimizer.h"

#include <jansson.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_STEPS = 1000, PROFILED = 3 };

typedef struct bench {
  const char *model_name, *device_name, *dtype, *optimizer_name;
  cz_precision precision;
  cz_optimizer_name optimizer_kind;
  int64_t segments, inputs, targets, steps;
  const char *task; /* null: a step of language modelling on segments of one length */
  bool json, recompute, unwaited, score;
  cz_device *device;
  cz_model *model;
  cz_net *net;     /* null with SCORE */
  cz_graph *graph; /* of what is timed */
  cz_optimizer *optimizer;
  cz_optimizer_keys keys;
  cz_product_probe *probe; /* null with UNWAITED, and where the host's products say nothing */
  cz_bench_hold hold;
  cz_bench_unwaited times;
  double waiting;   /* seconds of a step that is waited for; of UNWAITED alone */
  int64_t profiled; /* steps whose ops were timed */
  cz_flat_batch batch;
  cz_bench_pet pet;
  cz_feed feed;
  int64_t tokens, texts; /* of a step */
  double seconds[MOST_STEPS], optimizer_seconds[MOST_STEPS];
  double waited;                   /* the part of its threads' time that others had the cores */
  double ceilings[MOST_STEPS + 1]; /* rates of the products before the first step, after each */
  double began, drawing, start;    /* the command's beginning; seconds to draw parameters, and to
                                      the beginning of the first step */
} bench;

/* A key of the command line that is a number. */
typedef struct count {
  const char *name, *text, *fallback;
  int64_t *out, maximum;
} count;

static cz_status parse_count(const count *k) {
  const char *text = k->text ? k->text : k->fallback;
  if (cz_parse_int(text, k->out) == CZ_OK && *k->out >= 1 && *k->out <= k->maximum) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "%s: '%s' is not between 1 and %lld", k->name, text,
                 (long long)k->maximum);
}

/* A task has texts of its own; SIZES [n] are those of the step without one. */
static cz_status check_task(const bench *b, const count *sizes, size_t n) {
  static const char *const tasks[] = {"pet"};
  size_t i;
  if (!b->task)
    return b->score ? CZ_FAIL(CZ_EUSAGE, "--score: the texts are those of a task; --task pet")
                    : CZ_OK;
  CZ_TRY(cz_find_name(&i, "task", b->task, tasks, 1));
  for (i = 0; i < n; i++)
    if (sizes[i].text)
      return CZ_FAIL(CZ_EUSAGE,
                     "%s '%s': --task pet has texts of its own, %d of 865 tokens in all, or with "
                     "--score %d",
                     sizes[i].name, sizes[i].text, CZ_BENCH_PET_TEXTS, CZ_BENCH_PET_SCORED);
  if (b->score && (b->unwaited || b->recompute))
    return CZ_FAIL(CZ_EUSAGE, "%s is of a step that trains, and --score trains nothing",
                   b->unwaited ? "--unwaited" : "--recompute");
  return CZ_OK;
}

static cz_status parse(bench *b, int argc, char **argv) {
  enum { SIZES = 3 };
  count counts[] = {{"--segments", NULL, "8", &b->segments, 4096},
                    {"--inputs", NULL, "512", &b->inputs, 1 << 16},
                    {"--targets", NULL, "114", &b->targets, 1 << 16},
                    {"--steps", NULL, "5", &b->steps, MOST_STEPS}};
  const cz_option options[] = {{"--model", &b->model_name, NULL},
                               {"--task", &b->task, NULL},
                               {"--score", NULL, &b->score},
                               {"--device", &b->device_name, NULL},
                               {"--precision", &b->dtype, NULL},
                               {"--dtype", &b->dtype, NULL},
                               {"--segments", &counts[0].text, NULL},
                               {"--inputs", &counts[1].text, NULL},
                               {"--targets", &counts[2].text, NULL},
                               {"--steps", &counts[3].text, NULL},
                               {"--optimizer", &b->optimizer_name, NULL},
                               {"--recompute", NULL, &b->recompute},
                               {"--unwaited", NULL, &b->unwaited},
                               {"--json", NULL, &b->json}};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 0, 0, cz_bench_usage));
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) CZ_TRY(parse_count(&counts[i]));
  CZ_TRY(check_task(b, counts, SIZES));
  if (!b->model_name) b->model_name = b->task ? "roberta-base" : "t5-small";
  CZ_TRY(cz_precision_find(&b->precision, b->dtype));
  return cz_optimizer_find(&b->optimizer_kind, b->optimizer_name);
}

static cz_status add_random(cz_ids *ids, int64_t n, int64_t vocabulary, cz_stream *s) {
  for (int64_t i = 0; i < n; i++)
    CZ_TRY(cz_ids_add(ids, 3 + (int32_t)cz_stream_below(s, (uint64_t)vocabulary - 3)));
  return CZ_OK;
}

/* Segments of equal lengths with random tokens: what a step costs does not depend on
 * them. */
static cz_status make_batch(bench *b) {
  const int64_t V = b->model->config.vocab_size;
  const bool pair = b->model->config.family->architecture == CZ_ENCODER_DECODER;
  cz_flat_batch *x = &b->batch;
  cz_stream s;
  cz_stream_init(&s, 1, "bench", 0, 0);
  for (x->segments = 0; x->segments < b->segments; x->segments++) {
    size_t encoder = x->encoder.ids.len, decoder = x->decoder.ids.len;
    CZ_TRY(add_random(&x->decoder.ids, b->targets, V, &s));
    CZ_TRY(cz_token_lists_close(&x->decoder, decoder));
    CZ_TRY(add_random(&x->targets, b->targets, V, &s));
    if (!pair) continue;
    CZ_TRY(add_random(&x->encoder.ids, b->inputs, V, &s));
    CZ_TRY(cz_token_lists_close(&x->encoder, encoder));
  }
  cz_feed_flat_batch(&b->feed, x, (double)x->decoder.ids.len);
  return CZ_OK;
}

static cz_status find_config(cz_model_config *c, const bench *b) {
  if (b->task) return cz_bench_pet_config(c, b->model_name);
  CZ_TRY(cz_model_config_named(c, b->model_name));
  if (c->family->architecture == CZ_PREFIX_LM)
    return CZ_FAIL(CZ_EUSAGE, "bench step: choose an encoder-decoder or a language model");
  c->dropout = 0;
  return CZ_OK;
}

/* The net of the step and what it is fed. */
static cz_status open_net(bench *b) {
  if (b->task) {
    CZ_TRY(cz_bench_pet_train(&b->pet, &b->net, &b->feed, b->model, b->precision, b->recompute));
  } else {
    cz_net_options o = {.train = true, .recompute = b->recompute, .dropout = 0, .z_loss = 1e-4};
    CZ_TRY(make_batch(b));
    cz_flat_batch_capacities(&o, &b->batch);
    CZ_TRY(cz_net_create(&b->net, b->model, &o));
  }
  b->graph = b->net->graph;
  b->texts = b->feed.segments;
  b->tokens = b->feed.encoder.tokens + b->feed.decoder.tokens;
  return CZ_OK;
}

/* PET's keys are those of its experiments (experiments/quickstart-pet.yaml). */
static cz_status open_optimizer(bench *b) {
  b->keys = (cz_optimizer_keys){.name = (int)b->optimizer_kind,
                                .learning_rate = 1e-4,
                                .beta1 = 0.9,
                                .beta2 = 0.999,
                                .epsilon = b->task ? 1e-8 : 1e-6,
                                .weight_decay = b->task ? 0.01 : 0,
                                .clip_norm = b->task ? 1 : 0,
                                .decay_exponent = 0.8,
                                .clip_threshold = 1};
  return cz_optimizer_create(&b->optimizer, &b->keys, b->model->params);
}

static cz_status open_scorer(bench *b) {
  CZ_TRY(cz_bench_pet_open_scorer(&b->pet, b->model));
  b->graph = cz_scorer_net(b->pet.scorer)->graph;
  b->texts = (int64_t)b->pet.texts.count;
  b->tokens = b->pet.tokens;
  return CZ_OK;
}

static cz_status open_bench(bench *b) {
  cz_model_config c;
  CZ_TRY(cz_device_open(&b->device, b->device_name));
  CZ_TRY(find_config(&c, b));
  CZ_TRY(cz_model_create(&b->model, &c, b->device));
  CZ_TRY(cz_model_compute(b->model, b->precision, false));
  double began = cz_seconds();
  CZ_TRY(cz_params_init(b->model->params, 1));
  b->drawing = cz_seconds() - began;
  if (b->score) return open_scorer(b);
  CZ_TRY(open_net(b));
  return open_optimizer(b);
}

static cz_status score(bench *b, double *seconds, double *update) {
  const double began = cz_seconds();
  CZ_TRY(cz_bench_pet_score(&b->pet));
  *seconds = cz_seconds() - began;
  *update = 0;
  return CZ_OK;
}

static cz_status one_step(bench *b, int64_t step, double *seconds, double *update) {
  cz_graph_run_options run = {.key = {.seed = 1, .step = (uint32_t)step}, .training = true};
  double hyper[CZ_HYPERS], began = cz_seconds();
  if (b->score) return score(b, seconds, update);
  CZ_TRY(cz_net_feed(b->net, &b->feed));
  CZ_TRY(cz_graph_train(b->graph, &run));
  double trained = cz_seconds();
  CZ_TRY(cz_optimizer_step(b->optimizer, step, 1e-4));
  CZ_TRY(cz_device_read_real(b->device, hyper, cz_optimizer_hyper(b->optimizer), CZ_HYPERS));
  *seconds = cz_seconds() - began;
  *update = cz_seconds() - trained;
  return hyper[CZ_HYPER_KEEP] ? CZ_OK : CZ_FAIL(CZ_ENUMERIC, "bench: the gradient is not finite");
}

static cz_status feed(void *self) {
  bench *b = self;
  return cz_net_feed(b->net, &b->feed);
}

static cz_status submit(void *self, int64_t step) {
  bench *b = self;
  cz_graph_run_options run = {.key = {.seed = 1, .step = (uint32_t)step}, .training = true};
  CZ_TRY(cz_graph_train(b->graph, &run));
  return cz_optimizer_step(b->optimizer, step, 1e-4);
}

/* A step of which each part's time is the device's alone. The clock of ops waits for the device at
 * the end of a run. */
static cz_status profile_step(bench *b, int64_t step, double *update) {
  cz_graph_run_options run = {.key = {.seed = 1, .step = (uint32_t)step}, .training = true};
  CZ_TRY(feed(b));
  CZ_TRY(cz_bench_hold_begin(&b->hold));
  CZ_TRY(cz_graph_train(b->graph, &run));
  CZ_TRY(cz_bench_hold_begin(&b->hold));
  CZ_TRY(cz_optimizer_step(b->optimizer, step, 1e-4));
  return cz_bench_hold_end(&b->hold, update);
}

/* Steps that nobody waits for, one whose gradient is looked at, and a few whose ops are timed. */
static cz_status measure_unwaited(bench *b) {
  const cz_bench_work work = {b, feed, submit};
  double update;
  CZ_TRY(cz_bench_hold_open(&b->hold, b->device));
  CZ_TRY(cz_bench_time_unwaited(&b->times, &b->hold, &work, b->steps));
  CZ_TRY(one_step(b, b->steps, &b->waiting, &update));
  cz_graph_profile(b->graph, true);
  b->profiled = b->steps < PROFILED ? b->steps : PROFILED;
  for (int64_t i = 0; i < b->profiled; i++) {
    CZ_TRY(profile_step(b, b->steps + 1 + i, &b->optimizer_seconds[i]));
    b->seconds[i] = b->times.device;
  }
  return CZ_OK;
}

/* Peak memory is read before the probe's operands are made. A round of products stands before and
 * after each step, so that both see the same machine. */
static cz_status measure(bench *b, int64_t *rss) {
  double first, update;
  b->start = cz_seconds() - b->began;
  CZ_TRY(one_step(b, 0, &first, &update));
  *rss = cz_peak_rss_bytes();
  if (b->unwaited) return measure_unwaited(b);
  if (b->device->host_memory) {
    CZ_TRY(cz_product_probe_create(&b->probe, b->device, b->model->params->compute));
    cz_product_probe_round(b->probe); /* its first touch of the operands is not counted */
    b->ceilings[0] = cz_product_probe_round(b->probe);
  }
  cz_graph_profile(b->graph, true);
  b->profiled = b->steps;
  const double began = cz_seconds(), waited = cz_waited_seconds();
  for (int64_t i = 0; i < b->steps; i++) {
    CZ_TRY(one_step(b, i + 1, &b->seconds[i], &b->optimizer_seconds[i]));
    if (b->probe) b->ceilings[i + 1] = cz_product_probe_round(b->probe);
  }
  b->waited = (cz_waited_seconds() - waited) / (cz_seconds() - began) / omp_get_max_threads();
  return CZ_OK;
}

/* Where a mean step went: the ops by the engine's clock, the optimizer, and what is left
 * (feeding, the engine itself). */
typedef struct share {
  const char *name;
  double seconds, forward, backward, gflop; /* per step */
} share;

static int shares_of(const bench *b, share *out) {
  cz_op_time times[CZ_OPS];
  int n = cz_graph_times(b->graph, times, CZ_OPS);
  double steps = (double)b->profiled, total = 0, update = 0, ops = 0;
  for (int64_t i = 0; i < b->profiled; i++)
    total += b->seconds[i] / steps, update += b->optimizer_seconds[i] / steps;
  for (int i = 0; i < n; i++) {
    out[i] = (share){.name = times[i].op,
                     .forward = times[i].forward_s / steps,
                     .backward = times[i].backward_s / steps,
                     .gflop = 1e-9 * (times[i].forward_flop + times[i].backward_flop) / steps};
    out[i].seconds = out[i].forward + out[i].backward;
    ops += out[i].seconds;
  }
  if (!b->score) out[n++] = (share){.name = "optimizer", .seconds = update};
  out[n++] = (share){.name = "rest", .seconds = total - update - ops};
  return n;
}

typedef struct summary {
  char cpu[256];
  cz_device_info info;
  share shares[CZ_OPS + 2];
  int n;
  int64_t rss;
  double seconds, ceiling, share, gflop, mean;
} summary;

static json_t *number(double x, bool known) { return known ? json_real(x) : json_null(); }

static double host_share(const bench *b) {
  const double waits = 1 - b->times.device / b->times.step;
  return waits > 0 ? waits : 0;
}

static json_t *unwaited_json(const bench *b) {
  return json_pack("{s:f, s:f, s:f, s:f, s:f}", "step_seconds", b->times.step, "device_seconds",
                   b->times.device, "host_seconds", b->times.host, "waiting_step_seconds",
                   b->waiting, "host_share", host_share(b));
}

static json_t *summary_json(const bench *b, const summary *s) {
  json_t *by_op = json_object();
  for (int i = 0; i < s->n; i++) {
    const share *x = &s->shares[i];
    json_object_set_new(by_op, x->name,
                        json_pack("{s:f, s:f, s:f, s:f, s:f}", "seconds", x->seconds,
                                  "forward_seconds", x->forward, "backward_seconds", x->backward,
                                  "gflop", x->gflop, "share_of_step", x->seconds / s->mean));
  }
  return json_pack(
      "{s:s, s:s*, s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:I, s:I, s:f, s:f, s:f, s:f, "
      "s:o, s:s?, s:o, "
      "s:f, s:f, s:I, s:I, s:o, s:o, s:o*}",
      "model", b->model_name, "task", b->task, "device", b->device->name, "dtype", b->dtype,
      "precision", b->dtype, "path", cz_device_path(b->device), "cpu", s->cpu, "isa",
      s->info.capability, "threads", omp_get_max_threads(), "texts", (json_int_t)b->texts, "tokens",
      (json_int_t)b->tokens, "step_seconds", s->seconds, "tokens_per_s",
      (double)b->tokens / s->seconds, "gflop_per_step", s->gflop, "gflop_per_s",
      s->gflop / s->seconds, "ceiling_gflop_per_s", number(s->ceiling, b->probe), "ceiling_by",
      b->probe ? cz_product_probe_by(b->probe) : NULL, "share", number(s->share, b->probe),
      "init_seconds", b->drawing, "start_seconds", b->start, "peak_rss_bytes", (json_int_t)s->rss,
      "steps", (json_int_t)b->steps, "waited", number(b->waited, b->probe && !isnan(b->waited)),
      "by_op", by_op, "unwaited", b->unwaited ? unwaited_json(b) : NULL);
}

static void print_summary(const bench *b, const summary *s) {
  printf("%s in %s on %s (%s, %s, %d threads): %.3f s %s, %.0f tokens/s\n", b->model_name, b->dtype,
         b->device->name, s->cpu, cz_cpu_instructions(), omp_get_max_threads(), s->seconds,
         b->score ? "for 512 texts" : "a step", (double)b->tokens / s->seconds);
  if (b->probe)
    printf("%.1f GFLOP/s of %.1f GFLOP/s that plain products reach here now (%s): %.1f %%\n",
           s->gflop / s->seconds, s->ceiling, cz_product_probe_by(b->probe), 100 * s->share);
  else
    printf("%.1f GFLOP/s\n", s->gflop / s->seconds);
  if (b->probe && b->waited > 0.05)
    printf(
        "others had the cores for %.0f %% of its threads' time: neither rate nor share says much\n",
        100 * b->waited);
  if (b->unwaited)
    printf("the device's part %.3f ms, the host's to submit it %.3f ms: the device waits for the "
           "host %.1f %% of a step; one that is waited for takes %.3f ms\n",
           1e3 * b->times.device, 1e3 * b->times.host, 100 * host_share(b), 1e3 * b->waiting);
  printf("peak memory %.2f GB; parameters drawn in %.2f s, first step begun after %.2f s\n",
         1e-9 * (double)s->rss, b->drawing, b->start);
  for (int i = 0; i < s->n; i++) {
    const share *x = &s->shares[i];
    printf("  %-14s %8.1f ms  %5.1f %%", x->name, 1e3 * x->seconds, 100 * x->seconds / s->mean);
    printf(x->gflop > 0 ? "  %7.1f GFLOP/s\n" : "\n", x->gflop / x->seconds);
  }
}

static cz_status report(bench *b, int64_t rss) {
  summary s = {.rss = rss};
  CZ_TRY(cz_cpu_model(s.cpu, sizeof s.cpu));
  CZ_TRY(b->device->info(b->device, &s.info));
  s.n = shares_of(b, s.shares);
  for (int i = 0; i < s.n; i++) s.gflop += s.shares[i].gflop, s.mean += s.shares[i].seconds;
  s.seconds = b->unwaited ? b->times.step : cz_bench_median(b->seconds, b->steps);
  if (b->probe) {
    CZ_TRY(cz_bench_share(&s.share, b->seconds, b->ceilings, s.gflop, b->steps));
    s.ceiling = cz_bench_median(b->ceilings, b->steps + 1);
  }
  if (!b->json) return print_summary(b, &s), CZ_OK;
  return cz_bench_print(summary_json(b, &s));
}

/** `cloze bench step`: the training step's speed as a share of the product rate that is
 * measured in the same run. */
cz_status cz_bench_step(int argc, char **argv) {
  bench b = {
      .device_name = "cpu", .dtype = "f32", .optimizer_name = "adamw", .began = cz_seconds()};
  int64_t rss = 0;
  cz_status st;
  CZ_TRY(parse(&b, argc, argv));
  CZ_GO(st, open_bench(&b), done);
  CZ_GO(st, measure(&b, &rss), done);
  CZ_GO(st, report(&b, rss), done);
done:
  cz_product_probe_destroy(&b.probe);
  cz_bench_hold_close(&b.hold);
  cz_optimizer_destroy(&b.optimizer);
  cz_net_destroy(&b.net);
  cz_bench_pet_close(&b.pet);
  cz_model_destroy(&b.model);
  cz_device_close(&b.device);
  cz_flat_batch_free(&b.batch);
  return st;
}
