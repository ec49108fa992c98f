/* Choices in float64: what the op means. */
#include "kernels/choices/choices.h"
#include "kernels/common/rows.h"

typedef struct arrays {
  int64_t K, B;
  const int32_t *rows, *groups, *right;
  const double *nll, *denominator;
  double *scores;
  bool mean;
} arrays;

static arrays unpack(const cz_call *call) {
  const cz_arg *in = call->in;
  return (arrays){.K = in[CZ_CHOICES_ROWS].dim[0],
                  .B = in[CZ_CHOICES_GROUPS].dim[0],
                  .rows = in[CZ_CHOICES_ROWS].data,
                  .groups = in[CZ_CHOICES_GROUPS].data,
                  .right = in[CZ_CHOICES_RIGHT].data,
                  .nll = in[CZ_CHOICES_NLL].data,
                  .denominator = in[CZ_CHOICES_DENOMINATOR].data,
                  .scores = call->out[CZ_CHOICES_SCORES].data,
                  .mean = ((const cz_choices_attr *)call->attr)->mean};
}

/* By what a candidate's tokens are weighed. */
static double weight(const arrays *a, int64_t k) {
  int64_t n = a->rows[2 * k + 1] - a->rows[2 * k];
  return a->mean && n > 0 ? 1 / (double)n : 1;
}

/* 1 - s_r + s_k: what candidate k lacks of being 1 behind the right one. */
static double margin(const arrays *a, int64_t right, int64_t k) {
  return 1 - a->scores[right] + a->scores[k];
}

/** Loss and scores in float64. Contract: choices.h. */
void cz_choices_fwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  double loss = 0;
  for (int64_t k = 0; k < a.K; k++) {
    double sum = 0;
    for (int64_t i = a.rows[2 * k]; i < a.rows[2 * k + 1]; i++) sum += a.nll[i];
    a.scores[k] = 0 - weight(&a, k) * sum;
  }
  for (int64_t b = 0; b < a.B && a.right; b++) {
    int64_t begin = a.groups[2 * b], end = a.groups[2 * b + 1], right = begin + a.right[b];
    if (a.right[b] < 0) continue;
    for (int64_t k = begin; k < end; k++) /* not `> 0 ?`, which would lose a NaN */
      if (k != right) loss += margin(&a, right, k) < 0 ? 0 : margin(&a, right, k);
  }
  ((double *)call->out[CZ_CHOICES_LOSS].data)[0] = a.right ? loss / a.denominator[0] : 0;
}

/* s_k = -c sum_i nll_i, so each of k's rows gets -c of what k's score gets. */
static void pass_on(const cz_call *call, const arrays *a, int64_t k, double dscore) {
  double *dnll = call->din[CZ_CHOICES_NLL].data;
  for (int64_t i = a->rows[2 * k]; i < a->rows[2 * k + 1]; i++) dnll[i] -= weight(a, k) * dscore;
}

/** Gradient of nll in float64. Contract: choices.h. */
void cz_choices_bwd_ref(const cz_call *call) {
  arrays a = unpack(call);
  const double *dloss = call->dout[CZ_CHOICES_LOSS].data,
               *dscores = call->dout[CZ_CHOICES_SCORES].data;
  if (call->mode[CZ_CHOICES_NLL] == CZ_GRAD_SKIP) return;
  cz_grad_begin(call, CZ_CHOICES_NLL);
  for (int64_t k = 0; k < a.K && dscores; k++) pass_on(call, &a, k, dscores[k]);
  for (int64_t b = 0; b < a.B && dloss && a.right; b++) {
    int64_t begin = a.groups[2 * b], end = a.groups[2 * b + 1], right = begin + a.right[b];
    if (a.right[b] < 0) continue;
    for (int64_t k = begin; k < end; k++) {
      double m = margin(&a, right, k), slope = m < 0 ? 0 : m >= 0 ? 1 : m;
      if (k == right) continue;
      pass_on(call, &a, k, dloss[0] / a.denominator[0] * slope);
      pass_on(call, &a, right, -dloss[0] / a.denominator[0] * slope);
    }
  }
}
