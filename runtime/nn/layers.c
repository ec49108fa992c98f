#include "nn/layers.h"
#include "graph/ops.h"

#include <stdio.h>

/* A node's full name, unique in the graph: it also keys the node's dropout. */
static const char *full(char buffer[192], const cz_builder *b, const char *name) {
  snprintf(buffer, 192, "%s.%s", b->scope, name);
  return buffer;
}

/** y = alpha x W^T, W [out, in] without bias. x [T, in] -> [T, out]. */
cz_value cz_layer_linear(cz_builder *b, const char *name, cz_value x, cz_param *w, double alpha) {
  char buffer[192];
  cz_linear_attr attr = {
      .layout = CZ_LINEAR_OUT_IN, .activation = CZ_ACTIVATION_NONE, .alpha = alpha};
  cz_value in[] = {x, cz_graph_param(b->g, w)}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_linear, full(buffer, b, name), 2, in, &attr);
  return out[0];
}

/** y = x / sqrt(mean(x^2) + eps) * gain (Zhang and Sennrich 2019; t5.md 1.1). x [T, D]. */
cz_value cz_layer_norm(cz_builder *b, const char *name, cz_value x, cz_param *gain) {
  char buffer[192];
  cz_norm_attr attr = {.kind = CZ_NORM_RMS, .eps = b->model->config.norm_eps};
  cz_value in[] = {x, cz_graph_param(b->g, gain)}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_norm, full(buffer, b, name), 2, in, &attr);
  return out[0];
}

/** Inverted dropout; nothing is added to the graph when the rate is 0. x [T, D]. */
cz_value cz_layer_dropout(cz_builder *b, const char *name, cz_value x, cz_value spans) {
  char buffer[192];
  if (b->dropout == 0) return x;
  cz_dropout_attr attr = {.p = b->dropout, .share_segment = b->share_dropout};
  cz_value in[] = {x, b->share_dropout ? spans : CZ_ABSENT}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_dropout, full(buffer, b, name), 2, in, &attr);
  return out[0];
}

/** x + y, both [T, D]. */
cz_value cz_layer_add(cz_builder *b, const char *name, cz_value x, cz_value y) {
  char buffer[192];
  cz_value in[] = {x, y}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_add, full(buffer, b, name), 2, in, NULL);
  return out[0];
}

/** Rows of the embedding, unscaled, with dropout. ids [T] -> [T, D]. */
cz_value cz_layer_embed(cz_builder *b, cz_value ids, cz_value spans) {
  char buffer[192];
  cz_value in[] = {cz_graph_param(b->g, b->model->embedding), ids}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_embedding, full(buffer, b, "embed"), 2, in, NULL);
  return cz_layer_dropout(b, "embed.dropout", out[0], spans);
}

static cz_value attention(cz_builder *b, const char *name, const cz_value in[7], const cz_tokens *t,
                          int mask) {
  char buffer[192];
  const cz_model_config *c = &b->model->config;
  cz_attention_attr attr = {.heads = (int)c->n_heads,
                            .mask = mask,
                            .scale = 1,
                            .buckets = (int)c->buckets,
                            .max_distance = (int)c->max_distance,
                            .bidirectional = t->bidirectional,
                            .dropout = b->dropout,
                            .share_queries = b->share_dropout};
  cz_value out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_attention, full(buffer, b, name), 7, in, &attr);
  return out[0];
}

static cz_value append(cz_builder *b, const char *name, cz_value cache, cz_value x, cz_value rows) {
  char buffer[192];
  cz_value in[] = {cache, x, rows}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_cache_append, full(buffer, b, name), 3, in, NULL);
  return out[0];
}

/** x + dropout(O attention(norm(x))): the residual self-attention layer. TABLE is the
 * stack's position bias; with CACHE the keys and values of earlier steps are read too. x
 * [T, D]. */
cz_value cz_layer_self_attention(cz_builder *b, cz_value x, const cz_attention_layer *w,
                                 cz_param *table, const cz_tokens *t, const cz_cache *cache) {
  cz_value y = cz_layer_norm(b, "self.norm", x, w->norm); /* [T, D] */
  cz_value q = cz_layer_linear(b, "self.q", y, w->q, 1);  /* [T, H*K] */
  cz_value k = cz_layer_linear(b, "self.k", y, w->k, 1);
  cz_value v = cz_layer_linear(b, "self.v", y, w->v, 1);
  cz_value k_spans = t->spans;
  if (cache) {
    k = append(b, "self.k.append", cache->k, k, cache->rows);
    v = append(b, "self.v.append", cache->v, v, cache->rows);
    k_spans = cache->k_spans;
  }
  cz_value in[7] = {q, k, v, t->spans, k_spans, t->prefix, cz_graph_param(b->g, table)};
  cz_value a = attention(b, "self.attention", in, t, t->mask); /* [T, H*K] */
  a = cz_layer_linear(b, "self.o", a, w->o, 1);                /* [T, D] */
  return cz_layer_add(b, "self.add", x, cz_layer_dropout(b, "self.dropout", a, t->spans));
}

/** x + dropout(O attention(norm(x), encoder)): keys and values k, v [S, H*K] come from
 * the encoder's output; no position bias. x [T, D]. */
cz_value cz_layer_cross_attention(cz_builder *b, cz_value x, const cz_attention_layer *w,
                                  cz_value k, cz_value v, const cz_tokens *t, cz_value k_spans) {
  cz_value y = cz_layer_norm(b, "cross.norm", x, w->norm);
  cz_value q = cz_layer_linear(b, "cross.q", y, w->q, 1);
  cz_value in[7] = {q, k, v, t->spans, k_spans, CZ_ABSENT, CZ_ABSENT};
  cz_value a = attention(b, "cross.attention", in, t, CZ_ATTENTION_MASK_FULL);
  a = cz_layer_linear(b, "cross.o", a, w->o, 1);
  return cz_layer_add(b, "cross.add", x, cz_layer_dropout(b, "cross.dropout", a, t->spans));
}

/** x + dropout(Wo dropout(act(Wi norm(x)) [* Wg norm(x)])): the residual feed-forward
 * layer. x [T, D]. */
cz_value cz_layer_feed_forward(cz_builder *b, cz_value x, const cz_ffn_layer *w,
                               const cz_tokens *t) {
  char buffer[192];
  cz_activation_attr attr = {.kind = b->model->config.activation};
  cz_value y = cz_layer_norm(b, "ffn.norm", x, w->norm);
  cz_value in[2] = {cz_layer_linear(b, "ffn.wi", y, w->wi, 1), CZ_ABSENT},
           out[CZ_OP_OUT]; /* [T, F] */
  if (w->gate) in[1] = cz_layer_linear(b, "ffn.gate", y, w->gate, 1);
  cz_graph_op(b->g, out, CZ_OP_activation, full(buffer, b, "ffn.act"), 2, in, &attr);
  cz_value h = cz_layer_dropout(b, "ffn.inner.dropout", out[0], t->spans);
  h = cz_layer_linear(b, "ffn.wo", h, w->wo, 1); /* [T, D] */
  return cz_layer_add(b, "ffn.add", x, cz_layer_dropout(b, "ffn.dropout", h, t->spans));
}

/** One block: self-attention, cross-attention when the block has it (over CROSS),
 * feed-forward. CACHE is null outside incremental decoding. x [T, D]. */
cz_value cz_layer_block(cz_builder *b, cz_value x, const cz_block *w, cz_param *table,
                        const cz_tokens *t, const cz_cache *cache, const cz_crossed *cross) {
  x = cz_layer_self_attention(b, x, &w->self, table, t, cache);
  if (w->cross.q)
    x = cz_layer_cross_attention(b, x, &w->cross, cross->k, cross->v, t, cross->spans);
  return cz_layer_feed_forward(b, x, &w->ffn, t);
}

/** Keys and values [S, H*K] that cross-attention W reads, from the encoder's output. */
cz_crossed cz_layer_crossed(cz_builder *b, const cz_attention_layer *w, const cz_encoded *encoded) {
  return (cz_crossed){.k = cz_layer_linear(b, "cross.k", encoded->x, w->k, 1),
                      .v = cz_layer_linear(b, "cross.v", encoded->x, w->v, 1),
                      .spans = encoded->spans};
}

/** x through all blocks of the stack, the final norm and its dropout. ENCODED is what
 * cross-attentions read, null for a stack without them. With RECOMPUTE only the blocks'
 * borders are kept for backward. x [T, D]. */
cz_value cz_layer_stack(cz_builder *b, const cz_stack *s, cz_value x, const cz_tokens *t,
                        const cz_encoded *encoded, bool recompute) {
  char scope[64];
  for (int64_t i = 0; i < s->n; i++) {
    cz_crossed cross = {0};
    snprintf(scope, sizeof scope, "%s.block.%lld", s->name, (long long)i);
    b->scope = scope;
    cz_graph_block(b->g, scope, recompute);
    if (s->blocks[i].cross.q) cross = cz_layer_crossed(b, &s->blocks[i].cross, encoded);
    x = cz_layer_block(b, x, &s->blocks[i], s->table, t, NULL, &cross);
  }
  b->scope = s->name;
  cz_graph_block(b->g, s->name, false);
  x = cz_layer_norm(b, "final.norm", x, s->final_norm);
  return cz_layer_dropout(b, "final.dropout", x, t->spans);
}
