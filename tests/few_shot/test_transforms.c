/* Records as classifiers read them without a prompt: single texts, pairs, similarity and choice,
 * against Hugging Face's GPT-2 and BERT in float64 (fixtures of scripts/make_transform_fixture.py):
 * scores, losses of hard and soft targets, every gradient; and through the scorer that members and
 * `cloze predict` have, whatever is scored beside a record. */
#include "example_keys.h"
#include "../nn/families.h"
#include "data/batch.h"
#include "few_shot/shape.h"
#include "ensemble/ensemble.h"
#include "few_shot/prepare.h"
#include "few_shot/published.h"
#include "training/feed.h"

#include <math.h>

#define TRANSFORMS CZ_SOURCE_DIR "/tests/fixtures/transforms"

enum { RECORDS = 7, LONGEST = 11 };

/* One family and shape. */
typedef struct setup {
  cz_device *device;
  cz_model *model;
  cz_tokenizer *tokenizer;
  cz_examples *examples;
  cz_safetensors *expected;
  cz_preparer preparer;
  cz_member_shape shape;
} setup;

static void open_setup(setup *s, const char *family, const char *input, const char *device) {
  char folder[600], pattern[600], file[600];
  const cz_hf_options hf = {.heads = CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION)};
  snprintf(folder, sizeof folder, TRANSFORMS "/%s.%d", family, strcmp(input, "choice") ? 3 : 1);
  snprintf(pattern, sizeof pattern, TRANSFORMS "/%s.yaml", input);
  snprintf(file, sizeof file, TRANSFORMS "/%s.%s.safetensors", family, input);
  const cz_examples_keys keys = {.pattern = pattern,
                                 NO_OTHER_KEYS,
                                 .train = "",
                                 .unlabelled_file = "",
                                 .test = TRANSFORMS "/records.tsv",
                                 .labelled = -1,
                                 .unlabelled = -1,
                                 .tested = -1,
                                 .max_length = LONGEST};
  *s = (setup){0};
  OK(cz_device_open(&s->device, device));
  OK(cz_hf_open_with(&s->model, folder, s->device, &hf));
  assert_int_equal(s->model->drawn, 0);
  OK(cz_tokenizer_open(&s->tokenizer, folder));
  OK(cz_examples_open_for(&s->examples, &keys, s->tokenizer, 3, cz_reader_of(&s->model->config)));
  OK(cz_safetensors_open(&s->expected, file));
  assert_int_equal(s->examples->test.n, RECORDS);
  s->preparer.config = &s->model->config;
  cz_preparer_plain(&s->preparer, s->examples->prompts);
  s->shape = (cz_member_shape){.classifier = true,
                               .classes = s->examples->classes,
                               .width = 1,
                               .max_length = LONGEST,
                               .score_tokens = 40};
  cz_member_shape_plain(&s->shape, s->examples->file);
  assert_int_equal(cz_member_shape_numbers(s->examples->file), s->model->config.n_labels);
}

static void close_setup(setup *s) {
  cz_preparer_free(&s->preparer);
  cz_safetensors_close(&s->expected);
  cz_examples_close(&s->examples);
  cz_tokenizer_destroy(&s->tokenizer);
  cz_model_destroy(&s->model);
  cz_device_close(&s->device);
}

static void near(const char *what, const double *got, const double *want, int64_t n,
                 double tolerance, double floor) {
  double largest = floor;
  for (int64_t i = 0; i < n; i++) largest = fmax(largest, fabs(want[i]));
  for (int64_t i = 0; i < n; i++)
    if (!(fabs(got[i] - want[i]) <= tolerance * largest))
      fail_msg("%s, %lld: %.15g, expected %.15g", what, (long long)i, got[i], want[i]);
}

static void is_expected(const setup *s, const char *name, const double *got, int64_t n,
                        double tolerance, double floor) {
  int64_t there;
  double *want = expected_of(s->expected, name, &there);
  assert_int_equal(there, n);
  near(name, got, want, n, tolerance, floor);
  free(want);
}

/* A key's bias moves all scores of a query alike: its gradient is 0 but for rounding. */
static void compare_gradients(const setup *s, const char *prefix, double tolerance) {
  double *all = gradients_of(s->model);
  size_t seen = 0, wanted = 0;
  char name[320], start[32];
  for (size_t i = 0; i < s->model->params->n; i++) {
    cz_hf_tensor_view t;
    bool first;
    OK(cz_hf_tensor(&t, &first, s->model, i, all));
    if (!first) continue;
    snprintf(name, sizeof name, "%sgrad.%s", prefix, t.name);
    const cz_safetensors_info *info = cz_safetensors_find(s->expected, name);
    if (!info) fail_msg("the fixture has no %s", name);
    is_expected(s, name, t.data, (int64_t)info->elements, tolerance, 1e-3);
    free(t.data);
    seen++;
  }
  snprintf(start, sizeof start, "%sgrad.", prefix);
  for (size_t i = 0; i < cz_safetensors_count(s->expected); i++)
    wanted += !strncmp(cz_safetensors_at(s->expected, i)->name, start, strlen(start));
  assert_int_equal(seen, wanted);
  free(all);
}

static void prepare(cz_prepared *out, setup *s, bool soft) {
  int64_t n;
  double *targets = expected_of(s->expected, "soft", &n);
  const cz_text_set *set = &s->examples->test;
  if (soft) out->soft_classes = s->examples->classes;
  for (size_t i = 0; i < RECORDS; i++) {
    const cz_wanted wanted = {.label = soft ? -1 : set->labels[i],
                              .soft = soft ? targets + (int)i * s->examples->classes : NULL};
    OK(cz_prepare_text(&s->preparer, out, set, i, &wanted));
  }
  free(targets);
}

/* What the loss exceeds the divergence from its targets by. */
static void is_entropy(const setup *s, double excess) {
  int64_t n;
  double *targets = expected_of(s->expected, "soft", &n),
         entropy = cz_soft_targets_entropy(targets, RECORDS, s->examples->classes, 2);
  near("the entropy", &excess, &entropy, 1, 1e-12, 0);
  free(targets);
}

/* One batch of all records through the net that members are trained with. */
static void train(setup *s, bool soft, double tolerance) {
  const char *prefix = soft ? "soft." : "";
  const int64_t C = s->examples->classes;
  cz_loop_job job = {.batch = {.shards = 1, .window = 1, .passes = 1, .examples = RECORDS},
                     .dropout_mask = CZ_DROPOUT_TOKEN,
                     .model = s->model};
  cz_prepared inputs = {0};
  cz_source source;
  cz_batches *batches;
  const cz_batch *batch;
  cz_net *net;
  cz_net_head_feed head;
  cz_feed feed;
  double loss, scores[RECORDS * 3];
  char name[32];
  s->shape.soft = soft;
  s->shape.temperature = soft ? 2 : 1;
  cz_member_shape_job(&job, &s->shape);
  prepare(&inputs, s, soft);
  OK(cz_source_prepared(&source, &inputs, &(cz_prepared_use){.order = CZ_ORDER_FILE}));
  const cz_batch_plan plan = cz_loop_plan(&job);
  OK(cz_batches_open(&batches, &source, &plan, NULL));
  OK(cz_batches_next(batches, &batch));
  assert_int_equal(batch->n_classes, RECORDS);
  if (soft) is_entropy(s, cz_published_excess(&job, batch));
  OK(cz_loop_net(&net, &job, true));
  cz_feed_heads(&feed, &head, &net->options, &batch->shards[0], 1, RECORDS);
  for (int again = 0; again < 2; again++) { /* the second run finds used memory */
    OK(cz_net_feed(net, &feed));
    OK(cz_graph_train(net->graph, &(cz_graph_run_options){.training = true}));
    OK(cz_graph_read_loss(net->graph, &loss));
    OK(cz_graph_read(net->graph, scores, net->heads[0].scores, RECORDS * C));
    snprintf(name, sizeof name, "%sloss", prefix);
    is_expected(s, name, &loss, 1, tolerance, 0);
    is_expected(s, "logits", scores, RECORDS * C, tolerance, 0);
    compare_gradients(s, prefix, 100 * tolerance);
  }
  cz_net_destroy(&net);
  cz_batches_close(&batches);
  cz_source_destroy(&source);
  cz_prepared_free(&inputs);
}

/* As many records in a run as fit, and one by one. */
static void score(setup *s, double tolerance) {
  for (int alone = 0; alone < 2; alone++) {
    float scores[RECORDS * 3];
    double wide[RECORDS * 3];
    cz_prepared inputs = {0};
    cz_scorer *scorer;
    s->shape.score_tokens = alone ? 1 : 1000;
    prepare(&inputs, s, false);
    OK(cz_member_shape_scorer(&scorer, s->model, &s->shape));
    OK(cz_scorer_run(scorer, scores, &inputs));
    for (int i = 0; i < RECORDS * s->examples->classes; i++) wide[i] = scores[i];
    is_expected(s, "logits", wide, RECORDS * s->examples->classes, tolerance, 0);
    cz_scorer_destroy(&scorer);
    cz_prepared_free(&inputs);
  }
}

static void like_hugging_face(void **state) {
  static const char *const cases[][2] = {{"gpt2", "single"},     {"gpt2", "pair"},
                                         {"gpt2", "similarity"}, {"gpt2", "choice"},
                                         {"bert", "similarity"}, {"bert", "choice"}},
                           *const devices[] = {"ref", "guard:ref", "cpu", "guard:cpu"};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
    for (int d = 0; d < 4; d++) {
      setup s;
      print_message("%s %s on %s\n", cases[i][0], cases[i][1], devices[d]);
      open_setup(&s, cases[i][0], cases[i][1], devices[d]);
      train(&s, false, d < 2 ? 1e-11 : 2e-5);
      train(&s, true, d < 2 ? 1e-11 : 2e-5);
      score(&s, d < 2 ? 1e-7 : 2e-5);
      close_setup(&s);
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(like_hugging_face)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
