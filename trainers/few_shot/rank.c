#include "few_shot/rank.h"
#include "few_shot/scorer.h"

#include <stdlib.h>

struct cz_ranker {
  cz_scorer *scorer;
  cz_preparer preparer;
  int32_t *words; /* [n] ids of the words that are ranked, ascending */
  int64_t n;
  float *scores; /* [texts, n] */
  size_t cap;
};

/* All tokens that may answer. */
static cz_status list_words(cz_ranker *r, const cz_prompts *prompts) {
  const int32_t size = cz_tokenizer_get_facts(prompts->tokenizer)->size;
  CZ_TRY(cz_alloc(&r->words, (size_t)size, sizeof *r->words));
  for (int32_t id = 0; id < size; id++)
    if (cz_prompts_may_answer(prompts, id)) r->words[r->n++] = id;
  return r->n ? CZ_OK : CZ_FAIL(CZ_EINVAL, "no token of the vocabulary may answer");
}

/** Prepares to rank at the masks of PROMPTS by MODEL, a masked LM; both are borrowed. The caller
 * destroys it. */
cz_status cz_ranker_create(cz_ranker **r, cz_model *model, const cz_prompts *prompts) {
  cz_status st;
  CZ_TRY(cz_alloc(r, 1, sizeof **r));
  (*r)->preparer = (cz_preparer){.prompts = prompts, .config = &model->config};
  CZ_GO(st, list_words(*r, prompts), fail);
  const cz_scorer_options o = {.head = CZ_NET_LABEL_WORDS,
                               .classes = (*r)->n,
                               .words = 1,
                               .max_length = (int64_t)prompts->max_length,
                               .batch_tokens = (int64_t)prompts->max_length};
  CZ_GO(st, cz_scorer_create(&(*r)->scorer, model, &o), fail);
  CZ_GO(st, cz_scorer_words((*r)->scorer, (*r)->words), fail);
  return CZ_OK;
fail:
  cz_ranker_destroy(r);
  return st;
}

/* The place of ANSWER, from 1; words with the same score stand in the order of their ids. */
static int64_t rank_of(const cz_ranker *r, const float *scores, int32_t answer) {
  int64_t own = 0, rank = 1;
  while (own < r->n && r->words[own] != answer) own++;
  if (own == r->n) return 0;
  for (int64_t i = 0; i < r->n; i++)
    rank += scores[i] > scores[own] || (i < own && scores[i] == scores[own]);
  return rank;
}

/** RANKS [n]: the place, from 1, of each of ANSWERS [n] at the mask of its text of SET under
 * PROMPT, which has one; 0 for an answer that is none of the words, as -1. CZ_EINVAL as
 * cz_prompt_apply, CZ_ENUMERIC for a score that is not finite. */
cz_status cz_ranker_run(cz_ranker *r, int64_t *ranks, const cz_prompt *prompt,
                        const cz_text_set *set, const int32_t *answers) {
  cz_prepared inputs = {0};
  cz_status st;
  CZ_CHECK(prompt->pattern->masks == 1);
  r->preparer.prompt = prompt;
  CZ_GO(st, cz_grow(&r->scores, &r->cap, set->n * (size_t)r->n, sizeof *r->scores), done);
  CZ_GO(st, cz_prepare_set(&r->preparer, &inputs, set), done);
  CZ_GO(st, cz_scorer_run(r->scorer, r->scores, &inputs), done);
  for (size_t i = 0; i < set->n; i++)
    ranks[i] = rank_of(r, r->scores + i * (size_t)r->n, answers[i]);
done:
  cz_prepared_free(&inputs);
  return st;
}

/** How many words are ranked. */
int64_t cz_ranker_words(const cz_ranker *r) { return r->n; }

/** Frees it, not the model; clears the pointer, accepts null. */
void cz_ranker_destroy(cz_ranker **r) {
  if (!*r) return;
  cz_scorer_destroy(&(*r)->scorer);
  cz_preparer_free(&(*r)->preparer);
  free((*r)->words);
  free((*r)->scores);
  free(*r);
  *r = NULL;
}
