#include "nn/net.h"
#include "graph/ops.h"
#include "nn/attention.h"
#include "nn/layers.h"
#include "nn/net_heads.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void declare_inputs(cz_net *n) {
  cz_graph *g = n->graph;
  const cz_net_options *o = &n->options;
  const cz_architecture architecture = n->model->config.family->architecture;
  n->segments = cz_graph_extent(g, "segments", o->capacity_segments);
  n->decoder_tokens = cz_graph_extent(g, "decoder_tokens", o->capacity_decoder);
  const int64_t spans[2] = {n->segments, 2};
  n->encoder.ids = n->encoder.spans = n->prefix = n->seen = CZ_ABSENT;
  if (architecture == CZ_ENCODER_DECODER) {
    n->encoder_tokens = cz_graph_extent(g, "encoder_tokens", o->capacity_encoder);
    n->encoder.ids = cz_graph_input(g, "encoder.ids", CZ_I32, 1, &n->encoder_tokens);
    n->encoder.spans = cz_graph_input(g, "encoder.spans", CZ_I32, 2, spans);
  }
  n->decoder.ids = cz_graph_input(g, "decoder.ids", CZ_I32, 1, &n->decoder_tokens);
  n->decoder.spans = cz_graph_input(g, "decoder.spans", CZ_I32, 2, spans);
  if (architecture == CZ_PREFIX_LM)
    n->prefix = cz_graph_input(g, "prefix", CZ_I32, 1, &n->segments);
  if (o->padded) n->seen = cz_graph_input(g, "decoder.seen", CZ_I32, 2, spans);
}

/* Places in the segment, for families that learn an embedding of them, and token types. */
static void declare_places(cz_net *n) {
  const cz_model *m = n->model;
  n->encoder.positions = n->decoder.positions = n->encoder.types = n->decoder.types = CZ_ABSENT;
  if (m->encoder.positions)
    n->encoder.positions =
        cz_graph_input(n->graph, "encoder.positions", CZ_I32, 1, &n->encoder_tokens);
  if (m->decoder.positions)
    n->decoder.positions =
        cz_graph_input(n->graph, "decoder.positions", CZ_I32, 1, &n->decoder_tokens);
  if (m->decoder.types)
    n->decoder.types = cz_graph_input(n->graph, "decoder.types", CZ_I32, 1, &n->decoder_tokens);
}

/* The rate at PLACE: the option's, or the model's own. */
static double dropout_of(const cz_net *n, cz_fact place) {
  return n->options.dropout >= 0 ? n->options.dropout : cz_model_dropout(&n->model->config, place);
}

static void build(cz_net *n) {
  const cz_model *m = n->model;
  const bool recompute = n->options.recompute;
  cz_builder b = {.g = n->graph,
                  .model = m,
                  .dropout = dropout_of(n, CZ_FACT_DROPOUT),
                  .own_rates = n->options.dropout < 0,
                  .share_dropout = !n->options.dropout_per_token,
                  .cudnn = n->options.cudnn};
  n->encoded = CZ_ABSENT;
  declare_inputs(n);
  declare_places(n);
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
  t.types = n->decoder.types;
  t.seen = n->seen;
  const cz_stack *s = &m->decoder;
  const bool rows = cz__net_heads_read_rows(n);
  b.scope = s->name;
  cz_value x = cz_layer_embed(&b, s, n->decoder.ids, &t);
  x = cz_layer_stack(&b, s, rows ? s->n - 1 : s->n, x, &t, &reads, recompute);
  cz__net_build_heads(n, &b, x, &t);
}

/* Refuses what cuDNN cannot, where it is wished: keys with gaps between segments are such. */
static cz_status check_cudnn(const cz_net *n) {
  const cz_attention_wish wish =
      cz_attention_wish_of(n->model, dropout_of(n, CZ_FACT_ATTENTION_DROPOUT));
  const char *key;
  if (n->options.cudnn && n->options.padded)
    return CZ_FAIL(CZ_EUSAGE, "attention cudnn: segments end in padding here, and cuDNN is told of "
                              "keys that follow one another; own takes them");
  return n->options.cudnn ? cz_attention_refused(&wish, &key) : CZ_OK;
}

/* Padding is something of encoders: elsewhere `prefix` says something else. */
static cz_status check_padded(const cz_net *n) {
  const cz_family *f = n->model->config.family;
  if (!n->options.padded || f->architecture == CZ_ENCODER) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "padded segments: family %s is no encoder", f->name);
}

/* Numbers that are fed at once: of each token, or two of each segment. */
static size_t most_numbers(const cz_net_options *o) {
  const int64_t tokens = o->capacity_encoder > o->capacity_decoder ? o->capacity_encoder
                                                                   : o->capacity_decoder,
                spans = 2 * o->capacity_segments;
  return (size_t)(tokens > spans ? tokens : spans);
}

static int64_t most_rows(const cz_net_options *o) {
  int64_t most = 1;
  for (int i = 0; i < o->n_heads; i++)
    if (o->heads[i].capacity_rows > most) most = o->heads[i].capacity_rows;
  return most;
}

/* What this net's losses do not reach has no gradient, also where another net left one. A net that
 * is only planned has no memory for any. */
static cz_status clear_gradients(cz_net *n) {
  cz_device *d = n->model->device;
  const cz_params *p = n->model->params;
  return n->options.train && p->grads ? d->fill(d, p->grads, 0, cz_params_trained_bytes(p)) : CZ_OK;
}

/** Builds MODEL's graph for training (options->train) or scoring. MODEL is borrowed and
 * must outlive the net. CZ_EINVAL for heads that the model does not have. */
cz_status cz_net_create(cz_net **net, cz_model *model, const cz_net_options *options) {
  *net = NULL;
  CZ_TRY(cz_alloc(net, 1, sizeof **net));
  cz_net *n = *net;
  n->model = model;
  n->options = *options;
  cz_graph_options graph = {
      .train = options->train, .no_reuse = options->no_reuse, .no_fusion = options->no_fusion};
  cz_status st;
  CZ_GO(st, check_padded(n), fail);
  CZ_GO(st, check_cudnn(n), fail);
  CZ_GO(st, cz__net_check_heads(n), fail);
  CZ_GO(st, cz_alloc(&n->numbers, most_numbers(options), sizeof *n->numbers), fail);
  CZ_GO(st, cz_alloc(&n->places, (size_t)most_rows(options), sizeof *n->places), fail);
  CZ_GO(st, cz__net_create_choices(n), fail);
  CZ_GO(st, cz_graph_create(&n->graph, model->params), fail);
  build(n);
  CZ_GO(st, cz_graph_finish(n->graph, &graph), fail);
  CZ_GO(st, clear_gradients(n), fail);
  return CZ_OK;
fail:
  cz_net_destroy(net);
  return st;
}

/** Frees the net and its graph, not the model; clears the pointer, accepts null. */
void cz_net_destroy(cz_net **net) {
  if (!*net) return;
  cz_graph_destroy(&(*net)->graph);
  free((*net)->numbers);
  free((*net)->places);
  cz__net_destroy_choices(*net);
  free(*net);
  *net = NULL;
}

/** CZ_EINVAL, with WHAT, for a number outside [0, VOCABULARY). */
cz_status cz__net_check_ids(const char *what, const int32_t *ids, int64_t n, int64_t vocabulary) {
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

/* As Hugging Face counts: an id that is padding has the row before the first place, and the
 * places of the others do not count it. */
static void places_behind_pad(int32_t *out, const int32_t *ids, int32_t from, int32_t to,
                              int32_t pad) {
  int32_t last = pad;
  for (int32_t i = from; i < to; i++) out[i] = ids[i] == pad ? pad : ++last;
}

/** Fills OUT with each token's row of the position table, from its place in its segment.
 * CZ_EINVAL, with WHAT, for a segment that is longer than the table. */
cz_status cz_net_positions(int32_t *out, const cz_model_config *c, const char *what,
                           const cz_stack_input *stack, int64_t segments) {
  const int64_t longest = cz_model_longest(c);
  for (int64_t b = 0; b < segments; b++) {
    const int32_t from = stack->spans[2 * b], to = stack->spans[2 * b + 1];
    if (to - from > longest)
      return CZ_FAIL(CZ_EINVAL, "%s: segment %lld has %d tokens, the model has %lld positions",
                     what, (long long)b, to - from, (long long)longest);
    if (c->family->positions_behind_pad)
      places_behind_pad(out, stack->ids, from, to, (int32_t)c->pad_id);
    else
      for (int32_t i = from; i < to; i++) out[i] = (int32_t)c->family->position_offset + i - from;
  }
  return CZ_OK;
}

static cz_status feed_positions(cz_net *n, cz_value input, const char *what,
                                const cz_stack_input *stack, int64_t segments) {
  if (input == CZ_ABSENT) return CZ_OK;
  CZ_TRY(cz_net_positions(n->numbers, &n->model->config, what, stack, segments));
  return cz_graph_feed_int(n->graph, input, n->numbers, stack->tokens);
}

/* Types that the model does not have are refused; one without types has type 0 alone. */
static cz_status feed_types(cz_net *n, const cz_stack_input *stack) {
  const int64_t there = n->model->decoder.types ? n->model->config.n_types : 1;
  for (int64_t i = 0; stack->types && i < stack->tokens; i++)
    if (stack->types[i] < 0 || stack->types[i] >= there)
      return CZ_FAIL(CZ_EINVAL, "token type %d at position %lld: the model has %lld types",
                     stack->types[i], (long long)i, (long long)there);
  if (n->decoder.types == CZ_ABSENT) return CZ_OK;
  if (!stack->types) memset(n->numbers, 0, (size_t)stack->tokens * sizeof *n->numbers);
  return cz_graph_feed_int(n->graph, n->decoder.types, stack->types ? stack->types : n->numbers,
                           stack->tokens);
}

static cz_status feed_encoder(cz_net *n, const cz_feed *f) {
  cz_graph *g = n->graph;
  CZ_TRY(
      cz__net_check_ids("encoder", f->encoder.ids, f->encoder.tokens, n->model->config.vocab_size));
  CZ_TRY(check_spans("encoder", f->encoder.spans, f->segments, f->encoder.tokens));
  CZ_TRY(check_lengths(n, "encoder", f->encoder.spans, f->segments, n->options.longest_encoder));
  CZ_TRY(cz_graph_set_extent(g, n->encoder_tokens, f->encoder.tokens));
  CZ_TRY(cz_graph_feed_int(g, n->encoder.ids, f->encoder.ids, f->encoder.tokens));
  CZ_TRY(cz_graph_feed_int(g, n->encoder.spans, f->encoder.spans, 2 * f->segments));
  return feed_positions(n, n->encoder.positions, "encoder", &f->encoder, f->segments);
}

/* The keys of each segment: its tokens in front of the padding, one at least. */
static cz_status feed_seen(cz_net *n, const cz_feed *f) {
  if (n->seen == CZ_ABSENT) return CZ_OK;
  for (int64_t b = 0; b < f->segments; b++) {
    const int32_t from = f->decoder.spans[2 * b], to = f->decoder.spans[2 * b + 1];
    if (f->prefix[b] < (to > from) || f->prefix[b] > to - from)
      return CZ_FAIL(CZ_EINVAL, "decoder: %d of the %d tokens of segment %lld are not padding",
                     f->prefix[b], to - from, (long long)b);
    n->numbers[2 * b] = from;
    n->numbers[2 * b + 1] = from + f->prefix[b];
  }
  return cz_graph_feed_int(n->graph, n->seen, n->numbers, 2 * f->segments);
}

/** Checks a batch (ids inside the vocabulary, spans that cover, targets inside the
 * vocabulary) and hands it to the graph. CZ_EINVAL with the offending position and
 * value; sizes above the capacities too. */
cz_status cz_net_feed(cz_net *n, const cz_feed *f) {
  cz_graph *g = n->graph;
  const cz_stack_input *stack = &f->decoder;
  CZ_TRY(cz__net_check_ids("decoder", stack->ids, stack->tokens, n->model->config.vocab_size));
  CZ_TRY(check_spans("decoder", stack->spans, f->segments, stack->tokens));
  CZ_TRY(check_lengths(n, "decoder", stack->spans, f->segments, n->options.longest_decoder));
  CZ_TRY(cz_graph_set_extent(g, n->segments, f->segments));
  CZ_TRY(cz_graph_set_extent(g, n->decoder_tokens, stack->tokens));
  if (n->encoder.ids != CZ_ABSENT) CZ_TRY(feed_encoder(n, f));
  CZ_TRY(cz_graph_feed_int(g, n->decoder.ids, stack->ids, stack->tokens));
  CZ_TRY(cz_graph_feed_int(g, n->decoder.spans, stack->spans, 2 * f->segments));
  CZ_TRY(feed_seen(n, f));
  CZ_TRY(feed_positions(n, n->decoder.positions, "decoder", stack, f->segments));
  CZ_TRY(feed_types(n, stack));
  if (n->prefix != CZ_ABSENT) CZ_TRY(cz_graph_feed_int(g, n->prefix, f->prefix, f->segments));
  return cz__net_feed_heads(n, f);
}
