#include "few_shot/answers.h"
#include "base/stop.h"
#include "nn/net.h"
#include "training/feed.h"

#include <math.h>
#include <stdlib.h>

/* Rows of logits of one run, unless a single text has more. */
enum { ROWS = 512 };

/* A row of a run: a token of a text's answer, asked for at its mask. */
typedef struct question {
  size_t fill;
  int32_t mask;
} question;

struct cz_answers {
  cz_net *net;
  cz_answers_options options;
  int64_t capacity_rows;
  /* what is scored */
  const cz_prompt *prompt;
  const cz_prepared *set;
  size_t words;         /* C times W */
  const int32_t *table; /* [texts or 1, words, masks] of tokens */
  bool own;             /* each text has answers of its own */
  int32_t *tokens;      /* [texts or 1, words] of each; 0 behind a label's last word */
  cz_fill *fills;       /* [texts, words] */
  /* a run */
  cz_flat_batch batch;
  cz_ids rows, targets;
  question *questions; /* [capacity_rows] */
  double *nll;         /* [capacity_rows] */
  double read;         /* tokens of all runs */
};

/** Builds a net that scores with MODEL, which is borrowed, has a masked-LM head and may change its
 * weights. The caller destroys it. */
cz_status cz_answers_create(cz_answers **a, cz_model *model, const cz_answers_options *options) {
  cz_status st;
  CZ_TRY(cz_alloc(a, 1, sizeof **a));
  cz_answers *x = *a;
  x->options = *options;
  x->capacity_rows = options->max_tokens > ROWS ? options->max_tokens : ROWS;
  const cz_net_options o = {
      .capacity_segments = x->capacity_rows, /* each has a row at least */
      .capacity_encoder = 1,
      .capacity_decoder = options->batch_tokens,
      .dropout = 0,
      .n_heads = 1,
      .heads = {{.kind = CZ_NET_VOCABULARY, .capacity_rows = x->capacity_rows}}};
  CZ_GO(st, cz_alloc(&x->questions, (size_t)x->capacity_rows, sizeof *x->questions), fail);
  CZ_GO(st, cz_alloc(&x->nll, (size_t)x->capacity_rows, sizeof *x->nll), fail);
  CZ_GO(st, cz_net_create(&x->net, model, &o), fail);
  return CZ_OK;
fail:
  cz_answers_destroy(a);
  return st;
}

/* The place of a word of a text in tables that are one a text, or one for all. */
static size_t place_of(const cz_answers *a, size_t text, size_t word) {
  return (a->own ? text * a->words : 0) + word;
}

/* The tokens of the answer that FILL fills in. */
static const int32_t *ids_of(const cz_answers *a, size_t fill) {
  return a->table +
         place_of(a, fill / a->words, fill % a->words) * (size_t)a->prompt->pattern->masks;
}

/* What the run has asked, to the answers: questions of one stand side by side. */
static cz_status answer(cz_answers *a) {
  double logp[CZ_FILL_TOKENS];
  for (size_t i = 0; i < a->rows.len; i++) {
    const question *q = &a->questions[i];
    const size_t text = q->fill / a->words, word = q->fill % a->words;
    if (!isfinite(a->nll[i]))
      return CZ_FAIL(CZ_ENUMERIC, "log p of token %d of class %zu under text %zu is %g, not finite",
                     q->mask, word / a->prompt->n_words, text, -a->nll[i]);
    logp[q->mask] = -a->nll[i];
    if (i + 1 == a->rows.len || q[1].fill != q->fill)
      cz_fill_step(&a->fills[q->fill], a->options.order, logp);
  }
  return CZ_OK;
}

/* Computes the run that was put together, and empties it. */
static cz_status flush(cz_answers *a) {
  const cz_graph_run_options run = {0};
  const int64_t n = (int64_t)a->rows.len;
  const cz_net_head_feed head = {
      .rows = a->rows.data, .n_rows = n, .targets = a->targets.data, .denominator = 1};
  cz_feed feed;
  if (!n) return CZ_OK;
  CZ_TRY(cz_stop_check("scoring"));
  cz_feed_flat_batch(&feed, &a->batch, 1);
  feed.heads = &head;
  CZ_TRY(cz_net_feed(a->net, &feed));
  CZ_TRY(cz_graph_forward(a->net->graph, &run));
  CZ_TRY(cz_graph_read(a->net->graph, a->nll, a->net->heads[0].nll, n));
  CZ_TRY(answer(a));
  a->read += (double)a->batch.decoder.ids.len;
  a->batch.decoder.ids.len = a->batch.decoder.spans.len = a->batch.types.len = 0;
  a->rows.len = a->targets.len = 0;
  a->batch.segments = 0;
  return CZ_OK;
}

/* Appends text I as a segment with K of its masks, the first of which has place *FIRST in the run.
 * Surplus masks are removed, as the published code does it, so that a text is cut alike for all
 * words. ROWS rows are going to be asked. */
static cz_status append(cz_answers *a, size_t *first, size_t i, int32_t k, int64_t rows) {
  size_t n, n_types, masks;
  const int32_t *ids = cz_id_lists_at(&a->set->inputs, i, &n);
  const int32_t *types = cz_id_lists_at(&a->set->types, i, &n_types);
  const int32_t *places = cz_id_lists_at(&a->set->rows, i, &masks);
  cz_flat_batch *b = &a->batch;
  CZ_CHECK(masks == (size_t)a->prompt->pattern->masks && n_types == n && (size_t)k <= masks);
  CZ_CHECK(places[masks - 1] - places[0] == (int32_t)masks - 1); /* masks stand side by side */
  const int64_t end = (int64_t)places[0] + k, rest = places[0] + (int64_t)masks;
  const int64_t kept = end + (int64_t)n - rest;
  if ((int64_t)b->decoder.ids.len + kept > a->options.batch_tokens ||
      (int64_t)a->rows.len + rows > a->capacity_rows)
    CZ_TRY(flush(a));
  const size_t begin = b->decoder.ids.len;
  CZ_TRY(cz_ids_append(&b->decoder.ids, ids, end));
  CZ_TRY(cz_ids_append(&b->decoder.ids, ids + rest, (int64_t)n - rest));
  CZ_TRY(cz_ids_append(&b->types, types, end));
  CZ_TRY(cz_ids_append(&b->types, types + rest, (int64_t)n - rest));
  b->segments++;
  *first = begin + (size_t)places[0];
  return cz_token_lists_close(&b->decoder, begin);
}

static int64_t count(uint64_t masks) {
  int64_t n = 0;
  for (; masks; masks &= masks - 1) n++;
  return n;
}

/* Asks the segment whose masks begin at FIRST for what the next step of FILL reads. */
static cz_status ask(cz_answers *a, size_t first, size_t fill) {
  const cz_fill *f = &a->fills[fill];
  const int32_t *ids = ids_of(a, fill);
  const uint64_t reads = cz_fill_reads(f, a->options.order);
  for (int32_t i = 0; i < f->n; i++) {
    if (!(reads >> i & 1)) continue;
    a->questions[a->rows.len] = (question){fill, i};
    CZ_TRY(cz_ids_add(&a->rows, (int32_t)first + i));
    CZ_TRY(cz_ids_add(&a->targets, ids[i]));
  }
  return CZ_OK;
}

/* The first step of text I: one segment for all words of K tokens. */
static cz_status append_shared(cz_answers *a, size_t i, int32_t k) {
  int64_t rows = 0;
  size_t first = 0;
  for (size_t w = 0; w < a->words; w++)
    if (a->tokens[place_of(a, i, w)] == k)
      rows += count(cz_fill_reads(&a->fills[i * a->words + w], a->options.order));
  if (!rows) return CZ_OK;
  CZ_TRY(append(a, &first, i, k, rows));
  for (size_t w = 0; w < a->words; w++)
    if (a->tokens[place_of(a, i, w)] == k) CZ_TRY(ask(a, first, i * a->words + w));
  return CZ_OK;
}

/* A later step of text I: a segment for each word, with the tokens that are filled in. */
static cz_status append_filled(cz_answers *a, size_t i) {
  size_t first = 0;
  for (size_t w = 0; w < a->words; w++) {
    const cz_fill *f = &a->fills[i * a->words + w];
    if (!f->n || cz_fill_is_whole(f)) continue;
    CZ_TRY(append(a, &first, i, f->n, count(cz_fill_reads(f, a->options.order))));
    for (int32_t k = 0; k < f->n; k++)
      if (f->filled >> k & 1)
        a->batch.decoder.ids.data[first + (size_t)k] = ids_of(a, i * a->words + w)[k];
    CZ_TRY(ask(a, first, i * a->words + w));
  }
  return CZ_OK;
}

/* Tokens of each answer of text I; of all texts where they have none of their own. */
static void count_tokens(cz_answers *a, size_t i) {
  const size_t masks = (size_t)a->prompt->pattern->masks;
  size_t all = 0;
  for (size_t w = 0; w < a->words; w++) {
    const size_t n = cz_prompt_answer_length(ids_of(a, i * a->words + w), masks);
    a->tokens[place_of(a, i, w)] = (int32_t)n;
    all += n;
  }
  CZ_CHECK(all <= (size_t)a->capacity_rows);
}

/* Answers and, of every text, those of which nothing is filled in. */
static cz_status begin(cz_answers *a, const cz_prompt *prompt, const cz_prepared *set) {
  a->prompt = prompt;
  a->set = set;
  a->words = (size_t)a->options.classes * prompt->n_words;
  a->own = prompt->choices;
  a->table = a->own ? set->answers.all.data : prompt->words;
  const size_t tables = a->own ? set->count : 1;
  CZ_TRY(cz_alloc(&a->tokens, tables * a->words, sizeof *a->tokens));
  for (size_t i = 0; i < tables; i++) count_tokens(a, i);
  CZ_TRY(cz_alloc(&a->fills, set->count * a->words, sizeof *a->fills));
  for (size_t i = 0; i < set->count * a->words; i++)
    a->fills[i].n = a->tokens[place_of(a, i / a->words, i % a->words)];
  return CZ_OK;
}

/* A label's score is the mean of its words'; behind a text's last candidate there is none. */
static void add_up(const cz_answers *a, float *scores) {
  const size_t W = a->prompt->n_words, C = (size_t)a->options.classes;
  for (size_t i = 0; i < a->set->count * C; i++) {
    double sum = 0;
    int64_t n = 0;
    for (size_t w = 0; w < W; w++) {
      sum += a->fills[i * W + w].score;
      n += a->fills[i * W + w].n > 0;
    }
    scores[i] = n ? (float)(sum / (double)n) : -INFINITY;
  }
}

static void end(cz_answers *a) {
  free(a->tokens);
  free(a->fills);
  a->tokens = NULL, a->fills = NULL;
  a->batch.decoder.ids.len = a->batch.decoder.spans.len = a->batch.types.len = 0;
  a->rows.len = a->targets.len = 0;
  a->batch.segments = 0;
}

/** SCORES [n, C] of SET's texts, which PROMPT made with all of its masks. CZ_ENUMERIC for a
 * probability that is not finite, CZ_EINTERRUPT after a signal. */
cz_status cz_answers_run(cz_answers *a, float *scores, const cz_prompt *prompt,
                         const cz_prepared *set) {
  const int32_t masks = prompt->pattern->masks;
  cz_status st;
  CZ_GO(st, begin(a, prompt, set), done);
  for (size_t i = 0; i < set->count; i++)
    for (int32_t k = 1; k <= masks; k++) CZ_GO(st, append_shared(a, i, k), done);
  CZ_GO(st, flush(a), done);
  for (int32_t step = 1; step < masks; step++) {
    for (size_t i = 0; i < set->count; i++) CZ_GO(st, append_filled(a, i), done);
    CZ_GO(st, flush(a), done);
  }
  add_up(a, scores);
done:
  end(a);
  return st;
}

/** Tokens that were read since it was made, a text as often as its answers wanted it. */
double cz_answers_read(const cz_answers *a) { return a->read; }

/** Frees it, not the model; clears the pointer, accepts null. */
void cz_answers_destroy(cz_answers **a) {
  cz_answers *x = *a;
  if (!x) return;
  cz_net_destroy(&x->net);
  cz_flat_batch_free(&x->batch);
  free(x->rows.data);
  free(x->targets.data);
  free(x->questions);
  free(x->nll);
  free(x);
  *a = NULL;
}
