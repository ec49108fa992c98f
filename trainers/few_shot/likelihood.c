#include "few_shot/likelihood.h"
#include "base/stop.h"
#include "nn/net.h"
#include "training/feed.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Rows of logits of one run, unless a single text of a causal LM has more; of a masked LM a row is
 * a copy of its text. */
enum { ROWS = 512 };

/* A text as the model reads it: [begin, begin + length) of the list of all, of which [own, own + n)
 * are the text's own tokens. */
typedef struct input {
  size_t begin, length, own, n;
} input;

struct cz_likelihood {
  cz_net *net;
  const cz_model *model;
  const cz_tokenizer *tokenizer;
  cz_tokenizer_scratch *scratch;
  bool masked;
  int64_t longest; /* tokens of an input */
  int64_t capacity_tokens, capacity_rows;
  /* texts */
  input *inputs;
  size_t n, inputs_cap, longest_cap, logprobs_cap;
  cz_ids ids, types;
  double *logprobs; /* of each of ids */
  int64_t pending;
  /* a run */
  cz_flat_batch batch;
  cz_ids rows, targets;
  size_t *places; /* [capacity_rows] of each row's token in ids */
  double *nll;    /* [capacity_rows] */
  double read;    /* tokens of all runs */
  cz_encoding text, whole;
};

static cz_status refuse_family(const cz_model *m) {
  return CZ_FAIL(CZ_EUSAGE,
                 "a model of family %s (%s) is no language model that gives each token of a text "
                 "a probability: a masked LM or a causal one is wanted",
                 m->config.family->name, cz_architecture_names[m->config.family->architecture]);
}

/* Which of both kinds the model is. */
static cz_status find_kind(cz_likelihood *l, const cz_model *m) {
  const cz_architecture a = m->config.family->architecture;
  if (a != CZ_ENCODER && a != CZ_LANGUAGE_MODEL) return refuse_family(m);
  l->masked = a == CZ_ENCODER;
  CZ_CHECK(!l->masked || (!m->drawn && cz_tokenizer_get_facts(l->tokenizer)->mask >= 0));
  return CZ_OK;
}

static cz_status create_net(cz_likelihood *l, cz_model *model, int64_t batch_tokens) {
  l->longest = cz_model_longest(&model->config);
  l->capacity_tokens = batch_tokens > l->longest ? batch_tokens : l->longest;
  const int64_t one = l->masked ? 1 : l->longest ? l->longest : l->capacity_tokens;
  l->capacity_rows = one > ROWS ? one : ROWS;
  const cz_net_options o = {
      .capacity_segments = l->capacity_rows,
      .capacity_encoder = 1,
      .capacity_decoder = l->capacity_tokens,
      .dropout = 0,
      .n_heads = 1,
      .heads = {{.kind = CZ_NET_VOCABULARY, .capacity_rows = l->capacity_rows}}};
  CZ_TRY(cz_alloc(&l->places, (size_t)l->capacity_rows, sizeof *l->places));
  CZ_TRY(cz_alloc(&l->nll, (size_t)l->capacity_rows, sizeof *l->nll));
  return cz_net_create(&l->net, model, &o);
}

/** Prepares to score with MODEL, texts cut by TOKENIZER; both are borrowed. BATCH_TOKENS go into
 * one run. CZ_EUSAGE for a model that is no such language model, by its family's name; a masked LM
 * has passed cz_masked_lm_check. The caller destroys it. */
cz_status cz_likelihood_create(cz_likelihood **l, cz_model *model, const cz_tokenizer *tokenizer,
                               int64_t batch_tokens) {
  cz_status st;
  CZ_TRY(cz_alloc(l, 1, sizeof **l));
  (*l)->model = model;
  (*l)->tokenizer = tokenizer;
  CZ_GO(st, find_kind(*l, model), fail);
  CZ_GO(st, cz_tokenizer_scratch_create(&(*l)->scratch, tokenizer), fail);
  CZ_GO(st, create_net(*l, model, batch_tokens), fail);
  return CZ_OK;
fail:
  cz_likelihood_destroy(l);
  return st;
}

/* What a causal LM reads in front of every text, or -1. */
static int64_t start_of(const cz_likelihood *l) {
  return l->masked ? -1 : l->model->config.start_id;
}

static cz_status check_length(const cz_likelihood *l, const input *in) {
  const size_t positions = (size_t)(l->longest ? l->longest : l->capacity_tokens),
               most = positions + !l->masked; /* nobody reads the last token of a causal LM */
  if (in->length <= most) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "a text of %zu tokens (%zu with special ones): at most %zu can be read",
                 in->n, in->length, most);
}

/** Adds the N bytes of TEXT, number of texts before the call. CZ_EINVAL for one that the tokenizer
 * refuses or the model has no positions for; it is not added, and others can be. */
cz_status cz_likelihood_add(cz_likelihood *l, const char *text, size_t n) {
  static const cz_encode_options text_alone = {.text_only = true, .no_special = true};
  cz_encoding *e = &l->whole;
  CZ_TRY(cz_tokenizer_encode(l->tokenizer, &l->text, text, n, text_alone, l->scratch));
  CZ_TRY(cz_tokenizer_assemble(l->tokenizer, e, l->text.ids, l->text.n, NULL, 0, false));
  return cz_likelihood_add_tokens(
      l, &(cz_text_tokens){e->ids, e->types, e->n, e->begin[0], l->text.n});
}

/** The same for a text that is tokens already: how likely those are that count, given the others
 * that the model sees. */
cz_status cz_likelihood_add_tokens(cz_likelihood *l, const cz_text_tokens *t) {
  const int64_t start = start_of(l);
  const input in = {.begin = l->ids.len,
                    .length = t->n + (start >= 0),
                    .own = l->ids.len + t->own + (start >= 0),
                    .n = t->n_own};
  CZ_CHECK(t->own + t->n_own <= t->n);
  CZ_TRY(check_length(l, &in));
  CZ_TRY(cz_grow(&l->inputs, &l->inputs_cap, l->n + 1, sizeof *l->inputs));
  CZ_TRY(cz_grow(&l->logprobs, &l->logprobs_cap, in.begin + in.length, sizeof *l->logprobs));
  for (size_t i = 0; i < in.length; i++) l->logprobs[in.begin + i] = NAN;
  if (start >= 0) CZ_TRY(cz_ids_add(&l->ids, (int32_t)start));
  if (start >= 0) CZ_TRY(cz_ids_add(&l->types, 0));
  CZ_TRY(cz_ids_append(&l->ids, t->ids, (int64_t)t->n));
  CZ_TRY(cz_ids_append(&l->types, t->types, (int64_t)t->n));
  l->inputs[l->n++] = in;
  l->pending += (int64_t)(l->masked ? in.length * in.n : in.length);
  return CZ_OK;
}

/** Tokens that the model will read to score what was added: of a masked LM a copy of a text for
 * each of its tokens. */
int64_t cz_likelihood_pending(const cz_likelihood *l) { return l->pending; }

/* Scores the rows that were put together, and forgets them. */
static cz_status flush(cz_likelihood *l) {
  const cz_graph_run_options run = {0};
  const int64_t n = (int64_t)l->rows.len;
  const cz_net_head_feed head = {
      .rows = l->rows.data, .n_rows = n, .targets = l->targets.data, .denominator = 1};
  cz_feed feed;
  if (!n) return CZ_OK;
  CZ_TRY(cz_stop_check("scoring"));
  cz_feed_flat_batch(&feed, &l->batch, 1);
  feed.heads = &head;
  CZ_TRY(cz_net_feed(l->net, &feed));
  CZ_TRY(cz_graph_forward(l->net->graph, &run));
  CZ_TRY(cz_graph_read(l->net->graph, l->nll, l->net->heads[0].nll, n));
  for (int64_t i = 0; i < n; i++) {
    if (!isfinite(l->nll[i]))
      return CZ_FAIL(CZ_ENUMERIC, "the log-probability of a token is %g, not finite", -l->nll[i]);
    l->logprobs[l->places[i]] = -l->nll[i];
  }
  l->read += (double)l->batch.decoder.ids.len;
  l->batch.decoder.ids.len = l->batch.decoder.spans.len = l->batch.types.len = 0;
  l->rows.len = l->targets.len = 0;
  l->batch.segments = 0;
  return CZ_OK;
}

/* Appends the first N tokens of IN to the run as a segment, of which ROWS rows will be asked;
 * *FIRST is the place of its first token in the run. */
static cz_status append(size_t *first, cz_likelihood *l, const input *in, size_t n, size_t rows) {
  cz_flat_batch *b = &l->batch;
  if ((int64_t)(b->decoder.ids.len + n) > l->capacity_tokens ||
      (int64_t)(l->rows.len + rows) > l->capacity_rows)
    CZ_TRY(flush(l));
  *first = b->decoder.ids.len;
  CZ_TRY(cz_ids_append(&b->decoder.ids, l->ids.data + in->begin, (int64_t)n));
  CZ_TRY(cz_ids_append(&b->types, l->types.data + in->begin, (int64_t)n));
  b->segments++;
  return cz_token_lists_close(&b->decoder, *first);
}

/* Asks at place ROW of the run for the token at PLACE of ids. */
static cz_status ask(cz_likelihood *l, size_t row, size_t place) {
  l->places[l->rows.len] = place;
  CZ_TRY(cz_ids_add(&l->rows, (int32_t)row));
  return cz_ids_add(&l->targets, l->ids.data[place]);
}

/* Each token of the text hidden in a copy of its own. */
static cz_status append_masked(cz_likelihood *l, const input *in) {
  const int32_t mask = cz_tokenizer_get_facts(l->tokenizer)->mask;
  size_t first = 0;
  for (size_t i = 0; i < in->n; i++) {
    const size_t at = in->own - in->begin + i;
    CZ_TRY(append(&first, l, in, in->length, 1));
    l->batch.decoder.ids.data[first + at] = mask;
    CZ_TRY(ask(l, first + at, in->own + i));
  }
  return CZ_OK;
}

/* Of a causal LM, tokens that are read of a text: all but the last one. */
static size_t reads(const input *in) {
  const size_t end = in->own + in->n - in->begin;
  return end ? end - 1 : 0;
}

/* The first token of a text that is asked for, where the one before it is read. */
static size_t asked_from(const input *in) { return in->own > in->begin ? in->own : in->begin + 1; }

static size_t rows_of(const input *in) {
  const size_t from = asked_from(in), end = in->own + in->n;
  return end > from ? end - from : 0;
}

/* How many texts from I on read the same tokens, whose rows fit into one run; *ROWS of them. */
static size_t alike(const cz_likelihood *l, size_t *rows, size_t i) {
  const input *a = &l->inputs[i];
  size_t n = 1;
  *rows = rows_of(a);
  for (; i + n < l->n; n++) {
    const input *b = &l->inputs[i + n];
    if (reads(a) != reads(b) || (int64_t)(*rows + rows_of(b)) > l->capacity_rows ||
        memcmp(l->ids.data + a->begin, l->ids.data + b->begin, reads(a) * sizeof *l->ids.data))
      break;
    *rows += rows_of(b);
  }
  return n;
}

/* Text I once, and those behind it that read the same; *N in all. Each token is asked for where the
 * one before it is read. */
static cz_status append_causal(cz_likelihood *l, size_t *n, size_t i) {
  size_t first = 0, rows;
  *n = alike(l, &rows, i);
  if (!rows) return CZ_OK;
  CZ_TRY(append(&first, l, &l->inputs[i], reads(&l->inputs[i]), rows));
  for (const input *in = &l->inputs[i]; in < &l->inputs[i + *n]; in++)
    for (size_t place = asked_from(in); place < in->own + in->n; place++)
      CZ_TRY(ask(l, first + place - in->begin - 1, place));
  return CZ_OK;
}

/** Scores all texts that were added. CZ_ENUMERIC for a probability that is not finite,
 * CZ_EINTERRUPT after a signal. */
cz_status cz_likelihood_run(cz_likelihood *l) {
  for (size_t i = 0, n = 1; i < l->n; i += n)
    CZ_TRY(l->masked ? append_masked(l, &l->inputs[i]) : append_causal(l, &n, i));
  l->pending = 0;
  return flush(l);
}

/** The tokens of text I, after a run. */
cz_text_likelihood cz_likelihood_of(const cz_likelihood *l, size_t i) {
  const input *in = &l->inputs[i];
  cz_text_likelihood t = {
      .ids = l->ids.data + in->own, .logprobs = l->logprobs + in->own, .n = in->n};
  for (size_t k = 0; k < t.n; k++)
    if (!isnan(t.logprobs[k])) t.sum += t.logprobs[k];
  return t;
}

/** Tokens that were read since it was made. */
double cz_likelihood_read(const cz_likelihood *l) { return l->read; }

/** Forgets the texts; room is kept. */
void cz_likelihood_clear(cz_likelihood *l) {
  l->n = 0;
  l->ids.len = l->types.len = 0;
  l->pending = 0;
}

/** Frees it, not the model; clears the pointer, accepts null. */
void cz_likelihood_destroy(cz_likelihood **l) {
  cz_likelihood *x = *l;
  if (!x) return;
  cz_net_destroy(&x->net);
  cz_tokenizer_scratch_destroy(&x->scratch);
  cz_encoding_free(&x->text);
  cz_encoding_free(&x->whole);
  cz_flat_batch_free(&x->batch);
  free(x->inputs);
  free(x->ids.data);
  free(x->types.data);
  free(x->rows.data);
  free(x->targets.data);
  free(x->logprobs);
  free(x->places);
  free(x->nll);
  free(x);
  *l = NULL;
}
