/* Sequences are decoded together, a token each a step. Per input there are up to W alive
 * sequences and a list of W finished ones, as in Mesh TensorFlow's beam search (t5.md
 * 6.1): every step the best 2W continuations are looked at; those that end go to the
 * finished list with their penalised score, of the others the best W stay alive. An input
 * is done when its worst finished score beats what its best alive sequence could still
 * reach. Greedy is W = 1, where the first end wins. */
#include "decoding/search.h"
#include "nn/decode.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct hypothesis {
  double score; /* alive: log-probability; finished: divided by the length penalty */
  int32_t *ids; /* [max_length] */
  int64_t len;
} hypothesis;

typedef struct item {                  /* one input in the batch */
  int64_t input;                       /* its number */
  hypothesis *alive, *next, *finished; /* [W] each */
  int64_t n_alive, n_finished;
  int32_t first; /* its first sequence in the decoder */
  bool done;
} item;

typedef struct candidate {
  double score;
  int32_t beam, id;
} candidate;

typedef struct search {
  const cz_search_options *o;
  cz_model *model;
  cz_decoder *decoder;
  const cz_ids *inputs;
  bool pair;
  item *items; /* of the batch */
  int64_t n_items, maximum_items;
  float *logits;
  candidate *candidates; /* [2W] */
  int32_t *ids, *lengths, *segments, *prefixes, *parents;
  cz_arena *arena;
} search;

static double penalty(const search *s, int64_t length) {
  return s->o->beams == 1 ? 1 : pow((5 + (double)length) / 6, s->o->length_penalty);
}

static double log_sum_exp(const float *x, int64_t n) {
  double largest = -INFINITY, sum = 0;
  for (int64_t i = 0; i < n; i++) largest = x[i] > largest ? x[i] : largest;
  for (int64_t i = 0; i < n; i++) sum += exp(x[i] - largest);
  return largest + log(sum);
}

/* Ties go to the earlier beam, then to the smaller id, so that outputs do not depend on
 * the order of a sort. */
static bool better(const candidate *a, const candidate *b) {
  if (a->score != b->score) return a->score > b->score;
  return a->beam != b->beam ? a->beam < b->beam : a->id < b->id;
}

static void offer(candidate *list, int64_t *n, int64_t limit, candidate c) {
  if (*n == limit && !better(&c, &list[limit - 1])) return;
  int64_t i = *n < limit ? (*n)++ : limit - 1;
  for (; i > 0 && better(&c, &list[i - 1]); i--) list[i] = list[i - 1];
  list[i] = c;
}

/* The best 2W continuations of the item's alive sequences, COUNT of them. Scores that are not
 * finite have no order, so they end the search: the sum of exponentials sees a NaN or an infinity
 * in any logit. */
static cz_status best_candidates(search *s, const item *t, int64_t *count) {
  int64_t V = s->model->config.vocab_size, n = 0, limit = 2 * s->o->beams,
          end = s->o->banned_from ? s->o->banned_from : V;
  for (int32_t b = 0; b < t->n_alive; b++) {
    const float *row = s->logits + (t->first + b) * V;
    double sum = log_sum_exp(row, end), base = t->alive[b].score - sum;
    if (!isfinite(sum) || !isfinite(base))
      return CZ_FAIL(CZ_ENUMERIC,
                     "input %lld, token %lld of its output: the model's logits are not finite; its "
                     "weights may not be, or its activations overflow",
                     (long long)t->input + 1, (long long)t->alive[b].len + 1);
    for (int32_t v = 0; v < end; v++) {
      double score = base + row[v];
      if (n < limit || score >= s->candidates[limit - 1].score)
        offer(s->candidates, &n, limit, (candidate){score, b, v});
    }
  }
  *count = n;
  return CZ_OK;
}

static void copy_hypothesis(hypothesis *to, const hypothesis *from, int32_t id, double score) {
  memcpy(to->ids, from->ids, (size_t)from->len * sizeof *to->ids);
  to->ids[from->len] = id;
  to->len = from->len + 1;
  to->score = score;
}

static void finish_one(search *s, item *t, const hypothesis *from, const candidate *c) {
  double score = c->score / penalty(s, from->len + 1);
  int64_t W = s->o->beams, at = t->n_finished;
  if (at == W) { /* replace the worst, if worse */
    at = 0;
    for (int64_t i = 1; i < W; i++)
      if (t->finished[i].score < t->finished[at].score) at = i;
    if (!(score > t->finished[at].score)) return;
  } else {
    t->n_finished++;
  }
  copy_hypothesis(&t->finished[at], from, c->id, score);
}

/* Advances one item by a token; fills parents (decoder sequence each new alive one
 * continues) relative to the item. */
static cz_status advance(search *s, item *t, int32_t *parent) {
  int64_t n = 0, kept = 0;
  CZ_TRY(best_candidates(s, t, &n));
  int64_t grown = t->alive[0].len + 1;
  for (int64_t i = 0; i < n; i++) {
    const candidate *c = &s->candidates[i];
    if (c->id == s->model->config.eos_id) {
      finish_one(s, t, &t->alive[c->beam], c);
      if (s->o->beams == 1) break; /* greedy: the best continuation ends the output */
    } else if (kept < s->o->beams) {
      copy_hypothesis(&t->next[kept], &t->alive[c->beam], c->id, c->score);
      parent[kept++] = t->first + c->beam;
      if (s->o->beams == 1) break;
    }
  }
  hypothesis *old = t->alive;
  t->alive = t->next;
  t->next = old;
  t->n_alive = kept;
  bool full = t->n_finished == s->o->beams;
  double worst = INFINITY;
  for (int64_t i = 0; i < t->n_finished; i++) worst = fmin(worst, t->finished[i].score);
  t->done = kept == 0 || grown == s->o->max_length ||
            (full && worst >= t->alive[0].score / penalty(s, s->o->max_length));
  return CZ_OK;
}

/* One step of the whole batch: the alive sequences of unfinished items close ranks in the
 * decoder. */
static cz_status step(search *s, int64_t *alive) {
  int64_t n = 0;
  for (int64_t i = 0; i < s->n_items; i++) {
    item *t = &s->items[i];
    if (t->done) continue;
    CZ_TRY(advance(s, t, s->parents + n));
    t->first = (int32_t)n;
    if (t->done) continue;
    for (int64_t b = 0; b < t->n_alive; b++, n++) {
      s->ids[n] = t->alive[b].ids[t->alive[b].len - 1];
      s->lengths[n] = 1;
      s->segments[n] = (int32_t)i;
      s->prefixes[n] = (int32_t)s->inputs[t->input].len + 1;
    }
  }
  *alive = n;
  if (!n) return CZ_OK;
  CZ_TRY(cz_decoder_reorder(s->decoder, s->parents, n));
  return cz_decoder_step(s->decoder, s->logits, s->ids, s->lengths, s->segments, s->prefixes, n);
}

/* Encodes the batch (encoder-decoders) and reads the start id, or start id and inputs
 * (single stacks), as one sequence an item. */
static cz_status begin(search *s) {
  int64_t tokens = 0, at = 0;
  int32_t *enc, *spans;
  for (int64_t i = 0; i < s->n_items; i++) tokens += (int64_t)s->inputs[s->items[i].input].len;
  CZ_TRY(cz_arena_alloc(s->arena, &enc, (size_t)(tokens + s->n_items), sizeof *enc));
  CZ_TRY(cz_arena_alloc(s->arena, &spans, (size_t)s->n_items * 2, sizeof *spans));
  for (int64_t i = 0; i < s->n_items; i++) {
    const cz_ids *in = &s->inputs[s->items[i].input];
    spans[2 * i] = (int32_t)at;
    if (!s->pair) enc[at++] = (int32_t)s->model->config.start_id;
    if (in->len) memcpy(enc + at, in->data, in->len * sizeof *enc);
    at += (int64_t)in->len;
    spans[2 * i + 1] = (int32_t)at;
    s->lengths[i] = s->pair ? 1 : (int32_t)in->len + 1;
    s->ids[i] = (int32_t)s->model->config.start_id;
    s->segments[i] = (int32_t)i;
    s->prefixes[i] = (int32_t)in->len + 1;
  }
  cz_feed f = {.segments = s->n_items,
               .encoder.tokens = s->pair ? at : 0,
               .encoder.ids = enc,
               .encoder.spans = spans};
  CZ_TRY(cz_decoder_start(s->decoder, &f));
  return cz_decoder_step(s->decoder, s->logits, s->pair ? s->ids : enc, s->lengths, s->segments,
                         s->prefixes, s->n_items);
}

static void take_best(search *s, const item *t, cz_ids *out, double *score, cz_status *st) {
  const hypothesis *best =
      t->n_finished ? &t->finished[0] : &t->alive[0]; /* nothing ended: the best unfinished one */
  if (s->o->unfinished) *s->o->unfinished += !t->n_finished;
  for (int64_t i = 1; i < t->n_finished; i++)
    if (t->finished[i].score > best->score) best = &t->finished[i];
  out->len = 0;
  for (int64_t i = 0; i < best->len && *st == CZ_OK; i++)
    if (best->ids[i] != s->model->config.eos_id) *st = cz_ids_add(out, best->ids[i]);
  if (score) *score = best->score;
}

static cz_status run_batch(search *s, cz_ids *outputs, double *scores) {
  int64_t alive = 0;
  cz_status st = CZ_OK;
  for (int64_t i = 0; i < s->n_items; i++) {
    item *t = &s->items[i];
    t->n_alive = 1;
    t->n_finished = 0;
    t->done = false;
    t->first = (int32_t)i;
    t->alive[0].score = 0;
    t->alive[0].len = 0;
  }
  CZ_TRY(begin(s));
  do CZ_TRY(step(s, &alive));
  while (alive);
  for (int64_t i = 0; i < s->n_items && st == CZ_OK; i++)
    take_best(s, &s->items[i], &outputs[s->items[i].input],
              scores ? &scores[s->items[i].input] : NULL, &st);
  return st;
}

static cz_status make_lists(search *s, hypothesis **out) {
  CZ_TRY(cz_arena_alloc(s->arena, out, (size_t)s->o->beams, sizeof **out));
  for (int64_t b = 0; b < s->o->beams; b++)
    CZ_TRY(cz_arena_alloc(s->arena, &(*out)[b].ids, (size_t)s->o->max_length + 1, sizeof(int32_t)));
  return CZ_OK;
}

/* Makes room for MAXIMUM items of at most LONGEST input tokens each, TOKENS together. */
static cz_status prepare(search *s, int64_t maximum, int64_t longest, int64_t tokens) {
  int64_t W = s->o->beams, sequences = maximum * W, prompt = s->pair ? 0 : longest;
  size_t lists = (size_t)sequences;
  s->maximum_items = maximum;
  cz_decoder_options d = {.capacity_segments = maximum,
                          .capacity_encoder = tokens + 1,
                          .max_beams = sequences,
                          .max_length = prompt + s->o->max_length + 1};
  CZ_TRY(cz_decoder_create(&s->decoder, s->model, &d));
  CZ_TRY(cz_arena_alloc(s->arena, &s->items, (size_t)maximum, sizeof *s->items));
  CZ_TRY(cz_arena_alloc(s->arena, &s->candidates, 2 * (size_t)W, sizeof *s->candidates));
  CZ_TRY(cz_arena_alloc(s->arena, &s->logits, lists * (size_t)s->model->config.vocab_size,
                        sizeof *s->logits));
  CZ_TRY(cz_arena_alloc(s->arena, &s->ids, lists, sizeof *s->ids));
  CZ_TRY(cz_arena_alloc(s->arena, &s->lengths, lists, sizeof *s->lengths));
  CZ_TRY(cz_arena_alloc(s->arena, &s->segments, lists, sizeof *s->segments));
  CZ_TRY(cz_arena_alloc(s->arena, &s->prefixes, lists, sizeof *s->prefixes));
  CZ_TRY(cz_arena_alloc(s->arena, &s->parents, lists, sizeof *s->parents));
  for (int64_t i = 0; i < maximum; i++) {
    CZ_TRY(make_lists(s, &s->items[i].alive));
    CZ_TRY(make_lists(s, &s->items[i].next));
    CZ_TRY(make_lists(s, &s->items[i].finished));
  }
  return CZ_OK;
}

typedef struct order {
  int64_t input, length;
} order;

static int longer_first(const void *a, const void *b) {
  const order *x = a, *y = b;
  if (x->length != y->length) return x->length < y->length ? 1 : -1;
  return x->input < y->input ? -1 : x->input > y->input;
}

enum { MAXIMUM_ITEMS = 64 };

static cz_status run_all(search *s, cz_ids *outputs, double *scores, const order *sorted, int64_t n,
                         cz_search_progress progress, void *self) {
  int64_t tokens = sorted[0].length > s->o->batch_tokens ? sorted[0].length : s->o->batch_tokens;
  CZ_TRY(prepare(s, n < MAXIMUM_ITEMS ? n : MAXIMUM_ITEMS, sorted[0].length, tokens));
  for (int64_t at = 0; at < n;) {
    int64_t used = 0;
    s->n_items = 0;
    while (at < n && s->n_items < s->maximum_items &&
           (s->n_items == 0 || used + sorted[at].length <= tokens)) {
      used += sorted[at].length;
      s->items[s->n_items++].input = sorted[at++].input;
    }
    CZ_TRY(run_batch(s, outputs, scores));
    if (progress) CZ_TRY(progress(self, at));
  }
  return CZ_OK;
}

/** Writes the model's output for each of N inputs (token ids with EOS) into OUTPUTS
 * (without EOS), and its score (log-probability, with beams divided by the length
 * penalty) into SCORES unless null. Inputs of like length run together, so results do
 * not depend on their order. CZ_EINVAL for options out of range, CZ_ENUMERIC for logits that
 * are not finite. */
cz_status cz_search(cz_ids *outputs, double *scores, cz_model *model, const cz_ids *inputs,
                    int64_t n, const cz_search_options *o, cz_search_progress progress,
                    void *progress_self) {
  search s = {.o = o,
              .model = model,
              .inputs = inputs,
              .pair = model->config.family->architecture == CZ_ENCODER_DECODER};
  order *sorted = NULL;
  cz_status st;
  if (o->beams < 1 || o->max_length < 1 || o->batch_tokens < 1)
    return CZ_FAIL(CZ_EINVAL, "search: %lld beams, outputs of %lld tokens, batches of %lld tokens",
                   (long long)o->beams, (long long)o->max_length, (long long)o->batch_tokens);
  if (n == 0) return CZ_OK;
  CZ_GO(st, cz_arena_create(&s.arena, "search"), done);
  CZ_GO(st, cz_alloc(&sorted, (size_t)n, sizeof *sorted), done);
  for (int64_t i = 0; i < n; i++) sorted[i] = (order){i, (int64_t)inputs[i].len};
  qsort(sorted, (size_t)n, sizeof *sorted, longer_first);
  CZ_GO(st, run_all(&s, outputs, scores, sorted, n, progress, progress_self), done);
done:
  cz_decoder_destroy(&s.decoder);
  cz_arena_destroy(&s.arena);
  free(sorted);
  return st;
}
