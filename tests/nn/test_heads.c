/* Heads of one net: several over one body, each with rows, targets and a denominator of its own.
 * Losses read back right and add up, gradients add up and are those of central differences, scores
 * of label words are means of logits, and a shard without rows of a head is one. */
#include "heads.h"
#include "graph/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { W = 2 };

static const unsigned ALL = CZ_HEAD_BIT(CZ_HEAD_MASKED_LM) | CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE) |
                            CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION);

/* The first two texts have masks, the last two classes; rows repeat none. */
static const int32_t masks[] = {2, 4, 7, 8}, mask_targets[] = {17, 3, -100, 28},
                     prompts[] = {9, 14}, prompt_targets[] = {2, 0},
                     words[C * W] = {4, -1, 17, 9, 30, 12}, class_targets[] = {1, -100, 2},
                     next_targets[] = {1, 0, 1};
static const double soft[] = {0.2, 0.5, 0.3, 0, 0, 1};

enum { MASKED, WORDS, CLASSES, NEXT };

static cz_net_head_options head_of(int kind) {
  static const cz_net_head_options heads[] = {
      [MASKED] = {.kind = CZ_NET_VOCABULARY, .capacity_rows = 8, .logits = true},
      [WORDS] = {.kind = CZ_NET_LABEL_WORDS, .capacity_rows = 5, .classes = C, .words = W},
      [CLASSES] = {.kind = CZ_NET_CLASSIFIER, .capacity_rows = TEXTS},
      [NEXT] = {.kind = CZ_NET_NEXT_SENTENCE, .capacity_rows = TEXTS}};
  return heads[kind];
}

static cz_net_head_feed feed_of(const cz_model *m, int kind, int32_t pooled[TEXTS]) {
  cz_net_pooled_rows(pooled, &m->config, spans, TEXTS);
  const cz_net_head_feed feeds[] = {
      [MASKED] = {.rows = masks, .n_rows = 4, .targets = mask_targets, .denominator = 3},
      [WORDS] = {.rows = prompts, .n_rows = 2, .targets = prompt_targets, .denominator = 5},
      [CLASSES] = {.rows = pooled, .n_rows = TEXTS, .targets = class_targets, .denominator = 2},
      [NEXT] = {.rows = pooled, .n_rows = TEXTS, .targets = next_targets, .denominator = 4}};
  return feeds[kind];
}

/* A net of the heads KINDS [N]; with the model's own DROPOUT, -1, as it is built, without fusions.
 */
static cz_net *net_of(cz_model *m, const int *kinds, int n, bool train, double dropout) {
  cz_net *net;
  cz_net_options o = {.capacity_segments = TEXTS,
                      .capacity_encoder = 1,
                      .capacity_decoder = TOKENS + 3,
                      .train = train,
                      .dropout = dropout,
                      .no_fusion = dropout < 0,
                      .dropout_per_token = true,
                      .n_heads = n};
  for (int i = 0; i < n; i++) o.heads[i] = head_of(kinds[i]);
  OK(cz_net_create(&net, m, &o));
  for (int i = 0; i < n; i++)
    if (kinds[i] == WORDS) OK(cz_net_set_words(net, i, words));
  return net;
}

/* Runs NET and gives each head's loss. */
static void run(double *losses, cz_net *net, const int *kinds, int n) {
  cz_net_head_feed heads[CZ_NET_HEADS];
  int32_t pooled[TEXTS];
  for (int i = 0; i < n; i++) heads[i] = feed_of(net->model, kinds[i], pooled);
  const cz_feed f = batch_of(net->model, heads);
  OK(cz_net_feed(net, &f));
  OK(net->options.train ? cz_graph_train(net->graph, &keyed)
                        : cz_graph_forward(net->graph, &keyed));
  for (int i = 0; i < n; i++) OK(cz_graph_read(net->graph, &losses[i], net->heads[i].loss, 1));
}

/* Together the heads have the losses and gradients that each has in a net of its own. */
static void together(void **state) {
  static const char *const devices[] = {"ref", "guard:ref", "cpu", "guard:cpu"};
  static const int kinds[] = {MASKED, WORDS, CLASSES, NEXT};
  for (int d = 0; d < 4; d++) {
    const double tolerance = d < 2 ? 1e-12 : 2e-6;
    cz_device *device;
    double all[4], one, sum;
    OK(cz_device_open(&device, devices[d]));
    cz_model *m = model_of("bert", device);
    cz_net *net = net_of(m, kinds, 4, true, 0);
    run(all, net, kinds, 4);
    OK(cz_graph_read_loss(net->graph, &sum));
    near("the sum", sum, all[0] + all[1] + all[2] + all[3], tolerance);
    double *got = gradients(m), *want = calloc((size_t)m->params->flat, sizeof *want);
    cz_net_destroy(&net);
    for (int k = 0; k < 4; k++) {
      net = net_of(m, &kinds[k], 1, true, 0);
      run(&one, net, &kinds[k], 1);
      assert_true(one > 0.1);
      near(net->heads[0].name, all[k], one, tolerance);
      double *g = gradients(m);
      for (int64_t i = 0; i < m->params->flat; i++) want[i] += g[i];
      free(g);
      cz_net_destroy(&net);
    }
    for (int64_t i = 0; i < m->params->flat; i++) near("a gradient", got[i], want[i], tolerance);
    free(got);
    free(want);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

static double sum_of(cz_net *net, const int *kinds, int n) {
  double losses[CZ_NET_HEADS], sum = 0;
  run(losses, net, kinds, n);
  for (int i = 0; i < n; i++) sum += losses[i];
  return sum;
}

typedef struct scored {
  cz_net *net;
  const int *kinds;
  int n;
} scored;

static double loss_of(void *self) {
  const scored *s = self;
  return sum_of(s->net, s->kinds, s->n);
}

/* Of every family and all its heads at once, dropout on: gradients along a random direction against
 * central differences. */
static void differences(void **state) {
  static const char *const names[] = {"bert",       "roberta", "xlm-roberta",
                                      "distilbert", "albert",  "gpt2"};
  cz_rand r = {.state = test_seed()};
  for (int f = 0; f < 6; f++) {
    cz_device *device;
    OK(cz_device_open(&device, "ref"));
    cz_model *m = model_of(names[f], device);
    int kinds[4] = {MASKED, WORDS, CLASSES}, n = 3;
    if (m->config.heads & CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE)) kinds[n++] = NEXT;
    cz_net *train = net_of(m, kinds, n, true, 0.2), *score = net_of(m, kinds, n, false, 0.2);
    sum_of(train, kinds, n);
    scored all = {score, kinds, n};
    check_derivative(m, &r, loss_of, &all, true);
    cz_net_destroy(&train);
    cz_net_destroy(&score);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

/* A class's score is the mean of its words' logits, and its loss their cross-entropy; of soft
 * targets at a temperature t the weighted one times t^2. */
static void label_words(void **state) {
  cz_device *device;
  cz_net *net;
  double logits[2 * V], scores[2 * C], loss, want = 0;
  int32_t pooled[TEXTS];
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of("roberta", device);
  cz_net_head_feed heads[2] = {feed_of(m, WORDS, pooled), feed_of(m, WORDS, pooled)};
  cz_net_options o = {.capacity_segments = TEXTS,
                      .capacity_encoder = 1,
                      .capacity_decoder = TOKENS,
                      .n_heads = 2,
                      .heads = {head_of(MASKED), head_of(WORDS)}};
  o.heads[0].no_loss = true;
  o.heads[1].soft = true, o.heads[1].temperature = 2;
  heads[1].soft = soft;
  const cz_feed f = batch_of(m, heads);
  OK(cz_net_create(&net, m, &o));
  FAILS(cz_net_feed(net, &f), CZ_EINVAL, "label_words: its words were not set");
  OK(cz_net_set_words(net, 1, words));
  OK(cz_net_feed(net, &f));
  OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
  OK(cz_graph_read(net->graph, logits, net->heads[0].logits, 2 * V));
  OK(cz_graph_read(net->graph, scores, net->heads[1].scores, 2 * C));
  OK(cz_graph_read(net->graph, &loss, net->heads[1].loss, 1));
  for (int r = 0; r < 2; r++) {
    double sum = 0, row[C];
    for (int c = 0; c < C; c++) {
      const double *x = logits + r * V;
      row[c] = c ? (x[words[W * c]] + x[words[W * c + 1]]) / 2 : x[words[0]];
      near("a score", scores[r * C + c], row[c], 1e-12);
      sum += exp(row[c] / 2);
    }
    for (int c = 0; c < C; c++) want -= 4 * soft[r * C + c] * (row[c] / 2 - log(sum)) / 5;
  }
  near("the loss", loss, want, 1e-12);
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

/* A shard in which no text is labelled, and one in which none is masked: that head's loss is 0 and
 * the other's and its gradients are what they were alone. */
static void no_rows(void **state) {
  static const int kinds[] = {MASKED, WORDS};
  static const char *const devices[] = {"ref", "guard:cpu"};
  for (int k = 0; k < 4; k++) {
    cz_device *device;
    int32_t pooled[TEXTS];
    double losses[2], alone;
    OK(cz_device_open(&device, devices[k / 2]));
    cz_model *m = model_of("distilbert", device);
    const int empty = k % 2, other = 1 - empty;
    cz_net_head_feed heads[2] = {feed_of(m, MASKED, pooled), feed_of(m, WORDS, pooled)};
    heads[empty].n_rows = 0, heads[empty].denominator = 1;
    cz_feed f = batch_of(m, heads);
    cz_net *net = net_of(m, kinds, 2, true, 0);
    OK(cz_net_feed(net, &f));
    OK(cz_graph_train(net->graph, &keyed));
    for (int i = 0; i < 2; i++) OK(cz_graph_read(net->graph, &losses[i], net->heads[i].loss, 1));
    assert_true(losses[empty] == 0);
    double *got = gradients(m), *want;
    cz_net_destroy(&net);
    net = net_of(m, &kinds[other], 1, true, 0);
    run(&alone, net, &kinds[other], 1);
    near("the loss of the other", losses[other], alone, 2e-6);
    want = gradients(m);
    for (int64_t i = 0; i < m->params->flat; i++) near("a gradient", got[i], want[i], 2e-6);
    free(got);
    free(want);
    cz_net_destroy(&net);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

/* GPT-2's logits are products of its states, so those of a segment's mean are the mean of its rows'
 * logits. */
static void sentences(void **state) {
  cz_device *device;
  cz_net *net;
  int32_t rows[TOKENS];
  double means[TEXTS * 12], logits[TOKENS * V], table[V * 12];
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of("gpt2", device);
  cz_net_options o = {
      .capacity_segments = TEXTS,
      .capacity_encoder = 1,
      .capacity_decoder = TOKENS,
      .n_heads = 2,
      .heads = {
          {.kind = CZ_NET_SENTENCE},
          {.kind = CZ_NET_VOCABULARY, .capacity_rows = TOKENS, .no_loss = true, .logits = true}}};
  for (int t = 0; t < TOKENS; t++) rows[t] = t;
  const cz_net_head_feed heads[] = {{.n_rows = 0}, {.rows = rows, .n_rows = TOKENS}};
  const cz_feed f = batch_of(m, heads);
  OK(cz_net_create(&net, m, &o));
  OK(cz_net_feed(net, &f));
  OK(cz_graph_forward(net->graph, &(cz_graph_run_options){0}));
  OK(cz_graph_read(net->graph, means, net->heads[0].sentences, TEXTS * 12));
  OK(cz_graph_read(net->graph, logits, net->heads[1].logits, TOKENS * V));
  OK(cz_device_read_real(device, table, m->embedding->value, V * 12));
  for (int b = 0; b < TEXTS; b++)
    for (int v = 0; v < V; v++) {
      const int from = spans[2 * b], to = spans[2 * b + 1];
      double mean = 0, product = 0;
      for (int t = from; t < to; t++) mean += logits[t * V + v] / (to - from);
      for (int d = 0; d < 12; d++) product += means[b * 12 + d] * table[v * 12 + d];
      near("a logit of a mean", product, mean, 1e-11);
      assert_true(fabs(mean) > 1e-6);
    }
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

/* RoBERTa's places count from pad + 1 and skip padding; BERT's count everything from 0. */
static void places(void **state) {
  static const int32_t text[] = {5, 1, 7, 1, 1, 8, 9}, two[] = {0, 5, 5, 7},
                       roberta[] = {2, 1, 3, 1, 1, 2, 3}, bert[] = {0, 1, 2, 3, 4, 0, 1};
  const cz_stack_input in = {.ids = text, .spans = two, .tokens = 7};
  cz_model_config c;
  int32_t out[7];
  OK(cz_model_config_named(&c, "roberta-base"));
  OK(cz_net_positions(out, &c, "decoder", &in, 2));
  assert_memory_equal(out, roberta, sizeof out);
  assert_int_equal(cz_model_longest(&c), 512);
  OK(cz_model_config_named(&c, "bert-base"));
  OK(cz_net_positions(out, &c, "decoder", &in, 2));
  assert_memory_equal(out, bert, sizeof out);
}

/* The plan of a net with dropout has a node of NAME. */
static bool has_node(const cz_net *net, const char *name) {
  cz_buf text = {0};
  char quoted[96];
  OK(cz_graph_print(net->graph, &text, true));
  OK(cz_buf_add(&text, "", 1));
  snprintf(quoted, sizeof quoted, "\"%s\"", name);
  const bool has = strstr(text.data, quoted) != NULL;
  cz_buf_free(&text);
  return has;
}

/* Where each family has dropout (models.md 3.3, 4). */
static void dropout_places(void **state) {
  static const char *const places[] = {"embed.dropout",       "block.0.self.dropout",
                                       "block.0.ffn.dropout", "classifier.pooler.dropout",
                                       "classifier.dropout",  "next_sentence.dropout"};
  static const struct {
    const char *name;
    bool has[6];
  } families[] = {{"bert", {1, 1, 1, 0, 1, 0}},        {"roberta", {1, 1, 1, 1, 1, 0}},
                  {"xlm-roberta", {1, 1, 1, 1, 1, 0}}, {"distilbert", {1, 0, 1, 0, 1, 0}},
                  {"albert", {1, 1, 0, 0, 1, 1}},      {"gpt2", {1, 1, 1, 0, 0, 0}}};
  for (int f = 0; f < 6; f++) {
    cz_device *device;
    int kinds[2] = {CLASSES}, n = 1;
    OK(cz_device_open(&device, "ref"));
    cz_model *m = model_of(families[f].name, device);
    m->config.dropout = m->config.embedding_dropout = 0.2, m->config.classifier_dropout = 0.4;
    if (m->config.heads & CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE)) kinds[n++] = NEXT;
    cz_net *net = net_of(m, kinds, n, true, -1);
    for (int i = 0; i < 6; i++) {
      char name[64];
      snprintf(name, sizeof name, "%s%s%s", i < 3 ? m->decoder.name : "", i < 3 ? "." : "",
               places[i]);
      if (has_node(net, name) != families[f].has[i])
        fail_msg("%s: %s is there: %d", families[f].name, name, !families[f].has[i]);
    }
    cz_net_destroy(&net);
    cz_model_destroy(&m);
    cz_device_close(&device);
  }
}

/* Each rate of the configuration is that of its places and of no other. */
static void dropout_rates(void **state) {
  static const int kinds[] = {CLASSES};
  cz_device *device;
  double plain = 0, loss;
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of("gpt2", device), *b = model_of("bert", device);
  double *const of_gpt[] = {&m->config.dropout, &m->config.attention_dropout,
                            &m->config.embedding_dropout},
                *const of_bert[] = {&b->config.dropout, &b->config.attention_dropout,
                                    &b->config.classifier_dropout};
  for (int f = 0; f < 2; f++) {
    cz_model *model = f ? b : m;
    double *const *rates = f ? of_bert : of_gpt;
    for (int i = -1; i < 3; i++) {
      for (int k = 0; k < 3; k++) *rates[k] = k == i ? 0.5 : 0;
      cz_net *net = net_of(model, kinds, 1, true, -1);
      run(&loss, net, kinds, 1);
      if (i < 0) plain = loss;
      assert_true(i < 0 || fabs(loss - plain) > 1e-6);
      if (f == 0) /* the embedding's rate is not that of the blocks */
        assert_int_equal(has_node(net, "decoder.block.0.self.dropout"), i == 0);
      if (f == 0) assert_int_equal(has_node(net, "decoder.embed.dropout"), i == 2);
      if (f == 1) assert_int_equal(has_node(net, "classifier.dropout"), i == 2);
      if (f == 1) assert_int_equal(has_node(net, "encoder.embed.dropout"), i == 0);
      cz_net_destroy(&net);
    }
  }
  cz_model_destroy(&m);
  cz_model_destroy(&b);
  cz_device_close(&device);
}

static void refused(void **state) {
  static const int32_t outside[C * W] = {4, -1, V, 9, 30, 12}, none[C * W] = {4, -1, -1, -1, 5, 6},
                                   third[TOKENS] = {[4] = 2}, rows[] = {2, TOKENS};
  const int all[] = {WORDS, CLASSES};
  cz_device *device;
  cz_net *net;
  int32_t pooled[TEXTS];
  OK(cz_device_open(&device, "ref"));
  cz_model *m = model_of("bert", device);
  assert_int_equal(m->config.heads, ALL);
  net = net_of(m, all, 2, false, 0);
  FAILS(cz_net_set_words(net, 0, outside), CZ_EINVAL, "word 31 of class 1 is outside");
  FAILS(cz_net_set_words(net, 0, none), CZ_EINVAL, "class 1 has no word");
  cz_net_head_feed heads[] = {feed_of(m, WORDS, pooled), feed_of(m, CLASSES, pooled)};
  cz_feed f = batch_of(m, heads);
  f.decoder.types = third;
  FAILS(cz_net_feed(net, &f), CZ_EINVAL, "token type 2 at position 4: the model has 2 types");
  f.decoder.types = types;
  heads[0].rows = rows;
  FAILS(cz_net_feed(net, &f), CZ_EINVAL, "label_words: token id 17 at position 1");
  heads[0] = feed_of(m, WORDS, pooled);
  heads[1].targets = (const int32_t[]){0, C, 0};
  FAILS(cz_net_feed(net, &f), CZ_EINVAL, "target 3 at row 1 is outside the classes of 3");
  heads[1] = feed_of(m, CLASSES, pooled);
  heads[1].denominator = 0;
  FAILS(cz_net_feed(net, &f), CZ_EINVAL, "denominator 0 is not positive");
  cz_net_destroy(&net);
  cz_net_options o = {.capacity_segments = 1, .capacity_encoder = 1, .capacity_decoder = 9};
  m->config.problem = CZ_PROBLEM_REGRESSION;
  o.n_heads = 1, o.heads[0] = head_of(CLASSES);
  FAILS(cz_net_create(&net, m, &o), CZ_EINVAL, "problem_type is regression");
  m->config.heads = 0, m->config.problem = CZ_PROBLEM_SINGLE_LABEL;
  FAILS(cz_net_create(&net, m, &o), CZ_EINVAL, "head classifier: this model of family bert");
  o.n_heads = 0;
  FAILS(cz_net_create(&net, m, &o), CZ_EINVAL, "head vocabulary: this model of family bert");
  cz_model_destroy(&m);
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(together),     cmocka_unit_test(differences),
      cmocka_unit_test(label_words),  cmocka_unit_test(no_rows),
      cmocka_unit_test(places),       cmocka_unit_test(sentences),
      cmocka_unit_test(refused),      cmocka_unit_test(dropout_places),
      cmocka_unit_test(dropout_rates)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
