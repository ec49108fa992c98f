/* `cloze bench objectives`: one training step under each objective at one budget of raw
 * text. */
#include "base/args.h"
#include "base/clock.h"
#include "base/number.h"
#include "commands/bench/bench.h"
#include "device/random.h"
#include "objectives/objective.h"
#include "objectives/vocabulary.h"
#include "training/feed.h"
#include "training/optimizer.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REPEATS = 3, SENTINELS = 100, PIECES = 4096, SHIFTS = 2048 };

typedef struct bench {
  const char *model_name, *device_name;
  int64_t tokens;
  bool json;
  cz_device *device;
  json_t *rows;
} bench;

static cz_status append(cz_ids *to, const cz_ids *from, cz_ids *spans) {
  CZ_TRY(cz_ids_add(spans, (int32_t)to->len));
  for (size_t i = 0; i < from->len; i++) CZ_TRY(cz_ids_add(to, from->data[i]));
  return cz_ids_add(spans, (int32_t)to->len);
}

/* Chooses N consecutive pieces whose total lengths are nearest to N times the objective's
 * means, among SHIFTS starting places; FIRST is the chosen one. A step on them costs what
 * a usual batch costs, and lengths inside it vary as they do in training. */
static cz_status usual_pieces(uint32_t *first, const cz_objective *o, double inputs, double targets,
                              int64_t n) {
  int64_t *lengths = NULL, sum[2] = {0};
  int32_t *ids;
  double minimum = INFINITY;
  cz_example e = {0};
  cz_status st;
  CZ_TRY(cz_alloc(&ids, (size_t)o->cut.piece_tokens, sizeof *ids));
  CZ_GO(st, cz_alloc(&lengths, 2 * (size_t)(n + SHIFTS), sizeof *lengths), done);
  for (int64_t i = 0; i < n + SHIFTS; i++) {
    const cz_piece piece = {.ids = ids, .n = o->cut.piece_tokens, .index = (uint32_t)i};
    CZ_GO(st, cz_objective_apply(o, &e, &piece), done);
    const int64_t *old = i < n ? NULL : &lengths[2 * (i - n)];
    sum[0] += lengths[2 * i] = (int64_t)e.inputs.len;
    sum[1] += lengths[2 * i + 1] = (int64_t)e.targets.len;
    if (old) sum[0] -= old[0], sum[1] -= old[1];
    double off =
        fabs((double)sum[0] - (double)n * inputs) + fabs((double)sum[1] - (double)n * targets);
    if (i + 1 >= n && off < minimum) minimum = off, *first = (uint32_t)(i + 1 - n);
  }
done:
  free(lengths);
  free(ids);
  cz_example_free(&e);
  return st;
}

/* Corrupts N random pieces from number FIRST on. */
static cz_status make_batch(cz_flat_batch *b, const cz_objective *o, uint32_t first,
                            int64_t n_pieces, int32_t start) {
  int64_t n = o->cut.piece_tokens;
  int32_t *ids;
  cz_example e = {0};
  cz_status st;
  CZ_TRY(cz_alloc(&ids, (size_t)n, sizeof *ids));
  for (uint32_t i = first; b->segments < n_pieces; i++) {
    cz_stream s;
    cz_stream_init(&s, 1, "bench objectives", i, 0);
    for (int64_t k = 0; k < n; k++)
      ids[k] = 3 + (int32_t)cz_stream_below(&s, (uint64_t)(o->vocabulary.size - SENTINELS - 3));
    cz_piece piece = {.ids = ids, .n = n, .index = i};
    CZ_GO(st, cz_objective_apply(o, &e, &piece), done);
    CZ_GO(st, append(&b->encoder.ids, &e.inputs, &b->encoder.spans), done);
    CZ_GO(st, append(&b->targets, &e.targets, &b->decoder.spans), done);
    for (size_t k = 0; k < e.targets.len; k++)
      CZ_GO(st, cz_ids_add(&b->decoder.ids, k ? e.targets.data[k - 1] : start), done);
    b->segments++;
  }
  st = CZ_OK;
done:
  free(ids);
  cz_example_free(&e);
  return st;
}

typedef struct timing {
  double seconds, gflop;
  size_t bytes;
} timing;

static cz_status time_step(timing *t, cz_model *m, const cz_flat_batch *b) {
  cz_net *net = NULL;
  cz_optimizer *optimizer = NULL;
  cz_optimizer_keys keys = {.name = CZ_OPTIMIZER_ADAFACTOR,
                            .learning_rate = 1e-4,
                            .decay_exponent = 0.8,
                            .clip_threshold = 1};
  cz_net_options o = {.train = true, .dropout = 0, .z_loss = 1e-4};
  cz_feed f;
  cz_op_time times[CZ_OPS];
  cz_status st;
  cz_flat_batch_capacities(&o, b);
  cz_feed_flat_batch(&f, b, (double)b->decoder.ids.len);
  CZ_GO(st, cz_net_create(&net, m, &o), done);
  CZ_GO(st, cz_optimizer_create(&optimizer, &keys, m->params), done);
  for (int i = 0; i <= REPEATS; i++) { /* the first one warms up */
    cz_graph_run_options run = {.key = {.seed = 1, .step = (uint32_t)i}, .training = true};
    cz_graph_profile(net->graph, true);
    double began = cz_seconds();
    CZ_GO(st, cz_net_feed(net, &f), done);
    CZ_GO(st, cz_graph_train(net->graph, &run), done);
    CZ_GO(st, cz_optimizer_step(optimizer, i, 1e-4), done);
    double seconds = cz_seconds() - began;
    if (i == 1 || (i > 1 && seconds < t->seconds)) t->seconds = seconds;
  }
  int n = cz_graph_times(net->graph, times, CZ_OPS);
  for (int i = 0; i < n; i++) t->gflop += 1e-9 * (times[i].forward_flop + times[i].backward_flop);
  t->bytes = cz_graph_bytes(net->graph) + cz_optimizer_bytes(optimizer) +
             2 * (size_t)m->params->flat * cz_dtype_bytes(m->device->real);
done:
  cz_optimizer_destroy(&optimizer);
  cz_net_destroy(&net);
  return st;
}

/* Objectives without inputs train a single stack of the same size; the others the
 * encoder-decoder. */
static cz_status model_for(cz_model **model, const bench *b, const cz_objective *o) {
  cz_model_config c;
  char name[64];
  const char *size = strrchr(b->model_name, '-');
  CZ_TRY(cz_model_config_named(&c, b->model_name));
  if (o->inputs_cap == 0) {
    snprintf(name, sizeof name, "lm%s", size ? size : "-small");
    CZ_TRY(cz_model_config_named(&c, name));
  }
  CZ_TRY(cz_model_create(model, &c, b->device));
  return cz_params_init((*model)->params, 1);
}

static cz_status default_objective(cz_objective *o, const cz_objective_row *row) {
  cz_objective_config config = {0};
  cz_vocabulary v;
  CZ_TRY(cz_vocabulary_like_t5(&v, CZ_T5_VOCABULARY));
  CZ_TRY(cz_config_bind(NULL, &row->section, &config, NULL));
  config.seed = 1;
  return cz_objective_init(o, row, &config, &v);
}

static cz_status bench_one(bench *b, const cz_objective_row *row) {
  cz_objective o;
  cz_model *m = NULL;
  cz_flat_batch x = {0};
  timing t = {0};
  double inputs, targets;
  uint32_t first = 0;
  cz_status st;
  CZ_GO(st, default_objective(&o, row), done);
  CZ_GO(st, model_for(&m, b, &o), done);
  int64_t pieces = b->tokens > o.cut.piece_tokens ? b->tokens / o.cut.piece_tokens : 1;
  CZ_GO(st, cz_objective_mean_lengths(&o, &inputs, &targets, PIECES), done);
  CZ_GO(st, usual_pieces(&first, &o, inputs, targets, pieces), done);
  CZ_GO(st, make_batch(&x, &o, first, pieces, (int32_t)m->config.start_id), done);
  CZ_GO(st, time_step(&t, m, &x), done);
  const int64_t raw = x.segments * o.cut.piece_tokens;
  double n = (double)x.segments, made = (double)(x.encoder.ids.len + x.decoder.ids.len);
  json_array_append_new(
      b->rows,
      json_pack("{s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:I}", "objective", row->name,
                "raw_tokens", (json_int_t)raw, "examples", (json_int_t)x.segments, "mean_inputs",
                inputs, "mean_targets", targets, "gflop", t.gflop, "step_seconds", t.seconds,
                "tokens_per_s", made / t.seconds, "raw_tokens_per_s", (double)raw / t.seconds,
                "examples_per_s", n / t.seconds, "peak_bytes", (json_int_t)t.bytes));
done:
  cz_flat_batch_free(&x);
  cz_model_destroy(&m);
  return st;
}

static void print_header(void) {
  printf("%-18s %8s %8s %8s %9s %8s %9s %9s %9s %8s\n", "objective", "examples", "inputs",
         "targets", "GFLOP", "step s", "tokens/s", "raw t/s", "examples/s", "memory");
}

/* Prints a row as soon as it is measured: the next one may take a minute. */
static void print_row(const json_t *r) {
#define REAL(key) json_number_value(json_object_get(r, key))
  printf("%-18s %8.0f %8.1f %8.1f %9.1f %8.3f %9.0f %9.0f %9.2f %5.2f GB\n",
         json_string_value(json_object_get(r, "objective")), REAL("examples"), REAL("mean_inputs"),
         REAL("mean_targets"), REAL("gflop"), REAL("step_seconds"), REAL("tokens_per_s"),
         REAL("raw_tokens_per_s"), REAL("examples_per_s"), 1e-9 * REAL("peak_bytes"));
#undef REAL
  fflush(stdout);
}

/** `cloze bench objectives`: what each objective costs on one budget of raw text: the
 * other side of the paper's comparison. */
cz_status cz_bench_objectives(int argc, char **argv) {
  bench b = {.model_name = "t5-small", .device_name = "cpu"};
  const char *tokens = "4096";
  cz_model_config c;
  const cz_option options[] = {{"--model", &b.model_name, NULL},
                               {"--device", &b.device_name, NULL},
                               {"--tokens", &tokens, NULL},
                               {"--json", NULL, &b.json}};
  cz_status st;
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 0, 0, cz_bench_usage));
  if (cz_parse_int(tokens, &b.tokens) != CZ_OK || b.tokens < 1 || b.tokens > 1 << 22)
    return CZ_FAIL(CZ_EUSAGE, "--tokens: '%s' is not between 1 and 2^22", tokens);
  CZ_TRY(cz_model_config_named(&c, b.model_name));
  if (c.family->architecture != CZ_ENCODER_DECODER)
    return CZ_FAIL(CZ_EUSAGE,
                   "--model %s is no encoder-decoder, such as t5-small; objectives without inputs "
                   "take the lm-* of its size",
                   b.model_name);
  b.rows = json_array();
  CZ_GO(st, cz_device_open(&b.device, b.device_name), done);
  if (!b.json) print_header();
  for (size_t i = 0; i < cz_objective_count; i++) {
    if (cz_objective_rows[i]->form != CZ_FORM_TEXT_TO_TEXT) continue; /* not for these models */
    CZ_GO(st, bench_one(&b, cz_objective_rows[i]), done);
    if (!b.json) print_row(json_array_get(b.rows, json_array_size(b.rows) - 1));
  }
  if (b.json) st = cz_bench_print(json_incref(b.rows));
done:
  cz_device_close(&b.device);
  json_decref(b.rows);
  return st;
}
