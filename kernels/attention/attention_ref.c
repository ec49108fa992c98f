/* Attention in float64, one query row at a time: what the op means. */
#include "kernels/attention/attention.h"
#include "kernels/common/dropout_mask.h"
#include "kernels/common/roundings.h"
#include "kernels/common/rows.h"

#include <math.h>
#include <string.h>

/* One segment and head; rows are numbered inside the segment. */
typedef struct segment {
  const cz_call *call;
  const cz_attention_attr *attr;
  int64_t n, q0, nq, k0, nk, h, H, K, Tk;
  const double *position_bias;
  double *p, *dp; /* probabilities of one query row, and their gradient */
} segment;

static segment segment_of(const cz_call *call, int64_t n, int64_t h) {
  const cz_attention_attr *a = call->attr;
  const int32_t *qs = call->in[CZ_ATTENTION_Q_SPANS].data,
                *ks = call->in[CZ_ATTENTION_K_SPANS].data;
  segment s = {.call = call,
               .attr = a,
               .n = n,
               .h = h,
               .H = a->heads,
               .K = call->in[CZ_ATTENTION_Q].dim[1] / a->heads};
  s.q0 = qs[2 * n], s.nq = qs[2 * n + 1] - qs[2 * n];
  s.k0 = ks[2 * n], s.nk = ks[2 * n + 1] - ks[2 * n];
  s.Tk = call->in[CZ_ATTENTION_K].dim[0];
  s.position_bias = call->in[CZ_ATTENTION_POSITION_BIAS].data;
  s.p = call->workspace, s.dp = s.p + s.Tk;
  return s;
}

/* The head's K numbers in row `row` of a [T, H*K] array. */
static double *head_row(const segment *s, const void *array, int64_t row) {
  return (double *)array + (row * s->H + s->h) * s->K;
}

/* p. Without FULL the last query stands at the last key, so that a decoder's one new
 * query sees all nk keys of its cache. */
static int64_t position(const segment *s, int64_t i) {
  return s->attr->mask == CZ_ATTENTION_MASK_FULL ? i : i + s->nk - s->nq;
}

/* The masks of attention.h, pair by pair. */
static bool visible(const segment *s, int64_t i, int64_t j) {
  if (s->attr->mask == CZ_ATTENTION_MASK_FULL) return true;
  if (j <= position(s, i)) return true;
  return s->attr->mask == CZ_ATTENTION_MASK_PREFIX &&
         j < ((const int32_t *)s->call->in[CZ_ATTENTION_PREFIX].data)[s->n];
}

static int64_t bucket(const segment *s, int64_t i, int64_t j) {
  return cz_attention_bucket(j - position(s, i), s->attr->buckets, s->attr->max_distance,
                             s->attr->bidirectional);
}

static double dot(const double *a, const double *b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

/* s_ij = scale q_i . k_j + position_bias[bucket, h] */
static double score(const segment *s, int64_t i, int64_t j) {
  const double *q = head_row(s, s->call->in[CZ_ATTENTION_Q].data, s->q0 + i),
               *k = head_row(s, s->call->in[CZ_ATTENTION_K].data, s->k0 + j);
  return s->attr->scale * dot(q, k, s->K) +
         (s->position_bias ? s->position_bias[bucket(s, i, j) * s->H + s->h] : 0);
}

/* M_ij */
static double multiplier(const segment *s, int64_t i, int64_t j) {
  if (!s->call->training || s->attr->dropout <= 0) return 1;
  const uint64_t head = (uint64_t)(s->n * s->H + s->h);
  return cz_dropout_mask_factor(
      &s->call->key, cz_dropout_attention_element(head, s->attr->share_queries ? 0 : i, j),
      s->attr->dropout);
}

/* The exponentials of row i into s->p, 0 where invisible: P times their sum. Stats: the
 * largest score, and the sum. Returns the key with the largest score. Scores that are not
 * finite: attention.h. */
static int64_t exponentials(const segment *s, int64_t i, double stats[2]) {
  double max = -INFINITY, sum = 0;
  int64_t top = 0;
  for (int64_t j = 0; j < s->nk; j++) {
    if (!visible(s, i, j)) continue;
    s->p[j] = score(s, i, j);
    if (s->p[j] > max || isnan(s->p[j])) max = s->p[j], top = j;
  }
  for (int64_t j = 0; j < s->nk; j++) sum += s->p[j] = visible(s, i, j) ? exp(s->p[j] - max) : 0;
  stats[0] = max, stats[1] = sum;
  return top;
}

/* P from exponentials. A row that sees nothing has none but zeros. */
static void divide(const segment *s, int64_t i, double sum) {
  for (int64_t j = 0; j < s->nk; j++)
    if (visible(s, i, j)) s->p[j] /= sum;
}

static void forward_row(const segment *s, int64_t i) {
  double stats[2];
  exponentials(s, i, stats);
  double *o = head_row(s, s->call->out[CZ_ATTENTION_O].data, s->q0 + i),
         *saved = s->call->out[CZ_ATTENTION_STATS].data;
  memset(o, 0, (size_t)s->K * sizeof *o);
  for (int64_t j = 0; j < s->nk; j++) { /* o_i = sum_j P_ij M_ij v_j */
    if (!visible(s, i, j)) continue;
    const double *v = head_row(s, s->call->in[CZ_ATTENTION_V].data, s->k0 + j);
    /* the exponentials are divided when o is whole: they, times M, are what meets v */
    double z =
        cz_rounded_as_input(s->call, CZ_ATTENTION_V, s->p[j] * multiplier(s, i, j)) / stats[1];
    for (int64_t x = 0; x < s->K; x++) o[x] += z * v[x];
  }
  if (saved) memcpy(&saved[2 * ((s->q0 + i) * s->H + s->h)], stats, sizeof stats);
}

/** Attention in float64. Contract: attention.h. */
void cz_attention_fwd_ref(const cz_call *call) {
  for (int64_t n = 0; n < call->in[CZ_ATTENTION_Q_SPANS].dim[0]; n++) {
    for (int64_t h = 0; h < ((const cz_attention_attr *)call->attr)->heads; h++) {
      segment s = segment_of(call, n, h);
      for (int64_t i = 0; i < s.nq; i++) forward_row(&s, i);
    }
  }
}

static void add_scaled(double *to, const double *from, double factor, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] += factor * from[i];
}

/* The derivation stands at the head of attention_cpu_bwd.c; here it is done row by
 * row. */
static void backward_row(const segment *s, int64_t i) {
  const cz_call *c = s->call;
  const double *q = head_row(s, c->in[CZ_ATTENTION_Q].data, s->q0 + i),
               *dout = head_row(s, c->dout[CZ_ATTENTION_O].data, s->q0 + i);
  double D = 0, scale = s->attr->scale, stats[2];
  int64_t top = exponentials(s, i, stats);
  /* P is divided by the sum that forward saved, not by the one just computed, because the
   * float32 kernel does so too. Where the dS of a row cancel, the rounding of the saved
   * sum is all that is left of them. */
  divide(s, i,
         ((const double *)c->out[CZ_ATTENTION_STATS].data)[2 * ((s->q0 + i) * s->H + s->h) + 1]);
  for (int64_t j = 0; j < s->nk; j++) {
    if (!visible(s, i, j)) continue;
    /* o_i = sum_j P_ij M_ij v_j:  dP_ij = M_ij do_i . v_j,  dv_j += P_ij M_ij do_i */
    double m = multiplier(s, i, j);
    s->dp[j] = m * dot(dout, head_row(s, c->in[CZ_ATTENTION_V].data, s->k0 + j), s->K);
    if (c->mode[CZ_ATTENTION_V])
      add_scaled(head_row(s, c->din[CZ_ATTENTION_V].data, s->k0 + j), dout,
                 cz_rounded_as_input(c, CZ_ATTENTION_V, s->p[j] * m), s->K);
  }
  /* P_i = softmax(s_i):  ds_ij = P_ij (dP_ij - sum_j P_ij dP_ij). dP of the key with the largest
   * score is subtracted from all dP_ij first. That changes nothing, since sum_j P_ij = 1,
   * but keeps the digits of a row in which one P_ij is nearly 1. */
  double off = s->nk && visible(s, i, top) ? s->dp[top] : 0;
  for (int64_t j = 0; j < s->nk; j++)
    if (visible(s, i, j)) D += s->p[j] * (s->dp[j] - off);
  /* the host has D from o there, sum_j P_ij dP_ij = do_i . o_i */
  for (int64_t x = 0; s->nk > CZ_ATTENTION_WHOLE && x < s->K; x++) {
    const double o = head_row(s, c->out[CZ_ATTENTION_O].data, s->q0 + i)[x];
    D += dout[x] * (cz_rounded_as_output(c, CZ_ROUNDED_BY_HOST + CZ_ATTENTION_O, o) - o);
  }
  for (int64_t j = 0; j < s->nk; j++) {
    if (!visible(s, i, j)) continue;
    double ds = s->p[j] * (s->dp[j] - off - D);
    /* s_ij = scale q_i . k_j + position_bias[bucket, h] */
    if (c->mode[CZ_ATTENTION_POSITION_BIAS])
      ((double *)c->din[CZ_ATTENTION_POSITION_BIAS].data)[bucket(s, i, j) * s->H + s->h] += ds;
    ds = cz_rounded_as_input(c, CZ_ATTENTION_Q, ds);
    if (c->mode[CZ_ATTENTION_Q])
      add_scaled(head_row(s, c->din[CZ_ATTENTION_Q].data, s->q0 + i),
                 head_row(s, c->in[CZ_ATTENTION_K].data, s->k0 + j), scale * ds, s->K);
    if (c->mode[CZ_ATTENTION_K])
      add_scaled(head_row(s, c->din[CZ_ATTENTION_K].data, s->k0 + j), q, scale * ds, s->K);
  }
}

/** Gradients of q, k, v and the position bias in float64; recomputes the scores. Contract:
 * attention.h. */
void cz_attention_bwd_ref(const cz_call *call) {
  for (int i = 0; i < call->n_in; i++) cz_grad_begin(call, i);
  if (!call->dout[CZ_ATTENTION_O].data) return;
  for (int64_t n = 0; n < call->in[CZ_ATTENTION_Q_SPANS].dim[0]; n++) {
    for (int64_t h = 0; h < ((const cz_attention_attr *)call->attr)->heads; h++) {
      segment s = segment_of(call, n, h);
      for (int64_t i = 0; i < s.nq; i++) backward_row(&s, i);
    }
  }
}

/** Bytes of workspace: one row of probabilities, and in backward its gradient. */
size_t cz_attention_workspace_ref(const cz_call *call, bool backward) {
  return (size_t)call->in[CZ_ATTENTION_K].dim[0] * sizeof(double) * (backward ? 2 : 1);
}
