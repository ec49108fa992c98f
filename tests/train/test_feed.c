/* Shards of texts with labels and classes, fed to a net of two heads: the losses over all shards
 * are those of the texts one by one, each fed by hand; with soft targets of ones too. */
#include "common/common.h"
#include "data/prepared.h"
#include "device/random.h"
#include "training/feed.h"

#include <math.h>
#include <string.h>

enum { V = 31, TEXTS = 12, LONGEST = 9 };

static cz_model *bert(cz_device *device) {
  const cz_family *f;
  cz_model *m;
  OK(cz_family_find(&f, "bert"));
  cz_model_config c = f->defaults;
  c.family = f;
  c.vocab_size = V, c.d_model = 12, c.d_kv = 4, c.n_heads = 3, c.d_ff = 14;
  c.n_layers = c.n_decoder_layers = 2, c.n_positions = LONGEST;
  c.init_factor = 0.3;
  c.heads = CZ_HEAD_BIT(CZ_HEAD_MASKED_LM) | CZ_HEAD_BIT(CZ_HEAD_NEXT_SENTENCE);
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, 11));
  return m;
}

/* Text I: two segments, some labels, and of two in three a class at its first token. The last
 * four have none, so that a shard has no labelled text. */
static void make_text(cz_example *e, int32_t i) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "text", (uint32_t)i, 0);
  cz_example_clear(e);
  const int n = 3 + (int)cz_stream_below(&s, LONGEST - 2);
  for (int k = 0; k < n; k++) {
    OK(cz_ids_add(&e->inputs, 1 + (int32_t)cz_stream_below(&s, V - 1)));
    OK(cz_ids_add(&e->types, k > n / 2));
    OK(cz_ids_add(&e->labels, cz_stream_below(&s, 3) && k != 1 ? CZ_NOT_COUNTED
                                                               : (int32_t)cz_stream_below(&s, V)));
  }
  if (i % 3 == 0 || i >= 8) return;
  OK(cz_ids_add(&e->rows, 0));
  e->klass = (int32_t)cz_stream_below(&s, 2);
}

static cz_net *net_of(cz_model *m, bool soft) {
  cz_net *net;
  cz_net_options o = {.capacity_segments = TEXTS,
                      .capacity_encoder = 1,
                      .capacity_decoder = TEXTS * LONGEST,
                      .n_heads = 2};
  o.heads[0] = (cz_net_head_options){.kind = CZ_NET_VOCABULARY, .capacity_rows = TEXTS * LONGEST};
  o.heads[1] =
      (cz_net_head_options){.kind = CZ_NET_NEXT_SENTENCE, .capacity_rows = TEXTS, .soft = soft};
  OK(cz_net_create(&net, m, &o));
  return net;
}

static void add_losses(double sum[2], cz_net *net, const cz_feed *feed) {
  OK(cz_net_feed(net, feed));
  OK(cz_graph_forward(net->graph, &(cz_graph_run_options){.key = {.seed = 1}}));
  for (int h = 0; h < 2; h++) {
    double loss;
    OK(cz_graph_read(net->graph, &loss, net->heads[h].loss, 1));
    sum[h] += loss;
  }
}

/* The losses of each text alone, divided by the counts of all. */
static void one_by_one(double sum[2], cz_net *net, double tokens, double classes) {
  cz_example e = {0};
  for (int32_t i = 0; i < TEXTS; i++) {
    make_text(&e, i);
    int32_t rows[LONGEST], targets[LONGEST], n = 0;
    const int32_t first = 0, span[2] = {0, (int32_t)e.inputs.len};
    for (int32_t k = 0; k < span[1]; k++)
      if (e.labels.data[k] != CZ_NOT_COUNTED) rows[n] = k, targets[n++] = e.labels.data[k];
    const cz_net_head_feed heads[] = {
        {.rows = rows, .n_rows = n, .targets = targets, .denominator = tokens},
        {.rows = &first,
         .n_rows = (int64_t)e.rows.len,
         .targets = &e.klass,
         .denominator = classes}};
    const cz_feed feed = {
        .segments = 1, .decoder = {e.inputs.data, span, span[1], e.types.data}, .heads = heads};
    add_losses(sum, net, &feed);
  }
  cz_example_free(&e);
}

static void by_shards(double sum[2], double counts[2], cz_net *net, const cz_prepared *set,
                      int64_t shards, int64_t soft_classes) {
  cz_source source;
  cz_batches *batches;
  const cz_batch *b;
  cz_batch_plan plan = {.layout = CZ_LAYOUT_TOKENS,
                        .shards = shards,
                        .window = 1,
                        .examples = TEXTS,
                        .max_inputs = LONGEST,
                        .soft_classes = soft_classes};
  cz_batch_budgets(&plan);
  OK(cz_source_prepared(&source, set, &(cz_prepared_use){.order = CZ_ORDER_FILE}));
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  OK(cz_batches_next(batches, &b));
  counts[0] = (double)b->n_loss_rows, counts[1] = (double)b->n_classes;
  for (int64_t k = 0; k < shards; k++) {
    cz_net_head_feed heads[2];
    cz_feed feed;
    cz_feed_heads(&feed, heads, &net->options, &b->shards[k], counts[0], counts[1]);
    add_losses(sum, net, &feed);
  }
  cz_batches_close(&batches);
  cz_source_destroy(&source);
}

static void near(const char *what, double got, double want) {
  if (!(fabs(got - want) <= 1e-12 * (1 + fabs(want))))
    fail_msg("%s: %.15g, not %.15g", what, got, want);
}

static void test_two_heads(void **state) {
  cz_device *device;
  cz_prepared set = {0};
  cz_example e = {0};
  OK(cz_device_open(&device, "ref"));
  cz_model *m = bert(device);
  cz_net *hard = net_of(m, false), *soft = net_of(m, true);
  for (int32_t i = 0; i < TEXTS; i++) {
    make_text(&e, i);
    OK(cz_prepared_add(&set, &e));
  }
  cz_example_free(&e);
  for (int64_t shards = 1; shards <= 3; shards++) {
    double found[2] = {0}, ones[2] = {0}, expected[2] = {0}, counts[2], same[2];
    by_shards(found, counts, hard, &set, shards, 0);
    by_shards(ones, same, soft, &set, shards, 2);
    one_by_one(expected, hard, counts[0], counts[1]);
    assert_true(counts[0] >= TEXTS && counts[1] == 5 && same[1] == 5);
    assert_true(expected[0] > 1 && expected[1] > 0.1);
    for (int h = 0; h < 2; h++) {
      near(h ? "classes" : "tokens", found[h], expected[h]);
      near(h ? "soft classes" : "tokens", ones[h], expected[h]);
    }
  }
  cz_prepared_free(&set);
  cz_net_destroy(&hard);
  cz_net_destroy(&soft);
  cz_model_destroy(&m);
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_two_heads)};
  test_seed();
  return cmocka_run_group_tests_name("feeding heads", tests, NULL, NULL);
}
