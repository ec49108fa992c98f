/* T5's parameters: names as Hugging Face has them (docs/models.md 2.2), shapes, and
 * Mesh TensorFlow's initialisers (t5.md 1.3). */
#include "nn/model.h"

#include <math.h>
#include <stdio.h>

static cz_status declare(cz_model *m, cz_param **out, const char *name, int64_t rows,
                         int64_t columns, cz_init_kind kind, double scale) {
  const int64_t dim[2] = {rows, columns};
  bool matrix = columns > 0;
  return cz_params_declare(m->params, out, name, matrix ? 2 : 1, dim,
                           (cz_init){kind, m->config.init_factor * scale}, matrix);
}

static cz_status declare_norm(cz_model *m, cz_param **out, const char *at) {
  char name[160];
  snprintf(name, sizeof name, "%s.weight", at);
  return declare(m, out, name, m->config.d_model, 0, CZ_INIT_ONE, 1);
}

/* q carries the 1/sqrt(K) that T5's attention leaves out. */
static cz_status declare_attention(cz_model *m, cz_attention_layer *a, const char *layer,
                                   const char *kind) {
  const cz_model_config *c = &m->config;
  double D = (double)c->d_model, K = (double)c->d_kv, inner = (double)(c->n_heads * c->d_kv);
  const struct {
    const char *name;
    cz_param **out;
    double deviation;
  } w[] = {{"q", &a->q, 1 / sqrt(D * K)},
           {"k", &a->k, 1 / sqrt(D)},
           {"v", &a->v, 1 / sqrt(D)},
           {"o", &a->o, 1 / sqrt(inner)}};
  char name[160];
  for (int i = 0; i < 4; i++) {
    bool output = i == 3;
    snprintf(name, sizeof name, "%s.%s.%s.weight", layer, kind, w[i].name);
    CZ_TRY(declare(m, w[i].out, name, output ? c->d_model : c->n_heads * c->d_kv,
                   output ? c->n_heads * c->d_kv : c->d_model, CZ_INIT_NORMAL, w[i].deviation));
  }
  snprintf(name, sizeof name, "%s.layer_norm", layer);
  return declare_norm(m, &a->norm, name);
}

static cz_status declare_ffn(cz_model *m, cz_ffn_layer *f, const char *layer) {
  const cz_model_config *c = &m->config;
  double wi = 1 / sqrt((double)c->d_model), wo = 1 / sqrt((double)c->d_ff);
  char name[160];
  snprintf(name, sizeof name, "%s.DenseReluDense.%s.weight", layer, c->gated ? "wi_0" : "wi");
  CZ_TRY(declare(m, &f->wi, name, c->d_ff, c->d_model, CZ_INIT_TRUNCATED, wi));
  if (c->gated) {
    snprintf(name, sizeof name, "%s.DenseReluDense.wi_1.weight", layer);
    CZ_TRY(declare(m, &f->gate, name, c->d_ff, c->d_model, CZ_INIT_TRUNCATED, wi));
  }
  snprintf(name, sizeof name, "%s.DenseReluDense.wo.weight", layer);
  CZ_TRY(declare(m, &f->wo, name, c->d_model, c->d_ff, CZ_INIT_TRUNCATED, wo));
  snprintf(name, sizeof name, "%s.layer_norm", layer);
  return declare_norm(m, &f->norm, name);
}

/* Glorot uniform over [heads, buckets], TensorFlow's default, which the reference leaves
 * in place. */
static cz_status declare_table(cz_model *m, cz_stack *s) {
  const cz_model_config *c = &m->config;
  char name[160];
  snprintf(name, sizeof name, "%s.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
           s->name);
  return declare(m, &s->table, name, c->buckets, c->n_heads, CZ_INIT_UNIFORM,
                 sqrt(6.0 / (double)(c->n_heads + c->buckets)));
}

static cz_status declare_stack(cz_model *m, cz_stack *s, const char *stack, int64_t n, bool cross) {
  char layer[128];
  s->name = stack;
  s->n = n;
  CZ_TRY(cz_arena_alloc(m->arena, &s->blocks, (size_t)n, sizeof *s->blocks));
  for (int64_t i = 0; i < n; i++) {
    int at = 0;
    snprintf(layer, sizeof layer, "%s.block.%lld.layer.%d", stack, (long long)i, at++);
    CZ_TRY(declare_attention(m, &s->blocks[i].self, layer, "SelfAttention"));
    if (i == 0) CZ_TRY(declare_table(m, s));
    if (cross) {
      snprintf(layer, sizeof layer, "%s.block.%lld.layer.%d", stack, (long long)i, at++);
      CZ_TRY(declare_attention(m, &s->blocks[i].cross, layer, "EncDecAttention"));
    }
    snprintf(layer, sizeof layer, "%s.block.%lld.layer.%d", stack, (long long)i, at);
    CZ_TRY(declare_ffn(m, &s->blocks[i].ffn, layer));
  }
  snprintf(layer, sizeof layer, "%s.final_layer_norm", stack);
  return declare_norm(m, &s->final_norm, layer);
}

/** Declares every parameter of a T5 model (both stacks, or the single one as `decoder`)
 * in MODEL's list. */
cz_status cz_t5_declare(cz_model *m) {
  const cz_model_config *c = &m->config;
  bool pair = c->family->architecture == CZ_ENCODER_DECODER;
  CZ_TRY(declare(m, &m->embedding, "shared.weight", c->vocab_size, c->d_model, CZ_INIT_NORMAL, 1));
  if (pair) CZ_TRY(declare_stack(m, &m->encoder, "encoder", c->n_layers, false));
  CZ_TRY(declare_stack(m, &m->decoder, "decoder", pair ? c->n_decoder_layers : c->n_layers, pair));
  m->head = m->embedding;
  if (!c->tied)
    CZ_TRY(declare(m, &m->head, "lm_head.weight", c->vocab_size, c->d_model, CZ_INIT_TRUNCATED,
                   1 / sqrt((double)c->d_model)));
  return CZ_OK;
}
