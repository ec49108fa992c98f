/* Demonstrations, and label words scored by a causal LM, against scripts/make_prompting_fixture.py,
 * which is Hugging Face's BERT and GPT-2 in float64; how demonstrations are drawn; and the program
 * with both. */
#include "few_shot_test.h"

#include "few_shot/demonstrations.h"
#include "few_shot/member.h"

#include <jansson.h>
#include <math.h>

#define FIXTURE CZ_SOURCE_DIR "/tests/fixtures/prompting"

enum { C = 3, MOST = 16, PATTERNS = 4 };

static json_t *expected;
static cz_device *ref, *cpu;
static cz_comm *comm;

/* A model of the fixture with its texts, T and test. */
typedef struct setup {
  const json_t *expected;
  cz_tokenizer *tokenizer;
  cz_examples *examples;
  cz_demonstrations shown[PATTERNS];
  int32_t items[PATTERNS][MOST], labels[PATTERNS][MOST];
  uint64_t hashes[PATTERNS][MOST];
  size_t n;
} setup;

static void open_examples(setup *s, const char *model, int64_t max_length) {
  char pattern[256], folder[256];
  snprintf(pattern, sizeof pattern, FIXTURE "/%s.yaml", model);
  snprintf(folder, sizeof folder, FIXTURE "/%s", model);
  const cz_examples_keys keys = {.pattern = pattern,
                                 NO_OTHER_KEYS,
                                 .train = FIXTURE "/t.tsv",
                                 .unlabelled_file = "",
                                 .test = FIXTURE "/test.tsv",
                                 .labelled = -1,
                                 .unlabelled = 0,
                                 .tested = -1,
                                 .max_length = max_length,
                                 .draw = CZ_DRAW_BALANCED,
                                 .unlabelled_draw = CZ_UNLABELLED_RANDOM};
  OK(cz_tokenizer_open(&s->tokenizer, folder));
  OK(cz_examples_open_for(&s->examples, &keys, s->tokenizer, 3, CZ_READS_PROMPTS));
}

static void open_setup(setup *s, const char *model) {
  *s = (setup){.expected = json_object_get(expected, model)};
  const json_t *items = json_object_get(s->expected, "items");
  open_examples(s, model, json_integer_value(json_object_get(s->expected, "max_length")));
  s->n = json_array_size(items);
  assert_true(s->n && s->n <= PATTERNS);
  for (size_t p = 0; p < s->n; p++) {
    const json_t *list = json_array_get(items, p);
    const size_t n = json_array_size(list);
    assert_true(n <= MOST);
    for (size_t i = 0; i < n; i++) {
      s->items[p][i] = (int32_t)json_integer_value(json_array_get(list, i));
      s->labels[p][i] = s->examples->t.labels[s->items[p][i]];
      s->hashes[p][i] = s->examples->t.hashes[s->items[p][i]];
    }
    s->shown[p] = (cz_demonstrations){.texts = s->examples->t.texts,
                                      .items = s->items[p],
                                      .labels = s->labels[p],
                                      .hashes = s->hashes[p],
                                      .n = n};
  }
}

static void close_setup(setup *s) {
  cz_examples_close(&s->examples);
  cz_tokenizer_destroy(&s->tokenizer);
}

static cz_members *members_of(const setup *s, const char *model, bool show, cz_device *device,
                              int64_t score_tokens) {
  cz_members *m;
  char folder[256];
  snprintf(folder, sizeof folder, FIXTURE "/%s", model);
  const cz_members_options o = {.examples = s->examples,
                                .tokenizer = s->tokenizer,
                                .init = folder,
                                .device = device,
                                .comm = comm,
                                .job = {.seed = 3},
                                .temperature = 1,
                                .causal = !strcmp(model, "gpt2"),
                                .demonstrations = show ? s->shown : NULL,
                                .decoding = CZ_FILL_LEFT_TO_RIGHT,
                                .score_tokens = score_tokens};
  OK(cz_members_open(&m, &o));
  return m;
}

/* Scores of SET under all patterns are those under KEY. */
static void compare(const setup *s, cz_members *m, const char *key, const cz_text_set *set,
                    double tolerance) {
  const json_t *want = json_object_get(s->expected, key);
  assert_int_equal(json_array_size(want), s->n);
  for (size_t p = 0; p < s->n; p++) {
    const json_t *list = json_array_get(want, p);
    float got[MOST * C];
    assert_int_equal(json_array_size(list), set->n * C);
    OK(cz_members_score(m, got, (int32_t)p, set));
    for (size_t i = 0; i < set->n * C; i++) {
      const double x = json_number_value(json_array_get(list, i));
      if (!(fabs((double)got[i] - x) <= tolerance * fmax(1, fabs(x))))
        fail_msg("%s, pattern %zu, score %zu: %.9g, expected %.9g", key, p, i, (double)got[i], x);
    }
  }
}

/* Every text against Hugging Face; a text of T is not shown itself. Runs of one text and of many
 * give the same. */
static void test_scores(void **state) {
  static const char *const models[] = {"bert", "gpt2"};
  for (size_t k = 0; k < 2; k++)
    for (int show = 0; show < 2; show++)
      for (int64_t tokens = 1; tokens <= 4096; tokens *= 64) {
        setup s;
        open_setup(&s, models[k]);
        cz_members *m = members_of(&s, models[k], show, ref, tokens);
        compare(&s, m, show ? "test_shown" : "test_zero_shot", &s.examples->test, 1e-6);
        compare(&s, m, show ? "t_shown" : "t_zero_shot", &s.examples->t, 1e-6);
        cz_members_close(&m);
        close_setup(&s);
      }
}

static void test_cpu(void **state) {
  setup s;
  open_setup(&s, "gpt2");
  cz_members *m = members_of(&s, "gpt2", true, cpu, 300);
  compare(&s, m, "test_shown", &s.examples->test, 2e-5);
  cz_members_close(&m);
  close_setup(&s);
}

/* Words that end the text and differ in their last token alone are one text to the model. */
static void test_read_once(void **state) {
  setup s;
  open_setup(&s, "gpt2");
  const cz_text_set *set = &s.examples->test;
  for (int32_t p = 0; p < (int32_t)s.n; p++) {
    cz_members *m = members_of(&s, "gpt2", false, ref, 4096);
    const cz_prompt *prompt = &s.examples->prompts->items[p];
    cz_prompt_input input = {0};
    float scores[MOST * C];
    double predicted = 0, least = 0;
    OK(cz_members_score(m, scores, p, set));
    for (size_t i = 0; i < set->n; i++) {
      double texts;
      OK(cz_prompt_apply(&input, s.examples->prompts, prompt, set->texts, i));
      predicted +=
          cz_completions_predict(&texts, prompt, C, input.encoding.n, (size_t)input.rows[0]);
      least += (double)input.encoding.n - 1;
      assert_true(p ? texts > 1 : texts == 1);
    }
    assert_true(cz_members_scored(m) == predicted);
    assert_true(p ? predicted > least : predicted == least);
    cz_prompt_input_free(&input);
    cz_members_close(&m);
  }
  close_setup(&s);
}

/* The length is kept, demonstrations come whole where there is room, and the text that is judged
 * loses nothing to them. */
static void test_room(void **state) {
  setup s, wide = {0};
  open_setup(&s, "bert");
  open_examples(&wide, "bert", 400);
  size_t fewer = 0, cut = 0;
  for (size_t p = 0; p < s.n; p++) {
    cz_demonstrations all = s.shown[p];
    all.texts = wide.examples->t.texts;
    for (size_t i = 0; i < s.examples->test.n; i++) {
      const cz_prompts *narrow = s.examples->prompts, *free_of = wide.examples->prompts;
      cz_prompt_input alone = {0}, a = {0}, b = {0};
      OK(cz_prompt_apply(&alone, narrow, &narrow->items[p], s.examples->test.texts, i));
      OK(cz_prompt_apply_behind(&a, narrow, &narrow->items[p], s.examples->test.texts, i,
                                &s.shown[p], NULL));
      OK(cz_prompt_apply_behind(&b, free_of, &free_of->items[p], wide.examples->test.texts, i, &all,
                                NULL));
      assert_true(a.encoding.n <= narrow->max_length && a.n_cut == alone.n_cut);
      assert_int_equal(a.shown + a.dropped, all.n);
      assert_true(b.shown == all.n && !b.dropped && !b.n_cut);
      assert_true(b.encoding.n >= a.encoding.n && a.encoding.n >= alone.encoding.n);
      const size_t tail = alone.encoding.n - alone.encoding.begin[0];
      assert_memory_equal(a.encoding.ids + a.encoding.n - tail,
                          alone.encoding.ids + alone.encoding.begin[0], tail * sizeof(int32_t));
      fewer += a.dropped > 0;
      cut += !a.dropped && a.encoding.n < b.encoding.n;
      cz_prompt_input_free(&alone);
      cz_prompt_input_free(&a);
      cz_prompt_input_free(&b);
    }
  }
  assert_true(fewer && cut);
  close_setup(&s);
  close_setup(&wide);
}

/* ---- the draw */

/* Labels share N evenly as far as they have texts; the choice is the seed's and the pattern's. */
static void test_draw(void **state) {
  enum { TEXTS = 40, LABELS = 4 };
  const int32_t has[LABELS] = {1, 17, 12, 10}; /* label 0 is short of texts */
  int32_t labels[TEXTS], before[TEXTS], items[TEXTS];
  size_t n_before = 0, differ = 0;
  for (int32_t i = 0, c = 0, k = 0; i < TEXTS; i++, k++) {
    if (k == has[c]) c++, k = 0;
    labels[i] = c;
  }
  for (size_t wanted = 1; wanted <= TEXTS + 2; wanted++) {
    int32_t of[LABELS] = {0}, again[TEXTS];
    size_t n = wanted, m = wanted;
    bool taken[TEXTS] = {0};
    OK(cz_draw_demonstrations(items, &n, labels, TEXTS, LABELS, test_seed(), 2));
    OK(cz_draw_demonstrations(again, &m, labels, TEXTS, LABELS, test_seed(), 2));
    assert_int_equal(n, wanted < TEXTS ? wanted : TEXTS);
    assert_memory_equal(items, again, n * sizeof *items);
    for (size_t i = 0; i < n; i++) {
      assert_false(taken[items[i]]);
      taken[items[i]] = true;
      of[labels[items[i]]]++;
    }
    for (int a = 0; a < LABELS; a++)
      for (int b = 0; b < LABELS; b++) assert_true(of[a] == has[a] || of[a] + 1 >= of[b]);
    for (size_t i = 0; i < n_before; i++) assert_true(taken[before[i]]);
    memcpy(before, items, n * sizeof *items);
    n_before = n;
    OK(cz_draw_demonstrations(again, &m, labels, TEXTS, LABELS, test_seed(), 3));
    differ += memcmp(items, again, n * sizeof *items) != 0;
  }
  assert_true(differ > TEXTS / 2);
}

/* ---- the program */

static double metric(const char *run, const char *name, const char *key) {
  char path[256];
  snprintf(path, sizeof path, "%s/result.json", run);
  json_t *root = json_load_file(under(path), 0, NULL);
  const json_t *metrics = json_object_get(root, "metrics");
  const double x =
      json_number_value(json_object_get(name ? json_object_get(metrics, name) : metrics, key));
  json_decref(root);
  return x;
}

static void test_program(void **state) {
  run_into(&(start){0}, "classify @/zero.yaml classify.demonstrations=3 examples.max_length=64",
           "few");
  run_into(&(start){0}, "classify @/zero.yaml examples.max_length=64", "none");
  assert_true(metric("few", NULL, "scored_tokens") > 2 * metric("none", NULL, "scored_tokens"));
  run_into(&(start){0}, "classify @/zero.yaml classify.demonstrations=3 examples.max_length=64",
           "again");
  same_file("few/logits.h5", "again/logits.h5");
  run_into(&(start){0},
           "classify @/zero.yaml classify.demonstrations=3 examples.max_length=64 init=@/gpt "
           "classify.calibrate=content_free",
           "gpt_few");
  run_into(&(start){0}, "classify @/zero.yaml init=@/gpt classify.calibrate=unlabeled_mean",
           "gpt_zero");
  assert_true(metric("gpt_zero", "calibrated", "accuracy") > 0);
  assert_true(metric("gpt_few", "calibrated", "accuracy") > 0);
  expect(
      0,
      "classify @/zero.yaml classify.demonstrations=30 examples.max_length=24 classify.patterns=0 "
      "--out @/warned",
      "classify: 12 demonstrations instead of 30, all texts of T\n");
  assert_non_null(
      strstr(said(), " texts leave no room for all of their demonstrations, of which "));
}

static void test_refused(void **state) {
  expect(2, "classify @/pet.yaml classify.demonstrations=2 --out @/bad",
         "demonstrations: 2 texts in front of each are for strategy tuning_free; strategy pet "
         "learns from T by itself");
  expect(2, "classify @/zero.yaml classify.demonstrations=1 examples.labelled=0 --out @/bad",
         "demonstrations: these 1 are texts of T, and T is empty: examples.labelled is 0");
  expect(2, "classify @/zero.yaml classify.demonstrations=1 examples.train='' --out @/bad",
         "examples.train names no file of labelled texts");
  expect(2, "classify @/zero.yaml classify.demonstrations=-1 --out @/bad",
         "classify.demonstrations: -1 is not between 0 and 1000");
  expect(2, "classify @/pet.yaml init=@/gpt --out @/bad",
         "init: family gpt2 has no masked_lm head, which this stage wants of ");
  assert_non_null(strstr(said(), "; classify.strategy=tuning_free asks a causal LM"));
  expect(2,
         "classify @/zero.yaml init=@/gpt classify.calibrate=unlabeled_mean "
         "classify.calibrated_start=true --out @/bad",
         "calibrated_start changes the bias of label words, which a causal LM has none of");
}

/* The tokenizer of the tests without its mask token. */
static void maskless(const char *folder) {
  char path[600], *text = read_text(FEW_SHOT_TOKENIZER, NULL);
  for (char *at = text; (at = strstr(at, "[MASK]"));) at[1] = 'm';
  snprintf(path, sizeof path, "%s/tokenizer.json", folder);
  write_text(path, text);
  free(text);
}

/* A tokenizer without a mask token is a causal LM's, and says so to whoever looks. */
static void test_no_mask_token(void **state) {
  make_model("blind", "bert", true);
  make_model("plain_gpt", "gpt2", false);
  maskless("blind");
  maskless("plain_gpt");
  expect(2, "classify @/zero.yaml init=@/blind --out @/bad",
         "blind: the tokenizer has no mask token, and a masked LM is asked at one");
  expect(2, "score --model @/blind --text @/train.tsv",
         "blind: the tokenizer has no mask token, and a masked LM is asked at one");
  run_into(&(start){0}, "classify @/zero.yaml init=@/plain_gpt classify.demonstrations=2", "plain");
  run_into(&(start){0}, "classify @/zero.yaml init=@/gpt classify.demonstrations=2", "gpt_masked");
  same_file("plain/logits.h5", "gpt_masked/logits.h5"); /* that it has one is nothing to it */
  run_into(&(start){0}, "classify @/ft.yaml init=@/plain_gpt classify.repetitions=1 train.steps=2",
           "tuned");
  expect(0, "prompt check --model @/plain_gpt --pattern @/p.yaml",
         "no mask token: a causal LM scores the text with each word in the place of {mask}\n");
  assert_non_null(strstr(said(), "  tokens  [CLS] {mask} : [SEP]\n"));
  assert_non_null(strstr(said(), "    sports: sports ("));
  expect(0, "prompt check --model @/plain_gpt --pattern @/p.yaml --json", "\"mask_token\": null");
  expect(0, "prompt check --model @/bert --pattern @/p.yaml --json", "\"mask_token\": \"[MASK]\"");
}

/* ---- words ranked at the mask */

static void test_ranks(void **state) {
  char words[600];
  snprintf(words, sizeof words,
           "rank --model %s/bert --pattern %s/rank.yaml --data %s/answers.tsv --json --device ref",
           FIXTURE, FIXTURE, FIXTURE);
  expect(0, words, "\"mean_reciprocal_rank\": ");
  json_error_t why;
  json_t *root = json_loads(strstr(said(), "{\n"), JSON_DISABLE_EOF_CHECK, &why);
  if (!root) fail_msg("%s in: %s", why.text, said());
  const json_t *want = json_object_get(expected, "rank"),
               *patterns = json_object_get(root, "patterns");
  assert_int_equal(json_array_size(patterns), json_array_size(want));
  assert_int_equal(json_integer_value(json_object_get(root, "not_one_token")), 1);
  for (size_t p = 0; p < json_array_size(want); p++) {
    const json_t *got = json_array_get(patterns, p), *ranks = json_array_get(want, p);
    double first = 0, among = 0, reciprocal = 0, n = 0;
    assert_true(json_equal(json_object_get(got, "ranks"), ranks));
    for (size_t i = 0; i < json_array_size(ranks); i++) {
      const json_int_t rank = json_integer_value(json_array_get(ranks, i));
      if (!rank) continue;
      n++, first += rank == 1, among += rank <= 10, reciprocal += 1 / (double)rank;
    }
    assert_true(n == (double)json_integer_value(json_object_get(root, "answers")));
    assert_true(json_real_value(json_object_get(got, "precision_at_1")) == first / n);
    assert_true(json_real_value(json_object_get(got, "precision_at_10")) == among / n);
    assert_true(fabs(json_real_value(json_object_get(got, "mean_reciprocal_rank")) -
                     reciprocal / n) < 1e-12);
  }
  json_decref(root);
}

/* More records than are computed at once, with labels declared, and what is refused. */
static void test_rank_command(void **state) {
  expect(0, "rank --model @/bert --pattern @/p.yaml --data @/train.tsv",
         "60 answers among 395 words; 0 more are not one token and are left out\n     P@1");
  expect(2, "rank --model @/gpt --pattern @/p.yaml --data @/train.tsv",
         "gpt: words are ranked at a mask, and family gpt2 is no masked LM; `cloze score` says ");
  expect(2, "rank --model @/bert --pattern @/p.yaml", "rank: --data FILE is missing");
  expect(1, "rank --model @/bert --pattern @/p.yaml --data @/pool.tsv", "label");
  write_text("two_masks.yaml", "fields: {a: text}\npatterns: ['{a*} {mask:2}']\n");
  expect(
      2, "rank --model @/bert --pattern @/two_masks.yaml --data @/train.tsv",
      "two_masks.yaml:2:13: patterns.0: this pattern has 2 masks: words of one token are ranked");
  write_text("own.yaml", "fields: {a: text}\nlabels: [x, y]\nchoices: ['{a}', '{a}']\n"
                         "patterns: ['{a*} {mask}']\n");
  expect(2, "rank --model @/bert --pattern @/own.yaml --data @/train.tsv",
         "own.yaml:3:10: choices: the answers are each record's own; ranked are all words");
  write_text("strange.tsv", "text\tlabel\nthe man\tsportsscience\nwho\t[MASK]\n");
  expect(1, "rank --model @/bert --pattern @/p.yaml --data @/strange.tsv",
         "strange.tsv: of 2 answers in its column 'label' none is one token of ");
}

static int open_all(void **state) {
  json_error_t why;
  if (make_few_shot(state)) return -1;
  make_model("gpt", "gpt2", false);
  expected = json_load_file(FIXTURE "/expected.json", 0, &why);
  if (!expected) return print_error("expected.json:%d: %s\n", why.line, why.text), -1;
  OK(cz_device_open(&ref, "ref"));
  OK(cz_device_open(&cpu, "cpu"));
  OK(cz_comm_open(&comm, "self"));
  return 0;
}

static int close_all(void **state) {
  cz_comm_close(&comm);
  cz_device_close(&ref);
  cz_device_close(&cpu);
  json_decref(expected);
  return drop_runs(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_scores),    cmocka_unit_test(test_cpu),
      cmocka_unit_test(test_read_once), cmocka_unit_test(test_room),
      cmocka_unit_test(test_draw),      cmocka_unit_test(test_program),
      cmocka_unit_test(test_refused),   cmocka_unit_test(test_no_mask_token),
      cmocka_unit_test(test_ranks),     cmocka_unit_test(test_rank_command)};
  return cmocka_run_group_tests(tests, open_all, close_all);
}
