/* Declares a model's parameters by walking its family's weight map. The table of slots says
 * what each is to every family: where the model keeps it, its shape, where it belongs. */
#include "nn/model.h"

#include <stdio.h>
#include <string.h>

/* Where a slot belongs; parameters are declared in this order, and in the map's order
 * within each. */
typedef enum scope { MODEL_BEGIN, STACK_BEGIN, BLOCK, FIRST_BLOCK, STACK_END, MODEL_END } scope;

typedef enum extent {
  NONE,
  ROWS_V,
  ROWS_P,
  ROWS_N,
  ROWS_TYPES,
  ROWS_C,
  ROWS_TWO,
  WIDTH_D,
  WIDTH_E,
  WIDTH_HK,
  WIDTH_F,
  WIDTH_H
} extent;

typedef struct slot_row {
  const char *name;
  size_t at; /* of the pointer, in the cz_model, cz_stack or cz_block that scope says */
  scope scope;
  extent rows, columns;
  unsigned when;  /* besides what the map says */
  bool required;  /* where its conditions hold */
  unsigned heads; /* one of these must be asked for; 0: always */
} slot_row;

#define MODEL(m)    offsetof(cz_model, m)
#define STACK(m)    offsetof(cz_stack, m)
#define IN_BLOCK(m) offsetof(cz_block, m)
#define LINEAR(SLOT, member, out, in, conditions)                                                  \
  [CZ_SLOT_##SLOT] = {#member, IN_BLOCK(member.weight), BLOCK, out, in, conditions, true},         \
  [CZ_SLOT_##SLOT##                                                                                \
      _BIAS] = {#member ".bias", IN_BLOCK(member.bias), BLOCK, out, NONE, conditions, false}
#define NORM(SLOT, member, conditions)                                                             \
  [CZ_SLOT_##SLOT] = {#member, IN_BLOCK(member.gain), BLOCK, WIDTH_D, NONE, conditions, true},     \
  [CZ_SLOT_##SLOT##                                                                                \
      _BIAS] = {#member ".bias", IN_BLOCK(member.bias), BLOCK, WIDTH_D, NONE, conditions, false}

#define HEAD(SLOT, member, out, in, heads)                                                         \
  [CZ_SLOT_##SLOT] = {#member, MODEL(member), MODEL_END, out, in, 0, true, heads}
#define HEAD_BIAS(SLOT, member, out, heads)                                                        \
  [CZ_SLOT_##SLOT] = {#member, MODEL(member), MODEL_END, out, NONE, 0, false, heads}

enum {
  CAUSAL = CZ_HEAD_BIT(CZ_HEAD_CAUSAL_LM),
  MASKED = CZ_HEAD_BIT(CZ_HEAD_MASKED_LM),
  SENTENCES = CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE),
  CLASSES = CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION)
};

static const slot_row slots[CZ_SLOTS] = {
    [CZ_SLOT_EMBEDDING] = {"embedding", MODEL(embedding), MODEL_BEGIN, ROWS_V, WIDTH_E, 0, true},
    [CZ_SLOT_POSITIONS] = {"positions", STACK(positions), STACK_BEGIN, ROWS_P, WIDTH_E, 0, false},
    [CZ_SLOT_TYPES] = {"types", STACK(types), STACK_BEGIN, ROWS_TYPES, WIDTH_E, 0, false},
    [CZ_SLOT_EMBEDDING_NORM] = {"embedding norm", STACK(embedding_norm.gain), STACK_BEGIN, WIDTH_E,
                                NONE, 0, false},
    [CZ_SLOT_EMBEDDING_NORM_BIAS] = {"embedding norm.bias", STACK(embedding_norm.bias), STACK_BEGIN,
                                     WIDTH_E, NONE, 0, false},
    [CZ_SLOT_EMBEDDING_MAP] = {"embedding map", STACK(embedding_map.weight), STACK_BEGIN, WIDTH_D,
                               WIDTH_E, 0, false},
    [CZ_SLOT_EMBEDDING_MAP_BIAS] = {"embedding map.bias", STACK(embedding_map.bias), STACK_BEGIN,
                                    WIDTH_D, NONE, 0, false},
    LINEAR(SELF_Q, self.q, WIDTH_HK, WIDTH_D, 0),
    LINEAR(SELF_K, self.k, WIDTH_HK, WIDTH_D, 0),
    LINEAR(SELF_V, self.v, WIDTH_HK, WIDTH_D, 0),
    LINEAR(SELF_O, self.o, WIDTH_D, WIDTH_HK, 0),
    NORM(SELF_NORM, self.norm, 0),
    [CZ_SLOT_POSITION_BIAS] = {"position bias", STACK(position_bias), FIRST_BLOCK, ROWS_N, WIDTH_H,
                               0, false},
    LINEAR(CROSS_Q, cross.q, WIDTH_HK, WIDTH_D, CZ_WHEN_CROSS),
    LINEAR(CROSS_K, cross.k, WIDTH_HK, WIDTH_D, CZ_WHEN_CROSS),
    LINEAR(CROSS_V, cross.v, WIDTH_HK, WIDTH_D, CZ_WHEN_CROSS),
    LINEAR(CROSS_O, cross.o, WIDTH_D, WIDTH_HK, CZ_WHEN_CROSS),
    NORM(CROSS_NORM, cross.norm, CZ_WHEN_CROSS),
    LINEAR(WI, ffn.wi, WIDTH_F, WIDTH_D, 0),
    LINEAR(GATE, ffn.gate, WIDTH_F, WIDTH_D, CZ_WHEN_GATED),
    LINEAR(WO, ffn.wo, WIDTH_D, WIDTH_F, 0),
    NORM(FFN_NORM, ffn.norm, 0),
    [CZ_SLOT_FINAL_NORM] = {"final norm", STACK(final_norm.gain), STACK_END, WIDTH_D, NONE, 0,
                            false},
    [CZ_SLOT_FINAL_NORM_BIAS] = {"final norm.bias", STACK(final_norm.bias), STACK_END, WIDTH_D,
                                 NONE, 0, false},
    [CZ_SLOT_HEAD] = {"head", MODEL(head), MODEL_END, ROWS_V, WIDTH_E, CZ_WHEN_UNTIED, true,
                      CAUSAL | MASKED},
    HEAD(LM_DENSE, heads.lm_dense.weight, WIDTH_E, WIDTH_D, MASKED),
    HEAD_BIAS(LM_DENSE_BIAS, heads.lm_dense.bias, WIDTH_E, MASKED),
    HEAD(LM_NORM, heads.lm_norm.gain, WIDTH_E, NONE, MASKED),
    HEAD_BIAS(LM_NORM_BIAS, heads.lm_norm.bias, WIDTH_E, MASKED),
    HEAD_BIAS(LM_BIAS, heads.lm_bias, ROWS_V, MASKED),
    [CZ_SLOT_POOLER] = {"pooler", MODEL(heads.pooler.weight), MODEL_END, WIDTH_D, WIDTH_D, 0, false,
                        SENTENCES | CLASSES},
    HEAD_BIAS(POOLER_BIAS, heads.pooler.bias, WIDTH_D, SENTENCES | CLASSES),
    HEAD(NEXT_SENTENCE, heads.next_sentence.weight, ROWS_TWO, WIDTH_D, SENTENCES),
    HEAD_BIAS(NEXT_SENTENCE_BIAS, heads.next_sentence.bias, ROWS_TWO, SENTENCES),
    HEAD(CLASSIFIER, heads.classifier.weight, ROWS_C, WIDTH_D, CLASSES),
    HEAD_BIAS(CLASSIFIER_BIAS, heads.classifier.bias, ROWS_C, CLASSES),
};

static int64_t size_of(const cz_model_config *c, extent e) {
  switch (e) {
  case NONE: return 0;
  case ROWS_V: return c->vocab_size;
  case ROWS_P: return cz_model_position_offset(c) + cz_model_longest(c);
  case ROWS_N: return c->buckets;
  case ROWS_TYPES: return c->n_types;
  case ROWS_C: return c->n_labels;
  case ROWS_TWO: return 2;
  case WIDTH_E: return cz_model_embedding_width(c);
  case WIDTH_D: return c->d_model;
  case WIDTH_HK: return c->n_heads * c->d_kv;
  case WIDTH_F: return c->d_ff;
  case WIDTH_H: return c->n_heads;
  }
  return 0;
}

/* A place of declaration: the model, one stack of it, one of its blocks. */
typedef struct place {
  cz_model *m;
  cz_stack *stack;
  int64_t block;
} place;

static cz_param **pointer(const place *p, cz_slot slot) {
  char *base = (char *)p->m;
  if (slots[slot].scope == BLOCK)
    base = (char *)&p->stack->blocks[p->block];
  else if (slots[slot].scope != MODEL_BEGIN && slots[slot].scope != MODEL_END)
    base = (char *)p->stack;
  return (cz_param **)(void *)(base + slots[slot].at);
}

static bool holds(const place *p, unsigned when, const slot_row *slot) {
  const cz_model_config *c = &p->m->config;
  bool cross = p->stack && p->stack->cross;
  if (slot->heads && !(slot->heads & c->heads)) return false;
  when |= slot->when;
  return !((when & CZ_WHEN_GATED && !c->gated) || (when & CZ_WHEN_NOT_GATED && c->gated) ||
           (when & CZ_WHEN_CROSS && !cross) || (when & CZ_WHEN_NO_CROSS && cross) ||
           (when & CZ_WHEN_UNTIED && c->tied));
}

/* The group of blocks that block I belongs to, by Hugging Face's arithmetic, and its place K in
 * it: layer after layer runs all blocks of its group. */
static int64_t group_of(const cz_model_config *c, int64_t i, int64_t *k) {
  const int64_t layer = i / c->n_inner;
  *k = i % c->n_inner;
  return (int64_t)((double)layer / ((double)c->n_layers / (double)c->n_groups));
}

/* The number of the first block that is the same as block I. */
static int64_t first_like(const cz_model_config *c, int64_t i) {
  int64_t k, g, other;
  if (!c->family->shared_blocks) return i;
  g = group_of(c, i, &k);
  for (int64_t j = 0; j < i; j++)
    if (group_of(c, j, &other) == g && other == k) return j;
  return i;
}

/* What stands for KEY, the letter between braces. */
static void substitute(char out[32], const place *p, char key) {
  int64_t k = 0, number = p->block;
  if (key == 's') {
    snprintf(out, 32, "%s", p->stack->name);
    return;
  }
  if (key != 'i') number = group_of(&p->m->config, p->block, &k);
  snprintf(out, 32, "%lld", (long long)(key == 'k' ? k : number));
}

/* The tensor's name with all between braces filled in. */
static cz_status expand(const char **out, const place *p, const char *tensor) {
  char name[256];
  size_t n = 0;
  for (const char *at = tensor; *at && n + 32 < sizeof name;) {
    char with[32];
    if (at[0] != '{') {
      name[n++] = *at++;
      continue;
    }
    substitute(with, p, at[1]);
    n += (size_t)snprintf(name + n, 32, "%s", with), at += 3;
  }
  name[n] = '\0';
  char *kept;
  CZ_TRY(cz_arena_strdup(p->m->arena, &kept, name));
  *out = kept;
  return CZ_OK;
}

/* Declares W at its place under the tensor's name; of several ranges of one tensor each has
 * its number behind it. */
static cz_status declare_weight(const place *p, const cz_weight *w) {
  cz_model *m = p->m;
  const cz_model_config *c = &m->config;
  const slot_row *slot = &slots[w->slot];
  const int64_t dim[2] = {size_of(c, slot->rows), size_of(c, slot->columns)};
  const bool constant = w->init == CZ_INIT_ONE && w->scale;
  const cz_init init = {w->init, (constant ? 1 : c->init_factor) * (w->scale ? w->scale(c) : 1)};
  cz_origin origin = {.part = w->part,
                      .parts = w->parts ? w->parts : 1,
                      .transposed = w->transposed,
                      .heads = w->slot == CZ_SLOT_HEAD ? 0 : slot->heads};
  char name[288];
  bool matrix = slot->columns != NONE;
  CZ_TRY(expand(&origin.tensor, p, w->tensor));
  if (origin.parts > 1)
    snprintf(name, sizeof name, "%s[%d]", origin.tensor, origin.part);
  else
    snprintf(name, sizeof name, "%s", origin.tensor);
  CZ_TRY(cz_grow(&m->origins, &m->cap_origins, m->params->n + 1, sizeof *m->origins));
  m->origins[m->params->n] = origin;
  cz_param **declared = pointer(p, w->slot);
  CZ_TRY(cz_params_declare(m->params, declared, name, matrix ? 2 : 1, dim, init, matrix));
  (*declared)->exact =
      w->slot == CZ_SLOT_POSITIONS || w->slot == CZ_SLOT_POSITION_BIAS || w->slot == CZ_SLOT_TYPES;
  return CZ_OK;
}

static cz_status declare_scope(const place *p, scope s) {
  for (const cz_weight *w = p->m->config.family->weights; w->tensor; w++) {
    const slot_row *slot = &slots[w->slot];
    bool here = slot->scope == s || (s == BLOCK && slot->scope == FIRST_BLOCK && p->block == 0);
    if (here && holds(p, w->when, slot)) CZ_TRY(declare_weight(p, w));
  }
  return CZ_OK;
}

/* A map that leaves out what every model needs is a mistake in the family's file. */
static cz_status check_scope(const place *p, scope s) {
  for (int i = 0; i < CZ_SLOTS; i++)
    if (slots[i].scope == s && slots[i].required && holds(p, 0, &slots[i]) &&
        !*pointer(p, (cz_slot)i))
      return CZ_FAIL(CZ_EINVAL, "the weight map of family %s has no %s for these sizes",
                     p->m->config.family->name, slots[i].name);
  return CZ_OK;
}

static cz_status declare_stack(cz_model *m, cz_stack *s, const char *name, int64_t n, bool cross) {
  place p = {.m = m, .stack = s};
  s->name = name;
  s->n = n;
  s->cross = cross;
  CZ_TRY(cz_arena_alloc(m->arena, &s->blocks, (size_t)n, sizeof *s->blocks));
  CZ_TRY(declare_scope(&p, STACK_BEGIN));
  for (p.block = 0; p.block < n; p.block++) {
    const int64_t like = first_like(&m->config, p.block);
    if (like < p.block) {
      s->blocks[p.block] = s->blocks[like];
      continue;
    }
    CZ_TRY(declare_scope(&p, BLOCK));
    CZ_TRY(check_scope(&p, BLOCK));
  }
  CZ_TRY(declare_scope(&p, STACK_END));
  cz_positions positions = m->config.family->positions;
  if ((positions == CZ_POSITIONS_LEARNED && !s->positions) ||
      (positions == CZ_POSITIONS_BUCKETS && !s->position_bias))
    return CZ_FAIL(CZ_EINVAL, "the weight map of family %s has no positions for the %s",
                   m->config.family->name, name);
  return CZ_OK;
}

/* Declares every parameter of M in its list, under the names that Hugging Face has for
 * them: both stacks of a pair, or the single one as `decoder`. */
cz_status cz__model_declare(cz_model *m) {
  const cz_model_config *c = &m->config;
  const place whole = {.m = m};
  bool pair = c->family->architecture == CZ_ENCODER_DECODER;
  CZ_TRY(declare_scope(&whole, MODEL_BEGIN));
  if (pair) CZ_TRY(declare_stack(m, &m->encoder, "encoder", c->n_layers, false));
  const char *name = c->family->architecture == CZ_ENCODER ? "encoder" : "decoder";
  CZ_TRY(
      declare_stack(m, &m->decoder, name, pair ? c->n_decoder_layers : cz_model_blocks(c), pair));
  CZ_TRY(declare_scope(&whole, MODEL_END));
  CZ_TRY(check_scope(&whole, MODEL_BEGIN));
  CZ_TRY(check_scope(&whole, MODEL_END));
  if (!m->head) m->head = m->embedding;
  return CZ_OK;
}
