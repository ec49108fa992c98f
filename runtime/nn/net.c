#include "nn/net.h"
#include "graph/ops.h"
#include "nn/attention.h"
#include "nn/layers.h"

#include <stdio.h>
#include <stdlib.h>

static void declare_inputs(cz_net *n) {
  cz_graph *g = n->graph;
  const cz_net_options *o = &n->options;
  const cz_architecture architecture = n->model->config.family->architecture;
  const int64_t one = 1;
  n->segments = cz_graph_extent(g, "segments", o->capacity_segments);
  n->decoder_tokens = cz_graph_extent(g, "decoder_tokens", o->capacity_decoder);
  n->n_loss_rows =
      o->loss_rows ? cz_graph_extent(g, "loss_rows", o->capacity_decoder) : n->decoder_tokens;
  const int64_t spans[2] = {n->segments, 2};
  n->encoder.ids = n->encoder.spans = n->prefix = n->loss_rows = CZ_ABSENT;
  if (architecture == CZ_ENCODER_DECODER) {
    n->encoder_tokens = cz_graph_extent(g, "encoder_tokens", o->capacity_encoder);
    n->encoder.ids = cz_graph_input(g, "encoder.ids", CZ_I32, 1, &n->encoder_tokens);
    n->encoder.spans = cz_graph_input(g, "encoder.spans", CZ_I32, 2, spans);
  }
  n->decoder.ids = cz_graph_input(g, "decoder.ids", CZ_I32, 1, &n->decoder_tokens);
  n->decoder.spans = cz_graph_input(g, "decoder.spans", CZ_I32, 2, spans);
  if (architecture == CZ_PREFIX_LM)
    n->prefix = cz_graph_input(g, "prefix", CZ_I32, 1, &n->segments);
  if (o->loss_rows) n->loss_rows = cz_graph_input(g, "loss_rows", CZ_I32, 1, &n->n_loss_rows);
  n->targets = cz_graph_input(g, "targets", CZ_I32, 1, &n->n_loss_rows);
  n->denominator = cz_graph_input(g, "denominator", n->model->device->real, 1, &one);
}

/* Places in the segment, for families that learn an embedding of them. */
static void declare_positions(cz_net *n) {
  const cz_model *m = n->model;
  n->encoder.positions = n->decoder.positions = CZ_ABSENT;
  if (m->encoder.positions)
    n->encoder.positions =
        cz_graph_input(n->graph, "encoder.positions", CZ_I32, 1, &n->encoder_tokens);
  if (m->decoder.positions)
    n->decoder.positions =
        cz_graph_input(n->graph, "decoder.positions", CZ_I32, 1, &n->decoder_tokens);
}

/* Loss and logits on the rows that the loss reads. */
static void build_head(cz_net *n, cz_builder *b, cz_value x) {
  cz_value out[CZ_OP_OUT];
  b->scope = "head";
  cz_graph_block(b->g, "head", false);
  if (n->options.loss_rows) {
    cz_value in[] = {x, n->loss_rows};
    cz_graph_op(b->g, out, CZ_OP_gather, "head.gather", 2, in, NULL);
    x = out[0];
  }
  if (n->options.logits) {
    n->logits = cz_layer_logits(b, x); /* [rows, V] */
    cz_graph_keep(b->g, n->logits);
  }
  cz_cross_entropy_attr attr = {.z_loss = n->options.z_loss,
                                .label_smoothing = n->options.label_smoothing,
                                .logit_scale = cz_layer_logit_scale(n->model)};
  cz_value in[] = {x, cz_graph_param(b->g, n->model->head), n->targets, n->denominator};
  cz_graph_op(b->g, out, CZ_OP_cross_entropy, "head.loss", 4, in, &attr);
  n->loss = out[CZ_CROSS_ENTROPY_LOSS];
  n->nll = out[CZ_CROSS_ENTROPY_NLL];
  cz_graph_loss(b->g, n->loss);
  cz_graph_keep(b->g, n->nll);
}

static double dropout_of(const cz_net *n) {
  return n->options.dropout >= 0 ? n->options.dropout : n->model->config.dropout;
}

static void build(cz_net *n) {
  const cz_model *m = n->model;
  const bool recompute = n->options.recompute;
  cz_builder b = {.g = n->graph,
                  .model = m,
                  .dropout = dropout_of(n),
                  .share_dropout = !n->options.dropout_per_token,
                  .cudnn = n->options.cudnn};
  n->encoded = n->logits = CZ_ABSENT;
  declare_inputs(n);
  declare_positions(n);
  if (m->config.family->architecture == CZ_ENCODER_DECODER) {
    cz_tokens t = cz_layer_encoder_tokens(n->encoder.spans, n->encoder.positions);
    t.longest = n->options.longest_encoder;
    n->encoded = cz_layer_encoder(&b, n->encoder.ids, &t, recompute);
  }
  const cz_encoded encoded = {
      .x = n->encoded, .spans = n->encoder.spans, .longest = n->options.longest_encoder};
  const cz_stack_reads reads = {.encoded = &encoded};
  cz_tokens t = cz_layer_decoder_tokens(m, n->decoder.spans, n->decoder.positions, n->prefix);
  t.longest = n->options.longest_decoder;
  b.scope = m->decoder.name;
  cz_value x = cz_layer_embed(&b, &m->decoder, n->decoder.ids, &t);
  x = cz_layer_stack(&b, &m->decoder, x, &t, &reads, recompute);
  build_head(n, &b, cz_layer_finish(&b, &m->decoder, x, t.spans));
}

/* Refuses what cuDNN cannot, where it is wished. */
static cz_status check_cudnn(const cz_net *n) {
  const cz_attention_wish wish = cz_attention_wish_of(n->model, dropout_of(n));
  const char *key;
  return n->options.cudnn ? cz_attention_refused(&wish, &key) : CZ_OK;
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
  int64_t larger = options->capacity_encoder > options->capacity_decoder
                       ? options->capacity_encoder
                       : options->capacity_decoder;
  CZ_GO(st, check_cudnn(n), fail);
  CZ_GO(st, cz_alloc(&n->positions, (size_t)larger, sizeof *n->positions), fail);
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
  free((*net)->positions);
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

/* Segments that cuDNN can be told of: none is empty, or longer than LONGEST unless that is 0. */
static cz_status check_lengths(const cz_net *n, const char *what, const int32_t *spans,
                               int64_t segments, int64_t longest) {
  for (int64_t b = 0; n->options.cudnn && b < segments; b++) {
    const int64_t length = spans[2 * b + 1] - spans[2 * b];
    if (length == 0)
      return CZ_FAIL(CZ_EINVAL,
                     "%s: segment %lld has no tokens, which cuDNN's attention cannot take", what,
                     (long long)b);
    if (longest && length > longest)
      return CZ_FAIL(CZ_EINVAL, "%s: segment %lld has %lld tokens, the net was made for %lld", what,
                     (long long)b, (long long)length, (long long)longest);
  }
  return CZ_OK;
}

/** Fills OUT with each token's row of the position table, from its place in its segment.
 * CZ_EINVAL, with WHAT, for a segment that is longer than the table. */
cz_status cz_net_positions(int32_t *out, const cz_model_config *c, const char *what,
                           const int32_t *spans, int64_t segments) {
  for (int64_t b = 0; b < segments; b++) {
    const int32_t from = spans[2 * b], to = spans[2 * b + 1];
    if (to - from > c->n_positions)
      return CZ_FAIL(CZ_EINVAL, "%s: segment %lld has %d tokens, the model has %lld positions",
                     what, (long long)b, to - from, (long long)c->n_positions);
    for (int32_t i = from; i < to; i++) out[i] = (int32_t)c->family->position_offset + i - from;
  }
  return CZ_OK;
}

static cz_status feed_positions(cz_net *n, cz_value input, const char *what,
                                const cz_stack_input *stack, int64_t segments) {
  if (input == CZ_ABSENT) return CZ_OK;
  CZ_TRY(cz_net_positions(n->positions, &n->model->config, what, stack->spans, segments));
  return cz_graph_feed_int(n->graph, input, n->positions, stack->tokens);
}

static cz_status feed_encoder(cz_net *n, const cz_feed *f) {
  cz_graph *g = n->graph;
  CZ_TRY(check_ids("encoder", f->encoder.ids, f->encoder.tokens, n->model->config.vocab_size));
  CZ_TRY(check_spans("encoder", f->encoder.spans, f->segments, f->encoder.tokens));
  CZ_TRY(check_lengths(n, "encoder", f->encoder.spans, f->segments, n->options.longest_encoder));
  CZ_TRY(cz_graph_set_extent(g, n->encoder_tokens, f->encoder.tokens));
  CZ_TRY(cz_graph_feed_int(g, n->encoder.ids, f->encoder.ids, f->encoder.tokens));
  CZ_TRY(cz_graph_feed_int(g, n->encoder.spans, f->encoder.spans, 2 * f->segments));
  return feed_positions(n, n->encoder.positions, "encoder", &f->encoder, f->segments);
}

/** Checks a batch (ids inside the vocabulary, spans that cover, targets inside the
 * vocabulary) and hands it to the graph. CZ_EINVAL with the offending position and
 * value; sizes above the capacities too. */
cz_status cz_net_feed(cz_net *n, const cz_feed *f) {
  cz_graph *g = n->graph;
  int64_t rows = n->options.loss_rows ? f->n_loss_rows : f->decoder.tokens;
  CZ_TRY(check_ids("decoder", f->decoder.ids, f->decoder.tokens, n->model->config.vocab_size));
  CZ_TRY(check_spans("decoder", f->decoder.spans, f->segments, f->decoder.tokens));
  CZ_TRY(check_lengths(n, "decoder", f->decoder.spans, f->segments, n->options.longest_decoder));
  for (int64_t i = 0; i < rows; i++)
    if (f->targets[i] >= n->model->config.vocab_size)
      return CZ_FAIL(CZ_EINVAL, "target %d at row %lld is outside the vocabulary of %lld",
                     f->targets[i], (long long)i, (long long)n->model->config.vocab_size);
  if (!(f->denominator > 0))
    return CZ_FAIL(CZ_EINVAL, "loss denominator %g is not positive", f->denominator);
  CZ_TRY(cz_graph_set_extent(g, n->segments, f->segments));
  CZ_TRY(cz_graph_set_extent(g, n->decoder_tokens, f->decoder.tokens));
  if (n->encoder.ids != CZ_ABSENT) CZ_TRY(feed_encoder(n, f));
  CZ_TRY(cz_graph_feed_int(g, n->decoder.ids, f->decoder.ids, f->decoder.tokens));
  CZ_TRY(cz_graph_feed_int(g, n->decoder.spans, f->decoder.spans, 2 * f->segments));
  CZ_TRY(feed_positions(n, n->decoder.positions, "decoder", &f->decoder, f->segments));
  if (n->prefix != CZ_ABSENT) CZ_TRY(cz_graph_feed_int(g, n->prefix, f->prefix, f->segments));
  if (n->options.loss_rows) {
    CZ_TRY(cz_graph_set_extent(g, n->n_loss_rows, rows));
    CZ_TRY(check_ids("loss rows", f->loss_rows, rows, f->decoder.tokens));
    CZ_TRY(cz_graph_feed_int(g, n->loss_rows, f->loss_rows, rows));
  }
  CZ_TRY(cz_graph_feed_int(g, n->targets, f->targets, rows));
  return cz_graph_feed_real(g, n->denominator, &f->denominator, 1);
}
