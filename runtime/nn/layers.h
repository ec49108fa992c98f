/* Layers: one line of a model is one function here, which adds its nodes to a graph. Each
 * reads from top to bottom like the paper's block. The family's facts decide about norms,
 * biases and positions; decoding step by step uses the same functions with caches. */
#ifndef CZ_NN_LAYERS_H
#define CZ_NN_LAYERS_H

#include "graph/graph.h"
#include "nn/model.h"

/* Where the builder stands: graph, model, and what all layers share. Names of nodes are
 * scope and layer ("encoder.block.3.self.q"); since they key dropout, renaming a scope
 * changes the masks. */
typedef struct cz_builder {
  cz_graph *g;
  const cz_model *model;
  double dropout;
  bool own_rates; /* places that have a rate of their own in the configuration take that */
  bool share_dropout;
  bool cudnn;        /* attentions without a relative bias are cuDNN's */
  const char *scope; /* prefix of node names: "encoder.block.3" */
  int64_t block;     /* the number of the block that is being built */
} cz_builder;

/* The tokens that a stack works on: T of them, B segments. A token sees its own segment
 * only, and of that what the mask allows. */
typedef struct cz_tokens {
  cz_value spans;     /* [B, 2] */
  cz_value positions; /* [T], rows of the position table; CZ_ABSENT without one */
  cz_value types;     /* [T], token types; CZ_ABSENT without them */
  cz_value prefix;    /* [B] or CZ_ABSENT */
  cz_value seen;      /* [B, 2], the keys of each segment; CZ_ABSENT: all its tokens */
  int mask;           /* cz_attention_mask of the self-attention */
  bool bidirectional; /* buckets for both directions */
  int64_t longest;    /* tokens of a segment at most; 0: not known. For cuDNN */
} cz_tokens;

/* What a self-attention reads instead of its own keys and values when it decodes step by
 * step. New keys and values are appended first (kernels/cache_append), so a token sees
 * itself. */
typedef struct cz_cache {
  cz_value k, v;    /* [rows of the cache, H*K], states */
  cz_value rows;    /* [tokens], where this step's keys and values go */
  cz_value k_spans; /* [B, 2], the keys of each segment so far */
} cz_cache;

/* An encoder's output as cross-attention reads it: decoder segment b reads encoder
 * segment b, or in decoding the one that `spans` gives it. */
typedef struct cz_encoded {
  cz_value x;      /* [S, D] */
  cz_value spans;  /* [B, 2] */
  int64_t longest; /* as of cz_tokens */
} cz_encoded;

/* Keys and values of one cross-attention. They do not depend on the decoder's tokens, so
 * decoding computes them once for each batch of encoder segments. */
typedef struct cz_crossed {
  cz_value k, v;   /* [S, H*K] */
  cz_value spans;  /* [B, 2] */
  int64_t longest; /* as of cz_tokens */
} cz_crossed;

/* What the blocks of a stack read besides its tokens; a null member is absent. */
typedef struct cz_stack_reads {
  const cz_encoded *encoded; /* cross-attentions compute their keys and values from it, or */
  const cz_crossed *crossed; /* of each block: computed before */
  const cz_cache *caches;    /* of each block: keys and values of earlier steps */
} cz_stack_reads;

/* Bytes of a block's scope, "encoder.block.3". */
enum { CZ_SCOPE = 64 };
void cz_layer_enter_block(cz_builder *b, char scope[CZ_SCOPE], const cz_stack *s, int64_t i);

/* Pieces of which layers are made. */
cz_value cz_layer_linear(cz_builder *b, const char *name, cz_value x, const cz_linear_weights *w);
cz_value cz_layer_norm(cz_builder *b, const char *name, cz_value x, const cz_norm_weights *w);
cz_value cz_layer_activation(cz_builder *b, const char *name, cz_value x, cz_value gate, int kind);
cz_value cz_layer_dropout(cz_builder *b, const char *name, cz_value x, cz_value spans,
                          cz_fact place);

/* Building blocks. Each returns the value it adds; a failure poisons it (graph.h), so
 * calls are chained without checks. Layers of a block are whole residual layers: norm,
 * function, dropout and addition in the order of the family's norm_place. */
cz_value cz_layer_embed(cz_builder *b, const cz_stack *s, cz_value ids, const cz_tokens *t);
cz_value cz_layer_self_attention(cz_builder *b, cz_value x, const cz_attention_layer *w,
                                 cz_param *position_bias, const cz_tokens *t,
                                 const cz_cache *cache);
cz_value cz_layer_cross_attention(cz_builder *b, cz_value x, const cz_attention_layer *w,
                                  const cz_tokens *t, const cz_crossed *cross);
cz_value cz_layer_feed_forward(cz_builder *b, cz_value x, const cz_ffn_layer *w,
                               const cz_tokens *t);
cz_crossed cz_layer_crossed(cz_builder *b, const cz_attention_layer *w, const cz_encoded *encoded);
/* Stacks and their ends. stack is the blocks alone; finish, the last norm and dropout, is
 * apart, because a head that reads few rows gathers them first and norms only those. Where tokens
 * see all of their segment such a head needs of the last block no more than all keys and values. */
cz_value cz_layer_stack(cz_builder *b, const cz_stack *s, int64_t n, cz_value x, const cz_tokens *t,
                        const cz_stack_reads *reads, bool recompute);
cz_crossed cz_layer_last_keys(cz_builder *b, const cz_stack *s, cz_value x, const cz_tokens *t);
cz_value cz_layer_last_block(cz_builder *b, const cz_stack *s, const char *name, cz_value x,
                             const cz_tokens *t, const cz_crossed *keys);
cz_value cz_layer_finish(cz_builder *b, const cz_stack *s, cz_value x, cz_value spans);
cz_value cz_layer_encoder(cz_builder *b, cz_value ids, const cz_tokens *t, bool recompute);
cz_tokens cz_layer_encoder_tokens(cz_value spans, cz_value positions);
cz_tokens cz_layer_decoder_tokens(const cz_model *m, cz_value spans, cz_value positions,
                                  cz_value prefix);
double cz_layer_logit_scale(const cz_model *m);
cz_value cz_layer_logits(cz_builder *b, cz_value x);
/* What heads read, of gathered rows: the masked LM's transform, classifiers' pooler. */
cz_value cz_layer_transform(cz_builder *b, cz_value x);
cz_value cz_layer_pool(cz_builder *b, cz_value x);

#endif
