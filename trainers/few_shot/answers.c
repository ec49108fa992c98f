#include "few_shot/answers.h"
#include "few_shot/prepare.h"
#include "few_shot/questions.h"

#include <math.h>
#include <stdlib.h>

struct cz_answers {
  cz_questions *questions;
  cz_answers_options options;
  /* what is scored */
  const cz_prompt *prompt;
  const cz_prepared *set;
  size_t words;         /* C times W */
  const int32_t *table; /* [texts or 1, words, masks] of tokens */
  bool own;             /* each text has answers of its own */
  int32_t *tokens;      /* [texts or 1, words] of each; 0 behind a label's last word */
  cz_fill *fills;       /* [texts, words] */
};

/* The place of a word of a text in tables that are one a text, or one for all. */
static size_t place_of(const cz_answers *a, size_t text, size_t word) {
  return (a->own ? text * a->words : 0) + word;
}

/* The tokens of the answer that FILL fills in. */
static const int32_t *ids_of(const cz_answers *a, size_t fill) {
  return a->table +
         place_of(a, fill / a->words, fill % a->words) * (size_t)a->prompt->pattern->masks;
}

/* What a run has asked, to the answers: the questions of one, its number times CZ_FILL_TOKENS and
 * the mask, stand side by side. */
static cz_status answer(void *self, const size_t *who, const double *logp, size_t n) {
  cz_answers *a = self;
  double of_masks[CZ_FILL_TOKENS];
  for (size_t i = 0; i < n; i++) {
    const size_t fill = who[i] / CZ_FILL_TOKENS, mask = who[i] % CZ_FILL_TOKENS;
    if (!isfinite(logp[i]))
      return CZ_FAIL(CZ_ENUMERIC,
                     "log p of token %zu of class %zu under text %zu is %g, not finite", mask,
                     fill % a->words / a->prompt->n_words, fill / a->words, logp[i]);
    of_masks[mask] = logp[i];
    if (i + 1 == n || who[i + 1] / CZ_FILL_TOKENS != fill)
      cz_fill_step(&a->fills[fill], a->options.order, of_masks);
  }
  return CZ_OK;
}

/** Builds a net that scores with MODEL, which is borrowed, has a masked-LM head and may change its
 * weights. The caller destroys it. */
cz_status cz_answers_create(cz_answers **a, cz_model *model, const cz_answers_options *options) {
  CZ_TRY(cz_alloc(a, 1, sizeof **a));
  (*a)->options = *options;
  const cz_questions_options o = {.batch_tokens = options->batch_tokens,
                                  .rows = options->max_tokens,
                                  .self = *a,
                                  .answer = answer};
  cz_status st = cz_questions_create(&(*a)->questions, model, &o);
  if (st != CZ_OK) cz_answers_destroy(a);
  return st;
}

/* Appends text I as a segment with K of its masks, the first of which has place *FIRST in the run.
 * Surplus masks are removed, as the published code does it, so that a text is cut alike for all
 * words. ROWS rows are going to be asked. */
static cz_status append(cz_answers *a, size_t *first, size_t i, int32_t k, int64_t rows) {
  cz_masked_text t;
  CZ_TRY(cz_masked_text_find(&t, a->prompt, a->set, i));
  const cz_asked_text text = {t.ids, t.types, t.n, t.place + (size_t)k, t.place + t.masks};
  CZ_TRY(cz_questions_segment(a->questions, first, &text, rows));
  *first += t.place;
  return CZ_OK;
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
    CZ_TRY(cz_questions_ask(a->questions, first + (size_t)i, ids[i],
                            fill * CZ_FILL_TOKENS + (size_t)i));
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
        cz_questions_fill(a->questions, first + (size_t)k, ids_of(a, i * a->words + w)[k]);
    CZ_TRY(ask(a, first, i * a->words + w));
  }
  return CZ_OK;
}

/* Tokens of each answer of text I; of all texts where they have none of their own. */
static void count_tokens(cz_answers *a, size_t i) {
  const size_t masks = (size_t)a->prompt->pattern->masks;
  for (size_t w = 0; w < a->words; w++)
    a->tokens[place_of(a, i, w)] =
        (int32_t)cz_prompt_answer_length(ids_of(a, i * a->words + w), masks);
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
  cz_questions_clear(a->questions);
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
  CZ_GO(st, cz_questions_run(a->questions), done);
  for (int32_t step = 1; step < masks; step++) {
    for (size_t i = 0; i < set->count; i++) CZ_GO(st, append_filled(a, i), done);
    CZ_GO(st, cz_questions_run(a->questions), done);
  }
  add_up(a, scores);
done:
  end(a);
  return st;
}

/** Tokens that were read since it was made, a text as often as its answers wanted it. */
double cz_answers_read(const cz_answers *a) { return cz_questions_read(a->questions); }

/** Frees it, not the model; clears the pointer, accepts null. */
void cz_answers_destroy(cz_answers **a) {
  if (!*a) return;
  cz_questions_destroy(&(*a)->questions);
  free(*a);
  *a = NULL;
}
