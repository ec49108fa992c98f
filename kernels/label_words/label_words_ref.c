/* Label words in float64: what the op means. */
#include "kernels/common/rows.h"
#include "kernels/label_words/label_words.h"

#include <math.h>

typedef struct sizes {
  int64_t T, D, V, M, C, W;
  const double *x, *table, *bias, *soft;
  const int32_t *rows, *words, *hard;
  double temperature, factor; /* t, and the loss's t^2 or 1 over the denominator */
} sizes;

static sizes sizes_of(const cz_call *call) {
  const cz_arg *in = call->in;
  sizes s = {.T = in[CZ_LABEL_WORDS_X].dim[0],
             .D = in[CZ_LABEL_WORDS_X].dim[1],
             .V = in[CZ_LABEL_WORDS_TABLE].dim[0]};
  s.M = in[CZ_LABEL_WORDS_ROWS].dim[0], s.C = in[CZ_LABEL_WORDS_WORDS].dim[0],
  s.W = in[CZ_LABEL_WORDS_WORDS].dim[1];
  s.x = in[CZ_LABEL_WORDS_X].data, s.table = in[CZ_LABEL_WORDS_TABLE].data,
  s.bias = in[CZ_LABEL_WORDS_BIAS].data;
  s.rows = in[CZ_LABEL_WORDS_ROWS].data, s.words = in[CZ_LABEL_WORDS_WORDS].data;
  s.hard = in[CZ_LABEL_WORDS_HARD].data, s.soft = in[CZ_LABEL_WORDS_SOFT].data;
  s.temperature = ((const cz_label_words_attr *)call->attr)->temperature;
  const double *denominator = in[CZ_LABEL_WORDS_DENOMINATOR].data;
  if (denominator) s.factor = (s.soft ? s.temperature * s.temperature : 1) / denominator[0];
  return s;
}

static int64_t word_count(const sizes *s, int64_t c) {
  int64_t n = 0;
  for (int64_t w = 0; w < s->W; w++) n += s->words[c * s->W + w] >= 0;
  return n;
}

/* Logits are averaged, not probabilities: the mean of several words' log odds (pet.md
 * 1.1). */
static double score(const sizes *s, int64_t m, int64_t c) {
  double sum = 0;
  const double *x = s->x + s->rows[m] * s->D;
  for (int64_t w = 0; w < s->W; w++) {
    int64_t word = s->words[c * s->W + w];
    if (word < 0) continue;
    for (int64_t d = 0; d < s->D; d++) sum += x[d] * s->table[word * s->D + d];
    if (s->bias) sum += s->bias[word];
  }
  return sum / (double)word_count(s, c);
}

static double target(const sizes *s, int64_t m, int64_t c) {
  if (s->soft) return s->soft[m * s->C + c];
  return s->hard && s->hard[m] == c ? 1 : 0;
}

/* The class with the largest score, and the sum of exp((score - largest) / t) over the
 * other classes: P_c = exp((s_c - largest) / t) / (1 + rest). Kept apart from the 1 of
 * the largest itself, because a sure row's whole loss and gradient lie in the rest. */
static int64_t softmax(const sizes *s, const double *scores, double *rest) {
  int64_t top = 0;
  for (int64_t c = 1; c < s->C; c++)
    if (scores[c] > scores[top]) top = c;
  *rest = 0;
  for (int64_t c = 0; c < s->C; c++)
    if (c != top) *rest += exp((scores[c] - scores[top]) / s->temperature);
  return top;
}

/** Scores and loss in float64. Contract: label_words.h. */
void cz_label_words_fwd_ref(const cz_call *call) {
  sizes s = sizes_of(call);
  double loss = 0, rest;
  for (int64_t m = 0; m < s.M; m++) {
    double *scores = (double *)call->out[CZ_LABEL_WORDS_SCORES].data + m * s.C;
    for (int64_t c = 0; c < s.C; c++) scores[c] = score(&s, m, c);
    int64_t top = softmax(&s, scores, &rest);
    for (int64_t c = 0; c < s.C; c++)
      loss += target(&s, m, c) * ((scores[top] - scores[c]) / s.temperature + log1p(rest));
  }
  ((double *)call->out[CZ_LABEL_WORDS_LOSS].data)[0] = loss * s.factor;
}

/* G_mc, the whole gradient of one score. Written with sum_i (P_c Y_i - P_i Y_c), i != c,
 * because P_c n - Y_c cancels for a sure row whose target is c: P_c and 1 differ by what
 * float64 rounds away. */
static double score_gradient(const cz_call *call, const sizes *s, int64_t m, int64_t c) {
  const double *dscores = call->dout[CZ_LABEL_WORDS_SCORES].data,
               *dloss = call->dout[CZ_LABEL_WORDS_LOSS].data;
  const double *scores = (const double *)call->out[CZ_LABEL_WORDS_SCORES].data + m * s->C;
  double sum = 0, rest;
  int64_t top = softmax(s, scores, &rest);
  /* loss = -factor sum_c Y_c log P_c:  ds_c = factor / t (P_c sum_i Y_i - Y_c), and as
   *                                    sum_i P_i = 1 this is factor / t sum_i (P_c Y_i
   *                                    - P_i Y_c) */
  for (int64_t i = 0; i < s->C && dloss; i++) {
    double pc = exp((scores[c] - scores[top]) / s->temperature) / (1 + rest),
           pi = exp((scores[i] - scores[top]) / s->temperature) / (1 + rest);
    if (i != c) sum += pc * target(s, m, i) - pi * target(s, m, c);
  }
  return (dscores ? dscores[m * s->C + c] : 0) +
         (dloss ? dloss[0] * s->factor / s->temperature * sum : 0);
}

/* One score's gradient g / Wc goes to each of its words, to the row that it reads, and to
 * the bias; a word or row that is named twice gets both. */
static void backward_score(const cz_call *call, const sizes *s, int64_t m, int64_t c) {
  double g = score_gradient(call, s, m, c) / (double)word_count(s, c),
         *dbias = call->din[CZ_LABEL_WORDS_BIAS].data;
  double *dx = call->din[CZ_LABEL_WORDS_X].data, *dtable = call->din[CZ_LABEL_WORDS_TABLE].data;
  for (int64_t w = 0; w < s->W; w++) {
    int64_t word = s->words[c * s->W + w], row = s->rows[m];
    if (word < 0) continue;
    /* s_mc = 1 / Wc sum_w (x_r . table_w + bias_w) */
    for (int64_t d = 0; d < s->D; d++) {
      if (call->mode[CZ_LABEL_WORDS_X]) dx[row * s->D + d] += g * s->table[word * s->D + d];
      if (call->mode[CZ_LABEL_WORDS_TABLE]) dtable[word * s->D + d] += g * s->x[row * s->D + d];
    }
    if (call->mode[CZ_LABEL_WORDS_BIAS]) dbias[word] += g;
  }
}

/** Gradients of x, table and bias in float64. Contract: label_words.h. */
void cz_label_words_bwd_ref(const cz_call *call) {
  sizes s = sizes_of(call);
  for (int i = 0; i < call->n_in; i++) cz_grad_begin(call, i);
  for (int64_t m = 0; m < s.M; m++)
    for (int64_t c = 0; c < s.C; c++) backward_score(call, &s, m, c);
}
