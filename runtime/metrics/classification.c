/* Accuracy, F1, Matthews: scores over class indices. */
#include "metrics/scores.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/** The index of OUTPUT among LABELS, compared byte by byte, or -1: an output that is no
 * label. */
int32_t cz_score_label(const char *output, const char *const *labels, size_t n_labels) {
  for (size_t i = 0; i < n_labels; i++)
    if (!strcmp(output, labels[i])) return (int32_t)i;
  return -1;
}

/** The share of N predictions that are right; NaN when N is 0. Source:
 * sklearn.metrics.accuracy_score. */
double cz_score_accuracy(const int32_t *predicted, const int32_t *wanted, size_t n) {
  size_t right = 0;
  for (size_t i = 0; i < n; i++) right += predicted[i] == wanted[i];
  return (double)right / (double)n;
}

static double f1_of(size_t both, size_t predicted, size_t wanted) {
  return both ? 2.0 * (double)both / (double)(predicted + wanted) : 0;
}

/** F1 of the class POSITIVE: 2 tp / (2 tp + fp + fn), 0 without a true positive. For a
 * two-class task: a prediction of -1 counts as the opposite of what was wanted (t5.md
 * 7.2). Source: sklearn.metrics.f1_score(average="binary"). */
double cz_score_f1(const int32_t *predicted, const int32_t *wanted, size_t n, int32_t positive) {
  size_t both = 0, p = 0, w = 0;
  for (size_t i = 0; i < n; i++) {
    bool want = wanted[i] == positive, say = predicted[i] < 0 ? !want : predicted[i] == positive;
    both += want && say;
    p += say;
    w += want;
  }
  return f1_of(both, p, w);
}

/** The mean over CLASSES of each class's F1; a class that neither occurs nor is predicted
 * counts 0, a prediction of -1 is a miss of the wanted class. Source:
 * sklearn.metrics.f1_score(average="macro", labels=range(CLASSES)). */
double cz_score_f1_macro(const int32_t *predicted, const int32_t *wanted, size_t n,
                         int32_t classes) {
  double sum = 0;
  for (int32_t c = 0; c < classes; c++) {
    size_t both = 0, p = 0, w = 0;
    for (size_t i = 0; i < n; i++) {
      both += predicted[i] == c && wanted[i] == c;
      p += predicted[i] == c;
      w += wanted[i] == c;
    }
    sum += f1_of(both, p, w);
  }
  return sum / classes;
}

/** Matthews' correlation of predicted and wanted classes, for two classes or more
 * (Gorodkin 2004, R_K); 0 when either side is constant. Classes lie in -1..CLASSES-1.
 * Source: sklearn.metrics.matthews_corrcoef. */
cz_status cz_score_matthews(double *out, const int32_t *predicted, const int32_t *wanted, size_t n,
                            int32_t classes) {
  double *p, *w, right = 0, pw = 0, pp = 0, ww = 0, s = (double)n;
  CZ_TRY(cz_alloc(&p, 2 * ((size_t)classes + 1), sizeof *p));
  w = p + classes + 1;
  for (size_t i = 0; i < n; i++) {
    CZ_CHECK(predicted[i] >= -1 && predicted[i] < classes && wanted[i] >= -1 &&
             wanted[i] < classes);
    right += predicted[i] == wanted[i];
    p[predicted[i] + 1]++;
    w[wanted[i] + 1]++;
  }
  for (int32_t c = 0; c <= classes; c++) {
    pw += p[c] * w[c];
    pp += p[c] * p[c];
    ww += w[c] * w[c];
  }
  free(p);
  double below = sqrt((s * s - pp) * (s * s - ww));
  *out = below > 0 ? (right * s - pw) / below : 0;
  return CZ_OK;
}
