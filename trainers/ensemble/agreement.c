#include "ensemble/agreement.h"
#include "metrics/statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static cz_spread spread_of(const double *x, size_t n) {
  cz_interval i = cz_stats_interval(x, n);
  cz_spread s = {.best = x[0], .worst = x[0], .mean = i.mean, .deviation = i.deviation};
  for (size_t k = 1; k < n; k++) {
    s.best = fmax(s.best, x[k]);
    s.worst = fmin(s.worst, x[k]);
  }
  return s;
}

/** The spread of ACCURACY [n_members] of the members OF, in their order, over patterns, each with
 * the mean over its repetitions, so that what the pattern does and what the seed does stay apart.
 */
cz_status cz_patterns_spread(cz_spread *out, const cz_member *of, const double *accuracy,
                             size_t n_members) {
  double *means;
  size_t n = 0;
  CZ_CHECK(n_members > 0);
  CZ_TRY(cz_alloc(&means, n_members, sizeof *means));
  for (size_t i = 0, end; i < n_members; i = end) {
    for (end = i + 1; end < n_members && of[end].pattern == of[i].pattern; end++) {
    }
    means[n++] = cz_stats_mean(accuracy + i, end - i);
  }
  *out = spread_of(means, n);
  free(means);
  return CZ_OK;
}

/** VOTES [n, C]: how many of LABELS [n_members, n] name each class of each text. */
void cz_members_votes(double *votes, const int32_t *labels, size_t n_members, size_t n,
                      int32_t classes) {
  memset(votes, 0, n * (size_t)classes * sizeof *votes);
  for (size_t m = 0; m < n_members; m++)
    for (size_t i = 0; i < n; i++) votes[i * (size_t)classes + (size_t)labels[m * n + i]]++;
}

/** Agreement of LABELS [n_members, n], the class that each member gives each text. With v_ic votes
 * of M members for class c of text i and p_c the share of class c among all votes,
 *
 *     pairs = mean over i of sum_c v_ic (v_ic - 1) / (M (M - 1))
 *     kappa = (pairs - sum_c p_c^2) / (1 - sum_c p_c^2)
 *
 * (Fleiss 1971). NaN for one member and for no text. */
cz_status cz_members_agreement(cz_agreement *out, const int32_t *labels, size_t n_members, size_t n,
                               int32_t classes) {
  double *votes, *share, pairs = 0, chance = 0, m = (double)n_members;
  size_t size = n * (size_t)classes;
  CZ_TRY(cz_alloc(&votes, size + (size_t)classes, sizeof *votes));
  share = votes + size;
  cz_members_votes(votes, labels, n_members, n, classes);
  for (size_t k = 0; k < size; k++) {
    pairs += votes[k] * (votes[k] - 1);
    share[k % (size_t)classes] += votes[k];
  }
  for (int32_t c = 0; c < classes; c++) chance += pow(share[c] / (m * (double)n), 2);
  out->pairs = pairs / (m * (m - 1) * (double)n);
  out->kappa = chance < 1 ? (out->pairs - chance) / (1 - chance) : NAN;
  free(votes);
  return CZ_OK;
}
