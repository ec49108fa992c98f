#include "ensemble/calibrate.h"
#include "ensemble/ensemble.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const cz_calibrate_names[] = {"none", "unlabeled_mean", "content_free", NULL};
const char *const cz_content_free_texts[] = {"", "N/A", "MASK", NULL};

static cz_status check_scores(const float *scores, size_t n, int32_t classes) {
  if (n == 0) return CZ_FAIL(CZ_EINVAL, "calibration has no text to measure the label words on");
  for (size_t k = 0; k < n * (size_t)classes; k++)
    if (!isfinite(scores[k]))
      return CZ_FAIL(CZ_ENUMERIC, "calibration: the score of text %zu for class %zu is %g",
                     k / (size_t)classes, k % (size_t)classes, (double)scores[k]);
  return CZ_OK;
}

static void add_row(double *offsets, const double *row, int32_t classes, size_t n) {
  for (int32_t c = 0; c < classes; c++) offsets[c] += row[c] / (double)n;
}

/** OFFSETS [C], to be subtracted, from SCORES [n, C] that the model gave N texts: unlabelled ones,
 * or those of cz_content_free_texts. `none`: zeros. *FEW: `unlabeled_mean` had fewer than
 * CZ_CALIBRATE_TEXTS, which the caller warns of. CZ_EINVAL without a text, CZ_ENUMERIC for a score
 * that is not finite. */
cz_status cz_calibrate_offsets(double *offsets, bool *few, cz_calibrate kind, const float *scores,
                               size_t n, int32_t classes) {
  double *row;
  memset(offsets, 0, (size_t)classes * sizeof *offsets);
  *few = kind == CZ_CALIBRATE_UNLABELED_MEAN && n < CZ_CALIBRATE_TEXTS;
  if (kind == CZ_CALIBRATE_NONE) return CZ_OK;
  CZ_TRY(check_scores(scores, n, classes));
  CZ_TRY(cz_alloc(&row, (size_t)classes, sizeof *row));
  for (size_t i = 0; i < n; i++) {
    for (int32_t c = 0; c < classes; c++) row[c] = (double)scores[i * (size_t)classes + (size_t)c];
    if (kind == CZ_CALIBRATE_CONTENT_FREE) cz_scores_softmax(row, row, 1, classes, 1);
    add_row(offsets, row, classes, n);
  }
  free(row);
  for (int32_t c = 0; c < classes && kind == CZ_CALIBRATE_CONTENT_FREE; c++)
    offsets[c] = log(offsets[c]);
  return CZ_OK;
}

/** SCORES [n, C] -= OFFSETS [C] in each row. */
void cz_calibrate_scores(float *scores, const double *offsets, size_t n, int32_t classes) {
  for (size_t i = 0; i < n; i++, scores += classes)
    for (int32_t c = 0; c < classes; c++) scores[c] = (float)((double)scores[c] - offsets[c]);
}

/** The same inside the model: BIAS [vocabulary], the label words' own copy of the output bias, less
 * the offset of its class at each of WORDS [C, width], -1 where there is none. A class's score is
 * the mean over its words, so it falls by its offset. CZ_EINVAL for a word outside the vocabulary
 * and one of two classes, which cannot fall by both. */
cz_status cz_calibrate_bias(float *bias, size_t vocabulary, const double *offsets,
                            const int32_t *words, int32_t classes, int32_t width) {
  int32_t *class_of; /* + 1; 0: no label word yet */
  cz_status st = CZ_OK;
  CZ_TRY(cz_alloc(&class_of, vocabulary, sizeof *class_of));
  for (int32_t k = 0; k < classes * width; k++) {
    int32_t w = words[k], c = k / width;
    if (w == -1) continue;
    if (w < 0 || (size_t)w >= vocabulary)
      CZ_GO(st, CZ_FAIL(CZ_EINVAL, "class %d has the label word %d of %zu", c, w, vocabulary),
            done);
    if (class_of[w] && class_of[w] != c + 1)
      CZ_GO(st,
            CZ_FAIL(CZ_EINVAL, "token %d is a label word of classes %d and %d", w, class_of[w] - 1,
                    c),
            done);
    if (!class_of[w]) bias[w] = (float)((double)bias[w] - offsets[c]);
    class_of[w] = c + 1;
  }
done:
  free(class_of);
  return st;
}
