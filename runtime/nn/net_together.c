/* Several rows of a net that make one answer: representations that are added before the classes are
 * scored, and one number for each row, which softmax chooses among (Radford et al. 2018, section
 * 3.3). Made of ops that other heads have too. */
#include "graph/ops.h"
#include "nn/net_heads.h"

#include <stdio.h>
#include <string.h>

/** Rows that make one answer. */
int64_t cz__net_together(const cz_net_head_options *o) { return o->together ? o->together : 1; }

/** CZ_EINVAL for rows that no head takes together, and for a choice by a classifier that has not
 * one number. */
cz_status cz__net_check_together(const cz_net *n, const cz_net_head_options *o) {
  const int64_t together = cz__net_together(o), labels = n->model->config.n_labels;
  if (together < 1 || together > CZ_NET_TOGETHER ||
      (together > 1 && o->kind != CZ_NET_CLASSIFIER) || (o->choice && together < 2))
    return CZ_FAIL(CZ_EINVAL, "%lld rows of one answer, expected 1, or up to %d of a classifier",
                   (long long)together, CZ_NET_TOGETHER);
  if (o->choice && labels != 1)
    return CZ_FAIL(CZ_EINVAL, "the classifier has %lld numbers for a text, a choice wants one",
                   (long long)labels);
  return CZ_OK;
}

static cz_value numbered(cz_net *n, const cz_net_head *h, const char *what, int64_t k,
                         cz_dtype dtype, int ndim, const int64_t *dim) {
  char name[64];
  snprintf(name, sizeof name, "%s.%lld", what, (long long)k);
  return cz__net_head_input(n, h, name, dtype, ndim, dim);
}

/** Declares the extent of answers, and what is fed besides rows. */
void cz__net_declare_together(cz_net *n, cz_net_head *h) {
  const int64_t K = cz__net_together(&h->options), one[2] = {1, 1}, column[2] = {K, 1},
                unit[2] = {K, K};
  const cz_dtype real = n->model->device->real;
  char name[96];
  snprintf(name, sizeof name, "%s.answers", h->name);
  h->n_answers = cz_graph_extent(n->graph, name, h->options.capacity_rows / K);
  for (int64_t k = 0; k < K; k++)
    h->together.parts[k] = numbered(n, h, "part", k, CZ_I32, 1, &h->n_answers);
  if (!h->options.choice) return;
  for (int64_t k = 0; k < K; k++)
    h->together.columns[k] = numbered(n, h, "column", k, real, 2, column);
  h->together.unit = cz__net_head_input(n, h, "unit", real, 2, unit);
  h->together.first = cz__net_head_input(n, h, "first", CZ_I32, 2, one);
}

/* SUM + X, and X where there is no sum yet. */
static cz_value add(cz_builder *b, cz_value sum, cz_value x, int64_t k) {
  cz_value in[] = {sum, x}, out[CZ_OP_OUT];
  char name[96];
  if (sum == CZ_ABSENT) return x;
  snprintf(name, sizeof name, "%s.add.%lld", b->scope, (long long)k);
  cz_graph_op(b->g, out, CZ_OP_add, name, 2, in, NULL);
  return out[0];
}

/** The sum [answers, D] of each answer's rows of x [rows, D]. */
cz_value cz__net_add_up(const cz_net_head *h, cz_builder *b, cz_value x) {
  cz_value sum = CZ_ABSENT, out[CZ_OP_OUT];
  char name[96];
  for (int64_t k = 0; k < h->options.together; k++) {
    cz_value in[] = {x, h->together.parts[k]};
    snprintf(name, sizeof name, "%s.part.%lld", b->scope, (long long)k);
    cz_graph_op(b->g, out, CZ_OP_gather, name, 2, in, NULL);
    sum = add(b, sum, out[0], k);
  }
  return sum;
}

/* The number [answers, 1] that the classifier W has for each answer's k-th row of x [rows, D]. */
static cz_value number_of(const cz_net_head *h, cz_builder *b, cz_value x, cz_linear_weights w,
                          int64_t k) {
  const cz_label_words_attr attr = {.temperature = 1};
  cz_value in[CZ_OP_IN], out[CZ_OP_OUT];
  char name[96];
  for (int i = 0; i < CZ_OP_IN; i++) in[i] = CZ_ABSENT;
  in[CZ_LABEL_WORDS_X] = x;
  in[CZ_LABEL_WORDS_ROWS] = h->together.parts[k];
  in[CZ_LABEL_WORDS_TABLE] = cz_graph_param(b->g, w.weight);
  in[CZ_LABEL_WORDS_BIAS] = cz__net_param(b, w.bias);
  in[CZ_LABEL_WORDS_WORDS] = h->together.first;
  snprintf(name, sizeof name, "%s.number.%lld", b->scope, (long long)k);
  cz_graph_op(b->g, out, CZ_OP_label_words, name, 8, in, &attr);
  return out[CZ_LABEL_WORDS_SCORES];
}

/** The classifier's numbers [answers, K] for each answer's rows of x [rows, D], in statistics'
 * precision: each in its column, and the sum of those. */
cz_value cz__net_line_up(const cz_net_head *h, cz_builder *b, cz_value x, cz_linear_weights w) {
  const cz_linear_attr attr = {.layout = CZ_LINEAR_OUT_IN, .alpha = 1};
  cz_value sum = CZ_ABSENT, out[CZ_OP_OUT];
  char name[96];
  for (int64_t k = 0; k < h->options.together; k++) {
    cz_value in[] = {number_of(h, b, x, w, k), h->together.columns[k], CZ_ABSENT};
    snprintf(name, sizeof name, "%s.column.%lld", b->scope, (long long)k);
    cz_graph_op(b->g, out, CZ_OP_linear, name, 3, in, &attr);
    sum = add(b, sum, out[CZ_LINEAR_Y], k);
  }
  return sum;
}

static cz_status feed_constants(cz_net *n, cz_net_head *h) {
  const int64_t K = h->options.together;
  double unit[CZ_NET_TOGETHER * CZ_NET_TOGETHER] = {0};
  const int32_t first = 0;
  if (!h->options.choice || h->together.fed) return CZ_OK;
  for (int64_t k = 0; k < K; k++) unit[k * K + k] = 1;
  for (int64_t k = 0; k < K; k++)
    CZ_TRY(cz_graph_feed_real(n->graph, h->together.columns[k], unit + k * K, K));
  CZ_TRY(cz_graph_feed_real(n->graph, h->together.unit, unit, K * K));
  CZ_TRY(cz_graph_feed_int(n->graph, h->together.first, &first, 1));
  h->together.fed = true;
  return CZ_OK;
}

/** Feeds which of N_ROWS rows, a multiple of those of an answer, is which of its answer's. */
cz_status cz__net_feed_together(cz_net *n, cz_net_head *h, int64_t n_rows) {
  const int64_t K = h->options.together, answers = n_rows / K;
  CZ_TRY(cz_graph_set_extent(n->graph, h->n_answers, answers));
  CZ_TRY(feed_constants(n, h));
  for (int64_t k = 0; k < K; k++) {
    for (int64_t a = 0; a < answers; a++) n->places[a] = (int32_t)(a * K + k);
    CZ_TRY(cz_graph_feed_int(n->graph, h->together.parts[k], n->places, answers));
  }
  return CZ_OK;
}
