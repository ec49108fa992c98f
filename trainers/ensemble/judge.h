/* How good and how sure a classifier is, be it an ensemble or its student: what a result says of
 * each (docs/pet.md 4.3). */
#ifndef CZ_ENSEMBLE_JUDGE_H
#define CZ_ENSEMBLE_JUDGE_H

#include "base/mem.h"
#include "metrics/scores.h"

/* Bins of the reliability diagram, as Guo et al. 2017 have them, the coverages, and the
 * probabilities below which one might abstain. */
enum { CZ_JUDGE_BINS = 15, CZ_JUDGE_COVERAGES = 4, CZ_JUDGE_ABSTAINS = 11 };
extern const int cz_judge_coverages[CZ_JUDGE_COVERAGES]; /* per cent */
extern const int cz_judge_abstains[CZ_JUDGE_ABSTAINS];   /* per cent */

/* Shares in [0, 1]; NaN where the answers are not known. */
typedef struct cz_judged {
  double accuracy, macro_f1, ece;
  struct {
    double accuracy, threshold; /* of the most certain part; its least confidence */
  } coverage[CZ_JUDGE_COVERAGES];
  struct {
    double coverage, accuracy; /* texts that are answered; of those the right ones, NaN of none */
  } abstain[CZ_JUDGE_ABSTAINS];
  cz_reliability reliability[CZ_JUDGE_BINS];
} cz_judged;

CZ_MUST cz_status cz_judge(cz_judged *out, const double *p, const int32_t *wanted, size_t n,
                           int32_t classes);

#endif
