#include "ensemble/fill.h"
#include "base/status.h"

#include <stddef.h>

const char *const cz_fill_order_names[] = {"confident_first", "left_to_right", "parallel", NULL};

static uint64_t bit(int32_t i) { return (uint64_t)1 << i; }

static uint64_t left(const cz_fill *f) {
  CZ_CHECK(f->n >= 1 && f->n <= CZ_FILL_TOKENS);
  return (bit(f->n - 1) | (bit(f->n - 1) - 1)) & ~f->filled;
}

/** All tokens of F stand in the text, and its score is final. */
bool cz_fill_is_whole(const cz_fill *f) { return !left(f); }

/** The masks whose log p the next step of F reads, a bit each: those at which the model is asked.
 */
uint64_t cz_fill_reads(const cz_fill *f, cz_fill_order order) {
  const uint64_t masks = left(f);
  return order == CZ_FILL_LEFT_TO_RIGHT ? masks & (~masks + 1) : masks; /* the lowest bit */
}

/** Fills in what ORDER fills in next. LOGP [n] has at the masks that cz_fill_reads names log p of
 * the answer's token, given the text with those that are filled in; others are not read. One that
 * is not finite makes the score so. */
void cz_fill_step(cz_fill *f, cz_fill_order order, const double *logp) {
  const uint64_t masks = cz_fill_reads(f, order);
  int32_t best = -1;
  for (int32_t i = 0; i < f->n; i++) {
    if (!(masks & bit(i))) continue;
    if (order == CZ_FILL_PARALLEL) f->score += logp[i];
    if (best < 0 || logp[i] > logp[best]) best = i;
  }
  if (best < 0) return;
  if (order == CZ_FILL_PARALLEL) {
    f->filled |= masks;
  } else {
    f->score += logp[best];
    f->filled |= bit(best);
  }
}
