/* Tiny random models of BERT, RoBERTa, XLM-R, DistilBERT, ALBERT and GPT-2 with each head against
 * Hugging Face (fixtures of scripts/make_family_fixtures.py): loss, logits, every gradient in its
 * names and orientation; the same weights under old names, in shards and in other types; a
 * directory written and read again. And that these comparisons notice: a family that is wrong in
 * one fact does not pass. */
#include "nn/families.h"
#include "graph/ops.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const folders[] = {"albert_class",
                                      "albert_mlm",
                                      "albert_mlm_one",
                                      "bert_class",
                                      "bert_mlm",
                                      "bert_mlm_relu",
                                      "bert_pad",
                                      "roberta_pad",
                                      "bert_nsp",
                                      "distilbert_class",
                                      "distilbert_mlm",
                                      "gpt2_class",
                                      "gpt2_lm",
                                      "gpt2_lm_by_layer",
                                      "roberta_class",
                                      "roberta_mlm",
                                      "xlmr_class",
                                      "xlmr_mlm",
                                      NULL};

/* How far numbers are off, as a share: the largest difference over the largest number of a tensor;
 * in 16 bits the same of root mean squares, since there single ones cross the kink of a ReLU. A
 * key's bias moves all scores of a query alike, so its gradient is 0 but for rounding, and the
 * floor is a part of the largest gradient there is. */
typedef struct error {
  bool narrow;
  double worst;
  char where[128];
} error;

static void compare(error *e, const char *name, const double *got, const double *want, int64_t n,
                    double floor) {
  double largest = floor, off = 0, square = 0, of = 0;
  for (int64_t i = 0; i < n; i++) {
    const double d = isfinite(got[i]) ? got[i] - want[i] : INFINITY;
    largest = fmax(largest, fabs(want[i]));
    off = fmax(off, fabs(d));
    square += want[i] * want[i] / (double)n, of += d * d / (double)n;
  }
  if (e->narrow) largest = fmax(floor, sqrt(square)), off = sqrt(of);
  if (off / largest > e->worst) {
    e->worst = off / largest;
    snprintf(e->where, sizeof e->where, "%s", name);
  }
}

static double largest_gradient(cz_safetensors *s) {
  double largest = 0;
  for (size_t i = 0; i < cz_safetensors_count(s); i++) {
    const char *name = cz_safetensors_at(s, i)->name;
    int64_t n;
    if (strncmp(name, "grad.", 5)) continue;
    double *x = expected_of(s, name, &n);
    for (int64_t k = 0; k < n; k++) largest = fmax(largest, fabs(x[k]));
    free(x);
  }
  return largest;
}

static void compare_logits(error *e, cz_net *net, const texts *t, cz_safetensors *s) {
  int64_t n, all, at = 0;
  double *got = logits_of(net, t, &all);
  for (int64_t k = 0; k < t->segments; k++) {
    char name[32];
    snprintf(name, sizeof name, "logits.%lld", (long long)k);
    double *want = expected_of(s, name, &n);
    compare(e, name, got + at, want, n, 0);
    at += n;
    free(want);
  }
  assert_int_equal(at, all);
  free(got);
}

/* In the names and shapes of files; none of theirs is missing. FLOOR is a part of the largest. */
static void compare_gradients(error *e, const cz_model *m, cz_safetensors *s, double part) {
  double *all = gradients_of(m), floor = part * largest_gradient(s);
  size_t seen = 0, wanted = 0;
  for (size_t i = 0; i < m->params->n; i++) {
    cz_hf_tensor_view t;
    char name[288];
    int64_t n;
    bool first;
    OK(cz_hf_tensor(&t, &first, m, i, all));
    if (!first) continue;
    snprintf(name, sizeof name, "grad.%s", t.name);
    const cz_safetensors_info *info = cz_safetensors_find(s, name);
    if (!info) fail_msg("the fixture has no %s", name);
    assert_int_equal(info->rank, t.rank);
    assert_memory_equal(info->dims, t.dims, (size_t)t.rank * sizeof *t.dims);
    double *want = expected_of(s, name, &n);
    compare(e, name, t.data, want, n, floor);
    free(want);
    free(t.data);
    seen++;
  }
  for (size_t i = 0; i < cz_safetensors_count(s); i++)
    wanted += !strncmp(cz_safetensors_at(s, i)->name, "grad.", 5);
  assert_int_equal(seen, wanted);
  free(all);
}

/* One run of M on the batch of FOLDER against what is expected there. */
static error run(cz_model *m, const char *folder, cz_net_options o) {
  char path[600];
  texts t;
  cz_safetensors *s;
  int64_t n;
  error e = {.narrow = m->params->copies};
  double loss;
  o.train = true;
  snprintf(path, sizeof path, "%s/expected.safetensors", folder);
  OK(cz_safetensors_open(&s, path));
  texts_read(&t, folder, &m->config);
  cz_net *net = net_for(m, &t, o);
  for (int again = 0; again < 2; again++) { /* the second run finds used memory */
    feed_texts(net, &t, counted_of(&t));
    OK(cz_graph_train(net->graph, &(cz_graph_run_options){0}));
    OK(cz_graph_read_loss(net->graph, &loss));
    double *want = expected_of(s, "loss", &n);
    compare(&e, "loss", &loss, want, 1, 0);
    free(want);
    compare_logits(&e, net, &t, s);
    compare_gradients(&e, m, s, m->params->copies ? 0.1 : 1e-2);
  }
  cz_net_destroy(&net);
  cz_safetensors_close(&s);
  return e;
}

static void passes(const char *weights, const char *like, const char *device_name, double tolerance,
                   cz_net_options o, cz_precision precision) {
  char folder[600], expected[600];
  cz_device *device;
  cz_model *m;
  snprintf(folder, sizeof folder, FAMILIES "/%s", weights);
  snprintf(expected, sizeof expected, FAMILIES "/%s", like);
  OK(cz_device_open(&device, device_name));
  OK(cz_hf_open(&m, folder, device));
  assert_int_equal(m->drawn, 0);
  OK(cz_model_compute(m, precision, false));
  const error e = run(m, expected, o);
  if (precision != CZ_PRECISION_F32) print_message("%s: %.3g %s\n", weights, e.worst, e.where);
  if (!(e.worst <= tolerance))
    fail_msg("%s on %s: %s is off by %.3g of its largest number", weights, device_name, e.where,
             e.worst);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static void exact(void **state) {
  for (int i = 0; folders[i]; i++) {
    const char *f = folders[i];
    passes(f, f, "ref", 1e-9, (cz_net_options){0}, CZ_PRECISION_F32);
    passes(f, f, "ref", 1e-9, (cz_net_options){.no_fusion = true}, CZ_PRECISION_F32);
    passes(f, f, "ref", 1e-9, (cz_net_options){.no_reuse = true}, CZ_PRECISION_F32);
    passes(f, f, "guard:ref", 1e-9, (cz_net_options){.recompute = true}, CZ_PRECISION_F32);
  }
}

static void float32(void **state) {
  for (int i = 0; folders[i]; i++) {
    const char *f = folders[i];
    passes(f, f, "cpu", 2e-5, (cz_net_options){0}, CZ_PRECISION_F32);
    passes(f, f, "guard:cpu", 2e-5, (cz_net_options){.recompute = true}, CZ_PRECISION_F32);
  }
}

/* Products of bfloat16 numbers, of 8 bits each, some twenty one behind the other: what comes out is
 * within a few of 256 parts, gradients, which are differences, within more: a tenth of the largest
 * is where small ones end in rounding. A model that is wrong is off by its whole. */
static void bfloat16(void **state) {
  for (int i = 0; folders[i]; i++)
    passes(folders[i], folders[i], "cpu", 0.12, (cz_net_options){0}, CZ_PRECISION_BF16);
}

/* What other programs write of the same numbers. */
static void variants(void **state) {
  static const char *const of_bert[] = {"old_names",    "module",  "module_bare",
                                        "position_ids", "float16", "bfloat16",
                                        "float64",      "sharded", NULL};
  for (int i = 0; of_bert[i]; i++) {
    char weights[64];
    snprintf(weights, sizeof weights, "variants/%s", of_bert[i]);
    passes(weights, "bert_mlm", "ref", 1e-9, (cz_net_options){0}, CZ_PRECISION_F32);
  }
  passes("variants/gpt2_published", "gpt2_lm", "ref", 1e-9, (cz_net_options){0}, CZ_PRECISION_F32);
}

/* A text alone has the logits that it has among others. */
static void alone(void **state) {
  for (int i = 0; folders[i]; i++) {
    char folder[600], path[700];
    cz_device *device;
    cz_model *m;
    cz_safetensors *s;
    texts all, one;
    snprintf(folder, sizeof folder, FAMILIES "/%s", folders[i]);
    snprintf(path, sizeof path, "%s/expected.safetensors", folder);
    OK(cz_device_open(&device, "ref"));
    OK(cz_hf_open(&m, folder, device));
    OK(cz_safetensors_open(&s, path));
    texts_read(&all, folder, &m->config);
    cz_net *net = net_for(m, &all, (cz_net_options){0});
    for (int64_t k = 0; k < all.segments; k++) {
      char name[32];
      int64_t n, expected;
      error e = {0};
      texts_one(&one, &all, k, &m->config);
      feed_texts(net, &one, 1);
      OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
      snprintf(name, sizeof name, "logits.%lld", (long long)k);
      double *want = expected_of(s, name, &expected), *got = logits_of(net, &one, &n);
      assert_int_equal(n, expected);
      compare(&e, name, got, want, n, 0);
      if (!(e.worst <= 1e-9)) fail_msg("%s: %s is off by %.3g", folders[i], name, e.worst);
      free(want);
      free(got);
    }
    cz_net_destroy(&net);
    cz_safetensors_close(&s);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

/* Saved and opened again: the same class, the same parameters bit for bit, the same labels. */
static void round_trip(void **state) {
  for (int i = 0; folders[i]; i++) {
    char folder[600];
    cz_device *device;
    cz_model *a, *b;
    snprintf(folder, sizeof folder, FAMILIES "/%s", folders[i]);
    OK(cz_device_open(&device, "ref"));
    OK(cz_hf_open(&a, folder, device));
    OK(cz_hf_save(a, under(folders[i])));
    OK(cz_hf_open(&b, under(folders[i]), device));
    assert_int_equal(a->config.heads, b->config.heads);
    assert_int_equal(b->drawn, 0);
    assert_int_equal(a->params->flat, b->params->flat);
    assert_memory_equal(a->params->values, b->params->values, (size_t)a->params->flat * 8);
    for (int64_t k = 0; a->labels && k < a->config.n_labels; k++)
      assert_string_equal(a->labels[k], b->labels[k]);
    cz_model_destroy(&a);
    cz_model_destroy(&b);
    cz_device_close(&device);
  }
}

/* The weights of FOLDER as a model of the family F, which is not theirs, are off by a lot. */
static void notices(const char *name, const char *what, const cz_family *f) {
  char folder[600], path[700];
  cz_device *device;
  cz_model *m;
  cz_model_config c;
  snprintf(folder, sizeof folder, FAMILIES "/%s", name);
  snprintf(path, sizeof path, "%s/config.json", folder);
  OK(cz_device_open(&device, "ref"));
  OK(cz_hf_config_read(&c, path));
  c.family = f;
  OK(cz_hf_load(&m, &c, folder, device));
  texts t;
  cz_safetensors *s;
  error e = {0};
  snprintf(path, sizeof path, "%s/expected.safetensors", folder);
  OK(cz_safetensors_open(&s, path));
  texts_read(&t, folder, &m->config);
  if (!m->decoder.types) t.has_types = false;
  cz_net *net = net_for(m, &t, (cz_net_options){0});
  feed_texts(net, &t, counted_of(&t));
  OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
  compare_logits(&e, net, &t, s);
  if (!(e.worst > 1e-3)) fail_msg("%s: %s is not noticed: %.3g", name, what, e.worst);
  cz_net_destroy(&net);
  cz_safetensors_close(&s);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

static cz_family family_of(const char *name) {
  const cz_family *f;
  OK(cz_family_find(&f, name));
  return *f;
}

/* F's weight map without SLOT, whose tensors nothing reads then, in MAP. */
static void leave_out(cz_family *f, cz_weight map[64], const char *unused[16], cz_slot slot) {
  size_t n = 0, k = 0;
  for (const cz_weight *w = f->weights; w->tensor; w++)
    if (w->slot == slot)
      unused[k++] = w->tensor;
    else
      map[n++] = *w;
  map[n] = (cz_weight){.tensor = NULL};
  for (const char *const *u = f->unused; *u; u++) unused[k++] = *u;
  unused[k] = NULL;
  f->weights = map;
  f->unused = unused;
}

static void faults(void **state) {
  cz_weight map[64];
  const char *unused[16];
  cz_family f = family_of("roberta");
  f.positions_behind_pad = false; /* and no offset: places from row 0 */
  f.position_offset = 0;
  notices("roberta_mlm", "a wrong position offset", &f);
  f = family_of("roberta"), f.lm_gelu = false;
  notices("roberta_mlm", "the body's activation in the masked LM", &f);
  f = family_of("bert"), f.norm_place = CZ_NORM_BEFORE;
  notices("bert_mlm", "the norm before the sublayer", &f);
  f = family_of("bert"), leave_out(&f, map, unused, CZ_SLOT_LM_BIAS);
  notices("bert_mlm", "no bias of the vocabulary", &f);
  f = family_of("bert"), leave_out(&f, map, unused, CZ_SLOT_TYPES);
  notices("bert_class", "no token types", &f);
  f = family_of("distilbert"), f.pooler_activation = CZ_ACTIVATION_TANH;
  notices("distilbert_class", "another activation of the pooler", &f);
  f = family_of("gpt2"), f.pooled_last = false;
  notices("gpt2_class", "the first token pooled", &f);
  f = family_of("gpt2");
  leave_out(&f, map, unused, CZ_SLOTS); /* a copy of the map */
  for (cz_weight *w = map; w->tensor; w++)
    if (strstr(w->tensor, "c_attn") && w->part < 2) w->part = 1 - w->part;
  notices("gpt2_lm", "queries and keys swapped", &f);
  f = family_of("bert"), f.architecture = CZ_LANGUAGE_MODEL;
  notices("bert_nsp", "a causal mask", &f);
}

/* A head that the folder lacks is drawn from the seed, and is the same from the same one. */
static void drawn(void **state) {
  const unsigned masked = CZ_HEAD_BIT(CZ_HEAD_MASKED_LM),
                 classes = CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION);
  cz_device *device;
  cz_model *m[3], *other;
  OK(cz_device_open(&device, "ref"));
  for (int i = 0; i < 3; i++) {
    const cz_hf_options o = {.heads = masked | classes, .n_labels = 4, .seed = i == 2 ? 8 : 7};
    OK(cz_hf_open_with(&m[i], FAMILIES "/variants/headless", device, &o));
    assert_int_equal(m[i]->drawn, masked | classes); /* the pooler is there, the classifier not */
  }
  for (size_t i = 0; i < m[0]->params->n; i++) {
    const cz_param *a = m[0]->params->list[i], *b = m[2]->params->list[i];
    const bool is_new = !strcmp(a->name, "classifier.weight") ||
                        !strcmp(a->name, "cls.predictions.transform.dense.weight");
    assert_memory_equal(a->value, m[1]->params->list[i]->value, (size_t)a->count * 8);
    assert_true(!memcmp(a->value, b->value, (size_t)a->count * 8) == !is_new);
  }
  assert_int_equal(cz_params_find(m[0]->params, "classifier.weight")->dim[0], 4);
  for (int i = 0; i < 3; i++) cz_model_destroy(&m[i]);
  /* half of a head is none, and a classifier of other classes than were asked for no one's */
  const cz_hf_options many = {.n_labels = 7};
  FAILS(cz_hf_open_with(&other, FAMILIES "/bert_class", device, &many), CZ_EINVAL,
        "classifier.weight is [3, ");
  cz_device_close(&device);
}

/* Copies a fixture's config.json with TEXT in place of the one that begins with KEY. */
static const char *changed(const char *fixture, const char *key, const char *value) {
  char path[600], text[8192], out[8192], word[128];
  snprintf(path, sizeof path, FAMILIES "/%s/config.json", fixture);
  FILE *f = fopen(path, "r");
  assert_non_null(f);
  text[fread(text, 1, sizeof text - 1, f)] = '\0';
  fclose(f);
  snprintf(word, sizeof word, "\"%s\": ", key);
  char *at = strstr(text, word);
  if (!at)
    snprintf(out, sizeof out, "{\"%s\": %s,%s", key, value, text + 1);
  else
    snprintf(out, sizeof out, "%.*s%s%s%s", (int)(at - text), text, word, value,
             at + strlen(word) + strcspn(at + strlen(word), ",\n}"));
  return write_text("config.json", out);
}

static void refused(void **state) {
  static const struct {
    const char *fixture, *key, *value, *message;
  } bad[] = {
      {"bert_mlm", "position_embedding_type", "\"relative_key\"",
       "position_embedding_type: 'relative_key' is not computed here; it must be 'absolute'"},
      {"bert_mlm", "is_decoder", "true", "is_decoder: true is not computed here"},
      {"bert_mlm", "add_cross_attention", "true", "add_cross_attention: true"},
      {"bert_mlm", "hidden_size", "11", "hidden_size: 11 is not a multiple of 2 heads"},
      {"bert_mlm", "hidden_act", "\"silu\"", "hidden_act 'silu'"},
      {"bert_mlm", "type_vocab_size", "0", "type_vocab_size: 0 is not between"},
      {"bert_mlm", "hidden_dropout_prob", "1", "hidden_dropout_prob: 1 is not in [0, 1)"},
      {"bert_mlm", "attention_probs_dropout_prob", "-0.5",
       "attention_probs_dropout_prob: -0.5 is not in [0, 1)"},
      {"bert_mlm", "pad_token_id", "1000", "pad_token_id: special id 1000"},
      {"bert_mlm", "id2label", "[]", "id2label: expected an object"},
      {"bert_mlm", "id2label", "{}", "num_labels: 0 is not between"},
      {"bert_class", "problem_type", "\"ranking\"", "problem_type 'ranking'"},
      {"roberta_mlm", "max_position_embeddings", "2", "2 rows leave no place behind row 1"},
      {"gpt2_lm", "reorder_and_upcast_attn", "true", "reorder_and_upcast_attn: true"},
      {"gpt2_lm", "scale_attn_weights", "false", "scale_attn_weights: false"},
      {"albert_mlm", "num_hidden_groups", "9", "num_hidden_groups: 9 groups are more than"},
      {"albert_mlm", "inner_group_num", "0", "inner_group_num: 0 is not between"}};
  cz_model_config c;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *path = changed(bad[i].fixture, bad[i].key, bad[i].value);
    FAILS(cz_hf_config_read(&c, path), CZ_EINVAL, bad[i].message);
    FAILS(cz_hf_config_read(&c, path), CZ_EINVAL, path);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(exact),    cmocka_unit_test(float32), cmocka_unit_test(bfloat16),
      cmocka_unit_test(variants), cmocka_unit_test(alone),   cmocka_unit_test(round_trip),
      cmocka_unit_test(faults),   cmocka_unit_test(drawn),   cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
