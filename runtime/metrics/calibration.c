/* Perplexity, and what confidence is worth: reliability, expected calibration error, accuracy
 * of the most certain part. */
#include "metrics/scores.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/** exp of the mean negative log-likelihood: NATS summed over TOKENS counted tokens. NaN
 * without tokens. */
double cz_score_perplexity(double nats, int64_t tokens) {
  return tokens > 0 ? exp(nats / (double)tokens) : NAN;
}

static cz_status check_confidence(const double *confidence, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (!(confidence[i] >= 0 && confidence[i] <= 1))
      return CZ_FAIL(CZ_EINVAL, "the confidence of example %zu is %g, which is no probability", i,
                     confidence[i]);
  return CZ_OK;
}

/** The reliability diagram: OUT [bins], equal bins (lower, upper] of confidence, the first with 0
 * as well. Empty bins have n = 0 and NaN. Source: Guo et al. 2017, section 2. CZ_EINVAL for a
 * confidence outside [0, 1]. */
cz_status cz_score_reliability(cz_reliability *out, const double *confidence,
                               const int32_t *predicted, const int32_t *wanted, size_t n,
                               size_t bins) {
  CZ_CHECK(bins > 0);
  CZ_TRY(check_confidence(confidence, n));
  memset(out, 0, bins * sizeof *out);
  for (size_t i = 0; i < n; i++) {
    size_t b = (size_t)ceil(confidence[i] * (double)bins);
    cz_reliability *r = &out[b ? b - 1 : 0];
    r->n++;
    r->accuracy += predicted[i] == wanted[i];
    r->confidence += confidence[i];
  }
  for (size_t b = 0; b < bins; b++) {
    out[b].accuracy /= (double)out[b].n;
    out[b].confidence /= (double)out[b].n;
  }
  return CZ_OK;
}

/** Expected calibration error over BINS bins of cz_score_reliability: sum over bins of (n_b / n)
 * |accuracy_b - mean confidence_b|. NaN when N is 0. Source: Guo et al. 2017, equation 3. */
cz_status cz_score_calibration(double *out, const double *confidence, const int32_t *predicted,
                               const int32_t *wanted, size_t n, size_t bins) {
  cz_reliability *r;
  double sum = 0;
  CZ_TRY(cz_alloc(&r, bins, sizeof *r));
  cz_status st = cz_score_reliability(r, confidence, predicted, wanted, n, bins);
  for (size_t b = 0; b < bins && st == CZ_OK; b++)
    if (r[b].n) sum += (double)r[b].n * fabs(r[b].accuracy - r[b].confidence);
  free(r);
  if (st == CZ_OK) *out = sum / (double)n;
  return st;
}

static int largest_first(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x < y) - (x > y);
}

/** Who answers only where he is sure: the PERCENT of the examples, rounded up, with the largest
 * confidence are answered. *ACCURACY, the share of those that are right; *THRESHOLD, the least
 * confidence among them. Of examples with just that confidence, more may be there than are
 * wanted: they count by their mean, so that no order of the examples matters. NaN when N is 0.
 * CZ_EINVAL for a confidence outside [0, 1]. */
cz_status cz_score_coverage(double *accuracy, double *threshold, const double *confidence,
                            const int32_t *predicted, const int32_t *wanted, size_t n,
                            int percent) {
  double *sorted, above = 0, tied = 0, right_above = 0, right_tied = 0;
  CZ_CHECK(percent > 0 && percent <= 100);
  CZ_TRY(check_confidence(confidence, n));
  *accuracy = *threshold = NAN;
  if (!n) return CZ_OK;
  CZ_TRY(cz_alloc(&sorted, n, sizeof *sorted));
  memcpy(sorted, confidence, n * sizeof *sorted);
  qsort(sorted, n, sizeof *sorted, largest_first);
  size_t answered = (n * (size_t)percent + 99) / 100;
  *threshold = sorted[answered - 1];
  free(sorted);
  for (size_t i = 0; i < n; i++) {
    bool right = predicted[i] == wanted[i];
    above += confidence[i] > *threshold;
    right_above += right && confidence[i] > *threshold;
    tied += confidence[i] == *threshold;
    right_tied += right && confidence[i] == *threshold;
  }
  double left = (double)answered - above;
  *accuracy = (right_above + left * (right_tied / tied)) / (double)answered;
  return CZ_OK;
}

/** Under a THRESHOLD of confidence that an answer must reach: *SHARE of the N examples that are
 * answered, and *ACCURACY of those, NaN when there is none. WANTED null: no accuracy, NaN. */
void cz_score_abstain(double *share, double *accuracy, const double *confidence,
                      const int32_t *predicted, const int32_t *wanted, size_t n, double threshold) {
  size_t answered = 0, right = 0;
  for (size_t i = 0; i < n; i++) {
    answered += confidence[i] >= threshold;
    right += wanted && confidence[i] >= threshold && predicted[i] == wanted[i];
  }
  *share = (double)answered / (double)n;
  *accuracy = wanted ? (double)right / (double)answered : NAN;
}
