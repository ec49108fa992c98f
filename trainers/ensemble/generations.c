#include "ensemble/generations.h"
#include "device/random.h"
#include "ensemble/draw.h"

#include <math.h>
#include <stdlib.h>

const char *const cz_balance_names[] = {"ratio", "even", NULL};

const cz_ipet cz_ipet_paper = {.fidelity = CZ_FIDELITY_PAPER,
                               .weighting = CZ_WEIGHT_ACCURACY,
                               .balance = CZ_BALANCE_RATIO,
                               .scale = 5,
                               .share = 0.25,
                               .target = 1000,
                               .first = 10,
                               .likely = 100};

/* No set is larger: whole numbers below are exact in double precision. */
static const double LARGEST = 0x1p53;

/** CZ_EINVAL, with the value and what is legal, for settings that make no sense. */
cz_status cz_ipet_check(const cz_ipet *s) {
  if (!(s->scale >= 1.01 && s->scale <= 1e6))
    return CZ_FAIL(CZ_EINVAL, "a set is %g times the one before; it must grow: from 1.01 to 1e6",
                   s->scale);
  if (!(s->share > 0 && s->share <= 1))
    return CZ_FAIL(CZ_EINVAL, "%g of the other members label texts; above 0, to 1", s->share);
  if (s->target < 1 || s->first < 1 || s->likely < 0)
    return CZ_FAIL(CZ_EINVAL, "target %lld, first %lld, likely %lld: from 1, 1 and 0",
                   (long long)s->target, (long long)s->first, (long long)s->likely);
  return CZ_OK;
}

/* How often N is to be multiplied by d to reach the target: ceil(log_d(target / n)) without a
 * logarithm's rounding. */
static int64_t steps_to_target(const cz_ipet *s, double n) {
  int64_t k = 0;
  while (n < (double)s->target) {
    n *= s->scale;
    k++;
  }
  return k;
}

/** k, the number of generations after M^0 for a T of T texts: ceil(log_d(target / t)), and one more
 * for the first where T is empty (pet.md 2). 0 when T has as many as the target already. S has
 * passed cz_ipet_check, or this would not end. */
int64_t cz_ipet_generations(const cz_ipet *s, int64_t t) {
  CZ_CHECK(s->scale >= 1.01);
  return t > 0 ? steps_to_target(s, (double)t) : 1 + steps_to_target(s, (double)s->first);
}

/* N d^power, at most LARGEST. */
static double grown(const cz_ipet *s, double n, int64_t power) {
  for (int64_t i = 0; i < power && n > 0 && n < LARGEST; i++) n *= s->scale;
  return n < LARGEST ? n : LARGEST;
}

/* The generation whose size GENERATION has: itself, or the last that it takes to reach the target,
 * when it comes after that. */
static int64_t growing(const cz_ipet *s, int64_t t, int64_t generation) {
  const int64_t last = cz_ipet_generations(s, t);
  return generation < last ? generation : last;
}

/** Texts of a set of GENERATION (0: T itself) when T has T and D is large enough. The first set
 * that reaches the target is the last that grows. */
int64_t cz_ipet_size(const cz_ipet *s, int64_t t, int64_t generation) {
  generation = growing(s, t, generation);
  if (t > 0) return (int64_t)grown(s, (double)t, generation);
  return generation == 0 ? 0 : (int64_t)grown(s, (double)s->first, generation - 1);
}

/** COUNTS [C]: the texts of each label that a member of GENERATION, from 1, is given besides T, of
 * which LABELLED [C] are of each label: c_j(l) - c_0(l), with the target's bound on j. An uneven
 * rest goes to the first labels. Under `ratio` a label that T lacks is never added; `even` adds it.
 */
void cz_ipet_counts(int64_t *counts, const cz_ipet *s, const int64_t *labelled, int32_t classes,
                    int64_t generation) {
  int64_t t = 0;
  for (int32_t c = 0; c < classes; c++) t += labelled[c];
  if (t == 0 || s->balance == CZ_BALANCE_EVEN) {
    cz_draw_split(counts, cz_ipet_size(s, t, generation) - t, classes, NULL);
    return;
  }
  for (int32_t c = 0; c < classes; c++)
    counts[c] = (int64_t)grown(s, (double)labelled[c], growing(s, t, generation)) - labelled[c];
}

/* N: a share of the OTHERS, at least one but under `code`. */
static size_t count_teachers(const cz_ipet *s, size_t others) {
  double n = rint((double)others * s->share); /* half to even */
  return n < 1 && s->fidelity != CZ_FIDELITY_CODE ? 1 : (size_t)n;
}

/** CHOSEN [n_members]: the *N members of E, the generation before, that label texts for MEMBER of
 * GENERATION: drawn from the others, keyed by (seed, generation, pattern, repetition). A
 * member that E does not have, as one of the second repetition where E has a single one, is
 * number n_members, with its pattern and repetition behind E's: all are others. CZ_EINVAL where
 * there are no others, and under `code` where the share rounds to none and the published code
 * takes the mean of nothing (pet.md 2). */
cz_status cz_ipet_teachers(bool *chosen, size_t *n, const cz_ipet *s, const cz_ensemble *e,
                           size_t member, int64_t generation) {
  const cz_member *m = &e->members[member];
  int32_t *others;
  cz_stream stream;
  const size_t all = e->n_members - (member < e->n_members);
  size_t n_others = 0;
  CZ_TRY(cz_ipet_check(s));
  if (all < 1 || e->n_members > INT32_MAX)
    return CZ_FAIL(
        CZ_EINVAL,
        "iPET labels texts for a member by others, and the ensemble has %zu in all: more "
        "patterns or repetitions make more",
        e->n_members);
  *n = count_teachers(s, all);
  if (*n == 0)
    return CZ_FAIL(CZ_EINVAL,
                   "%g of %zu other members rounds to none. `fidelity: code` fails here, where the "
                   "published code takes the mean of no model and gets NaN; `paper` takes one",
                   s->share, all);
  CZ_TRY(cz_alloc(&others, e->n_members, sizeof *others));
  for (size_t i = 0; i < e->n_members; i++) {
    chosen[i] = false;
    if (i != member) others[n_others++] = (int32_t)i;
  }
  cz_stream_init(&stream, s->seed, "iPET, teachers", (uint32_t)generation, cz_member_key(m));
  cz_stream_shuffle(&stream, others, (int64_t)n_others);
  for (size_t i = 0; i < *n; i++) chosen[others[i]] = true;
  free(others);
  return CZ_OK;
}
