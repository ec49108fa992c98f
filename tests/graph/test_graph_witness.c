/* A T5 decoder block, forward and backward, written out by hand in float64 and without
 * any of the project's arithmetic: what the layers, the engine and ref's kernels give
 * must be that. Formulas: docs/t5.md 1.1 to 1.3 (RMS norm before each sub-layer, no
 * scale on the scores, one bias per head and bucket, the cross-attention has none); each
 * derivative is by hand. */
#include "graph_test.h"
#include "nn/layers.h"

#include <math.h>

enum { B = 2, T = 7, S = 6, D = 6, H = 2, K = 4, HK = H * K, F = 9, V = 5, N = 4, REACH = 10 };

static const int32_t spans[2 * B] = {0, 3, 3, 7}, enc_spans[2 * B] = {0, 4, 4, 6},
                               targets[T] = {1, -1, 4, 0, 2, 2, -100};
static const double EPS = 1e-6, SCALE = 0.5, DENOMINATOR = 5;

/* Parameters, and gradients of the same names. */
typedef struct block {
  double x[T * D], enc[S * D];
  double g1[D], q[HK * D], k[HK * D], v[HK * D], o[D * HK], table[N * H];
  double g2[D], q2[HK * D], k2[HK * D], v2[HK * D], o2[D * HK];
  double g3[D], wi[F * D], wo[D * F], e[V * D];
} block;

/* c[m, n] += a[m, k] b[n, k]^T: what a layer does; and its two derivatives, da[m, k] +=
 * dc b and db[n, k] += dc^T a. */
static void layer(double *c, const double *a, const double *b, int m, int k, int n) {
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++)
      for (int l = 0; l < k; l++) c[i * n + j] += a[i * k + l] * b[j * k + l];
}

static void layer_back(double *da, double *db, const double *dc, const double *a, const double *b,
                       int m, int k, int n) {
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++)
      for (int l = 0; l < k; l++) {
        da[i * k + l] += dc[i * n + j] * b[j * k + l];
        db[j * k + l] += dc[i * n + j] * a[i * k + l];
      }
}

static void rms(double *y, const double *x, const double *g, int rows) {
  for (int t = 0; t < rows; t++) {
    double s = 0;
    for (int d = 0; d < D; d++) s += x[t * D + d] * x[t * D + d];
    for (int d = 0; d < D; d++) y[t * D + d] = x[t * D + d] / sqrt(s / D + EPS) * g[d];
  }
}

/* y_d = x_d g_d u^(-1/2), u = sum x^2 / D + eps: dy_d/dx_c = [c = d] g_d u^(-1/2) - x_d
 * g_d u^(-3/2) x_c / D */
static void rms_back(double *dx, double *dg, const double *dy, const double *x, const double *g,
                     int rows) {
  for (int t = 0; t < rows; t++) {
    double u = EPS, dot = 0;
    for (int d = 0; d < D; d++) u += x[t * D + d] * x[t * D + d] / D;
    for (int d = 0; d < D; d++) dot += dy[t * D + d] * x[t * D + d] * g[d];
    for (int d = 0; d < D; d++) {
      dg[d] += dy[t * D + d] * x[t * D + d] / sqrt(u);
      dx[t * D + d] += dy[t * D + d] * g[d] / sqrt(u) - dot * x[t * D + d] / (u * sqrt(u) * D);
    }
  }
}

/* One direction, four buckets, distances to 10: 0 and 1 have a bucket each, from 2 on the
 * logarithm of distance / 2 on the scale of 10 / 2 halves the rest. */
static int bucket(int back) {
  return back < 2        ? back
         : back >= REACH ? 3
                         : 2 + (int)floor(log(back / 2.0) / log(REACH / 2.0) * 2);
}

/* a = softmax(q k^T [+ table]) v per segment and head; p [T, H, S] keeps the
 * probabilities. TABLE null: every key is visible (cross-attention). */
static void attend(double *a, double *p, const double *q, const double *k, const double *v,
                   const double *table, const int32_t *ks) {
  for (int b = 0; b < B; b++)
    for (int i = spans[2 * b]; i < spans[2 * b + 1]; i++)
      for (int h = 0; h < H; h++) {
        double s[T + S], sum = 0, *pi = p + (i * H + h) * (T + S);
        int last = table ? i + 1 : ks[2 * b + 1];
        for (int j = ks[2 * b]; j < last; j++) {
          s[j] = table ? table[bucket(i - j) * H + h] : 0;
          for (int c = 0; c < K; c++) s[j] += q[i * HK + h * K + c] * k[j * HK + h * K + c];
          sum += exp(s[j]);
        }
        for (int j = ks[2 * b]; j < last; j++) {
          pi[j] = exp(s[j]) / sum;
          for (int c = 0; c < K; c++) a[i * HK + h * K + c] += pi[j] * v[j * HK + h * K + c];
        }
      }
}

/* dv_j += p_ij da_i; dp_ij = da_i . v_j; ds_ij = p_ij (dp_ij - sum_l p_il dp_il); dq_i +=
 * ds_ij k_j; dk_j += ds_ij q_i; dtable[bucket] += ds_ij */
static void attend_back(double *dq, double *dk, double *dv, double *dtable, const double *da,
                        const double *p, const double *q, const double *k, const double *v,
                        const int32_t *ks) {
  for (int b = 0; b < B; b++)
    for (int i = spans[2 * b]; i < spans[2 * b + 1]; i++)
      for (int h = 0; h < H; h++) {
        double dp[T + S] = {0}, mean = 0;
        const double *pi = p + (i * H + h) * (T + S);
        int at = h * K, last = dtable ? i + 1 : ks[2 * b + 1];
        for (int j = ks[2 * b]; j < last; j++) {
          for (int c = 0; c < K; c++) {
            dv[j * HK + at + c] += pi[j] * da[i * HK + at + c];
            dp[j] += da[i * HK + at + c] * v[j * HK + at + c];
          }
          mean += pi[j] * dp[j];
        }
        for (int j = ks[2 * b]; j < last; j++) {
          double ds = pi[j] * (dp[j] - mean);
          if (dtable) dtable[bucket(i - j) * H + h] += ds;
          for (int c = 0; c < K; c++) {
            dq[i * HK + at + c] += ds * k[j * HK + at + c];
            dk[j * HK + at + c] += ds * q[i * HK + at + c];
          }
        }
      }
}

/* Everything between the input and the loss. */
typedef struct trail {
  double n1[T * D], q[T * HK], k[T * HK], v[T * HK], p[T * H * (T + S)], a[T * HK], x1[T * D];
  double n2[T * D], q2[T * HK], k2[S * HK], v2[S * HK], p2[T * H * (T + S)], a2[T * HK], x2[T * D];
  double n3[T * D], u[T * F], r[T * F], x3[T * D], logits[T * V];
} trail;

static double forward(trail *t, const block *w) {
  rms(t->n1, w->x, w->g1, T);
  layer(t->q, t->n1, w->q, T, D, HK);
  layer(t->k, t->n1, w->k, T, D, HK);
  layer(t->v, t->n1, w->v, T, D, HK);
  attend(t->a, t->p, t->q, t->k, t->v, w->table, spans);
  memcpy(t->x1, w->x, sizeof t->x1);
  layer(t->x1, t->a, w->o, T, HK, D);

  rms(t->n2, t->x1, w->g2, T);
  layer(t->q2, t->n2, w->q2, T, D, HK);
  layer(t->k2, w->enc, w->k2, S, D, HK);
  layer(t->v2, w->enc, w->v2, S, D, HK);
  attend(t->a2, t->p2, t->q2, t->k2, t->v2, NULL, enc_spans);
  memcpy(t->x2, t->x1, sizeof t->x2);
  layer(t->x2, t->a2, w->o2, T, HK, D);

  rms(t->n3, t->x2, w->g3, T);
  layer(t->u, t->n3, w->wi, T, D, F);
  for (int i = 0; i < T * F; i++) t->r[i] = t->u[i] > 0 ? t->u[i] : 0;
  memcpy(t->x3, t->x2, sizeof t->x3);
  layer(t->x3, t->r, w->wo, T, F, D);

  layer(t->logits, t->x3, w->e, T, D, V);
  double loss = 0;
  for (int i = 0; i < T; i++) {
    double sum = 0;
    for (int v = 0; v < V; v++) sum += exp(SCALE * t->logits[i * V + v]);
    if (targets[i] >= 0) loss += (log(sum) - SCALE * t->logits[i * V + targets[i]]) / DENOMINATOR;
  }
  return loss;
}

static void backward(block *d, const trail *t, const block *w) {
  static double dlogits[T * V], dx3[T * D], dr[T * F], dn3[T * D], dx2[T * D], da2[T * HK],
      dq2[T * HK], dk2[S * HK], dv2[S * HK], dn2[T * D], dx1[T * D];
  static double da[T * HK], dq[T * HK], dk[T * HK], dv[T * HK], dn1[T * D];
  for (int i = 0; i < T;
       i++) { /* loss = sum of log sum exp(SCALE logits) - SCALE logits[target], over DENOMINATOR */
    double sum = 0;
    for (int v = 0; v < V; v++) sum += exp(SCALE * t->logits[i * V + v]);
    for (int v = 0; v < V && targets[i] >= 0; v++)
      dlogits[i * V + v] =
          SCALE * (exp(SCALE * t->logits[i * V + v]) / sum - (v == targets[i])) / DENOMINATOR;
  }
  layer_back(dx3, d->e, dlogits, t->x3, w->e, T, D, V);

  layer_back(dr, d->wo, dx3, t->r, w->wo, T, F, D); /* x3 = x2 + r wo^T */
  for (int i = 0; i < T * F; i++) dr[i] = t->u[i] > 0 ? dr[i] : 0;
  layer_back(dn3, d->wi, dr, t->n3, w->wi, T, D, F);
  memcpy(dx2, dx3, sizeof dx2);
  rms_back(dx2, d->g3, dn3, t->x2, w->g3, T);

  layer_back(da2, d->o2, dx2, t->a2, w->o2, T, HK, D); /* x2 = x1 + a2 o2^T */
  attend_back(dq2, dk2, dv2, NULL, da2, t->p2, t->q2, t->k2, t->v2, enc_spans);
  layer_back(d->enc, d->k2, dk2, w->enc, w->k2, S, D, HK);
  layer_back(d->enc, d->v2, dv2, w->enc, w->v2, S, D, HK);
  layer_back(dn2, d->q2, dq2, t->n2, w->q2, T, D, HK);
  memcpy(dx1, dx2, sizeof dx1);
  rms_back(dx1, d->g2, dn2, t->x1, w->g2, T);

  layer_back(da, d->o, dx1, t->a, w->o, T, HK, D); /* x1 = x + a o^T */
  attend_back(dq, dk, dv, d->table, da, t->p, t->q, t->k, t->v, spans);
  layer_back(dn1, d->q, dq, t->n1, w->q, T, D, HK);
  layer_back(dn1, d->k, dk, t->n1, w->k, T, D, HK);
  layer_back(dn1, d->v, dv, t->n1, w->v, T, D, HK);
  memcpy(d->x, dx1, sizeof d->x);
  rms_back(d->x, d->g1, dn1, w->x, w->g1, T);
}

typedef struct row {
  const char *name;
  int rows, columns;
  size_t at;
} row;

#define ROW(member, rows, columns)                                                                 \
  { #member, rows, columns, offsetof(block, member) }
static const row rows[] = {
    ROW(x, T, D),   ROW(enc, S, D),   ROW(g1, D, 0), ROW(q, HK, D),  ROW(k, HK, D),  ROW(v, HK, D),
    ROW(o, D, HK),  ROW(table, N, H), ROW(g2, D, 0), ROW(q2, HK, D), ROW(k2, HK, D), ROW(v2, HK, D),
    ROW(o2, D, HK), ROW(g3, D, 0),    ROW(wi, F, D), ROW(wo, D, F),  ROW(e, V, D)};
enum { ROWS = sizeof rows / sizeof *rows };

static double *field(block *b, int i) { return (double *)((char *)b + rows[i].at); }

static int64_t size(int i) { return rows[i].rows * (rows[i].columns ? rows[i].columns : 1); }

/* The same block from the builder's layers, on parameters PARAM[ROWS]. */
static cz_value build(cz_graph *g, cz_param **param, const cz_model *m, const cz_value in[4]) {
  cz_builder b = {.g = g, .model = m, .scope = "block"};
  cz_tokens tokens = {.spans = in[0], .prefix = CZ_ABSENT, .mask = CZ_ATTENTION_MASK_CAUSAL};
  cz_attention_layer self = {{.gain = param[2]},
                             {param[3], NULL},
                             {param[4], NULL},
                             {param[5], NULL},
                             {param[6], NULL}},
                     cross = {{.gain = param[8]},
                              {param[9], NULL},
                              {param[10], NULL},
                              {param[11], NULL},
                              {param[12], NULL}};
  cz_ffn_layer ffn = {
      .norm = {.gain = param[13]}, .wi = {.weight = param[14]}, .wo = {.weight = param[15]}};
  const cz_encoded encoded = {.x = cz_graph_param(g, param[1]), .spans = in[1]};
  cz_value x = cz_graph_param(g, param[0]), out[CZ_OP_OUT];
  x = cz_layer_self_attention(&b, x, &self, param[7], &tokens, NULL);
  cz_crossed crossed = cz_layer_crossed(&b, &cross, &encoded);
  x = cz_layer_cross_attention(&b, x, &cross, &tokens, &crossed);
  x = cz_layer_feed_forward(&b, x, &ffn, &tokens);
  cz_cross_entropy_attr attr = {.logit_scale = SCALE};
  cz_value loss[] = {x, cz_graph_param(g, param[16]), in[2], in[3]};
  cz_graph_op(g, out, CZ_OP_cross_entropy, "loss", 4, loss, &attr);
  return out[CZ_CROSS_ENTROPY_LOSS];
}

static void feed(cz_graph *g, const cz_value in[4]) {
  OK(cz_graph_feed_int(g, in[0], spans, 2 * B));
  OK(cz_graph_feed_int(g, in[1], enc_spans, 2 * B));
  OK(cz_graph_feed_int(g, in[2], targets, T));
  OK(cz_graph_feed_real(g, in[3], &DENOMINATOR, 1));
}

static void decoder_block(void **state) {
  static block w, d;
  static trail t;
  cz_rand r = {.state = test_seed()};
  cz_model m = {.config = {.n_heads = H,
                           .buckets = N,
                           .max_distance = REACH,
                           .norm_eps = EPS,
                           .activation = CZ_ACTIVATION_RELU}};
  OK(cz_family_find(&m.config.family, "t5"));
  cz_param *param[ROWS];
  cz_params *params;
  cz_device *device;
  cz_graph *g;
  OK(cz_device_open(&device, "ref"));
  OK(cz_params_create(&params, device));
  for (int i = 0; i < ROWS; i++) {
    const int64_t dim[2] = {rows[i].rows, rows[i].columns};
    OK(cz_params_declare(params, &param[i], rows[i].name, rows[i].columns ? 2 : 1, dim,
                         (cz_init){0}, true));
    for (int64_t j = 0; j < size(i); j++)
      field(&w, i)[j] = cz_rand_normal(&r) * (rows[i].columns == D ? 0.6 : 1);
  }
  OK(cz_params_allocate(params));
  m.params = params, m.device = device, m.stream = device->real;
  for (int i = 0; i < ROWS; i++)
    OK(cz_device_write_real(device, param[i]->value, field(&w, i), size(i)));
  OK(cz_graph_create(&g, params));
  const int64_t two[2] = {B, 2}, tokens = T, one = 1;
  const cz_value in[4] = {cz_graph_input(g, "spans", CZ_I32, 2, two),
                          cz_graph_input(g, "enc_spans", CZ_I32, 2, two),
                          cz_graph_input(g, "targets", CZ_I32, 1, &tokens),
                          cz_graph_input(g, "denominator", device->real, 1, &one)};
  cz_value loss = build(g, param, &m, in);
  cz_graph_loss(g, loss);
  OK(cz_graph_finish(g, &(cz_graph_options){.train = true}));
  feed(g, in);
  OK(cz_graph_train(g, &(cz_graph_run_options){.training = true}));

  double got, want = forward(&t, &w), values[T * D + V * D + F * D];
  backward(&d, &t, &w);
  OK(cz_graph_read(g, &got, loss, 1));
  if (!(fabs(got - want) <= 1e-12 * (1 + want))) fail_msg("loss %.17g, by hand %.17g", got, want);
  for (int i = 0; i < ROWS; i++) {
    double most = 0;
    OK(cz_device_read_real(device, values, param[i]->grad, size(i)));
    for (int64_t j = 0; j < size(i); j++) most = fmax(most, fabs(field(&d, i)[j]));
    assert_true(most > 1e-6); /* every parameter does something */
    for (int64_t j = 0; j < size(i); j++)
      if (!(fabs(values[j] - field(&d, i)[j]) <= 1e-10 * most))
        fail_msg("gradient of %s[%lld]: %.17g, by hand %.17g", rows[i].name, (long long)j,
                 values[j], field(&d, i)[j]);
  }
  cz_graph_destroy(&g);
  cz_params_destroy(&params);
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(decoder_block)};
  test_seed();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
