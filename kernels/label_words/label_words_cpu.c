/* Label words in float32 or bfloat16: the classes' mean embeddings are made once, then scores are
 * short products with the mask rows.
 *
 * A mean of dot products is the dot product with the mean:
 *
 *     mean_w (x_r . table_w + bias_w) = x_r . mean_w(table_w) + mean_w(bias_w)
 *
 * so a class costs one product for each row however many words it has. M, C and W are
 * small (a batch of masks, classes of a task, words of a verbalizer); loops over them are
 * written plainly, and only D is worth vector registers.
 *
 * In bfloat16 x and table are read and dx is written, rounded once; means, scores, shares, dtable
 * and bias are float32. */
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/rows.h"
#include "kernels/common/workspace.h"
#include "kernels/label_words/label_words.h"

#include <math.h>
#include <string.h>

enum { PART = 128 /* columns that one thread takes in backward */ };

typedef struct plan {
  int64_t D, M, C, W;
  cz_dtype dtype; /* of x and table */
  const void *x, *table;
  const float *bias, *soft;
  const int32_t *rows, *words, *hard;
  double temperature, factor; /* t, and the loss's t^2 or 1 over the denominator */
  /* workspace, which is one call's: forward's or backward's */
  double *row;             /* forward: the loss of each of M rows; backward: P of C classes */
  float *mean, *mean_bias; /* forward: [C, D], [C], means over each class's words */
  double *share; /* backward: [M, C * W], the gradient that each place of words passes on from a row
                    of scores */
  int32_t *first; /* backward: [C * W], the first place with the same word; -1 where there is none.
                     Later places pass on nothing */
  int32_t *first_row; /* backward: [M], the first of the M rows that reads the same row of x */
} plan;

/* What a call's shapes say. */
static plan sizes_of(const cz_call *call) {
  const cz_arg *x = &call->in[CZ_LABEL_WORDS_X], *words = &call->in[CZ_LABEL_WORDS_WORDS];
  return (plan){.D = x->dim[1],
                .M = call->in[CZ_LABEL_WORDS_ROWS].dim[0],
                .C = words->dim[0],
                .W = words->dim[1],
                .dtype = x->dtype};
}

/* Lays the workspace out; returns its bytes. */
static size_t lay_out(plan *p, bool backward, uintptr_t begin) {
  const size_t M = (size_t)p->M, C = (size_t)p->C, D = (size_t)p->D, places = C * (size_t)p->W;
  uintptr_t at = begin;
  p->row = cz_take(&at, (backward ? C : M) * sizeof(double));
  if (backward) {
    p->share = cz_take(&at, M * places * sizeof(double));
    p->first = cz_take(&at, places * sizeof(int32_t));
    p->first_row = cz_take(&at, M * sizeof(int32_t));
  } else {
    p->mean = cz_take(&at, C * D * sizeof(float));
    p->mean_bias = cz_take(&at, C * sizeof(float));
  }
  return (size_t)(at - begin);
}

static plan plan_of(const cz_call *call, bool backward) {
  const cz_arg *in = call->in;
  plan p = sizes_of(call);
  lay_out(&p, backward, (uintptr_t)call->workspace);
  p.x = in[CZ_LABEL_WORDS_X].data, p.table = in[CZ_LABEL_WORDS_TABLE].data,
  p.bias = in[CZ_LABEL_WORDS_BIAS].data;
  p.rows = in[CZ_LABEL_WORDS_ROWS].data, p.words = in[CZ_LABEL_WORDS_WORDS].data;
  p.hard = in[CZ_LABEL_WORDS_HARD].data, p.soft = in[CZ_LABEL_WORDS_SOFT].data;
  p.temperature = ((const cz_label_words_attr *)call->attr)->temperature;
  const float *denominator = in[CZ_LABEL_WORDS_DENOMINATOR].data;
  if (denominator) p.factor = (p.soft ? p.temperature * p.temperature : 1) / denominator[0];
  return p;
}

/** Bytes of workspace: forward, the classes' mean embeddings; backward, what each place
 * of words passes on. */
size_t cz_label_words_workspace_cpu(const cz_call *call, bool backward) {
  plan p = sizes_of(call);
  return lay_out(&p, backward, 0);
}

/* Sums are in double throughout: the op is small, and classes that share words make
 * gradients that cancel to nothing. */
CZ_CLONES static void add_scaled(double *to, const float *from, double factor, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] += factor * from[i];
}

CZ_CLONES static void round_sums(float *to, const double *from, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = (float)from[i];
}

CZ_CLONES static void divide_sums(float *to, const double *from, double by, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = (float)(from[i] / by);
}

/* N sums, PART at most, rounded to float32 and added to numbers from AT on. */
static void add_rounded(void *to, cz_dtype dtype, int64_t at, const double *sum, int64_t n) {
  float rounded[PART];
  round_sums(rounded, sum, n);
  cz_piece_grad(to, dtype, at, n, rounded, CZ_GRAD_ADD);
}

CZ_CLONES static double dot(const float *a, const float *b, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
  return sum;
}

/* x_r . mean, a piece of x at a time. */
static double dot_row(const plan *p, int64_t r, const float *mean) {
  float buffer[CZ_PIECE];
  double sum = 0;
  int64_t step = cz_piece_length(p->dtype, p->D);
  for (int64_t d = 0; d < p->D; d += step) {
    int64_t n = cz_minimum(step, p->D - d);
    sum += dot(cz_piece_read(p->x, p->dtype, r * p->D + d, n, buffer), mean + d, n);
  }
  return sum;
}

/* Rounded once: classes that name the same word have the same mean, however often they
 * name it. */
static void fill_mean(float *mean, const void *table, cz_dtype dtype, const int32_t *words,
                      int64_t count, int64_t W, int64_t D) {
  for (int64_t d = 0; d < D; d += PART) {
    int64_t n = cz_minimum(PART, D - d);
    double sum[PART] = {0};
    float buffer[PART];
    for (int64_t w = 0; w < W; w++)
      if (words[w] >= 0)
        add_scaled(sum, cz_piece_read(table, dtype, words[w] * D + d, n, buffer), 1, n);
    divide_sums(mean + d, sum, (double)count, n);
  }
}

static int64_t word_count(const plan *p, int64_t c) {
  int64_t n = 0;
  for (int64_t w = 0; w < p->W; w++) n += p->words[c * p->W + w] >= 0;
  return n;
}

static void fill_means(const plan *p) {
  for (int64_t c = 0; c < p->C; c++) {
    const int32_t *words = p->words + c * p->W;
    int64_t n = word_count(p, c);
    fill_mean(p->mean + c * p->D, p->table, p->dtype, words, n, p->W, p->D);
    p->mean_bias[c] = 0;
    if (p->bias) fill_mean(p->mean_bias + c, p->bias, CZ_F32, words, n, p->W, 1);
  }
}

static double target(const plan *p, int64_t m, int64_t c) {
  if (p->soft) return p->soft[m * p->C + c];
  return p->hard && p->hard[m] == c ? 1 : 0;
}

/* The class with the largest score; the sum of exp((score - largest) / t) over the
 * others. In double: there are few classes, and a sure row's loss and gradient lie in
 * what float32 would round away. */
static int64_t softmax(const plan *p, const float *scores, double *rest) {
  int64_t top = 0;
  for (int64_t c = 1; c < p->C; c++)
    if (scores[c] > scores[top]) top = c;
  *rest = 0;
  for (int64_t c = 0; c < p->C; c++)
    if (c != top) *rest += exp(((double)scores[c] - scores[top]) / p->temperature);
  return top;
}

/* -log P_c = (s_top - s_c) / t + log(1 + rest): both terms at least 0, no
 * cancellation. */
static void forward_row(const plan *p, float *scores, int64_t m) {
  double rest;
  for (int64_t c = 0; c < p->C; c++)
    scores[c] = (float)(dot_row(p, p->rows[m], p->mean + c * p->D) + p->mean_bias[c]);
  int64_t top = softmax(p, scores, &rest);
  p->row[m] = 0;
  for (int64_t c = 0; c < p->C; c++)
    p->row[m] +=
        target(p, m, c) * (((double)scores[top] - scores[c]) / p->temperature + log1p(rest));
}

/** Scores and loss, by x's dtype. Contract: label_words.h. */
void cz_label_words_fwd_cpu(const cz_call *call) {
  plan p = plan_of(call, false);
  float *scores = call->out[CZ_LABEL_WORDS_SCORES].data;
  fill_means(&p);
#pragma omp parallel for if (p.M * p.C * p.D > 1 << 16)
  for (int64_t m = 0; m < p.M; m++) forward_row(&p, scores + m * p.C, m);
  double loss = 0;
  for (int64_t m = 0; m < p.M; m++) loss += p.row[m];
  ((float *)call->out[CZ_LABEL_WORDS_LOSS].data)[0] = (float)(loss * p.factor);
}

/* A word may stand for two classes and a row may have two masks. Contributions to one row
 * of dtable or dx are then summed in double at the first of the equal places, because
 * classes that share a word push it in opposite directions. Quadratic in C W and in M,
 * which are tens. */
static void find_first(const plan *p) {
  for (int32_t i = 0; i < p->C * p->W; i++) {
    p->first[i] = p->words[i] < 0 ? -1 : i;
    for (int32_t j = i - 1; j >= 0 && p->words[i] >= 0; j--)
      if (p->words[j] == p->words[i]) p->first[i] = j;
  }
  for (int32_t m = 0; m < p->M; m++) {
    p->first_row[m] = m;
    for (int32_t k = m - 1; k >= 0; k--)
      if (p->rows[k] == p->rows[m]) p->first_row[m] = k;
  }
}

/* G_m, the whole gradient of a row of scores, shared out among the words: s_mc = 1 / Wc
 * sum_w (x_r . table_w + bias_w).
 *
 * With f = factor dloss / t and n = sum_i Y_i the gradient f (P_c n - Y_c) is, for a sure
 * row whose target is c, a difference of two numbers near 1; sum over i != c of (P_c Y_i
 * - P_i Y_c) has only the small ones. places whose word is named before get 0: its share
 * went to the first. */
static void share_gradients(const cz_call *call, const plan *p, int64_t m) {
  const float *dscores = call->dout[CZ_LABEL_WORDS_SCORES].data,
              *dloss = call->dout[CZ_LABEL_WORDS_LOSS].data;
  const float *scores = (const float *)call->out[CZ_LABEL_WORDS_SCORES].data + m * p->C;
  double *P = p->row, *share = p->share + m * p->C * p->W, rest,
         factor = dloss ? dloss[0] * p->factor / p->temperature : 0;
  int64_t top = softmax(p, scores, &rest);
  for (int64_t c = 0; c < p->C; c++)
    P[c] = exp(((double)scores[c] - scores[top]) / p->temperature) / (1 + rest);
  memset(share, 0, (size_t)(p->C * p->W) * sizeof *share);
  for (int64_t c = 0; c < p->C; c++) {
    /* loss = -factor sum_c Y_c log P_c:  ds_c = factor / t (P_c sum_i Y_i - Y_c), and
     *                                    as sum_i P_i = 1 this is factor / t sum_i
     *                                    (P_c Y_i - P_i Y_c) */
    double sum = 0, yc = target(p, m, c);
    for (int64_t i = 0; i < p->C && dloss; i++)
      if (i != c) sum += P[c] * target(p, m, i) - P[i] * yc;
    double g = ((dscores ? dscores[m * p->C + c] : 0) + factor * sum) / (double)word_count(p, c);
    for (int64_t i = c * p->W; i < (c + 1) * p->W; i++)
      if (p->first[i] >= 0) share[p->first[i]] += g;
  }
}

/* sum <- columns d0 to d0 + n of the gradient of row m of x, from every row of scores
 * that reads it: their shares may cancel, so they meet before anything is rounded. */
static void sum_row(const plan *p, double *sum, int64_t m, int64_t d0, int64_t n) {
  int64_t places = p->C * p->W;
  float buffer[PART];
  memset(sum, 0, PART * sizeof *sum);
  for (int64_t k = m; k < p->M; k++)
    for (int64_t i = 0; i < places && p->first_row[k] == m; i++)
      if (p->first[i] == i)
        add_scaled(sum, cz_piece_read(p->table, p->dtype, p->words[i] * p->D + d0, n, buffer),
                   p->share[k * places + i], n);
}

/* Columns d0 to d0 + n of dx and dtable: each thread has columns of its own, so the order
 * of additions does not depend on their number.
 *
 * Both sums go over pairs (m, i) of a row of scores and a place of words:
 *
 *     dx_r     = sum over m with rows[m] = r, i   share_mi table_word(i)
 *     dtable_w = sum over m, i with word(i) = w   share_mi x_rows[m]
 *
 * in double for 128 columns at a time, 1 KiB on the stack. */
static void backward_columns(const cz_call *call, const plan *p, int64_t d0, int64_t n) {
  const cz_arg *to_x = &call->din[CZ_LABEL_WORDS_X], *to_table = &call->din[CZ_LABEL_WORDS_TABLE];
  bool dx = call->mode[CZ_LABEL_WORDS_X], dtable = call->mode[CZ_LABEL_WORDS_TABLE];
  int64_t places = p->C * p->W;
  double sum[PART];
  float buffer[PART];
  for (int64_t m = 0; m < p->M && dx; m++) {
    if (p->first_row[m] != m) continue;
    sum_row(p, sum, m, d0, n);
    add_rounded(to_x->data, to_x->dtype, p->rows[m] * p->D + d0, sum, n);
  }
  for (int64_t i = 0; i < places && dtable; i++) {
    if (p->first[i] != i) continue;
    memset(sum, 0, sizeof sum);
    for (int64_t m = 0; m < p->M; m++)
      add_scaled(sum, cz_piece_read(p->x, p->dtype, p->rows[m] * p->D + d0, n, buffer),
                 p->share[m * places + i], n);
    add_rounded(to_table->data, to_table->dtype, p->words[i] * p->D + d0, sum, n);
  }
}

/* bias_w enters each score of its class with 1 / Wc: dbias_w is the sum of the shares. */
static void backward_bias(const cz_call *call, const plan *p) {
  float *dbias = call->din[CZ_LABEL_WORDS_BIAS].data;
  int64_t places = p->C * p->W;
  for (int64_t i = 0; i < places; i++) {
    double sum = 0;
    for (int64_t m = 0; m < p->M; m++) sum += p->share[m * places + i];
    if (p->first[i] == i) dbias[p->words[i]] += (float)sum;
  }
}

/** Gradients of x, table and bias, by x's dtype. Contract: label_words.h. Uses OpenMP; the
 * result does not depend on the number of threads. */
void cz_label_words_bwd_cpu(const cz_call *call) {
  plan p = plan_of(call, true);
  for (int i = 0; i < call->n_in; i++) cz_grad_begin(call, i);
  find_first(&p);
  for (int64_t m = 0; m < p.M; m++) share_gradients(call, &p, m);
#pragma omp parallel for if (p.M * p.C * p.D > 1 << 16)
  for (int64_t d = 0; d < p.D; d += PART)
    backward_columns(call, &p, d, p.D - d < PART ? p.D - d : PART);
  if (call->mode[CZ_LABEL_WORDS_BIAS]) backward_bias(call, &p);
}
