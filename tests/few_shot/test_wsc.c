/* WSC: the model writes what a pronoun refers to. Members against scripts/make_wsc_fixture.py,
 * which is PyTorch and Hugging Face's BERT in float64 with the draws of surplus masks, the loss and
 * the order in which masks are filled in written anew; how a text that was written is compared with
 * the target, by hand; and files and keys that cannot be. */
#include "few_shot_test.h"

#include "few_shot/generated.h"
#include "few_shot/scores_file.h"

#include <jansson.h>
#include <math.h>

#define PET CZ_SOURCE_DIR "/tests/fixtures/pet"

static const char stage[] =
    "seed: 5\n"
    "init: " PET "/model\n"
    "train: {steps: 50, z_loss: 0, log_steps: 1}\n"
    "optimizer: {name: adamw, learning_rate: 1e-2, schedule: transformers_linear,\n"
    "  weight_decay: 0.01, clip_norm: 1, epsilon: 1e-8}\n"
    "examples: {pattern: " PET "/wsc.yaml, train: " PET "/wsc.train.jsonl, test: " PET
    "/wsc.test.jsonl,\n  labelled: 7, max_length: 22}\n"
    "batch: {examples: 4}\n"
    "classify: {strategy: pet, repetitions: 1}\n";

static const cz_examples_keys keys = {.pattern = PET "/wsc.yaml",
                                      NO_OTHER_KEYS,
                                      .train = PET "/wsc.train.jsonl",
                                      .unlabelled_file = "",
                                      .test = PET "/wsc.test.jsonl",
                                      .labelled = 7,
                                      .unlabelled = -1,
                                      .tested = -1,
                                      .max_length = 22,
                                      .draw = CZ_DRAW_BALANCED,
                                      .unlabelled_draw = CZ_UNLABELLED_RANDOM};

static void same_number(const json_t *want, const char *what, size_t i, double got) {
  const json_t *x = json_array_get(json_object_get(want, what), i);
  assert_non_null(x);
  if (!(fabs(got - json_number_value(x)) <= 1e-9))
    fail_msg("%s[%zu]: %.15g, expected %.15g", what, i, got, json_number_value(x));
}

static void check_scores(const char *folder, const cz_examples *e, const json_t *want) {
  static const char *const names[] = {"labelled", "unlabelled", "test"};
  const size_t n[] = {e->t.n, e->d.n, e->test.n};
  cz_member_scores got;
  OK(cz_member_scores_read(&got, e, under(folder)));
  const float *const scores[] = {got.t, got.d, got.test};
  for (int s = 0; s < 3; s++) {
    assert_int_equal(json_array_size(json_object_get(want, names[s])), 2 * n[s]);
    for (size_t i = 0; i < 2 * n[s]; i++) same_number(want, names[s], i, (double)scores[s][i]);
  }
  assert_true(got.before_training == json_number_value(json_object_get(want, "zero_shot")));
  cz_member_scores_free(&got);
}

static void members(void **state) {
  json_error_t why;
  cz_tokenizer *tokenizer;
  cz_examples *e;
  json_t *file = json_load_file(PET "/wsc.json", 0, &why);
  if (!file) fail_msg("wsc.json:%d: %s", why.line, why.text);
  OK(cz_tokenizer_open(&tokenizer, PET "/model"));
  OK(cz_examples_open_for(&e, &keys, tokenizer, 5, CZ_READS_PROMPTS));
  for (size_t i = 0; i < e->t.n; i++) assert_int_equal(e->t.labels[i], 1); /* right targets alone */
  write_text("wsc.yaml", stage);
  run_into(&(start){0}, "classify @/wsc.yaml --device ref", "wsc");
  json_t *m = run_metrics("wsc");
  for (size_t p = 0; p < 2; p++) {
    char folder[100];
    const json_t *want = json_array_get(json_object_get(file, "members"), p),
                 *got = json_array_get(json_object_get(m, "members"), p);
    snprintf(folder, sizeof folder, "wsc/members/p%zu-r0", p);
    same_updates(folder, want);
    check_scores(folder, e, want);
    assert_true(json_number_value(json_object_get(got, "accuracy")) ==
                json_number_value(json_object_get(want, "accuracy")));
  }
  json_decref(m);
  json_decref(file);
  cz_examples_close(&e);
  cz_tokenizer_destroy(&tokenizer);
}

/* Words are letters in any case; those of one text must all be in the other. */
static void compared(void **state) {
  static const struct {
    const char *output, *target;
    bool same;
  } rows[] = {
      {"the band", "The Band", true},  {"band", "the loud band", true},
      {"the loud band", "band", true}, {"the drum", "the band", false},
      {"a band", "the band", false},   {"bands", "band", false},
      {"ba nd", "band", false},        {"Mark's", "mark", true},
      {"band-the", "the band", true},  {"", "band", true}, /* as all() of nothing is in Python */
      {"12 .", "band", true},          {"the the", "the band", true},
      {"\xc3\xa9lan", "lan", true},
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (cz_generator_same(rows[i].output, rows[i].target) != rows[i].same)
      fail_msg("'%s' and '%s'", rows[i].output, rows[i].target);
}

/* A record as SuperGLUE has it: its noun and label. */
static const char official[] =
    "{\"text\": \"The man was great and it was wrong.\", \"target\": {\"span1_index\": 0, "
    "\"span1_text\": \"%s\", \"span2_index\": 5, \"span2_text\": \"%s\"}, \"idx\": 0%s}\n";

/* The project's pattern file, with an answer and without. */
static void official_file(void **state) {
  write_format("two.jsonl", official, "The man", "it", ", \"label\": true");
  write_format("own-zero.yaml",
               "seed: 1\ninit: %s/bert\nexamples: {pattern: " CZ_SOURCE_DIR
               "/experiments/pet/patterns/wsc.yaml, test: %s/two.jsonl, max_length: 64}\n"
               "classify: {strategy: tuning_free}\n",
               folder(), folder());
  run_into(&(start){0}, "classify @/own-zero.yaml", "own-zero");
  json_t *m = run_metrics("own-zero");
  assert_true(json_is_number(json_object_get(json_object_get(m, "ensemble"), "accuracy")));
  json_decref(m);
  expect(0,
         "prompt check --model @/bert --pattern " CZ_SOURCE_DIR
         "/experiments/pet/patterns/wsc.yaml --data @/two.jsonl max_length=64",
         "target: the man (");
  write_format("two.jsonl", official, "The man", "it", "");
  run_into(&(start){0}, "classify @/own-zero.yaml", "own-asked");
  assert_true(cz_fs_exists(under("own-asked/predictions.ensemble.jsonl")));
}

static void refused(void **state) {
  static const char run[] = "classify @/own-zero.yaml examples.pattern=@/own.yaml "
                            "examples.test=@/bad.jsonl --out @/bad";
  static const struct {
    int code;
    const char *words, *why;
  } rows[] = {
      {2, "classify @/gen.yaml classify.lm=0.1 batch.examples=8 classify.lm_examples=4 --out @/bad",
       "all masks of a batch are the target's, and each record of task wsc has a target"},
      {2, "classify @/gen.yaml classify.decoding=parallel --out @/bad",
       "the model writes what it is surest of first, confident_first, and each record of task wsc"},
      {2, "classify @/gen.yaml classify.calibrate=unlabeled_mean --out @/bad",
       "a label's scores are compared over texts, and each record of task wsc has a target"},
      {2, "classify @/gen.yaml classify.strategy=finetune --out @/bad",
       "a classifier would learn from right targets alone"},
      {2, "classify @/gen.yaml examples.pattern=@/none.yaml --out @/bad",
       "fields: no field is the 'target' of task wsc, which the model is to write at the masks"},
      {2, "classify @/gen.yaml examples.pattern=@/labels.yaml --out @/bad",
       "this task's labels say whether the model writes the target"},
      {2,
       "pet --model " PET "/model --pattern " PET "/wsc.yaml --train " PET
       "/wsc.train.jsonl --unlabeled " PET "/wsc.train.jsonl --test " PET
       "/wsc.test.jsonl --out @/bad",
       "each record of task wsc has a target that is generated, and cloze pet ends in a "
       "classifier"},
      {2, "rank --model " PET "/model --pattern " PET "/wsc.yaml --data " PET "/wsc.test.jsonl",
       "wsc.yaml:2:7: task: each record of task wsc has a target to generate, and ranked are all "
       "words; a pattern file without `task` says in which `label_column`"},
      {2, "classify @/gen.yaml examples.chosen=1 examples.chosen_by=@/none --out @/bad",
       "has task: wsc, whose records have a target that is generated; texts to label next are"},
  };
  write_text("gen.yaml", stage);
  write_text("none.yaml", "task: wsc\nfields: {a: text}\npatterns: ['{a*} {mask:6}']\n");
  write_text("labels.yaml", "task: wsc\nfields: {a: text, t: target}\nlabels: [x, y]\n"
                            "patterns: ['{a*} {mask:6}']\n");
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    expect(rows[i].code, rows[i].words, rows[i].why);
  write_text("own.yaml", "task: wsc\nfields: {a: text, t: target}\npatterns: ['{a*} {mask:4}']\n");
  write_format("bad.jsonl", official, "The man", "it", ", \"label\": true");
  expect(1, run,
         "/bad.jsonl:1: row 0: the target 'the man' has 2 tokens and 3 surplus masks, and the "
         "pattern '{a*} {mask:4}' has masks for 4; write {mask:5}");
  write_format("bad.jsonl", official, " ", "it", ", \"label\": true");
  expect(1, run, "/bad.jsonl:1: row 0: nothing is left of target number 1 as tokens");
  write_format("bad.jsonl", official, "The man", "she", ", \"label\": true");
  expect(1, run, "/bad.jsonl:1: the pronoun 'she' does not occur in the text");
  write_format("bad.jsonl", official, "The man", "it", ", \"label\": \"maybe\"");
  expect(1, run, "/bad.jsonl:1: unknown label 'maybe'");
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(members), cmocka_unit_test(compared),
                                     cmocka_unit_test(official_file), cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, make_few_shot, drop_runs);
}
