/* Perplexity and expected calibration error. */
#include "metrics/scores.h"

#include <math.h>
#include <stdlib.h>

/** exp of the mean negative log-likelihood: NATS summed over TOKENS counted tokens. NaN
 * without tokens. */
double cz_score_perplexity(double nats, int64_t tokens) {
  return tokens > 0 ? exp(nats / (double)tokens) : NAN;
}

/** Expected calibration error over BINS equal bins (lower, upper] of confidence: sum over
 * bins of (n_b / n) |accuracy_b - mean confidence_b|. Source: Guo et al. 2017, equation
 * 3. CZ_EINVAL for a confidence outside [0, 1]. */
cz_status cz_score_calibration(double *out, const double *confidence, const int32_t *predicted,
                               const int32_t *wanted, size_t n, size_t bins) {
  double *gap, sum = 0;
  CZ_CHECK(bins > 0);
  CZ_TRY(cz_alloc(&gap, bins, sizeof *gap));
  for (size_t i = 0; i < n; i++) {
    if (!(confidence[i] >= 0 && confidence[i] <= 1)) {
      free(gap);
      return CZ_FAIL(CZ_EINVAL, "the confidence of example %zu is %g, which is no probability", i,
                     confidence[i]);
    }
    size_t b = (size_t)ceil(confidence[i] * (double)bins);
    gap[b ? b - 1 : 0] += (predicted[i] == wanted[i]) - confidence[i];
  }
  for (size_t b = 0; b < bins; b++) sum += fabs(gap[b]);
  free(gap);
  *out = sum / (double)n;
  return CZ_OK;
}
