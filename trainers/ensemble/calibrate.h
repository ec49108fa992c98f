/* Calibration of label words without labels (docs/pet.md 4.2): an untrained model prefers some
 * words whatever the text says, and what it prefers can be measured and taken off.
 *
 *     unlabeled_mean   offset_c = mean over unlabelled texts of score_c
 *     content_free     offset_c = log of the mean over cz_content_free_texts of P(c), where
 *                      P = softmax of the scores
 *
 * and a calibrated score is score_c - offset_c. The second is Zhao et al. 2021, section 5: to
 * divide the probabilities by P_cf and normalise them again is to subtract log P_cf from the
 * scores. Each of its texts stands in every field of the pattern. Offsets are of one pattern and
 * one model. */
#ifndef CZ_ENSEMBLE_CALIBRATE_H
#define CZ_ENSEMBLE_CALIBRATE_H

#include "base/mem.h"

#include <stdbool.h>

typedef enum cz_calibrate {
  CZ_CALIBRATE_NONE,
  CZ_CALIBRATE_UNLABELED_MEAN,
  CZ_CALIBRATE_CONTENT_FREE
} cz_calibrate;

/* Their spellings, and the texts that say nothing; null-terminated. */
extern const char *const cz_calibrate_names[], *const cz_content_free_texts[];

/* The mean of fewer texts is too noisy (docs/pet.md 4.2). */
enum { CZ_CALIBRATE_TEXTS = 20 };

CZ_MUST cz_status cz_calibrate_offsets(double *offsets, bool *few, cz_calibrate kind,
                                       const float *scores, size_t n, int32_t classes);
void cz_calibrate_scores(float *scores, const double *offsets, size_t n, int32_t classes);
CZ_MUST cz_status cz_calibrate_bias(float *bias, size_t vocabulary, const double *offsets,
                                    const int32_t *words, int32_t classes, int32_t width);

#endif
