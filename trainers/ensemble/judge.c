#include "ensemble/judge.h"
#include "ensemble/ensemble.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const int cz_judge_coverages[CZ_JUDGE_COVERAGES] = {100, 90, 80, 50};
const int cz_judge_abstains[CZ_JUDGE_ABSTAINS] = {10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 99};

static void judge_nothing(cz_judged *out) {
  memset(out, 0, sizeof *out);
  out->accuracy = out->macro_f1 = out->ece = NAN;
  for (int k = 0; k < CZ_JUDGE_COVERAGES; k++)
    out->coverage[k].accuracy = out->coverage[k].threshold = NAN;
  for (int k = 0; k < CZ_JUDGE_ABSTAINS; k++)
    out->abstain[k].coverage = out->abstain[k].accuracy = NAN;
  for (int b = 0; b < CZ_JUDGE_BINS; b++)
    out->reliability[b].accuracy = out->reliability[b].confidence = NAN;
}

/* Confidence is the largest probability; what exceeds 1 by rounding is 1. */
static cz_status answers(int32_t *labels, double *confidence, const double *p, size_t n,
                         int32_t classes) {
  size_t width = (size_t)classes;
  for (size_t k = 0; k < n * width; k++)
    if (!(p[k] >= 0 && p[k] <= 1 + 1e-9))
      return CZ_FAIL(CZ_EINVAL, "text %zu has class %zu with %g, which is no probability",
                     k / width, k % width, p[k]);
  cz_scores_labels(labels, p, n, classes);
  for (size_t i = 0; i < n; i++) confidence[i] = fmin(1, p[i * width + (size_t)labels[i]]);
  return CZ_OK;
}

/** Judges the probabilities P [n, C] of N texts against their classes WANTED [n]; null: not known.
 * CZ_EINVAL for a probability that is none. */
cz_status cz_judge(cz_judged *out, const double *p, const int32_t *wanted, size_t n,
                   int32_t classes) {
  int32_t *labels = NULL;
  double *confidence = NULL;
  cz_status st;
  judge_nothing(out);
  if (!wanted || !n) return CZ_OK;
  CZ_GO(st, cz_alloc(&labels, n, sizeof *labels), done);
  CZ_GO(st, cz_alloc(&confidence, n, sizeof *confidence), done);
  CZ_GO(st, answers(labels, confidence, p, n, classes), done);
  out->accuracy = cz_score_accuracy(labels, wanted, n);
  out->macro_f1 = cz_score_f1_macro(labels, wanted, n, classes);
  CZ_GO(st, cz_score_calibration(&out->ece, confidence, labels, wanted, n, CZ_JUDGE_BINS), done);
  CZ_GO(st, cz_score_reliability(out->reliability, confidence, labels, wanted, n, CZ_JUDGE_BINS),
        done);
  for (int k = 0; k < CZ_JUDGE_COVERAGES; k++)
    CZ_GO(st,
          cz_score_coverage(&out->coverage[k].accuracy, &out->coverage[k].threshold, confidence,
                            labels, wanted, n, cz_judge_coverages[k]),
          done);
  for (int k = 0; k < CZ_JUDGE_ABSTAINS; k++)
    cz_score_abstain(&out->abstain[k].coverage, &out->abstain[k].accuracy, confidence, labels,
                     wanted, n, cz_judge_abstains[k] / 100.);
done:
  free(labels);
  free(confidence);
  return st;
}
