/* Label words in float32: the classes' mean embeddings are made once, then scores are short products with the mask rows. */
#include "kernels/common/cpu.h"
#include "kernels/label_words/label_words.h"

#include <math.h>
#include <string.h>

enum { PART = 128 /* columns that one thread takes in backward */ };

typedef struct plan {
  int64_t T, D, V, M, C, W;
  const float *x, *table, *bias, *soft;
  const int32_t *rows, *words, *hard;
  double temperature, factor; /* t, and the loss's t^2 or 1 over the denominator */
  double *row;               /* forward: the loss of each of M rows; backward: the probabilities of C classes */
  float *mean, *mean_bias;   /* [C, D], [C]: means over each class's words */
  float *part;               /* [C]: 1 / Wc */
  float *g, *dmean;          /* backward: G [M, C] over Wc; sum_m G x [C, D] */
} plan;

static plan plan_of(const cz_call *call) {
  const cz_arg *in = call->in;
  plan p = {.T = in[CZ_LABEL_WORDS_X].dim[0], .D = in[CZ_LABEL_WORDS_X].dim[1], .V = in[CZ_LABEL_WORDS_TABLE].dim[0]};
  p.M = in[CZ_LABEL_WORDS_ROWS].dim[0], p.C = in[CZ_LABEL_WORDS_WORDS].dim[0], p.W = in[CZ_LABEL_WORDS_WORDS].dim[1];
  p.x = in[CZ_LABEL_WORDS_X].data, p.table = in[CZ_LABEL_WORDS_TABLE].data, p.bias = in[CZ_LABEL_WORDS_BIAS].data;
  p.rows = in[CZ_LABEL_WORDS_ROWS].data, p.words = in[CZ_LABEL_WORDS_WORDS].data;
  p.hard = in[CZ_LABEL_WORDS_HARD].data, p.soft = in[CZ_LABEL_WORDS_SOFT].data;
  p.temperature = ((const cz_label_words_attr *)call->attr)->temperature;
  const float *denominator = in[CZ_LABEL_WORDS_DENOMINATOR].data;
  if (denominator) p.factor = (p.soft ? p.temperature * p.temperature : 1) / denominator[0];
  p.row = call->workspace;
  p.mean = (float *)(p.row + (p.M > p.C ? p.M : p.C)), p.mean_bias = p.mean + p.C * p.D, p.part = p.mean_bias + p.C;
  p.g = p.part + p.C, p.dmean = p.g + p.M * p.C;
  return p;
}

/** Bytes of workspace: mean embeddings of the classes, and in backward their gradient and that of the scores. */
size_t cz_label_words_workspace_cpu(const cz_call *call, bool backward) {
  plan p = plan_of(&(cz_call){.in = {call->in[0], call->in[1], call->in[2], [CZ_LABEL_WORDS_WORDS] = call->in[CZ_LABEL_WORDS_WORDS]}, .attr = call->attr});
  int64_t floats = p.C * p.D + 2 * p.C + (backward ? p.M * p.C + p.C * p.D : 0);
  return (size_t)(p.M > p.C ? p.M : p.C) * sizeof(double) + (size_t)floats * sizeof(float);
}

CZ_CLONES static void add_scaled(float *to, const float *from, float factor, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) to[i] += factor * from[i];
}

CZ_CLONES static float dot(const float *a, const float *b, int64_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

/* Rounded once: classes that name the same word have the same mean, however often they name it. */
CZ_CLONES static void fill_mean(float *mean, const float *table, const int32_t *words, int64_t n, int64_t W, int64_t D) {
  for (int64_t d = 0; d < D; d++) {
    double sum = 0;
    for (int64_t w = 0; w < W; w++) sum += words[w] < 0 ? 0 : table[words[w] * D + d];
    mean[d] = (float)(sum / (double)n);
  }
}

static void fill_means(const plan *p) {
  for (int64_t c = 0; c < p->C; c++) {
    const int32_t *words = p->words + c * p->W;
    int64_t n = 0;
    for (int64_t w = 0; w < p->W; w++) n += words[w] >= 0;
    p->part[c] = 1 / (float)n, p->mean_bias[c] = 0;
    fill_mean(p->mean + c * p->D, p->table, words, n, p->W, p->D);
    if (p->bias) fill_mean(p->mean_bias + c, p->bias, words, n, p->W, 1);
  }
}

static double target(const plan *p, int64_t m, int64_t c) {
  if (p->soft) return p->soft[m * p->C + c];
  return p->hard && p->hard[m] == c ? 1 : 0;
}

/* The class with the largest score; the sum of exp((score - largest) / t) over the others. In double: there are few classes, and a sure row's loss and gradient
 * lie in what float32 would round away. */
static int64_t softmax(const plan *p, const float *scores, double *rest) {
  int64_t top = 0;
  for (int64_t c = 1; c < p->C; c++)
    if (scores[c] > scores[top]) top = c;
  *rest = 0;
  for (int64_t c = 0; c < p->C; c++)
    if (c != top) *rest += exp(((double)scores[c] - scores[top]) / p->temperature);
  return top;
}

static void forward_row(const plan *p, float *scores, int64_t m) {
  const float *x = p->x + p->rows[m] * p->D;
  double rest;
  for (int64_t c = 0; c < p->C; c++) scores[c] = dot(x, p->mean + c * p->D, p->D) + p->mean_bias[c];
  int64_t top = softmax(p, scores, &rest);
  p->row[m] = 0;
  for (int64_t c = 0; c < p->C; c++) p->row[m] += target(p, m, c) * (((double)scores[top] - scores[c]) / p->temperature + log1p(rest));
}

/** Scores and loss in float32. Contract: label_words.h. */
void cz_label_words_fwd_cpu(const cz_call *call) {
  plan p = plan_of(call);
  float *scores = call->out[CZ_LABEL_WORDS_SCORES].data;
  fill_means(&p);
#pragma omp parallel for if (p.M * p.C * p.D > 1 << 16)
  for (int64_t m = 0; m < p.M; m++) forward_row(&p, scores + m * p.C, m);
  double loss = 0;
  for (int64_t m = 0; m < p.M; m++) loss += p.row[m];
  ((float *)call->out[CZ_LABEL_WORDS_LOSS].data)[0] = (float)(loss * p.factor);
}

/* G_m, the whole gradient of a row of scores. */
static void score_gradients(const cz_call *call, const plan *p, int64_t m) {
  const float *dscores = call->dout[CZ_LABEL_WORDS_SCORES].data, *dloss = call->dout[CZ_LABEL_WORDS_LOSS].data;
  const float *scores = (const float *)call->out[CZ_LABEL_WORDS_SCORES].data + m * p->C;
  double *P = p->row, rest, factor = dloss ? dloss[0] * p->factor / p->temperature : 0;
  int64_t top = softmax(p, scores, &rest);
  for (int64_t c = 0; c < p->C; c++) P[c] = exp(((double)scores[c] - scores[top]) / p->temperature) / (1 + rest);
  for (int64_t c = 0; c < p->C; c++) {
    /* loss = -factor sum_c Y_c log P_c:  ds_c = factor / t (P_c sum_i Y_i - Y_c), and as sum_i P_i = 1 this is factor / t sum_i (P_c Y_i - P_i Y_c) */
    double sum = 0, yc = target(p, m, c);
    for (int64_t i = 0; i < p->C && dloss; i++)
      if (i != c) sum += P[c] * target(p, m, i) - P[i] * yc;
    p->g[m * p->C + c] = (float)((dscores ? dscores[m * p->C + c] : 0) + factor * sum);
  }
}

/* Columns d0 to d0 + n of dx and dtable: each thread has columns of its own, so repeated rows and words are added in order. */
static void backward_columns(const cz_call *call, const plan *p, int64_t d0, int64_t n) {
  float *dx = call->din[CZ_LABEL_WORDS_X].data, *dtable = call->din[CZ_LABEL_WORDS_TABLE].data;
  /* s_mc = x_r . mean_c:  dx_r += sum_c G_mc mean_c,  dmean_c = sum_m G_mc x_r */
  for (int64_t c = 0; c < p->C; c++) memset(p->dmean + c * p->D + d0, 0, (size_t)n * sizeof *p->dmean);
  for (int64_t m = 0; m < p->M; m++) {
    for (int64_t c = 0; c < p->C; c++) {
      float g = p->g[m * p->C + c];
      if (call->mode[CZ_LABEL_WORDS_X]) add_scaled(dx + p->rows[m] * p->D + d0, p->mean + c * p->D + d0, g, n);
      if (call->mode[CZ_LABEL_WORDS_TABLE]) add_scaled(p->dmean + c * p->D + d0, p->x + p->rows[m] * p->D + d0, g, n);
    }
  }
  if (!call->mode[CZ_LABEL_WORDS_TABLE]) return;
  for (int64_t i = 0; i < p->C * p->W; i++) /* mean_c = 1 / Wc sum_w table_w */
    if (p->words[i] >= 0) add_scaled(dtable + p->words[i] * p->D + d0, p->dmean + i / p->W * p->D + d0, p->part[i / p->W], n);
}

static void backward_bias(const cz_call *call, const plan *p) {
  float *dbias = call->din[CZ_LABEL_WORDS_BIAS].data;
  for (int64_t c = 0; c < p->C; c++) {
    double sum = 0;
    for (int64_t m = 0; m < p->M; m++) sum += p->g[m * p->C + c];
    for (int64_t w = 0; w < p->W; w++)
      if (p->words[c * p->W + w] >= 0) dbias[p->words[c * p->W + w]] += (float)(sum * p->part[c]);
  }
}

/* Zeros for what will be added to: all of a gradient that is to be written. Threads share a long one. */
static void begin(const cz_call *call, int input) {
  if (call->mode[input] != CZ_GRAD_WRITE) return;
  int64_t n = cz_numel(&call->din[input]), chunk = 1 << 18;
  float *d = call->din[input].data;
#pragma omp parallel for if (n > chunk)
  for (int64_t i = 0; i < n; i += chunk) memset(d + i, 0, (size_t)(n - i < chunk ? n - i : chunk) * sizeof *d);
}

/** Gradients of x, table and bias in float32. Contract: label_words.h. Uses OpenMP; the result does not depend on the number of threads. */
void cz_label_words_bwd_cpu(const cz_call *call) {
  plan p = plan_of(call);
  begin(call, CZ_LABEL_WORDS_X);
  begin(call, CZ_LABEL_WORDS_TABLE);
  begin(call, CZ_LABEL_WORDS_BIAS);
  fill_means(&p);
  for (int64_t m = 0; m < p.M; m++) score_gradients(call, &p, m);
#pragma omp parallel for if (p.M * p.C * p.D > 1 << 16)
  for (int64_t d = 0; d < p.D; d += PART) backward_columns(call, &p, d, p.D - d < PART ? p.D - d : PART);
  if (call->mode[CZ_LABEL_WORDS_BIAS]) backward_bias(call, &p);
}
