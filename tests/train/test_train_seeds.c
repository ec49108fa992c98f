/* What a seed decides, each alone: the initial weights, the order of the text and of the
 * tasks' records, the choice among tasks, the noise of the objective, dropout. Two runs
 * that differ in nothing but their seed must differ in each; rows of one seed begin with
 * the same weights. */
#include "train_test.h"

#include <jansson.h>

#define STACK "model.name=lm-nano objective.name=lm batch.target_tokens=256"
#define FIXED "model.dropout=0 train.steps=2"

/* Runs WORDS into the folder OUT. */
static void train(const char *words, int seed, const char *out) {
  char text[1024];
  snprintf(text, sizeof text, "%s seed=%d --out @/%s", words, seed, out);
  expect(0, text, "");
}

/* The loss of the first step: what its weights, its batch, its noise and its dropout make
 * of it. */
static double first_loss(const char *run) {
  char name[64];
  json_error_t why;
  snprintf(name, sizeof name, "%s/metrics.jsonl", run);
  char *text = read_text(under(name), NULL);
  json_t *line = json_loadb(text, strcspn(text, "\n"), 0, &why);
  if (!line) fail_msg("%s: %s", name, why.text);
  const json_t *loss = json_object_get(line, "loss");
  assert_int_equal(json_integer_value(json_object_get(line, "step")), 1);
  assert_true(json_is_real(loss));
  double value = json_real_value(loss);
  json_decref(line);
  free(text);
  return value;
}

/* Of three runs two share a seed: these have one first loss, the third, of which only the
 * seed is another, has another. */
static void seed_decides(const char *what, const char *words) {
  const int seeds[] = {1, 1, 2};
  const char *const runs[] = {"first", "same", "other"};
  double loss[3];
  for (int i = 0; i < 3; i++) {
    remove_tree(runs[i]);
    train(words, seeds[i], runs[i]);
    loss[i] = first_loss(runs[i]);
  }
  if (loss[0] != loss[1]) fail_msg("%s: one seed gives %.17g and %.17g", what, loss[0], loss[1]);
  if (loss[0] == loss[2])
    fail_msg("%s does not depend on the seed: the first step's loss is %.17g under both", what,
             loss[0]);
}

/* A model to start from, so that weights are the same whatever the seed; learning nothing
 * shows the initial ones. */
static void start_from(const char *words, const char *out) {
  char text[512], init[64];
  snprintf(init, sizeof init, "%s/model/model.safetensors", out);
  if (cz_fs_exists(under(init))) return;
  snprintf(text, sizeof text, "pretrain @/pretrain.yaml %s train.steps=2 optimizer.learning_rate=0",
           words);
  train(text, 1, out);
}

static bool same_weights(const char *a, const char *b) {
  char x[64], y[64];
  size_t n, m;
  snprintf(x, sizeof x, "%s/model/model.safetensors", a);
  snprintf(y, sizeof y, "%s/model/model.safetensors", b);
  char *one = read_text(under(x), &n), *two = read_text(under(y), &m);
  bool same = n == m && !memcmp(one, two, n);
  free(one);
  free(two);
  return same;
}

static void weights(void **state) {
  start_from("", "start");
  train("pretrain @/pretrain.yaml train.steps=2 optimizer.learning_rate=0", 2, "start2");
  if (same_weights("start", "start2")) fail_msg("the initial weights do not depend on the seed");
  train("pretrain @/pretrain.yaml train.steps=2 optimizer.learning_rate=0 objective.name=mass "
        "batch.target_tokens=256",
        1, "start_mass");
  if (!same_weights("start", "start_mass"))
    fail_msg("two objectives of one seed begin with different weights");
}

/* The objective lm draws nothing, and there is no dropout: what is left is the order of
 * the pieces. */
static void order_of_text(void **state) {
  start_from(STACK, "start_lm");
  seed_decides("the order of the text",
               "pretrain @/pretrain.yaml " STACK " init=@/start_lm/model " FIXED);
}

/* A corpus of one short document is one piece, over and over. */
static void one_piece(void) {
  static const char words[] = "the of and in to was is the of and in to was is ";
  write_format("one.txt", "%s%s%s\n", words, words,
               words); /* long enough for two spans: a single one is always the end */
  remove_tree("one.h5");
  expect(0,
         "corpus --tokenizer " CZ_SOURCE_DIR
         "/tests/fixtures/text/t5_a.json --out @/one.h5 @/one.txt",
         "");
}

static void noise(void **state) {
  start_from("", "start");
  one_piece();
  seed_decides("the noise", "pretrain @/pretrain.yaml corpus=@/one.h5 init=@/start/model " FIXED);
}

static void dropout(void **state) {
  start_from(STACK, "start_lm");
  one_piece();
  seed_decides("dropout", "pretrain @/pretrain.yaml corpus=@/one.h5 " STACK
                          " init=@/start_lm/model model.dropout=0.3 train.steps=2");
}

static void order_of_records(void **state) {
  start_from("", "start");
  seed_decides("the order of a task's records",
               "finetune @/finetune.yaml init=@/start/model " FIXED);
}

/* Two tasks of one record each: only which of them comes when is left. */
static void choice_of_tasks(void **state) {
  start_from("", "start");
  write_format("a.tsv", "the of and\tyes\n");
  write_format("b.tsv", "in to was is the of\tno no\n");
  write_format(
      "two.yaml",
      "tasks: {list: [{name: tsv, as: a, train: %s/a.tsv}, {name: tsv, as: b, train: %s/b.tsv}]}\n",
      folder(), folder());
  char *common = read_text(under("finetune.yaml"), NULL), *end = strstr(common, "tasks:"),
       *tasks = read_text(under("two.yaml"), NULL);
  assert_non_null(end);
  write_format("two.yaml", "%.*s%s", (int)(end - common), common, tasks);
  free(common);
  free(tasks);
  seed_decides("the choice among tasks",
               "finetune @/two.yaml init=@/start/model batch.window=1 " FIXED);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(weights),
                                     cmocka_unit_test(order_of_text),
                                     cmocka_unit_test(noise),
                                     cmocka_unit_test(dropout),
                                     cmocka_unit_test(order_of_records),
                                     cmocka_unit_test(choice_of_tasks)};
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}
