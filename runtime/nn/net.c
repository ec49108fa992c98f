#include "nn/net.h"
#include "graph/ops.h"
#include "nn/layers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void declare_inputs(cz_net *n) {
  cz_graph *g = n->graph;
  const cz_net_options *o = &n->options;
  const cz_architecture architecture = n->model->config.family->architecture;
  const int64_t one = 1;
  n->segments = cz_graph_extent(g, "segments", o->max_segments);
  n->tokens = cz_graph_extent(g, "tokens", o->max_targets);
  n->rows = o->gather ? cz_graph_extent(g, "rows", o->max_targets) : n->tokens;
  const int64_t spans[2] = {n->segments, 2};
  n->enc_ids = n->enc_spans = n->prefix = n->gather = CZ_ABSENT;
  if (architecture == CZ_ENCODER_DECODER) {
    n->inputs = cz_graph_extent(g, "inputs", o->max_inputs);
    n->enc_ids = cz_graph_input(g, "enc_ids", false, 1, &n->inputs);
    n->enc_spans = cz_graph_input(g, "enc_spans", false, 2, spans);
  }
  n->dec_ids = cz_graph_input(g, "dec_ids", false, 1, &n->tokens);
  n->dec_spans = cz_graph_input(g, "dec_spans", false, 2, spans);
  if (architecture == CZ_PREFIX_LM) n->prefix = cz_graph_input(g, "prefix", false, 1, &n->segments);
  if (o->gather) n->gather = cz_graph_input(g, "gather", false, 1, &n->rows);
  n->targets = cz_graph_input(g, "targets", false, 1, &n->rows);
  n->denominator = cz_graph_input(g, "denominator", true, 1, &one);
}

/* Loss and logits on the rows that the loss reads. The output is the embedding (scaled)
 * or a matrix of its own. */
static void build_head(cz_net *n, cz_builder *b, cz_value x) {
  const cz_model_config *c = &n->model->config;
  double scale = c->scaled ? 1 / sqrt((double)c->d_model) : 1;
  cz_value out[CZ_OP_OUT];
  b->scope = "head";
  cz_graph_block(b->g, "head", false);
  if (n->options.gather) {
    cz_value in[] = {x, n->gather};
    cz_graph_op(b->g, out, CZ_OP_gather, "head.gather", 2, in, NULL);
    x = out[0];
  }
  if (n->options.logits) {
    n->logits = cz_layer_linear(b, "logits", x, n->model->head, scale); /* [rows, V] */
    cz_graph_keep(b->g, n->logits);
  }
  cz_cross_entropy_attr attr = {.z_loss = n->options.z_loss,
                                .label_smoothing = n->options.label_smoothing,
                                .logit_scale = scale};
  cz_value in[] = {x, cz_graph_param(b->g, n->model->head), n->targets, n->denominator};
  cz_graph_op(b->g, out, CZ_OP_cross_entropy, "head.loss", 4, in, &attr);
  n->loss = out[CZ_CROSS_ENTROPY_LOSS];
  n->nll = out[CZ_CROSS_ENTROPY_NLL];
  cz_graph_loss(b->g, n->loss);
  cz_graph_keep(b->g, n->nll);
}

static void build(cz_net *n) {
  const cz_model *m = n->model;
  cz_builder b = {.g = n->graph,
                  .model = m,
                  .dropout = n->options.dropout >= 0 ? n->options.dropout : m->config.dropout,
                  .share_dropout = !n->options.dropout_per_token};
  const cz_architecture architecture = m->config.family->architecture;
  n->encoded = n->logits = CZ_ABSENT;
  declare_inputs(n);
  if (architecture == CZ_ENCODER_DECODER) {
    cz_tokens t = {.spans = n->enc_spans,
                   .prefix = CZ_ABSENT,
                   .mask = CZ_ATTENTION_MASK_FULL,
                   .bidirectional = true};
    b.scope = "encoder";
    n->encoded = cz_layer_stack(&b, &m->encoder, cz_layer_embed(&b, n->enc_ids, n->enc_spans), &t,
                                NULL, n->options.recompute);
  }
  cz_tokens t = {.spans = n->dec_spans,
                 .prefix = n->prefix,
                 .mask = architecture == CZ_PREFIX_LM ? CZ_ATTENTION_MASK_PREFIX
                                                      : CZ_ATTENTION_MASK_CAUSAL,
                 .bidirectional = architecture == CZ_PREFIX_LM};
  b.scope = "decoder";
  cz_value x = cz_layer_embed(&b, n->dec_ids, n->dec_spans);
  cz_encoded encoded = {.x = n->encoded, .spans = n->enc_spans};
  x = cz_layer_stack(&b, &m->decoder, x, &t, &encoded, n->options.recompute);
  build_head(n, &b, x);
}

/** Builds MODEL's graph for training (options->train) or scoring. MODEL is borrowed and
 * must outlive the net. */
cz_status cz_net_create(cz_net **net, cz_model *model, const cz_net_options *options) {
  *net = NULL;
  CZ_TRY(cz_alloc(net, 1, sizeof **net));
  cz_net *n = *net;
  n->model = model;
  n->options = *options;
  cz_graph_options graph = {
      .train = options->train, .no_reuse = options->no_reuse, .no_fusion = options->no_fusion};
  cz_status st;
  CZ_GO(st, cz_graph_create(&n->graph, model->params), fail);
  build(n);
  CZ_GO(st, cz_graph_finish(n->graph, &graph), fail);
  return CZ_OK;
fail:
  cz_net_destroy(net);
  return st;
}

/** Frees the net and its graph, not the model; clears the pointer, accepts null. */
void cz_net_destroy(cz_net **net) {
  if (!*net) return;
  cz_graph_destroy(&(*net)->graph);
  free(*net);
  *net = NULL;
}

static cz_status check_ids(const char *what, const int32_t *ids, int64_t n, int64_t vocabulary) {
  for (int64_t i = 0; i < n; i++)
    if (ids[i] < 0 || ids[i] >= vocabulary)
      return CZ_FAIL(CZ_EINVAL,
                     "%s: token id %d at position %lld is outside the vocabulary of %lld", what,
                     ids[i], (long long)i, (long long)vocabulary);
  return CZ_OK;
}

/* Spans that follow one another and cover all tokens, as kernels may assume. */
static cz_status check_spans(const char *what, const int32_t *spans, int64_t segments,
                             int64_t tokens) {
  int64_t at = 0;
  for (int64_t b = 0; b < segments; b++) {
    if (spans[2 * b] != at || spans[2 * b + 1] < at || spans[2 * b + 1] > tokens)
      return CZ_FAIL(
          CZ_EINVAL, "%s: segment %lld is [%d, %d), expected to begin at %lld within %lld tokens",
          what, (long long)b, spans[2 * b], spans[2 * b + 1], (long long)at, (long long)tokens);
    at = spans[2 * b + 1];
  }
  return at == tokens ? CZ_OK
                      : CZ_FAIL(CZ_EINVAL, "%s: segments cover %lld of %lld tokens", what,
                                (long long)at, (long long)tokens);
}

static cz_status feed_encoder(cz_net *n, const cz_feed *f) {
  cz_graph *g = n->graph;
  CZ_TRY(check_ids("encoder", f->enc_ids, f->enc_tokens, n->model->config.vocab_size));
  CZ_TRY(check_spans("encoder", f->enc_spans, f->segments, f->enc_tokens));
  CZ_TRY(cz_graph_set_extent(g, n->inputs, f->enc_tokens));
  CZ_TRY(cz_graph_feed_int(g, n->enc_ids, f->enc_ids, f->enc_tokens));
  return cz_graph_feed_int(g, n->enc_spans, f->enc_spans, 2 * f->segments);
}

/** Checks a batch (ids inside the vocabulary, spans that cover, targets inside the
 * vocabulary) and hands it to the graph. CZ_EINVAL with the offending position and
 * value; sizes above the capacities too. */
cz_status cz_net_feed(cz_net *n, const cz_feed *f) {
  cz_graph *g = n->graph;
  int64_t rows = n->options.gather ? f->rows : f->dec_tokens;
  CZ_TRY(check_ids("decoder", f->dec_ids, f->dec_tokens, n->model->config.vocab_size));
  CZ_TRY(check_spans("decoder", f->dec_spans, f->segments, f->dec_tokens));
  for (int64_t i = 0; i < rows; i++)
    if (f->targets[i] >= n->model->config.vocab_size)
      return CZ_FAIL(CZ_EINVAL, "target %d at row %lld is outside the vocabulary of %lld",
                     f->targets[i], (long long)i, (long long)n->model->config.vocab_size);
  if (!(f->denominator > 0))
    return CZ_FAIL(CZ_EINVAL, "loss denominator %g is not positive", f->denominator);
  CZ_TRY(cz_graph_set_extent(g, n->segments, f->segments));
  CZ_TRY(cz_graph_set_extent(g, n->tokens, f->dec_tokens));
  if (n->enc_ids != CZ_ABSENT) CZ_TRY(feed_encoder(n, f));
  CZ_TRY(cz_graph_feed_int(g, n->dec_ids, f->dec_ids, f->dec_tokens));
  CZ_TRY(cz_graph_feed_int(g, n->dec_spans, f->dec_spans, 2 * f->segments));
  if (n->prefix != CZ_ABSENT) CZ_TRY(cz_graph_feed_int(g, n->prefix, f->prefix, f->segments));
  if (n->options.gather) {
    CZ_TRY(cz_graph_set_extent(g, n->rows, rows));
    CZ_TRY(check_ids("gathered rows", f->gather, rows, f->dec_tokens));
    CZ_TRY(cz_graph_feed_int(g, n->gather, f->gather, rows));
  }
  CZ_TRY(cz_graph_feed_int(g, n->targets, f->targets, rows));
  return cz_graph_feed_real(g, n->denominator, &f->denominator, 1);
}
