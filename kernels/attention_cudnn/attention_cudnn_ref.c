/* In float64, one query row at a time, from what forward left as cuDNN does it: P from the rows'
 * statistics, D from the rounded o. What it rounds on the way is that of its algorithm, Dao et al.
 * 2022: weights and dS before their products. */
#include "kernels/attention_cudnn/attention_cudnn.h"
#include "kernels/common/roundings.h"
#include "kernels/common/rows.h"

#include <math.h>
#include <string.h>

/* One segment and head; rows are numbered inside the segment. */
typedef struct segment {
  const cz_call *call;
  const cz_attention_cudnn_attr *attr;
  int64_t q0, nq, k0, nk, h, H, K;
  double *p; /* [Tk], one query row */
} segment;

static segment segment_of(const cz_call *call, int64_t n, int64_t h) {
  const cz_attention_cudnn_attr *a = call->attr;
  const int32_t *q = call->in[CZ_ATTENTION_CUDNN_Q_SPANS].data,
                *k = call->in[CZ_ATTENTION_CUDNN_K_SPANS].data;
  return (segment){.call = call,
                   .attr = a,
                   .q0 = q[2 * n],
                   .nq = q[2 * n + 1] - q[2 * n],
                   .k0 = k[2 * n],
                   .nk = k[2 * n + 1] - k[2 * n],
                   .h = h,
                   .H = a->heads,
                   .K = call->in[CZ_ATTENTION_CUDNN_Q].dim[1] / a->heads,
                   .p = call->workspace};
}

/* The head's K numbers in row `row` of a [T, H*K] array. */
static double *head_row(const segment *s, const void *array, int64_t row) {
  return (double *)array + (row * s->H + s->h) * s->K;
}

static double *stat(const segment *s, int64_t i) {
  double *stats = s->call->out[CZ_ATTENTION_CUDNN_STATS].data;
  return stats ? &stats[(s->q0 + i) * s->H + s->h] : NULL;
}

static int64_t visible(const segment *s, int64_t i) {
  return s->attr->causal && i + 1 < s->nk ? i + 1 : s->nk;
}

static double dot(const double *a, const double *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

/* s_ij of the keys that row i sees into s->p; the largest one. */
static double scores(const segment *s, int64_t i) {
  const double *q = head_row(s, s->call->in[CZ_ATTENTION_CUDNN_Q].data, s->q0 + i);
  double max = -INFINITY;
  for (int64_t j = 0; j < visible(s, i); j++) {
    const double *k = head_row(s, s->call->in[CZ_ATTENTION_CUDNN_K].data, s->k0 + j);
    s->p[j] = s->attr->scale * dot(q, k, s->K);
    if (s->p[j] > max || isnan(s->p[j])) max = s->p[j];
  }
  return max;
}

static void add_scaled(double *to, const double *from, double factor, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] += factor * from[i];
}

static void forward_row(const segment *s, int64_t i) {
  const int64_t n = visible(s, i);
  const double max = scores(s, i);
  double *o = head_row(s, s->call->out[CZ_ATTENTION_CUDNN_O].data, s->q0 + i), sum = 0;
  for (int64_t j = 0; j < n; j++) sum += s->p[j] = exp(s->p[j] - max);
  memset(o, 0, (size_t)s->K * sizeof *o);
  for (int64_t j = 0; j < n; j++)
    add_scaled(o, head_row(s, s->call->in[CZ_ATTENTION_CUDNN_V].data, s->k0 + j),
               cz_rounded_as_input(s->call, CZ_ATTENTION_CUDNN_V, s->p[j]) / sum, s->K);
  if (stat(s, i)) *stat(s, i) = max + log(sum);
}

static void backward_row(const segment *s, int64_t i) {
  const cz_call *c = s->call;
  const double *q = head_row(s, c->in[CZ_ATTENTION_CUDNN_Q].data, s->q0 + i),
               *dout = head_row(s, c->dout[CZ_ATTENTION_CUDNN_O].data, s->q0 + i),
               D = dot(dout, head_row(s, c->out[CZ_ATTENTION_CUDNN_O].data, s->q0 + i), s->K),
               lse = *stat(s, i), scale = s->attr->scale;
  (void)scores(s, i);
  for (int64_t j = 0; j < visible(s, i); j++) {
    const double p = exp(s->p[j] - lse),
                 *k = head_row(s, c->in[CZ_ATTENTION_CUDNN_K].data, s->k0 + j),
                 *v = head_row(s, c->in[CZ_ATTENTION_CUDNN_V].data, s->k0 + j),
                 ds = cz_rounded_as_input(c, CZ_ATTENTION_CUDNN_Q, p * (dot(dout, v, s->K) - D));
    if (c->mode[CZ_ATTENTION_CUDNN_V])
      add_scaled(head_row(s, c->din[CZ_ATTENTION_CUDNN_V].data, s->k0 + j), dout,
                 cz_rounded_as_input(c, CZ_ATTENTION_CUDNN_V, p), s->K);
    if (c->mode[CZ_ATTENTION_CUDNN_Q])
      add_scaled(head_row(s, c->din[CZ_ATTENTION_CUDNN_Q].data, s->q0 + i), k, scale * ds, s->K);
    if (c->mode[CZ_ATTENTION_CUDNN_K])
      add_scaled(head_row(s, c->din[CZ_ATTENTION_CUDNN_K].data, s->k0 + j), q, scale * ds, s->K);
  }
}

static void each_row(const cz_call *call, void (*row)(const segment *s, int64_t i)) {
  for (int64_t n = 0; n < call->in[CZ_ATTENTION_CUDNN_Q_SPANS].dim[0]; n++)
    for (int64_t h = 0; h < ((const cz_attention_cudnn_attr *)call->attr)->heads; h++) {
      const segment s = segment_of(call, n, h);
      for (int64_t i = 0; i < s.nq; i++) row(&s, i);
    }
}

/** Forward in float64. Contract: attention_cudnn.h. */
void cz_attention_cudnn_fwd_ref(const cz_call *call) { each_row(call, forward_row); }

/** Backward in float64; recomputes the scores. Contract: attention_cudnn.h. */
void cz_attention_cudnn_bwd_ref(const cz_call *call) {
  for (int i = 0; i < call->n_in; i++) cz_grad_begin(call, i);
  if (call->dout[CZ_ATTENTION_CUDNN_O].data) each_row(call, backward_row);
}

/** Bytes of workspace: one row of scores. */
size_t cz_attention_cudnn_workspace_ref(const cz_call *call, bool backward) {
  (void)backward;
  return (size_t)call->in[CZ_ATTENTION_CUDNN_K].dim[0] * sizeof(double);
}
