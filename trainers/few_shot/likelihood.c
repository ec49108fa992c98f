#include "few_shot/likelihood.h"
#include "data/example.h"
#include "few_shot/questions.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A text as the model reads it: [begin, begin + length) of the list of all, of which [own, own + n)
 * are the text's own tokens. */
typedef struct input {
  size_t begin, length, own, n;
} input;

struct cz_likelihood {
  cz_questions *questions;
  const cz_model *model;
  const cz_tokenizer *tokenizer;
  cz_tokenizer_scratch *scratch;
  bool masked;
  int64_t longest;      /* tokens of an input */
  int64_t batch_tokens; /* of a run */
  /* texts */
  input *inputs;
  size_t n, inputs_cap, longest_cap, logprobs_cap;
  cz_ids ids, types;
  double *logprobs; /* of each of ids */
  int64_t pending;
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

/* What a run has asked, to the places of its tokens among all. */
static cz_status answer(void *self, const size_t *places, const double *logp, size_t n) {
  cz_likelihood *l = self;
  for (size_t i = 0; i < n; i++) {
    if (!isfinite(logp[i]))
      return CZ_FAIL(CZ_ENUMERIC, "the log-probability of a token is %g, not finite", logp[i]);
    l->logprobs[places[i]] = logp[i];
  }
  return CZ_OK;
}

/* Of a masked LM each question has a copy of its text to itself. */
static cz_status create_questions(cz_likelihood *l, cz_model *model, int64_t batch_tokens) {
  l->longest = cz_model_longest(&model->config);
  l->batch_tokens = batch_tokens > l->longest ? batch_tokens : l->longest;
  const cz_questions_options o = {.batch_tokens = l->batch_tokens,
                                  .rows = l->masked    ? 1
                                          : l->longest ? l->longest
                                                       : l->batch_tokens,
                                  .self = l,
                                  .answer = answer};
  return cz_questions_create(&l->questions, model, &o);
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
  CZ_GO(st, create_questions(*l, model, batch_tokens), fail);
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
  const size_t positions = (size_t)(l->longest ? l->longest : l->batch_tokens),
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

/* Appends the first N tokens of IN to the run as a segment, of which ROWS rows will be asked;
 * *FIRST is the place of its first token in the run. */
static cz_status append(size_t *first, cz_likelihood *l, const input *in, size_t n, size_t rows) {
  const cz_asked_text text = {l->ids.data + in->begin, l->types.data + in->begin, n, n, n};
  return cz_questions_segment(l->questions, first, &text, (int64_t)rows);
}

/* Asks at place ROW of the run for the token at PLACE of ids. */
static cz_status ask(cz_likelihood *l, size_t row, size_t place) {
  return cz_questions_ask(l->questions, row, l->ids.data[place], place);
}

/* Each token of the text hidden in a copy of its own. */
static cz_status append_masked(cz_likelihood *l, const input *in) {
  const int32_t mask = cz_tokenizer_get_facts(l->tokenizer)->mask;
  size_t first = 0;
  for (size_t i = 0; i < in->n; i++) {
    const size_t at = in->own - in->begin + i;
    CZ_TRY(append(&first, l, in, in->length, 1));
    cz_questions_fill(l->questions, first + at, mask);
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
    if (reads(a) != reads(b) || (int64_t)(*rows + rows_of(b)) > cz_questions_rows(l->questions) ||
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
  return cz_questions_run(l->questions);
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
double cz_likelihood_read(const cz_likelihood *l) { return cz_questions_read(l->questions); }

/** Forgets the texts; room is kept. */
void cz_likelihood_clear(cz_likelihood *l) {
  l->n = 0;
  l->ids.len = l->types.len = 0;
  l->pending = 0;
  cz_questions_clear(l->questions);
}

/** Frees it, not the model; clears the pointer, accepts null. */
void cz_likelihood_destroy(cz_likelihood **l) {
  cz_likelihood *x = *l;
  if (!x) return;
  cz_questions_destroy(&x->questions);
  cz_tokenizer_scratch_destroy(&x->scratch);
  cz_encoding_free(&x->text);
  cz_encoding_free(&x->whole);
  free(x->inputs);
  free(x->ids.data);
  free(x->types.data);
  free(x->logprobs);
  free(x);
  *l = NULL;
}
