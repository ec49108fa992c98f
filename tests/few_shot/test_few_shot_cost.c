/* What the few-shot stages are predicted to cost, by hand and beside what runs of them say that
 * they did: steps, tokens of training, tokens of texts that are scored. */
#include "few_shot_test.h"

#include "nn/hf.h"
#include "training/flops.h"

#include <jansson.h>
#include <math.h>

enum { T = 12, D = 20, TEST = 10, STEPS = 30, BATCH = 6 };

/* Texts of two words each, all different; with the tokenizer of the tests two tokens. Under the
 * patterns of p.yaml they are [CLS] [MASK] : a b [SEP] and [CLS] a b [SEP] it was [MASK] . [SEP].
 */
enum { PLAIN = 4, FIRST = 6, SECOND = 9 };

static void make_pairs(const char *name, int first, int lines, bool labels) {
  static const char *const words[] = {"the", "of", "and", "was", "is", "they", "it", "who"},
                           *const label[] = {"sports", "science", "business"};
  FILE *f = fopen(under(name), "w");
  assert_non_null(f);
  fprintf(f, labels ? "text\tlabel\n" : "text\n");
  for (int i = first; i < first + lines; i++) {
    fprintf(f, "%s %s", words[i / 8], words[i % 8]);
    if (labels) fprintf(f, "\t%s", label[i % 3]);
    fprintf(f, "\n");
  }
  assert_int_equal(fclose(f), 0);
}

/* All kinds and strategies. */
static const char stages[] =
    "seeds: [3]\n"
    "common:\n"
    "  init: %s/bert\n"
    "  examples: {pattern: %s/p.yaml, train: %s/%strain.tsv, unlabelled_file: %s/%spool.tsv, test: "
    "%s/%stest.tsv, labelled: 12, max_length: 40}\n"
    "  batch: {examples: 6}\n"
    "  optimizer: {name: adamw, learning_rate: 0.01, schedule: transformers_linear}\n"
    "  train: {steps: 30, z_loss: 0}\n"
    "stages:\n"
    "  zero: {kind: classify, classify: {strategy: tuning_free, calibrate: unlabeled_mean}}\n"
    "  free: {kind: classify, classify: {strategy: tuning_free, calibrate: content_free}}\n"
    "  long: {kind: classify, examples: {pattern: %s/long.yaml}, classify: {strategy: "
    "tuning_free}}\n"
    "  wide: {kind: classify, examples: {pattern: %s/long.yaml}, classify: {strategy: tuning_free, "
    "decoding: parallel}}\n"
    "  many: {kind: classify, examples: {pattern: %s/long.yaml}, classify: {repetitions: 1, lm: "
    "0.1, "
    "lm_examples: 2, held_out: 0}}\n"
    "  shown: {kind: classify, examples: {max_length: 32}, classify: {strategy: tuning_free, "
    "demonstrations: 4, calibrate: content_free}}\n"
    "  causal: {kind: classify, init: %s/gpt, examples: {pattern: %s/long.yaml}, classify: "
    "{strategy: tuning_free}}\n"
    "  both: {kind: classify, init: %s/gpt, classify: {strategy: tuning_free, demonstrations: 1, "
    "calibrate: unlabeled_mean}}\n"
    "  own: {kind: classify, examples: {pattern: %s/own.yaml}, classify: {repetitions: 1, "
    "held_out: 0}}\n"
    "  pet: {kind: classify, classify: {repetitions: 2}}\n"
    "  one: {kind: classify, classify: {patterns: '1', lm: 0.1, lm_examples: 2, held_out: 3}}\n"
    "  short: {kind: classify, classify: {strategy: finetune, repetitions: 1}, "
    "examples: {labelled: 10}, batch: {shards: 2, epoch_ends: short}}\n"
    "  code: {kind: classify, classify: {patterns: '1', repetitions: 1, lm: 0.1, lm_examples: 2, "
    "held_out: 3, fidelity: code}, batch: {shards: 2}}\n"
    "  never: {kind: classify, classify: {strategy: finetune, repetitions: 1, fidelity: code}, "
    "examples: {labelled: 6}, batch: {examples: 8, shards: 4}}\n"
    "  ft: {kind: classify, classify: {strategy: finetune, repetitions: 2}}\n"
    "  vectors: {kind: classify, classify: {strategy: sentence_encoder}}\n"
    "  ipet: {kind: classify, classify: {from: $pet, repetitions: 2, scale: 1.5}}\n"
    "  student: {kind: distill, distill: {from: $pet, repetitions: 2}}\n"
    "%s"
    "rows: [{name: all}]\n"
    "columns: [{name: accuracy, value: student.student.accuracy}]\n";

/* One that chooses texts, where those of D have labels. */
static const char more[] = "  more: {kind: classify, examples: {chosen: 3, chosen_by: $pet}, "
                           "classify: {repetitions: 2}}\n";

static int make(void **state) {
  if (make_few_shot(state)) return -1;
  const char *d = folder();
  make_model("gpt", "gpt2", false);
  make_pairs("two-train.tsv", 0, 24, true);
  make_pairs("two-pool.tsv", 24, D, true);
  make_pairs("two-test.tsv", 44, TEST, true);
  write_format("two.yaml", stages, d, d, d, "two-", d, "two-", d, "two-", d, d, d, d, d, d, d,
               more);
  write_format("any.yaml", stages, d, d, d, "", d, "", d, "", d, d, d, d, d, d, d, "");
  write_text("long.yaml", "fields: {a: text}\nlabels: [sports, science, business]\n"
                          "words: {sports: sports, science: tech, business: the news}\n"
                          "patterns: ['{a*} {mask:3}']\n");
  write_text("own.yaml", "fields: {a: text}\nlabels: [sports, science, business]\n"
                         "choices: ['{a}', '{a|inline} the', 'of {a|inline} the']\n"
                         "patterns: ['{a*} {mask:16}']\n");
  char none[600];
  snprintf(none, sizeof none, "%s/none", d);
  write_format("model.yaml", stages, none, d, d, "two-", d, "two-", d, "two-", d, d, d, d, d, d, d,
               more);
  write_format("gone.yaml", stages, d, d, d, "gone-", d, "gone-", d, "gone-", d, d, d, d, d, d, d,
               more);
  return 0;
}

/* The stages of what `show --cost` prints of FILE; the caller frees *ROOT. */
static json_t *priced(json_t **root, const char *file) {
  char words[256];
  json_error_t why;
  snprintf(words, sizeof words, "show @/%s --cost --gflops 2 --gpu-gflops 1000 --json", file);
  expect(0, words, "scored_tokens");
  *root = json_loads(strstr(said(), "{\n"), JSON_DISABLE_EOF_CHECK, &why);
  if (!*root) fail_msg("%s in: %s", why.text, said());
  return json_object_get(json_array_get(json_object_get(*root, "rows"), 0), "stages");
}

static const json_t *stage_of(const json_t *list, const char *name) {
  size_t i;
  json_t *s;
  json_array_foreach(list, i,
                     s) if (!strcmp(json_string_value(json_object_get(s, "name")), name)) return s;
  fail_msg("there is no stage %s", name);
  return NULL;
}

static double number(const json_t *o, const char *key) {
  const json_t *x = json_object_get(o, key);
  if (!json_is_number(x)) fail_msg("%s is no number", key);
  return json_number_value(x);
}

static void says(const json_t *list, const char *name, double steps, double tokens, double scored) {
  const json_t *s = stage_of(list, name);
  if (number(s, "steps") != steps || number(s, "tokens") != tokens ||
      number(s, "scored_tokens") != scored)
    fail_msg("%s: %g steps, %g tokens, %g scored; by hand %g, %g, %g", name, number(s, "steps"),
             number(s, "tokens"), number(s, "scored_tokens"), steps, tokens, scored);
  assert_false(json_is_true(json_object_get(s, "assumed_texts")));
}

static void by_hand(void **state) {
  json_t *root, *list = priced(&root, "two.yaml");
  const double all = T + D + TEST, prompts = FIRST + SECOND;
  says(list, "zero", 0, 0, (T + all + D) * prompts); /* T is read for its accuracy, and scored */
  says(list, "pet", 4 * STEPS, 2 * STEPS * BATCH * prompts,
       2 * (T + all) * prompts + 4 * 2 * TEST * PLAIN);
  /* [CLS] a b [MASK] [MASK] [SEP]; two words have one token, and one has two, which is read again
   */
  says(list, "long", 0, 0, (T + all) * (5 + 6 + 6));
  says(list, "wide", 0, 0, (T + all) * (5 + 6));
  /* trained with two masks, as many as the longest word has, whatever is asked of a text */
  says(list, "many", STEPS, STEPS * BATCH * 6, (T + all) * (5 + 6 + 6));
  /* [CLS] a b [SEP] behind each of two words in one token and of one in two, all of it but the last
   * token read: the tokenizer of the tests puts [SEP] behind the answer, so that nothing is shared
   */
  says(list, "causal", 0, 0, (T + all) * (4 + 4 + 5));
  /* answers of two, three and four tokens, each read again for every token behind its first */
  says(list, "own", STEPS, STEPS * BATCH * 8, (T + all) * (6 * 2 + 7 * 3 + 8 * 4));
  /* three repetitions; a batch has 4 of T and 2 of D */
  says(list, "one", 3 * STEPS, 3 * STEPS * BATCH * SECOND,
       3 * ((T + all) * SECOND + 2 * 3 * PLAIN));
  /* two shards of three: an epoch of 10 texts is two batches of 6 and 4 */
  says(list, "short", STEPS, STEPS * 5 * PLAIN, (10 + D + TEST) * PLAIN);
  /* texts of D are padded to 40; with the update without a rate */
  says(list, "code", STEPS + 1, (STEPS + 1) * (4 * SECOND + 2 * 40),
       (T + all) * SECOND + 2 * 3 * PLAIN);
  says(list, "never", 0, 0, (6 + D + TEST) * PLAIN); /* three micro-batches an epoch are no step */
  says(list, "ft", 2 * STEPS, 2 * STEPS * BATCH * PLAIN, 2 * all * PLAIN);
  says(list, "vectors", 0, 0, all * PLAIN);
  says(list, "ipet", 4 * STEPS, 2 * STEPS * BATCH * prompts,
       2 * (T + all) * prompts + 4 * 2 * TEST * PLAIN);
  says(list, "student", 2 * STEPS, 2 * STEPS * BATCH * PLAIN, 2 * all * PLAIN);
  /* three texts are in T instead of D */
  says(list, "more", 4 * STEPS, 2 * STEPS * BATCH * prompts,
       2 * (T + 3 + all) * prompts + 4 * 2 * TEST * PLAIN);
  json_decref(root);
}

/* Training is forward and backward, scoring forward, both by one formula; hours follow. A sentence
 * encoder's mean reads all rows of the last block. */
static void flop_and_hours(void **state) {
  json_t *root;
  const json_t *list = priced(&root, "two.yaml"), *ft = stage_of(list, "ft"),
               *vectors = stage_of(list, "vectors");
  cz_model_config c;
  OK(cz_hf_config_read(&c, under("bert/config.json")));
  const cz_step_shape text = {.segments = 1, .inputs = PLAIN, .read = 1},
                      whole = {.segments = 1, .inputs = PLAIN};
  const double encoded = (T + D + TEST) * cz_flops_forward(&c, &whole);
  const double flop = cz_flops_forward(&c, &text), trained = 3 * 2 * STEPS * BATCH * flop,
               scored = 2 * (T + D + TEST) * flop;
  assert_true(fabs(number(ft, "flop") / trained - 1) < 1e-12);
  assert_true(fabs(number(ft, "scoring_flop") / scored - 1) < 1e-12);
  assert_true(fabs(number(vectors, "scoring_flop") / encoded - 1) < 1e-12);
  assert_true(fabs(number(ft, "hours") / (trained / 2e9 / 3600) - 1) < 1e-12);
  assert_true(fabs(number(ft, "gpu_scoring_hours") / (scored / 1e12 / 3600) - 1) < 1e-12);
  json_decref(root);
}

/* The metrics of the stages of the run RUN, a row of one seed; the caller frees *ROOT. */
static const json_t *metrics(json_t **root, const char *run) {
  char name[128];
  snprintf(name, sizeof name, "%s/result.json", run);
  *root = json_load_file(under(name), 0, NULL);
  const json_t *row = json_object_get(json_object_get(*root, "metrics"), "all");
  assert_non_null(json_object_get(row, "3"));
  return json_object_get(row, "3");
}

/* What stages of FILE did is what was predicted; of the tokens of training where SAME_LENGTH, or
 * where whole epochs were trained. */
static void as_predicted(const char *file, const char *run, bool same_length) {
  json_t *root, *result, *list = priced(&root, file), *s;
  char words[256];
  size_t i;
  snprintf(words, sizeof words, "run @/%s", file);
  run_into(&(start){0}, words, run);
  const json_t *all = metrics(&result, run);
  json_array_foreach(list, i, s) {
    const char *name = json_string_value(json_object_get(s, "name"));
    const json_t *m = json_object_get(all, name);
    const double trained = number(m, "input_tokens") + number(m, "target_tokens");
    if (number(m, "steps") != number(s, "steps") ||
        number(m, "scored_tokens") != number(s, "scored_tokens"))
      fail_msg("%s: %g steps and %g tokens scored, predicted %g and %g", name, number(m, "steps"),
               number(m, "scored_tokens"), number(s, "steps"), number(s, "scored_tokens"));
    const bool epochs = strcmp(name, "ipet") != 0 && strcmp(name, "one") != 0 &&
                        strcmp(name, "many") != 0 && strcmp(name, "code") != 0;
    if (epochs || same_length ? trained != number(s, "tokens")
                              : fabs(trained / number(s, "tokens") - 1) > 0.15)
      fail_msg("%s: trained on %g tokens, predicted %g", name, trained, number(s, "tokens"));
  }
  json_decref(result);
  json_decref(root);
}

static void done_as_predicted(void **state) {
  as_predicted("two.yaml", "two", true);
  as_predicted("any.yaml", "any", false);
}

/* The report has them. */
static void reported(void **state) {
  json_t *root, *list = priced(&root, "two.yaml"), *s;
  double steps = 0, tokens = 0, scored = 0;
  size_t i;
  json_array_foreach(list, i, s) {
    steps += number(s, "steps");
    tokens += number(s, "tokens");
    scored += number(s, "scored_tokens");
  }
  expect(0, "report @/two", "million tokens scored");
  expect(0, "report @/two --json", "scored_tokens");
  json_t *report = json_loads(strstr(said(), "{\n"), JSON_DISABLE_EOF_CHECK, NULL);
  const json_t *cost = json_array_get(json_object_get(report, "costs"), 0);
  assert_true(number(cost, "steps") == steps && number(cost, "tokens") == tokens &&
              number(cost, "scored_tokens") == scored && number(cost, "seconds") > 0);
  json_decref(report);
  json_decref(root);
}

/* Without the files sets are as large as the keys say, where they say it, and texts as long as they
 * may be. */
static void without_files(void **state) {
  json_t *root, *list = priced(&root, "gone.yaml");
  const json_t *s = stage_of(list, "pet");
  assert_true(json_is_true(json_object_get(s, "assumed_texts")));
  assert_true(json_is_true(json_object_get(s, "assumed_sizes"))); /* of D and the test set */
  assert_true(number(s, "scored_tokens") == 4 * 2 * T * 40);
  assert_true(number(s, "tokens") == 4 * STEPS * BATCH * 40);
  assert_true(number(s, "steps") == 4 * STEPS && number(s, "flop") > 0);
  s = stage_of(list, "more"); /* nothing tells that D has three texts */
  assert_true(number(s, "scored_tokens") == 4 * 2 * T * 40);
  json_decref(root);
}

/* Without the model files are counted all the same, and FLOP are nobody's guess. */
static void without_model(void **state) {
  json_t *root, *list = priced(&root, "model.yaml");
  const json_t *s = stage_of(list, "ft");
  assert_true(json_is_true(json_object_get(s, "assumed_texts")));
  assert_false(json_is_true(json_object_get(s, "assumed_sizes")));
  assert_true(json_is_true(json_object_get(s, "unknown_model")));
  assert_true(json_is_null(json_object_get(s, "flop")));
  assert_true(json_is_null(json_object_get(s, "gpu_scoring_hours")));
  assert_true(number(s, "scored_tokens") == 2 * (T + D + TEST) * 40);
  json_decref(root);
  expect(0, "show @/model.yaml --cost", "its FLOP are not known");
}

/* Table 1's row of AG's News at |T| = 10: six patterns, three repetitions, 10,000 unlabelled texts
 * of each of four labels; neither model nor data are there. */
static const char agnews[] =
    "seeds: [1]\n"
    "common:\n"
    "  init: %s/gone/roberta-base\n"
    "  examples: {pattern: %s/experiments/pet/patterns/agnews.yaml, train: %s/gone.csv, test: "
    "%s/gone-test.csv, labelled: 10, draw: paper, unlabelled: 10000, unlabelled_draw: per_label, "
    "test_examples: 7600, max_length: 256}\n"
    "  batch: {examples: 16}\n"
    "  optimizer: {name: adamw, learning_rate: 1e-5}\n"
    "  train: {steps: 250, z_loss: 0}\n"
    "stages:\n"
    "  pet: {kind: classify, classify: {repetitions: 3, held_out: 0}}\n"
    "  student: {kind: distill, distill: {from: $pet, repetitions: 3}, train: {steps: 5000}}\n"
    "rows: [{name: 'AG News, 10'}]\n"
    "columns: [{name: accuracy, value: student.student.accuracy}]\n";

static void row_of_the_paper(void **state) {
  json_t *root, *kernels;
  write_format("ag.yaml", agnews, folder(), CZ_SOURCE_DIR, folder(), folder());
  json_t *list = priced(&root, "ag.yaml");
  const json_t *pet = stage_of(list, "pet"), *student = stage_of(list, "student");
  cz_model_config c;
  OK(cz_model_config_named(&c, "roberta-base"));
  const cz_step_shape text = {.segments = 1, .inputs = 256, .read = 1};
  assert_true(number(pet, "steps") == 18 * 250 && number(student, "steps") == 3 * 5000);
  assert_true(number(pet, "scored_tokens") == 18 * (2 * 10 + 40000 + 7600) * 256.0);
  assert_true(number(student, "scored_tokens") == 3 * (10 + 40000 + 7600) * 256.0);
  assert_true(json_is_true(json_object_get(pet, "assumed_model")));
  assert_false(json_is_true(json_object_get(pet, "assumed_sizes")));
  assert_true(fabs(number(pet, "flop") / (3.0 * 18 * 250 * 16 * cz_flops_forward(&c, &text)) - 1) <
              1e-12);
  json_decref(root);
  expect(0, "show @/ag.yaml --cost", "GPU hours of scoring");
  /* the card's rate is that of the counted kernels */
  expect(0, "show @/ag.yaml --cost --json --gflops 1", "gpu_gflop_per_s");
  root = json_loads(strstr(said(), "{\n"), JSON_DISABLE_EOF_CHECK, NULL);
  kernels = json_load_file(CZ_SOURCE_DIR "/experiments/results/kernels/kernels.json", 0, NULL);
  const json_t *step =
                   json_object_get(json_object_get(kernels, "steps"), "RoBERTa-large PET 16 x 128"),
               *bound = json_object_get(json_object_get(step, "bounds"), "H200");
  const double rate = 1e-9 * number(step, "flop") / number(bound, "seconds");
  if (fabs(number(root, "gpu_gflop_per_s") / rate - 1) > 0.005)
    fail_msg("show takes %g GFLOP/s, the counted bound is %g", number(root, "gpu_gflop_per_s"),
             rate);
  json_decref(kernels);
  json_decref(root);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(by_hand),           cmocka_unit_test(flop_and_hours),
      cmocka_unit_test(done_as_predicted), cmocka_unit_test(reported),
      cmocka_unit_test(without_files),     cmocka_unit_test(without_model),
      cmocka_unit_test(row_of_the_paper)};
  return cmocka_run_group_tests(tests, make, drop_runs);
}
