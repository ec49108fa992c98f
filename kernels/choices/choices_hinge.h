/* The hinge of choices on scores in float32: what cpu and card compute of a question, in double. */
#ifndef CZ_KERNELS_CHOICES_HINGE_H
#define CZ_KERNELS_CHOICES_HINGE_H

#include "kernels/choices/choices.h"
#include "kernels/common/spans.h"

CZ_C_BEGIN

/* A call's arrays, and its sizes. */
typedef struct cz_choices {
  int64_t R, K, B;
  const int32_t *rows, *groups, *right;
  const float *nll, *denominator, *dloss, *dscores;
  float *loss, *scores, *dnll;
  bool mean, add;
} cz_choices;

static inline cz_choices cz_choices_of(const cz_call *call) {
  const cz_arg *in = call->in;
  cz_choices c;
  c.R = in[CZ_CHOICES_NLL].dim[0], c.K = in[CZ_CHOICES_ROWS].dim[0];
  c.B = in[CZ_CHOICES_GROUPS].dim[0];
  c.rows = (const int32_t *)in[CZ_CHOICES_ROWS].data;
  c.groups = (const int32_t *)in[CZ_CHOICES_GROUPS].data;
  c.right = (const int32_t *)in[CZ_CHOICES_RIGHT].data;
  c.nll = (const float *)in[CZ_CHOICES_NLL].data;
  c.denominator = (const float *)in[CZ_CHOICES_DENOMINATOR].data;
  c.loss = (float *)call->out[CZ_CHOICES_LOSS].data;
  c.scores = (float *)call->out[CZ_CHOICES_SCORES].data;
  c.dloss = (const float *)call->dout[CZ_CHOICES_LOSS].data;
  c.dscores = (const float *)call->dout[CZ_CHOICES_SCORES].data;
  c.dnll = (float *)call->din[CZ_CHOICES_NLL].data;
  c.mean = ((const cz_choices_attr *)call->attr)->mean;
  c.add = call->mode[CZ_CHOICES_NLL] == CZ_GRAD_ADD;
  return c;
}

/* By what the sum over N tokens is divided. */
static inline CZ_HOST_DEVICE double cz_choices_divisor(const cz_choices *c, int64_t n) {
  return c->mean && n > 0 ? (double)n : 1;
}

/* The number, of all candidates, of question B's right one; -1 where it is not counted. */
static inline CZ_HOST_DEVICE int64_t cz_choices_right(const cz_choices *c, int64_t b) {
  return c->right && c->right[b] >= 0 ? c->groups[2 * b] + c->right[b] : -1;
}

/* Scores are read as they were rounded, so that backward finds the same side of a kink. */
static inline CZ_HOST_DEVICE double cz_choices_margin(const cz_choices *c, int64_t right,
                                                      int64_t k) {
  return 1 - (double)c->scores[right] + (double)c->scores[k];
}

/* The loss of question B, before the denominator. */
static inline CZ_HOST_DEVICE double cz_choices_loss(const cz_choices *c, int64_t b) {
  const int64_t right = cz_choices_right(c, b);
  double sum = 0;
  if (right < 0) return 0;
  for (int64_t k = c->groups[2 * b]; k < c->groups[2 * b + 1]; k++) {
    const double margin = cz_choices_margin(c, right, k);
    if (k != right && !(margin < 0)) sum += margin;
  }
  return sum;
}

static inline CZ_HOST_DEVICE double cz_choices_slope(double margin) {
  return margin < 0 ? 0 : margin >= 0 ? 1 : margin;
}

/* The derivative of question B's loss, before the denominator, in the score of its candidate K. */
static inline CZ_HOST_DEVICE double cz_choices_pull(const cz_choices *c, int64_t b, int64_t k) {
  const int64_t right = cz_choices_right(c, b);
  double sum = 0;
  if (right < 0) return 0;
  if (k != right) return cz_choices_slope(cz_choices_margin(c, right, k));
  for (int64_t i = c->groups[2 * b]; i < c->groups[2 * b + 1]; i++)
    if (i != right) sum -= cz_choices_slope(cz_choices_margin(c, right, i));
  return sum;
}

/* The question that has candidate K, -1 where none has: the first that ends behind it may. */
static inline CZ_HOST_DEVICE int64_t cz_choices_question(const cz_choices *c, int64_t k) {
  int64_t low = 0, high = c->B;
  while (low < high) {
    const int64_t middle = (low + high) / 2;
    if (c->groups[2 * middle + 1] > k)
      high = middle;
    else
      low = middle + 1;
  }
  return low < c->B && c->groups[2 * low] <= k ? low : -1;
}

/* What each of candidate K's N rows gets. */
static inline CZ_HOST_DEVICE float cz_choices_gradient(const cz_choices *c, int64_t k, int64_t n) {
  double dscore = c->dscores ? c->dscores[k] : 0;
  const int64_t b = c->dloss && c->right ? cz_choices_question(c, k) : -1;
  if (b >= 0) dscore += (double)*c->dloss / *c->denominator * cz_choices_pull(c, b, k);
  return (float)(0 - dscore / cz_choices_divisor(c, n));
}

CZ_C_END

#endif
