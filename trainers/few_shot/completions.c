#include "few_shot/completions.h"
#include "few_shot/likelihood.h"
#include "few_shot/prepare.h"

#include <stdlib.h>
#include <string.h>

struct cz_completions {
  cz_likelihood *likelihood;
  int64_t classes, batch_tokens;
  cz_ids ids, types; /* of a text with a word in its place */
};

/** Prepares to score label words of CLASSES labels with MODEL, a causal LM that may change its
 * weights; it and TOKENIZER are borrowed. A run reads about BATCH_TOKENS. CZ_EUSAGE as
 * cz_likelihood_create. The caller destroys it. */
cz_status cz_completions_create(cz_completions **c, cz_model *model, const cz_tokenizer *tokenizer,
                                int64_t classes, int64_t batch_tokens) {
  CZ_TRY(cz_alloc(c, 1, sizeof **c));
  (*c)->classes = classes;
  (*c)->batch_tokens = batch_tokens;
  cz_status st = cz_likelihood_create(&(*c)->likelihood, model, tokenizer, batch_tokens);
  if (st != CZ_OK) cz_completions_destroy(c);
  return st;
}

/* Word W of a prompt's C times W; *N: its tokens, 0 behind a label's last word. */
static const int32_t *word_of(const cz_prompt *prompt, size_t w, size_t *n) {
  const size_t masks = (size_t)prompt->pattern->masks;
  const int32_t *ids = prompt->words + w * masks;
  *n = cz_prompt_answer_length(ids, masks);
  return ids;
}

/* Adds the text with the word of K tokens WORD where its masks are. */
static cz_status complete(cz_completions *c, const cz_masked_text *g, const int32_t *word,
                          size_t k) {
  const size_t rest = g->place + g->masks, behind = g->n - rest;
  c->ids.len = c->types.len = 0;
  CZ_TRY(cz_ids_append(&c->ids, g->ids, (int64_t)g->place));
  CZ_TRY(cz_ids_append(&c->ids, word, (int64_t)k));
  CZ_TRY(cz_ids_append(&c->ids, g->ids + rest, (int64_t)behind));
  CZ_TRY(cz_ids_append(&c->types, g->types, (int64_t)(g->place + k)));
  CZ_TRY(cz_ids_append(&c->types, g->types + rest, (int64_t)behind));
  return cz_likelihood_add_tokens(
      c->likelihood,
      &(cz_text_tokens){c->ids.data, c->types.data, c->ids.len, g->place, k + behind});
}

static cz_status add_text(cz_completions *c, const cz_prompt *prompt, const cz_prepared *set,
                          size_t i) {
  cz_masked_text g;
  CZ_TRY(cz_masked_text_find(&g, prompt, set, i));
  for (size_t w = 0; w < (size_t)c->classes * prompt->n_words; w++) {
    size_t k;
    const int32_t *word = word_of(prompt, w, &k);
    if (k) CZ_TRY(complete(c, &g, word, k));
  }
  return CZ_OK;
}

/* SCORES [N, C] of the texts that were added, after a run. */
static cz_status answer(cz_completions *c, float *scores, const cz_prompt *prompt, size_t n) {
  size_t at = 0, k;
  CZ_TRY(cz_likelihood_run(c->likelihood));
  for (size_t i = 0; i < n * (size_t)c->classes; i++) {
    double sum = 0;
    size_t words = 0;
    for (size_t w = 0; w < prompt->n_words; w++) {
      word_of(prompt, i % (size_t)c->classes * prompt->n_words + w, &k);
      if (!k) continue;
      sum += cz_likelihood_of(c->likelihood, at++).sum;
      words++;
    }
    scores[i] = (float)(sum / (double)words);
  }
  cz_likelihood_clear(c->likelihood);
  return CZ_OK;
}

/** SCORES [n, C] of SET's texts, which PROMPT made. CZ_ENUMERIC for a probability that is not
 * finite, CZ_EINTERRUPT after a signal. */
cz_status cz_completions_run(cz_completions *c, float *scores, const cz_prompt *prompt,
                             const cz_prepared *set) {
  size_t done = 0;
  cz_likelihood_clear(c->likelihood);
  for (size_t i = 0; i < set->count; i++) {
    CZ_TRY(add_text(c, prompt, set, i));
    if (i + 1 < set->count && cz_likelihood_pending(c->likelihood) < c->batch_tokens) continue;
    CZ_TRY(answer(c, scores + done * (size_t)c->classes, prompt, i + 1 - done));
    done = i + 1;
  }
  return CZ_OK;
}

/** Tokens that were read since it was made. */
double cz_completions_read(const cz_completions *c) { return cz_likelihood_read(c->likelihood); }

/** Tokens that are going to be read of a text of N tokens, masks included, whose masks begin at
 * PLACE, to score the words of CLASSES labels; *TEXTS: as so many texts. Words that follow one
 * another, end the text and differ in their last token alone are one. */
double cz_completions_predict(double *texts, const cz_prompt *prompt, size_t classes, size_t n,
                              size_t place) {
  const size_t masks = (size_t)prompt->pattern->masks;
  const bool at_end = place + masks == n;
  const int32_t *before = NULL;
  size_t k_before = 0;
  double sum = 0;
  *texts = 0;
  for (size_t w = 0; w < classes * prompt->n_words; w++) {
    size_t k;
    const int32_t *word = word_of(prompt, w, &k);
    if (!k) continue;
    const bool same = at_end && k == k_before && !memcmp(word, before, (k - 1) * sizeof *word);
    before = word, k_before = k;
    if (same) continue;
    sum += (double)(n - masks + k - 1);
    ++*texts;
  }
  return sum;
}

/** Frees it, not the model; clears the pointer, accepts null. */
void cz_completions_destroy(cz_completions **c) {
  if (!*c) return;
  cz_likelihood_destroy(&(*c)->likelihood);
  free((*c)->ids.data);
  free((*c)->types.data);
  free(*c);
  *c = NULL;
}
