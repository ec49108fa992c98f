#include "nn/layers.h"
#include "graph/ops.h"

#include <math.h>
#include <stdio.h>

/* A node's full name, unique in the graph: it also keys the node's dropout. */
static const char *full(char buffer[192], const cz_builder *b, const char *name) {
  snprintf(buffer, 192, "%s.%s", b->scope, name);
  return buffer;
}

static cz_value param_or_absent(cz_builder *b, cz_param *p) {
  return p ? cz_graph_param(b->g, p) : CZ_ABSENT;
}

static const cz_family *family_of(const cz_builder *b) { return b->model->config.family; }

/* y = alpha x W^T + bias, W [out, in]; families without biases have none. x [T, in] ->
 * [T, out]. */
static cz_value product(cz_builder *b, const char *name, cz_value x, const cz_linear_weights *w,
                        double alpha, cz_dtype y) {
  char buffer[192];
  cz_linear_attr attr = {.layout = CZ_LINEAR_OUT_IN,
                         .activation = CZ_ACTIVATION_NONE,
                         .alpha = alpha,
                         .y = cz_dtype_choice(y)};
  cz_value in[] = {x, cz_graph_param(b->g, w->weight), param_or_absent(b, w->bias)}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_linear, full(buffer, b, name), 3, in, &attr);
  return out[0];
}

/** y = x W^T + bias in the dtype of products. x [T, in] -> [T, out]. */
cz_value cz_layer_linear(cz_builder *b, const char *name, cz_value x, const cz_linear_weights *w) {
  return product(b, name, x, w, 1, b->model->params->compute);
}

/** The family's norm of each row (kernels/norm/norm.h), which leads from a wide stream to products.
 * x [T, D]. */
cz_value cz_layer_norm(cz_builder *b, const char *name, cz_value x, const cz_norm_weights *w) {
  char buffer[192];
  cz_norm_attr attr = {.kind = family_of(b)->norm,
                       .eps = b->model->config.norm_eps,
                       .y = cz_dtype_choice(b->model->params->compute)};
  cz_value in[] = {x, cz_graph_param(b->g, w->gain), param_or_absent(b, w->bias)}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_norm, full(buffer, b, name), 3, in, &attr);
  return out[0];
}

/* The rate at a place of its own. */
static double rate_of(const cz_builder *b, cz_fact place) {
  return b->own_rates ? cz_model_dropout(&b->model->config, place) : b->dropout;
}

/** Inverted dropout at the rate of PLACE, CZ_FACT_DROPOUT or one of the others; nothing is added
 * to the graph when that is 0. x [T, D]. */
cz_value cz_layer_dropout(cz_builder *b, const char *name, cz_value x, cz_value spans,
                          cz_fact place) {
  char buffer[192];
  const double p = rate_of(b, place);
  if (p == 0) return x;
  cz_dropout_attr attr = {.p = p, .share_segment = b->share_dropout};
  cz_value in[] = {x, b->share_dropout ? spans : CZ_ABSENT}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_dropout, full(buffer, b, name), 2, in, &attr);
  return out[0];
}

static cz_value dropout(cz_builder *b, const char *name, cz_value x, cz_value spans) {
  return cz_layer_dropout(b, name, x, spans, CZ_FACT_DROPOUT);
}

/** act(x), times GATE where that is not absent; both [T, F]. */
cz_value cz_layer_activation(cz_builder *b, const char *name, cz_value x, cz_value gate, int kind) {
  char buffer[192];
  const cz_activation_attr attr = {.kind = kind};
  cz_value in[] = {x, gate}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_activation, full(buffer, b, name), 2, in, &attr);
  return out[0];
}

/* x + y, both [T, D]. */
static cz_value add(cz_builder *b, const char *name, cz_value x, cz_value y) {
  char buffer[192];
  cz_value in[] = {x, y}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_add, full(buffer, b, name), 2, in, NULL);
  return out[0];
}

/* Rows of a table as the residual stream begins; in one that is PADDED the row of padding gets no
 * gradient. [T] -> [T, D] */
static cz_value look_up(cz_builder *b, const char *name, cz_param *table, cz_value rows,
                        bool padded) {
  char buffer[192];
  const cz_embedding_attr attr = {.y = cz_dtype_choice(b->model->stream),
                                  .padding = padded ? 1 + (int)b->model->config.pad_id : 0};
  cz_value in[] = {cz_graph_param(b->g, table), rows}, out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_embedding, full(buffer, b, name), 2, in, &attr);
  return out[0];
}

/** Rows of the embedding, unscaled, plus those of token types, plus those of learned positions,
 * with the family's norm and dropout, and mapped to the blocks' width. ids [T] -> [T, D]. */
cz_value cz_layer_embed(cz_builder *b, const cz_stack *s, cz_value ids, const cz_tokens *t) {
  const cz_family *f = family_of(b);
  cz_value x = look_up(b, "embed", b->model->embedding, ids, f->padding_row); /* [T, E] */
  if (s->types) x = add(b, "types.add", x, look_up(b, "types", s->types, t->types, false));
  if (s->positions)
    x = add(b, "embed.add", x,
            look_up(b, "positions", s->positions, t->positions, f->positions_behind_pad));
  if (s->embedding_norm.gain) x = cz_layer_norm(b, "embed.norm", x, &s->embedding_norm);
  x = cz_layer_dropout(b, "embed.dropout", x, t->spans, CZ_FACT_EMBEDDING_DROPOUT);
  return s->embedding_map.weight ? cz_layer_linear(b, "embed.map", x, &s->embedding_map) : x;
}

/* What scores are multiplied by. */
static double score_scale(const cz_builder *b) {
  const cz_model_config *c = &b->model->config;
  const double scale = c->family->scaled_attention ? 1 / sqrt((double)c->d_kv) : 1;
  return c->layer_scaled ? scale / (double)(b->block + 1) : scale;
}

/* By cuDNN, whose segments have LONGEST keys at most; cz_net_create has made sure that it can. */
static cz_value attention_by_cudnn(cz_builder *b, const char *name, const cz_value in[7],
                                   const cz_tokens *t, int mask, int64_t longest) {
  char buffer[192];
  const cz_attention_cudnn_attr attr = {.heads = (int)b->model->config.n_heads,
                                        .causal = mask == CZ_ATTENTION_MASK_CAUSAL,
                                        .scale = score_scale(b),
                                        .longest_q = t->longest,
                                        .longest_k = longest};
  cz_value out[CZ_OP_OUT];
  cz_graph_op(b->g, out, CZ_OP_attention_cudnn, full(buffer, b, name), 5, in, &attr);
  return out[0];
}

static cz_value attention(cz_builder *b, const char *name, const cz_value in[7], const cz_tokens *t,
                          int mask, int64_t longest) {
  char buffer[192];
  const cz_model_config *c = &b->model->config;
  if (b->cudnn && in[CZ_ATTENTION_POSITION_BIAS] == CZ_ABSENT)
    return attention_by_cudnn(b, name, in, t, mask, longest);
  cz_attention_attr attr = {.heads = (int)c->n_heads,
                            .mask = mask,
                            .scale = score_scale(b),
                            .buckets = (int)c->buckets,
                            .max_distance = (int)c->max_distance,
                            .bidirectional = t->bidirectional,
                            .dropout = rate_of(b, CZ_FACT_ATTENTION_DROPOUT),
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

/* The beginning of a sublayer: norm(x) in families that have the norm there. */
static cz_value sublayer_in(cz_builder *b, const char *name, cz_value x, const cz_norm_weights *w) {
  return family_of(b)->norm_place == CZ_NORM_BEFORE ? cz_layer_norm(b, name, x, w) : x;
}

/* Its end: x + dropout(y), without the dropout where the family has NONE there, and with the norm
 * of the sum in families that have it there. */
static cz_value sublayer_out(cz_builder *b, const char *sublayer, cz_value x, cz_value y,
                             const cz_norm_weights *w, const cz_tokens *t, bool none) {
  char name[32];
  snprintf(name, sizeof name, "%s.dropout", sublayer);
  if (!none) y = dropout(b, name, y, t->spans);
  snprintf(name, sizeof name, "%s.add", sublayer);
  x = add(b, name, x, y);
  snprintf(name, sizeof name, "%s.norm", sublayer);
  return family_of(b)->norm_place == CZ_NORM_AFTER ? cz_layer_norm(b, name, x, w) : x;
}

/* The rest of a self-attention layer behind its queries Q [T, H*K]: x + dropout(O attention), or
 * its norm afterwards. x [T, D]. */
static cz_value attend(cz_builder *b, cz_value x, cz_value q, const cz_attention_layer *w,
                       const cz_crossed *keys, cz_value bias, const cz_tokens *t) {
  cz_value in[7] = {q, keys->k, keys->v, t->spans, keys->spans, t->prefix, bias};
  cz_value a = attention(b, "self.attention", in, t, t->mask, keys->longest); /* [T, H*K] */
  a = cz_layer_linear(b, "self.o", a, &w->o);                                 /* [T, D] */
  return sublayer_out(b, "self", x, a, &w->norm, t, family_of(b)->no_self_dropout);
}

/* Keys and values of a self-attention layer, of y [T, D], which its products read. */
static cz_crossed self_keys(cz_builder *b, cz_value y, const cz_attention_layer *w,
                            const cz_tokens *t) {
  cz_crossed keys = {.spans = t->seen == CZ_ABSENT ? t->spans : t->seen, .longest = t->longest};
  keys.k = cz_layer_linear(b, "self.k", y, &w->k); /* [T, H*K] */
  keys.v = cz_layer_linear(b, "self.v", y, &w->v);
  return keys;
}

/** The residual self-attention layer: x + dropout(O attention(norm(x))), or its norm
 * afterwards. POSITION_BIAS is the stack's, null without one; with CACHE the keys and values
 * of earlier steps are read too. x [T, D]. */
cz_value cz_layer_self_attention(cz_builder *b, cz_value x, const cz_attention_layer *w,
                                 cz_param *position_bias, const cz_tokens *t,
                                 const cz_cache *cache) {
  cz_value y = sublayer_in(b, "self.norm", x, &w->norm); /* [T, D] */
  cz_value q = cz_layer_linear(b, "self.q", y, &w->q);   /* [T, H*K] */
  cz_crossed keys = self_keys(b, y, w, t);
  if (cache) {
    keys.k = append(b, "self.k.append", cache->k, keys.k, cache->rows);
    keys.v = append(b, "self.v.append", cache->v, keys.v, cache->rows);
    keys.spans = cache->k_spans;
  }
  return attend(b, x, q, w, &keys, param_or_absent(b, position_bias), t);
}

/** The residual cross-attention layer: queries from x [T, D], keys and values CROSS [S, H*K]
 * from the encoder's output; no position bias. */
cz_value cz_layer_cross_attention(cz_builder *b, cz_value x, const cz_attention_layer *w,
                                  const cz_tokens *t, const cz_crossed *cross) {
  cz_value y = sublayer_in(b, "cross.norm", x, &w->norm);
  cz_value q = cz_layer_linear(b, "cross.q", y, &w->q);
  cz_value in[7] = {q, cross->k, cross->v, t->spans, cross->spans, CZ_ABSENT, CZ_ABSENT};
  cz_value a = attention(b, "cross.attention", in, t, CZ_ATTENTION_MASK_FULL, cross->longest);
  a = cz_layer_linear(b, "cross.o", a, &w->o);
  return sublayer_out(b, "cross", x, a, &w->norm, t, false);
}

/** The residual feed-forward layer: x + dropout(Wo dropout(act(Wi norm(x)) [* Wg
 * norm(x)])), or its norm afterwards. x [T, D]. */
cz_value cz_layer_feed_forward(cz_builder *b, cz_value x, const cz_ffn_layer *w,
                               const cz_tokens *t) {
  cz_value y = sublayer_in(b, "ffn.norm", x, &w->norm);
  cz_value h = cz_layer_linear(b, "ffn.wi", y, &w->wi), gate = CZ_ABSENT; /* [T, F] */
  if (w->gate.weight) gate = cz_layer_linear(b, "ffn.gate", y, &w->gate);
  h = cz_layer_activation(b, "ffn.act", h, gate, b->model->config.activation);
  if (family_of(b)->inner_dropout) h = dropout(b, "ffn.inner.dropout", h, t->spans);
  h = cz_layer_linear(b, "ffn.wo", h, &w->wo); /* [T, D] */
  return sublayer_out(b, "ffn", x, h, &w->norm, t, family_of(b)->no_ffn_dropout);
}

/** Keys and values [S, H*K] that cross-attention W reads, from the encoder's output. */
cz_crossed cz_layer_crossed(cz_builder *b, const cz_attention_layer *w, const cz_encoded *encoded) {
  return (cz_crossed){.k = cz_layer_linear(b, "cross.k", encoded->x, &w->k),
                      .v = cz_layer_linear(b, "cross.v", encoded->x, &w->v),
                      .spans = encoded->spans,
                      .longest = encoded->longest};
}

/* Block I: self-attention, cross-attention in stacks that have it, feed-forward. */
static cz_value block(cz_builder *b, const cz_stack *s, int64_t i, cz_value x, const cz_tokens *t,
                      const cz_stack_reads *r) {
  const cz_block *w = &s->blocks[i];
  cz_crossed cross = {0};
  if (s->cross) cross = r->crossed ? r->crossed[i] : cz_layer_crossed(b, &w->cross, r->encoded);
  x = cz_layer_self_attention(b, x, &w->self, s->position_bias, t,
                              r->caches ? &r->caches[i] : NULL);
  if (s->cross) x = cz_layer_cross_attention(b, x, &w->cross, t, &cross);
  return cz_layer_feed_forward(b, x, &w->ffn, t);
}

/** Makes block I of S the scope of the nodes that follow. Its name is written to SCOPE,
 * which the builder borrows until it has another scope. */
void cz_layer_enter_block(cz_builder *b, char scope[CZ_SCOPE], const cz_stack *s, int64_t i) {
  snprintf(scope, CZ_SCOPE, "%s.block.%lld", s->name, (long long)i);
  b->scope = scope;
  b->block = i;
}

/** x [T, D] through the first N blocks of the stack. With RECOMPUTE only the blocks' borders are
 * kept for backward. */
cz_value cz_layer_stack(cz_builder *b, const cz_stack *s, int64_t n, cz_value x, const cz_tokens *t,
                        const cz_stack_reads *reads, bool recompute) {
  char scope[CZ_SCOPE];
  for (int64_t i = 0; i < n; i++) {
    cz_layer_enter_block(b, scope, s, i);
    cz_graph_block(b->g, scope, recompute);
    x = block(b, s, i, x, t, reads);
  }
  b->scope = s->name;
  cz_graph_block(b->g, s->name, false);
  return x;
}

/** Keys and values of the last block, for rows that go through it alone. x [T, D], what the blocks
 * before it yield. */
cz_crossed cz_layer_last_keys(cz_builder *b, const cz_stack *s, cz_value x, const cz_tokens *t) {
  char scope[CZ_SCOPE];
  const cz_attention_layer *w = &s->blocks[s->n - 1].self;
  cz_layer_enter_block(b, scope, s, s->n - 1);
  const cz_crossed keys = self_keys(b, sublayer_in(b, "self.norm", x, &w->norm), w, t);
  b->scope = s->name;
  return keys;
}

/** The last block on the rows x [R, D] that NAME reads, whose segments are the spans of T: those of
 * its outputs that it would have for all tokens, if T's mask lets each see all KEYS of its segment
 * and the stack has no position bias. */
cz_value cz_layer_last_block(cz_builder *b, const cz_stack *s, const char *name, cz_value x,
                             const cz_tokens *t, const cz_crossed *keys) {
  char last[CZ_SCOPE], scope[2 * CZ_SCOPE];
  const cz_block *w = &s->blocks[s->n - 1];
  const char *before = b->scope;
  cz_layer_enter_block(b, last, s, s->n - 1);
  snprintf(scope, sizeof scope, "%s.%s", last, name);
  b->scope = scope;
  cz_value y = sublayer_in(b, "self.norm", x, &w->self.norm); /* [R, D] */
  cz_value q = cz_layer_linear(b, "self.q", y, &w->self.q);   /* [R, H*K] */
  x = attend(b, x, q, &w->self, keys, CZ_ABSENT, t);
  x = cz_layer_feed_forward(b, x, &w->ffn, t);
  b->scope = before;
  return x;
}

/** The end of the stack on rows x of its output: its last norm and dropout, where the
 * family has them. x [N, D]. */
cz_value cz_layer_finish(cz_builder *b, const cz_stack *s, cz_value x, cz_value spans) {
  if (s->final_norm.gain) x = cz_layer_norm(b, "final.norm", x, &s->final_norm);
  return family_of(b)->final_dropout ? dropout(b, "final.dropout", x, spans) : x;
}

/** The whole encoder on ids [S]; returns its output [S, D]. */
cz_value cz_layer_encoder(cz_builder *b, cz_value ids, const cz_tokens *t, bool recompute) {
  const cz_stack *s = &b->model->encoder;
  const cz_stack_reads none = {0};
  b->scope = s->name;
  cz_value x = cz_layer_embed(b, s, ids, t);
  x = cz_layer_stack(b, s, s->n, x, t, &none, recompute);
  return cz_layer_finish(b, s, x, t->spans);
}

/** Tokens that all see one another. */
cz_tokens cz_layer_encoder_tokens(cz_value spans, cz_value positions) {
  return (cz_tokens){.spans = spans,
                     .positions = positions,
                     .types = CZ_ABSENT,
                     .prefix = CZ_ABSENT,
                     .seen = CZ_ABSENT,
                     .mask = CZ_ATTENTION_MASK_FULL,
                     .bidirectional = true};
}

/** Tokens of the stack that predicts: each sees what came before, in a prefix LM also the
 * whole prefix, in an encoder all others. */
cz_tokens cz_layer_decoder_tokens(const cz_model *m, cz_value spans, cz_value positions,
                                  cz_value prefix) {
  cz_tokens t = {.spans = spans,
                 .positions = positions,
                 .types = CZ_ABSENT,
                 .prefix = prefix,
                 .seen = CZ_ABSENT};
  switch (m->config.family->architecture) { /* complete: a further one says what its tokens see */
  case CZ_ENCODER_DECODER:
  case CZ_LANGUAGE_MODEL: t.mask = CZ_ATTENTION_MASK_CAUSAL; break;
  case CZ_PREFIX_LM: t.mask = CZ_ATTENTION_MASK_PREFIX, t.bidirectional = true; break;
  case CZ_ENCODER: t.mask = CZ_ATTENTION_MASK_FULL, t.bidirectional = true; break;
  case CZ_ARCHITECTURES: CZ_CHECK(!"an architecture");
  }
  return t;
}

/** What logits are multiplied by: d_model^-0.5 where T5 ties its output to the embedding
 * (t5.md 1.1). */
double cz_layer_logit_scale(const cz_model *m) {
  return m->config.scaled ? 1 / sqrt((double)m->config.d_model) : 1;
}

/** Logits [N, V] of rows x [N, D], in the dtype of losses: in bfloat16 words within 1 / 256 of the
 * best one would be equal to it. */
cz_value cz_layer_logits(cz_builder *b, cz_value x) {
  const cz_linear_weights head = {.weight = b->model->head, .bias = b->model->heads.lm_bias};
  return product(b, "logits", x, &head, cz_layer_logit_scale(b->model), b->model->device->real);
}

/** The masked LM's transform of rows x [N, D]: product, activation, norm, [N, E]. Families without
 * one give x. */
cz_value cz_layer_transform(cz_builder *b, cz_value x) {
  const cz_head_weights *w = &b->model->heads;
  const int body = b->model->config.activation;
  if (!w->lm_dense.weight) return x;
  x = cz_layer_linear(b, "dense", x, &w->lm_dense);
  x = cz_layer_activation(b, "act", x, CZ_ABSENT,
                          family_of(b)->lm_gelu ? CZ_ACTIVATION_GELU : body);
  return cz_layer_norm(b, "norm", x, &w->lm_norm);
}

/** What a classifier reads of pooled states x [N, D], before its own dropout: the pooler of
 * families that have one. */
cz_value cz_layer_pool(cz_builder *b, cz_value x) {
  const cz_head_weights *w = &b->model->heads;
  if (!w->pooler.weight) return x;
  if (family_of(b)->pooler_dropout)
    x = cz_layer_dropout(b, "pooler.dropout", x, CZ_ABSENT, CZ_FACT_CLASSIFIER_DROPOUT);
  x = cz_layer_linear(b, "pooler", x, &w->pooler);
  return cz_layer_activation(b, "pooler.act", x, CZ_ABSENT, family_of(b)->pooler_activation);
}
