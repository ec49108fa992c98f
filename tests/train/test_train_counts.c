/* What a training stage says that it read: raw text, and mean lengths of inputs and targets,
 * against counts by hand for each objective and both cuts. That the counts are the same for
 * any number of ranks and across stops is seen by test_train_same and test_train_kill, which
 * compare all of `metrics`. */
#include "train_test.h"

#include "checkpoint/checkpoint.h"
#include "data/corpus.h"
#include "objectives/objective.h"
#include "text/tokenizer.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>

enum { DOCUMENTS = 100, LENGTH = 40, STEPS = 12 };
#define TOKENIZER CZ_SOURCE_DIR "/tests/fixtures/text/t5_a.json"

typedef struct counts {
  double text, examples, inputs, targets; /* sums over the run */
} counts;

static counts counts_of(const char *run) {
  json_error_t why;
  char name[64];
  snprintf(name, sizeof name, "%s/result.json", run);
  json_t *result = json_load_file(under(name), 0, &why), *m = json_object_get(result, "metrics");
  if (!m) fail_msg("%s: no metrics: %s", name, why.text);
  assert_true(json_is_integer(json_object_get(m, "text_tokens")));
  double n = json_number_value(json_object_get(m, "examples"));
  counts c = {json_number_value(json_object_get(m, "text_tokens")), n,
              n * json_number_value(json_object_get(m, "mean_inputs")),
              n * json_number_value(json_object_get(m, "mean_targets"))};
  json_decref(result);
  assert_true(n > 0);
  return c;
}

static void same(const char *what, double found, double expected) {
  if (!(fabs(found - expected) < 1e-6 * (1 + fabs(expected))))
    fail_msg("%s: %.10g, by hand %.10g", what, found, expected);
}

/* A corpus of documents of LENGTH tokens each. */
static int make_equal(void **state) {
  cz_tokenizer *t;
  cz_corpus_writer *w;
  cz_ids ids = {0};
  if (make_runs(state)) return -1;
  OK(cz_tokenizer_open(&t, TOKENIZER));
  OK(cz_corpus_create(&w, under("equal.h5"),
                      (cz_corpus_vocabulary){.hash = cz_tokenizer_get_facts(t)->hash,
                                             .size = cz_tokenizer_get_facts(t)->size}));
  for (int i = 0; i < LENGTH; i++) OK(cz_ids_add(&ids, 10 + i));
  for (int i = 0; i < DOCUMENTS; i++) OK(cz_corpus_add(w, &ids));
  OK(cz_corpus_commit(&w, NULL));
  cz_tokenizer_destroy(&t);
  free(ids.data);
  return 0;
}

static counts train(const char *objective, const char *concatenate) {
  char words[512];
  snprintf(words, sizeof words,
           "pretrain @/pretrain.yaml --out @/run corpus=@/equal.h5 objective.name=%s "
           "objective.concatenate=%s train.steps=%d batch.target_tokens=256%s",
           objective, concatenate, STEPS,
           strcmp(objective, "lm") ? "" : " model.name=lm-nano model.num_decoder_layers=1");
  expect(0, words, "done, see");
  counts c = counts_of("run");
  print_message("%-18s %-3s  %4.0f examples, %5.0f tokens of text, mean %6.2f -> %6.2f\n",
                objective, concatenate, c.examples, c.text, c.inputs / c.examples,
                c.targets / c.examples);
  remove_tree("run");
  return c;
}

/* Sums for a run of one objective, worked out from the number of examples and the text that
 * they were made of. Each side ends with EOS. */
static void check_sums(const char *o, const counts *c) {
  double n = c->examples;
  if (!strcmp(o, "lm")) {
    same("inputs", c->inputs, 0);
    same("targets", c->targets, c->text + n);
  } else if (!strcmp(o, "prefix_lm") || !strcmp(o, "iid_drop_tokens")) { /* the text is parted */
    same("inputs + targets", c->inputs + c->targets, c->text + 2 * n);
  } else if (!strcmp(o, "bert_style") || !strcmp(o, "mass") || !strcmp(o, "deshuffling")) {
    same("inputs", c->inputs, c->text + n);
    same("targets", c->targets, c->text + n);
  } else { /* parted, and sentinels on both sides: at least one a side */
    assert_true(c->inputs + c->targets >= c->text + 4 * n);
    assert_true(c->inputs + c->targets <= 1.6 * c->text + 4 * n);
  }
}

/* Each example is a document: LENGTH tokens of text. random_spans at 15 % in spans of 3 marks
 * 6 tokens in 2 spans: 40 - 6 + 2 + EOS are read, 6 + 2 + EOS are written. */
static void documents_apart(void **state) {
  for (size_t i = 0; i < cz_objective_count; i++) {
    const char *o = cz_objective_rows[i]->name;
    if (cz_objective_rows[i]->form != CZ_FORM_TEXT_TO_TEXT) continue; /* no T5 is trained on it */
    counts c = train(o, "no");
    same("text", c.text, LENGTH * c.examples);
    check_sums(o, &c);
    if (strcmp(o, "random_spans")) continue;
    same("inputs", c.inputs, (LENGTH - 6 + 2 + 1) * c.examples);
    same("targets", c.targets, (6 + 2 + 1) * c.examples);
  }
}

/* All 100 documents are one group of 4,000 tokens, cut into equal pieces and a rest. */
static void documents_joined(void **state) {
  for (size_t i = 0; i < cz_objective_count; i++) {
    const char *o = cz_objective_rows[i]->name;
    if (cz_objective_rows[i]->form != CZ_FORM_TEXT_TO_TEXT) continue; /* no T5 is trained on it */
    counts c = train(o, "yes");
    check_sums(o, &c);
    assert_true(c.text / c.examples > LENGTH); /* pieces of 47 tokens, 53 of random_spans */
    assert_true(c.text / c.examples <= (strcmp(o, "random_spans") ? 47 : 53));
  }
}

/* Fine-tuning reads inputs and targets of records; what a cap cuts off was text too. */
static void pairs(void **state) {
  expect(0, "finetune @/finetune.yaml --out @/run", "done, see");
  counts whole = counts_of("run");
  same("text", whole.text, whole.inputs + whole.targets - 2 * whole.examples);
  assert_true(whole.text > 4 * whole.examples); /* six words and an answer */
  remove_tree("run");
  write_format("twice.tsv", "the of and in\tyes\nthe of and in\tyes\n");
  expect(0, "finetune @/finetune.yaml --out @/run tasks.list.0.train=@/twice.tsv", "done, see");
  whole = counts_of("run");
  remove_tree("run");
  expect(0,
         "finetune @/finetune.yaml --out @/run tasks.list.0.train=@/twice.tsv batch.max_inputs=3",
         "were longer than");
  counts cut = counts_of("run");
  same("mean inputs", cut.inputs / cut.examples, 3);
  same("mean targets", cut.targets / cut.examples, whole.targets / whole.examples);
  same("text of an example", cut.text / cut.examples, whole.text / whole.examples);
  remove_tree("run");
}

/* Writes RUN/checkpoint.h5 anew without the entry LEFT_OUT, as an older program would have
 * left it. */
static void write_without(const char *run, const char *left_out) {
  cz_checkpoint *c;
  cz_checkpoint_writer *w;
  uint64_t config;
  OK(cz_checkpoint_open(&c, under(run)));
  OK(cz_checkpoint_get(c, &config, "cloze/config_hash", CZ_CHECKPOINT_U64, NULL, 0));
  OK(cz_checkpoint_begin(&w, under(run), config, 1 << 20));
  const cz_checkpoint_entry *e;
  for (size_t i = 0; (e = cz_checkpoint_at(c, i)); i++) {
    if (!strcmp(e->name, left_out) || !strncmp(e->name, "cloze/", 6)) continue;
    void *data = calloc(e->elements + 1, cz_checkpoint_type_size(e->type));
    assert_non_null(data);
    OK(cz_checkpoint_get(c, data, e->name, e->type, e->dims, e->rank));
    OK(cz_checkpoint_put(w, e->name, e->type, data, e->dims, e->rank));
    free(data);
  }
  OK(cz_checkpoint_commit(&w));
  cz_checkpoint_close(&c);
}

/* A checkpoint that did not count what this program counts is refused by the count's name;
 * one that was written anew with all of them goes on. */
static void uncounted(void **state) {
  static const char *const left_out[] = {"text_tokens", "input_sum", "target_sum", "nothing"};
  for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
    bool whole = !strcmp(left_out[i], "nothing");
    char why[64];
    expect(0, "pretrain @/pretrain.yaml --out @/run", "done, see");
    write_without("run", left_out[i]);
    remove_tree("run/checkpoint.prev.h5");
    remove_tree("run/result.json");
    snprintf(why, sizeof why, "did not count %s", left_out[i]);
    expect(whole ? 0 : 1, "pretrain @/pretrain.yaml --out @/run", whole ? "going on" : why);
    remove_tree("run");
  }
}

/* How many folders of KIND the run has. */
static int count_stages(const char *run, const char *kind) {
  char name[64];
  int n = 0;
  snprintf(name, sizeof name, "%s/stages", run);
  DIR *d = opendir(under(name));
  assert_non_null(d);
  for (struct dirent *e; (e = readdir(d));) n += !strncmp(e->d_name, kind, strlen(kind));
  closedir(d);
  return n;
}

/* A row without pretraining: the stage does not run for it, its fine-tuning draws weights, its
 * result and its costs have none of it, and a resolved file and a second run say the same. */
static void row_without_a_stage(void **state) {
  json_error_t why;
  write_format("rows.yaml",
               "base: %s/experiment.yaml\nrows:\n  - {name: none, without: "
               "[pretrain], set: {finetune.init: ''}}\n  - {name: spans, set: "
               "{pretrain.objective.name: random_spans}}\n",
               folder());
  expect(0, "run @/rows.yaml --out @/run", "full report");
  assert_int_equal(count_stages("run", "pretrain"), 1);
  assert_int_equal(count_stages("run", "finetune"), 2);
  assert_int_equal(count_stages("run", "evaluate"), 2);
  json_t *result = json_load_file(under("run/result.json"), 0, &why),
         *metrics = json_object_get(result, "metrics");
  const json_t *none = json_object_get(json_object_get(metrics, "none"), "1"),
               *spans = json_object_get(json_object_get(metrics, "spans"), "1");
  assert_null(json_object_get(none, "pretrain"));
  assert_non_null(json_object_get(spans, "pretrain"));
  assert_int_equal(json_object_size(none), 2);
  json_decref(result);
  copy_file(under("before.json"), under("run/result.json"));
  expect(0, "report @/run --json", "\"remarks\"");
  json_t *report = json_loads(strchr(said(), '{'), JSON_DISABLE_EOF_CHECK, &why);
  const json_t *costs = json_object_get(report, "costs"), *cost = json_array_get(costs, 0);
  assert_int_equal(json_integer_value(json_object_get(cost, "seeds")), 1);
  assert_true(json_number_value(json_object_get(cost, "steps")) == 20);
  assert_true(json_is_null(json_object_get(cost, "text_tokens")));
  assert_true(json_number_value(json_object_get(json_array_get(costs, 1), "steps")) == 40);
  json_decref(report);
  expect(0, "report @/run --stages", "spans");
  expect(0, "show @/rows.yaml --cost --gflops 1", "spans");
  remove_tree("run/stages");
  remove_tree("run/result.json");
  expect(0, "run @/run/experiment.yaml --out @/run", "full report");
  same_file("run/result.json", "before.json");
  remove_tree("run");
}

/* What a row cannot do without. */
static void wrong_without(void **state) {
  static const char *const rows[][2] = {
      {"{name: x, without: [pretrain]}", "the row is without the stage 'pretrain', and finetune "
                                         "names it"},
      {"{name: x, without: [pretrian]}", "without: 'pretrian' is no stage of this file"},
      {"{name: x, without: pretrain}", "without"},
      {"{name: x, without: [pretrain], set: {finetune.init: '', pretrain.train.steps: 3}}",
       "'pretrain.train.steps' sets a stage that the row is without"}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    write_format("rows.yaml", "base: %s/experiment.yaml\nrows:\n  - %s\n", folder(), rows[i][0]);
    expect(2, "run @/rows.yaml --out @/run", rows[i][1]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(documents_apart),
                                     cmocka_unit_test(documents_joined),
                                     cmocka_unit_test(pairs),
                                     cmocka_unit_test(uncounted),
                                     cmocka_unit_test(row_without_a_stage),
                                     cmocka_unit_test(wrong_without)};
  return cmocka_run_group_tests(tests, make_equal, drop_runs);
}
