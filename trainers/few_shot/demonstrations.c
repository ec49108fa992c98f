#include "few_shot/demonstrations.h"

/* N texts for PATTERN. */
static cz_status draw(cz_demonstrations *d, cz_examples *e, size_t n, uint64_t seed,
                      int32_t pattern) {
  const cz_text_set *t = &e->t;
  int32_t *items, *labels;
  uint64_t *hashes;
  CZ_TRY(cz_arena_alloc(e->arena, &items, t->n, sizeof *items));
  CZ_TRY(cz_draw_demonstrations(items, &n, t->labels, t->n, e->classes, seed, pattern));
  CZ_TRY(cz_arena_alloc(e->arena, &labels, n, sizeof *labels));
  CZ_TRY(cz_arena_alloc(e->arena, &hashes, n, sizeof *hashes));
  for (size_t i = 0; i < n; i++) {
    labels[i] = t->labels[items[i]];
    hashes[i] = t->hashes[items[i]];
  }
  *d = (cz_demonstrations){
      .texts = t->texts, .items = items, .labels = labels, .hashes = hashes, .n = n};
  return CZ_OK;
}

/** *OF_PATTERN [patterns of the file]: N demonstrations for each, or as many as T has texts; null
 * for N = 0. They live as long as E. CZ_EUSAGE for an empty T. */
cz_status cz_demonstrations_draw(cz_demonstrations **of_pattern, cz_examples *e, int64_t n,
                                 uint64_t seed) {
  *of_pattern = NULL;
  if (!n) return CZ_OK;
  if (!e->t.n)
    return CZ_FAIL(CZ_EUSAGE,
                   "demonstrations: these %lld are texts of T, and T is empty: no labelled text of "
                   "examples.train is left that is not in the test set",
                   (long long)n);
  CZ_TRY(cz_arena_alloc(e->arena, of_pattern, e->file->n_patterns, sizeof **of_pattern));
  for (size_t i = 0; i < e->file->n_patterns; i++)
    CZ_TRY(draw(&(*of_pattern)[i], e, (size_t)n, seed, (int32_t)i));
  return CZ_OK;
}
