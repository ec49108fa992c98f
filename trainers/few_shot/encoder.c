#include "few_shot/encoder.h"
#include "base/fs.h"
#include "ensemble/logistic.h"
#include "few_shot/prepare.h"
#include "few_shot/runs.h"
#include "few_shot/scores_file.h"
#include "nn/hf.h"
#include "training/feed.h"

#include <math.h>
#include <stdlib.h>

typedef struct encoding {
  const cz_encoder_options *o;
  cz_model *model;
  cz_net *net;
  double *room; /* [tokens of a run, D] */
  int64_t width, tokens;
  double encoded; /* tokens of all texts */
  float *vectors; /* [texts, D] of those under way */
} encoding;

static cz_status open_net(encoding *x) {
  const int64_t longest = (int64_t)x->o->examples->prompts->max_length;
  const cz_hf_options hf = {.seed = x->o->seed};
  CZ_TRY(cz_hf_open_with(&x->model, x->o->init, x->o->device, &hf));
  CZ_TRY(cz_model_compute(x->model, x->o->precision, false));
  x->width = x->model->config.d_model;
  x->tokens = x->o->score_tokens > longest ? x->o->score_tokens : longest;
  const cz_net_options o = {.capacity_segments = x->tokens,
                            .capacity_encoder = 1,
                            .capacity_decoder = x->tokens,
                            .dropout = 0,
                            .n_heads = 1,
                            .heads = {{.kind = CZ_NET_SENTENCE, .no_loss = true}}};
  CZ_TRY(cz_alloc(&x->room, (size_t)(x->tokens * x->width), sizeof *x->room));
  return cz_net_create(&x->net, x->model, &o);
}

static void close_net(encoding *x) {
  cz_net_destroy(&x->net);
  cz_model_destroy(&x->model);
  free(x->room);
}

/* The vector's direction, as float32; 0 stays 0. */
static void put_direction(float *to, const double *x, int64_t n) {
  double sum = 0;
  for (int64_t d = 0; d < n; d++) sum += x[d] * x[d];
  const double length = sum > 0 ? sqrt(sum) : 1;
  for (int64_t d = 0; d < n; d++) to[d] = (float)(x[d] / length);
}

static cz_status encode_shard(void *self, const cz_shard *s) {
  encoding *x = self;
  const cz_graph_run_options run = {0};
  cz_net_head_feed head;
  cz_feed feed;
  cz_feed_heads(&feed, &head, &x->net->options, s, 1, 1);
  CZ_TRY(cz_net_feed(x->net, &feed));
  CZ_TRY(cz_graph_forward(x->net->graph, &run));
  CZ_TRY(cz_graph_read(x->net->graph, x->room, x->net->heads[0].sentences, s->segments * x->width));
  for (int64_t b = 0; b < s->segments; b++)
    put_direction(x->vectors + s->numbers[b] * x->width, x->room + b * x->width, x->width);
  return CZ_OK;
}

/* *VECTORS [n, D] of SET's texts as they stand; the caller frees them. */
static cz_status encode(encoding *x, float **vectors, const cz_text_set *set) {
  const cz_examples *e = x->o->examples;
  cz_preparer p = {
      .prompts = e->prompts, .prompt = &e->prompts->plains[0], .config = &x->model->config};
  const cz_runs runs = {.what = "sentence encoder",
                        .tokens = x->tokens,
                        .longest = (int64_t)e->prompts->max_length,
                        .self = x,
                        .run = encode_shard};
  cz_prepared inputs = {0};
  cz_status st;
  *vectors = NULL;
  if (!set->n) return CZ_OK;
  CZ_GO(st, cz_alloc(vectors, set->n * (size_t)x->width, sizeof **vectors), done);
  CZ_GO(st, cz_prepare_set(&p, &inputs, set), done);
  x->vectors = *vectors;
  st = cz_runs_over(&runs, &inputs);
  x->encoded += (double)inputs.inputs.all.len;
done:
  cz_prepared_free(&inputs);
  cz_preparer_free(&p);
  return st;
}

/* Scores [n, C] as float32; a class that T lacks is as unlikely as a finite score can say. */
static cz_status put_scores(float *to, const cz_logistic *model, const float *x, size_t n) {
  static const double NEVER = -1e4;
  double *scores;
  const size_t all = n * (size_t)model->classes;
  CZ_TRY(cz_alloc(&scores, all, sizeof *scores));
  cz_logistic_scores(scores, model, x, n);
  for (size_t i = 0; i < all; i++) to[i] = (float)(isfinite(scores[i]) ? scores[i] : NEVER);
  free(scores);
  return CZ_OK;
}

static cz_status score_set(encoding *x, float *to, const cz_logistic *model,
                           const cz_text_set *set) {
  float *vectors;
  cz_status st = encode(x, &vectors, set);
  if (st == CZ_OK && set->n) st = put_scores(to, model, vectors, set->n);
  free(vectors);
  return st;
}

static cz_status fit_and_score(encoding *x, cz_member_scores *s, cz_arena *arena) {
  const cz_examples *e = x->o->examples;
  cz_logistic model;
  float *vectors;
  cz_status st = encode(x, &vectors, &e->t);
  if (st == CZ_OK)
    st = cz_logistic_fit(&model, arena, vectors, e->t.labels, e->t.n, (int32_t)x->width, e->classes,
                         x->o->strength);
  if (st == CZ_OK) st = put_scores(s->t, &model, vectors, e->t.n);
  free(vectors);
  if (st == CZ_OK) st = score_set(x, s->d, &model, &e->d);
  return st == CZ_OK ? score_set(x, s->test, &model, &e->test) : st;
}

/** Encodes T, D and the test set, fits the regression on T, and leaves its scores in FOLDER as a
 * member does. CZ_EINVAL where T is empty. */
cz_status cz_encoder_run(const cz_encoder_options *options, const char *folder) {
  encoding x = {.o = options};
  cz_member_scores s = {0};
  cz_arena *arena = NULL;
  cz_status st;
  CZ_GO(st, cz_arena_create(&arena, "sentence encoder"), done);
  CZ_GO(st, open_net(&x), done);
  CZ_GO(st, cz_member_scores_create(&s, options->examples), done);
  CZ_GO(st, fit_and_score(&x, &s, arena), done);
  s.scored_tokens = x.encoded;
  CZ_GO(st, cz_fs_make_dirs(folder), done);
  st = cz_member_scores_write(&s, options->examples, folder);
done:
  cz_member_scores_free(&s);
  close_net(&x);
  cz_arena_destroy(&arena);
  return st;
}
