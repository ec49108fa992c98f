#include "few_shot/candidates.h"
#include "base/hash.h"
#include "device/random.h"
#include "ensemble/ensemble.h"
#include "metrics/scores.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_answer(const cz_record *r, const char *candidate) {
  for (size_t i = 0; i < r->n_answers; i++)
    if (!strcmp(r->answers[i], candidate)) return true;
  return false;
}

/* ROOM [n_candidates]: numbers of the wrong candidates of R, in an order drawn by (seed, question,
 * answer), so that it does not matter what else is drawn; how many they are. */
static size_t shuffle_wrong(int32_t *room, const cz_record *r, size_t answer, uint64_t hash,
                            uint64_t seed) {
  cz_stream s;
  size_t n = 0;
  for (size_t i = 0; i < r->n_candidates; i++)
    if (!is_answer(r, r->candidates[i])) room[n++] = (int32_t)i;
  cz_stream_init(&s, cz_hash64(&hash, sizeof hash, seed), "candidates", (uint32_t)answer, 0);
  if (n >= CZ_TRAINED_CANDIDATES) cz_stream_shuffle(&s, room, (int64_t)n);
  return n;
}

/* *OUT: question R with its answer number ANSWER as the first candidate, and wrong ones behind it,
 * all or some; borrowed from R. */
static cz_status take_answer(cz_record **out, cz_arena *arena, const cz_record *r, size_t answer,
                             uint64_t hash, uint64_t seed) {
  const char **candidates;
  int32_t *wrong;
  CZ_TRY(cz_arena_alloc(arena, out, 1, sizeof **out));
  CZ_TRY(cz_arena_alloc(arena, &candidates, CZ_TRAINED_CANDIDATES, sizeof *candidates));
  CZ_TRY(cz_arena_alloc(arena, &wrong, r->n_candidates, sizeof *wrong));
  const size_t n = shuffle_wrong(wrong, r, answer, hash, seed);
  **out = *r;
  (*out)->candidates = candidates;
  (*out)->answers = &r->answers[answer];
  (*out)->n_answers = (*out)->n_candidates = 1;
  (*out)->label = 0;
  candidates[0] = r->answers[answer];
  for (size_t i = 0; i < n && (*out)->n_candidates < CZ_TRAINED_CANDIDATES; i++)
    candidates[(*out)->n_candidates++] = r->candidates[wrong[i]];
  return CZ_OK;
}

/** Makes SET, T of E, of the questions ROWS [n] of RECORDS, which are borrowed and have HASHES: a
 * text for each right answer, as the first of at most CZ_TRAINED_CANDIDATES; the wrong ones are
 * drawn by SEED. Errors as cz_text_set_add. */
cz_status cz_candidates_take(cz_text_set *set, const cz_examples *e, const cz_records *records,
                             const uint64_t *hashes, const int32_t *rows, size_t n, uint64_t seed) {
  size_t texts = 0;
  for (size_t i = 0; i < n; i++) texts += records->items[rows[i]].n_answers;
  CZ_TRY(cz_text_set_create(set, e, records->path, texts, true));
  for (size_t i = 0; i < n; i++) {
    const cz_record *r = &records->items[rows[i]];
    const uint64_t hash = hashes[rows[i]];
    for (size_t a = 0; a < r->n_answers; a++) {
      cz_record *one = NULL;
      CZ_TRY(take_answer(&one, e->arena, r, a, hash, seed));
      CZ_TRY(cz_text_set_add(set, one, hash, 0));
    }
  }
  return CZ_OK;
}

/* Tokens of all candidates of text I. */
static int64_t tokens_of(const cz_prompt_texts *t, size_t i) {
  int64_t n = 0;
  for (size_t k = 0; k < t->spans[i].n; k++) n += (int64_t)t->candidates[t->spans[i].first + k].n;
  return n;
}

/* The most of everything in SET. */
static void measure(cz_examples *e, int32_t *most, const cz_text_set *set) {
  for (size_t i = 0; i < set->n; i++) {
    const int32_t n = (int32_t)set->records[i]->n_candidates;
    const int64_t tokens = tokens_of(set->texts, i);
    if (n > *most) *most = n;
    if (tokens > e->answer_tokens) e->answer_tokens = tokens;
  }
  if (*most > e->classes) e->classes = *most;
}

/* Which candidates of SET are right: those that the official scorer takes for an answer, which sees
 * neither case nor articles nor punctuation. */
static cz_status find_right(cz_text_set *set, const cz_examples *e) {
  const size_t C = (size_t)e->classes;
  double exact = 0, f1 = 0;
  CZ_TRY(cz_arena_alloc(e->arena, &set->right, set->n * C, sizeof *set->right));
  for (size_t i = 0; i < set->n; i++) {
    const cz_record *r = set->records[i];
    for (size_t c = 0; c < r->n_candidates && r->n_answers; c++) {
      CZ_TRY(cz_score_squad(&exact, &f1, r->candidates[c], r->answers, r->n_answers));
      set->right[i * C + c] = exact > 0;
    }
  }
  return CZ_OK;
}

/** Finds how many candidates the texts of E have, and which of them are right. CZ_EINVAL where an
 * answer is no UTF-8. */
cz_status cz_candidates_measure(cz_examples *e) {
  int32_t others = 0;
  measure(e, &e->most_in_t, &e->t);
  measure(e, &others, &e->d);
  measure(e, &others, &e->test);
  CZ_TRY(find_right(&e->t, e));
  CZ_TRY(find_right(&e->d, e));
  CZ_TRY(find_right(&e->test, e));
  CZ_TRY(cz_arena_alloc(e->arena, &e->of_label, (size_t)e->classes, sizeof *e->of_label));
  if (e->classes) e->of_label[0] = (int64_t)e->t.n;
  return CZ_OK;
}

/** HASH and that of the candidates of all texts of SET, in their order. */
uint64_t cz_candidates_hash(const cz_text_set *set, uint64_t hash) {
  for (size_t i = 0; i < set->n; i++) {
    const cz_record *r = set->records[i];
    for (size_t c = 0; c < r->n_candidates; c++)
      hash = cz_hash64(r->candidates[c], strlen(r->candidates[c]) + 1, hash);
    hash = cz_hash64(&r->n_candidates, sizeof r->n_candidates, hash);
  }
  return hash;
}

/* The class of text I, which is ANSWER where that is right, so that it is as good as any other. */
static int32_t wanted_of(const cz_text_set *set, size_t i, int32_t answer, int32_t classes) {
  return set->right && set->right[i * (size_t)classes + (size_t)answer] ? answer : set->labels[i];
}

/** WANTED [n]: the class of each text of SET, of those that are right the one that ANSWERS [n] has,
 * where it has one. */
void cz_text_set_wanted(int32_t *wanted, const cz_text_set *set, const int32_t *answers,
                        int32_t classes) {
  for (size_t i = 0; i < set->n; i++) wanted[i] = wanted_of(set, i, answers[i], classes);
}

/** The share of SET's texts whose highest score, SCORES [n, C], is that of a right class; NaN of
 * none. */
double cz_text_set_accuracy(const cz_text_set *set, const float *scores, int32_t classes) {
  size_t right = 0;
  for (size_t i = 0; i < set->n; i++) {
    const int32_t answer = cz_member_label(scores + i * (size_t)classes, classes);
    right += answer == wanted_of(set, i, answer, classes);
  }
  return (double)right / (double)set->n;
}
