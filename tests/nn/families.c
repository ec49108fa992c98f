#include "nn/families.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

static int64_t read_list(const json_t *line, const char *key, int32_t *out) {
  const json_t *list = json_object_get(line, key);
  for (size_t i = 0; i < json_array_size(list); i++)
    out[i] = (int32_t)json_integer_value(json_array_get(list, i));
  return (int64_t)json_array_size(list);
}

/* A causal head predicts the following label. */
static void shift(int32_t *labels, int64_t n) {
  memmove(labels, labels + 1, (size_t)(n - 1) * sizeof *labels);
  labels[n - 1] = -100;
}

static void add_line(texts *t, const json_t *line, bool causal) {
  const json_t *label = json_object_get(line, "label");
  const int64_t n = read_list(line, "input_ids", t->ids + t->tokens);
  t->has_types |= read_list(line, "token_type_ids", t->types + t->tokens) > 0;
  assert_true(t->segments < TEXTS && t->tokens + n <= TOKENS);
  if (label) {
    t->classes = true;
    t->targets[t->segments] = (int32_t)json_integer_value(label);
  } else {
    assert_int_equal(read_list(line, "labels", t->targets + t->tokens), n);
    if (causal) shift(t->targets + t->tokens, n);
  }
  t->spans[2 * t->segments] = (int32_t)t->tokens;
  t->tokens += n;
  t->spans[2 * t->segments++ + 1] = (int32_t)t->tokens;
}

/** Reads FOLDER/batch.jsonl for a model of CONFIG. */
void texts_read(texts *t, const char *folder, const cz_model_config *c) {
  char path[600], line[4096];
  snprintf(path, sizeof path, "%s/batch.jsonl", folder);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  memset(t, 0, sizeof *t);
  while (fgets(line, sizeof line, f)) {
    json_t *j = json_loads(line, 0, NULL);
    assert_non_null(j);
    add_line(t, j, c->family->architecture == CZ_LANGUAGE_MODEL);
    json_decref(j);
  }
  fclose(f);
  cz_net_pooled_rows(t->rows, c, t->spans, t->segments);
}

/** One text of T alone. */
void texts_one(texts *out, const texts *t, int64_t segment, const cz_model_config *c) {
  const int32_t from = t->spans[2 * segment], n = t->spans[2 * segment + 1] - from;
  *out = *t;
  out->segments = 1, out->tokens = n;
  memcpy(out->ids, t->ids + from, (size_t)n * sizeof *out->ids);
  memcpy(out->types, t->types + from, (size_t)n * sizeof *out->types);
  memcpy(out->targets, t->targets + (t->classes ? segment : from), (size_t)n * sizeof *out->ids);
  out->spans[0] = 0, out->spans[1] = n;
  cz_net_pooled_rows(out->rows, c, out->spans, 1);
}

/** The net of O with the head of M, with room for T. */
cz_net *net_for(cz_model *m, const texts *t, cz_net_options o) {
  cz_net *net;
  o.capacity_segments = t->segments, o.capacity_encoder = 1, o.capacity_decoder = t->tokens;
  o.logits = true;
  if (t->classes) {
    const bool next = m->config.heads & CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE);
    o.n_heads = 1;
    o.heads[0] = (cz_net_head_options){.kind = next ? CZ_NET_NEXT_SENTENCE : CZ_NET_CLASSIFIER,
                                       .capacity_rows = t->segments};
  }
  OK(cz_net_create(&net, m, &o));
  return net;
}

/** Feeds T; the loss is divided by DENOMINATOR. */
void feed_texts(cz_net *net, const texts *t, double denominator) {
  const cz_net_head_feed classes = {
      .rows = t->rows, .n_rows = t->segments, .targets = t->targets, .denominator = denominator};
  const cz_feed f = {.segments = t->segments,
                     .decoder = {t->ids, t->spans, t->tokens, t->has_types ? t->types : NULL},
                     .targets = t->targets,
                     .n_loss_rows = t->tokens,
                     .denominator = denominator,
                     .heads = &classes};
  OK(cz_net_feed(net, &f));
}

/** How many targets the loss counts. */
double counted_of(const texts *t) {
  int n = 0;
  for (int64_t i = 0; i < (t->classes ? t->segments : t->tokens); i++) n += t->targets[i] >= 0;
  return n;
}

/** The tensor NAME of the file of expected values. */
double *expected_of(cz_safetensors *s, const char *name, int64_t *n) {
  const cz_safetensors_info *info = cz_safetensors_find(s, name);
  if (!info) fail_msg("the fixture has no %s", name);
  double *x = calloc(info->elements + 1, sizeof *x);
  assert_non_null(x);
  OK(cz_safetensors_read_f64(s, x, name, info->dims, info->rank));
  *n = (int64_t)info->elements;
  return x;
}

/** [tokens, V], or [segments, C]. */
double *logits_of(cz_net *net, const texts *t, int64_t *n) {
  const cz_net_head *h = &net->heads[0];
  *n = (t->classes ? t->segments : t->tokens) * h->classes;
  double *x = calloc((size_t)*n, sizeof *x);
  assert_non_null(x);
  OK(cz_graph_read(net->graph, x, t->classes ? h->scores : h->logits, *n));
  return x;
}

/** [flat]. */
double *gradients_of(const cz_model *m) {
  double *g = calloc((size_t)m->params->flat, sizeof *g);
  assert_non_null(g);
  for (size_t i = 0; i < m->params->n; i++) {
    const cz_param *p = m->params->list[i];
    OK(cz_device_read_real(m->device, g + p->offset, p->grad, p->count));
  }
  return g;
}
