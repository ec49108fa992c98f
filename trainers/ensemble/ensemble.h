/* The folder ensemble: the arithmetic of PET and iPET (docs/pet.md 1.5, 2). Which texts are
 * labelled and which are not (draw.h), and which texts are the same (texts.h); the order in which
 * the masks of an answer are filled in (fill.h), what the scores of many members say together (this
 * header), what a member of the next generation is trained on (generations.h, sets.h), scores that
 * are calibrated without labels (calibrate.h), how good and how sure the result is (judge.h), how
 * far the members differ (agreement.h), which texts to label next (next.h) and which of them are
 * nearly one (near.h), and what logistic regression on given vectors would do (logistic.h).
 *
 * All of it are functions of arrays. A random draw is keyed by what it is for, so that no
 * result depends on which member was computed first, or where. Texts are known by number, their row
 * in the file; classes by their order among the labels. */
#ifndef CZ_ENSEMBLE_ENSEMBLE_H
#define CZ_ENSEMBLE_ENSEMBLE_H

#include "base/mem.h"
#include "objectives/fidelity.h"

#include <stdbool.h>

/* One model: a pattern and a repetition, both from 0 and below 65536. */
typedef struct cz_member {
  int32_t pattern, repetition;
  double accuracy;     /* of the untrained model under this pattern on T, in [0, 1]; NaN: no T */
  const float *scores; /* [n, C] raw scores of the label words; borrowed */
} cz_member;

/* Members in ascending order of (pattern, repetition), which scored the same N texts. */
typedef struct cz_ensemble {
  const cz_member *members;
  size_t n_members, n;
  int32_t classes;
} cz_ensemble;

typedef enum cz_weighting {
  CZ_WEIGHT_UNIFORM,  /* each member counts alike */
  CZ_WEIGHT_ACCURACY, /* as its pattern's accuracy on T before training */
  CZ_WEIGHTINGS       /* how many */
} cz_weighting;

/* Their spellings: uniform, weighted; null-terminated. */
extern const char *const cz_weighting_names[];

/* From members to one score a class: check, weights, mean; then labels or soft targets. */
CZ_MUST cz_status cz_ensemble_check(const cz_ensemble *e);
int32_t cz_member_label(const float *scores, int32_t classes);
void cz_ensemble_votes(int32_t *labels, const cz_ensemble *e);
CZ_MUST cz_status cz_ensemble_weights(double *weights, bool *even, const cz_ensemble *e,
                                      const bool *chosen, cz_weighting weighting,
                                      cz_fidelity fidelity);
void cz_ensemble_mean(double *mean, const cz_ensemble *e, const double *weights);

/* Rows of scores [n, C], in double precision. */
void cz_scores_softmax(double *p, const double *scores, size_t n, int32_t classes,
                       double temperature);
int32_t cz_scores_label(const double *scores, int32_t classes);
void cz_scores_labels(int32_t *labels, const double *scores, size_t n, int32_t classes);
double cz_scores_entropy(const double *p, int32_t classes);
double cz_soft_targets_entropy(const double *targets, size_t n, int32_t classes,
                               double temperature);
void cz_label_shares(double *shares, const int32_t *labels, size_t n, int32_t classes);

#endif
