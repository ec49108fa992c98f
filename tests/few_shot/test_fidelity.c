/* Where PET's paper and its published code disagree about training (docs/pet.md 5.1): `fidelity:
 * code` is the code, and `paper` has none of its defects. What the code computes is
 * scripts/make_published_fixture.py's: Hugging Face's BERT and RoBERTa on padded texts in float64.
 */
#include "few_shot_test.h"

#include "few_shot/examples.h"
#include "few_shot/published.h"
#include "few_shot/scores_file.h"

#include <jansson.h>
#include <math.h>

#define FIXTURES  CZ_SOURCE_DIR "/tests/fixtures"
#define PUBLISHED FIXTURES "/pet/published"

enum { CLASSES = 3, UPDATES = 6, STUDENT_UPDATES = 5, MOST = 8 };

/* Scores are kept in float32. */
static const double OF_SCORES = 1e-6;

static json_t *expected;

static const json_t *at(const json_t *object, const char *key) {
  const json_t *value = json_object_get(object, key);
  if (!value) fail_msg("%s is missing", key);
  return value;
}

static double number(const json_t *object, const char *key) {
  return json_number_value(at(object, key));
}

static double metric(const char *run, const char *key) {
  json_t *all = run_metrics(run);
  const double value = number(all, key);
  json_decref(all);
  return value;
}

/* KEY of all updates that the member in FOLDER notes, at most MOST; how many. */
static size_t updates_of(double *out, const char *folder, const char *key) {
  char name[200];
  size_t n = 0;
  snprintf(name, sizeof name, "%s/metrics.jsonl", folder);
  char *text = read_text(under(name), NULL);
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    json_t *o = json_loads(line, 0, NULL);
    assert_true(n < MOST);
    out[n++] = number(o, key);
    json_decref(o);
  }
  free(text);
  return n;
}

static void same_scores(const json_t *want, const char *name, const float *got, size_t n) {
  const json_t *list = at(want, name);
  assert_int_equal(json_array_size(list), n * CLASSES);
  for (size_t i = 0; i < n * CLASSES; i++) {
    const double x = json_number_value(json_array_get(list, i));
    if (!(fabs((double)got[i] - x) <= OF_SCORES))
      fail_msg("%s[%zu]: %.9g, expected %.9g", name, i, (double)got[i], x);
  }
}

/* What the member in FOLDER did and says is what the fixture's WANT says. */
static void same_member(const char *family, const json_t *want, const char *folder) {
  const cz_examples_keys keys = {.pattern = PUBLISHED "/p.yaml",
                                 NO_OTHER_KEYS,
                                 .train = PUBLISHED "/train.tsv",
                                 .unlabelled_file = PUBLISHED "/pool.tsv",
                                 .test = PUBLISHED "/test.tsv",
                                 .labelled = -1,
                                 .unlabelled = -1,
                                 .tested = -1,
                                 .max_length = 24};
  cz_tokenizer *tokenizer;
  cz_examples *e;
  cz_member_scores got;
  char name[40];
  same_updates(folder, want);
  snprintf(name, sizeof name, "hf/%s", family);
  OK(cz_tokenizer_open(&tokenizer, under(name)));
  OK(cz_examples_open_for(&e, &keys, tokenizer, 5, CZ_READS_PROMPTS));
  OK(cz_member_scores_read(&got, e, under(folder)));
  same_scores(want, "labelled", got.t, e->t.n);
  same_scores(want, "unlabelled", got.d, e->d.n);
  same_scores(want, "test", got.test, e->test.n);
  cz_member_scores_free(&got);
  cz_examples_close(&e);
  cz_tokenizer_destroy(&tokenizer);
}

/* Padding and the pattern's mask are targets, padding sees the text and is seen by nobody, with
 * Hugging Face's positions; the loss is the mean of micro-batches; the sixth update is
 * the last with a rate. */
static void members(void **state) {
  static const char *const families[] = {"bert", "roberta"};
  for (int f = 0; f < 2; f++) {
    char words[200], name[40], folder[80];
    const json_t *want = at(expected, families[f]);
    double rates[MOST];
    snprintf(words, sizeof words, "classify @/published.yaml init=@/hf/%s --device ref",
             families[f]);
    snprintf(name, sizeof name, "code-%s", families[f]);
    snprintf(folder, sizeof folder, "%s/members/p0-r0", name);
    run_into(&(start){0}, words, name);
    same_member(families[f], want, folder);
    assert_int_equal(updates_of(rates, folder, "learning_rate"), UPDATES + 1);
    assert_true(rates[UPDATES - 1] > 0 && rates[UPDATES] == 0);
    assert_true(number(want, "padded") > 0 && number(want, "masks") > 0);
  }
}

/* The same in the arithmetic of other devices. */
static void arithmetic(void **state) {
  static const char *const devices[] = {"cpu",
#ifdef CZ_HAVE_EMULATOR
                                        "emu",
#endif
                                        NULL};
  for (int d = 0; devices[d]; d++) {
    char words[200], folder[80];
    double got[MOST];
    const json_t *losses = at(at(expected, "roberta"), "losses");
    snprintf(words, sizeof words, "classify @/published.yaml init=@/hf/roberta --device %s",
             devices[d]);
    snprintf(folder, sizeof folder, "%s/members/p0-r0", devices[d]);
    run_into(&(start){0}, words, devices[d]);
    assert_int_equal(updates_of(got, folder, "loss"), UPDATES + 1);
    for (size_t i = 0; i <= UPDATES; i++)
      if (!(fabs(got[i] / json_number_value(json_array_get(losses, i)) - 1) < 1e-5))
        fail_msg("%s, loss of update %zu: %.9g", devices[d], i, got[i]);
  }
}

/* The loss that is reported is the divergence. */
static void student(void **state) {
  char words[200];
  snprintf(words, sizeof words, "distill @/student.yaml distill.from=%s --device ref",
           under("code-bert"));
  run_into(&(start){0}, words, "code-student");
  same_member("bert", at(expected, "student"), "code-student/members/plain-r0");
  snprintf(words, sizeof words,
           "distill @/student.yaml distill.from=%s distill.fidelity=paper --device ref",
           under("code-bert"));
  run_into(&(start){0}, words, "paper-student");
  double code[MOST], paper[MOST];
  updates_of(code, "code-student/members/plain-r0", "loss");
  assert_int_equal(updates_of(paper, "paper-student/members/plain-r0", "loss"), STUDENT_UPDATES);
  for (int i = 0; i < STUDENT_UPDATES; i++) assert_true(paper[i] > code[i] + 0.1);
}

/* Of the same run `paper` makes as many updates as told, all with a rate, and reads no padding: the
 * code reads AUXILIARY texts of 24 tokens in each update, whatever their length. */
static void paper_has_none(void **state) {
  double rates[MOST];
  run_into(&(start){0}, "classify @/published.yaml init=@/hf/bert classify.fidelity=paper",
           "paper");
  assert_int_equal(updates_of(rates, "paper/members/p0-r0", "learning_rate"), UPDATES);
  for (int i = 0; i < UPDATES; i++) assert_true(rates[i] > 0);
  run_into(&(start){0}, "classify @/published.yaml init=@/hf/bert classify.fidelity=corrected",
           "put");
  json_t *paper = run_metrics("paper"), *corrected = run_metrics("put"),
         *code = run_metrics("code-bert");
  assert_true(json_equal(paper, corrected)); /* nothing of it is wrong in the paper */
  assert_true(number(code, "steps") == UPDATES + 1);
  assert_true(number(code, "target_tokens") + number(code, "input_tokens") >=
              (UPDATES + 1) * 6 * 24.0);
  assert_true(number(paper, "target_tokens") + number(paper, "input_tokens") < UPDATES * 6 * 24.0);
  json_decref(paper);
  json_decref(corrected);
  json_decref(code);
}

static void epoch(int64_t labelled, int64_t n, int64_t texts, int64_t updates, int64_t left_over) {
  const cz_batch_plan b = {.examples = 16, .shards = 4};
  const cz_published_epoch e = cz_published_epoch_of(&b, labelled, n);
  assert_int_equal(e.texts, texts);
  assert_int_equal(e.updates, updates);
  assert_int_equal(e.left_over, left_over);
}

/* The table of docs/pet.md 1.6: 4 micro-batches of 4 labelled texts, and of one with the auxiliary
 * loss. */
static void updates_of_epochs(void **state) {
  static const struct {
    int64_t t, without, left, with, left_with;
  } rows[] = {{10, 0, 3, 2, 2}, {50, 3, 1, 12, 2}, {100, 6, 1, 25, 0}, {1000, 62, 2, 250, 0}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    epoch(16, rows[i].t, rows[i].t, rows[i].without, rows[i].left);
    epoch(4, rows[i].t, rows[i].t, rows[i].with, rows[i].left_with);
  }
  epoch(16, 13, 13, 1, 0); /* the last micro-batch has one text */
  epoch(8, 9, 8, 1, 0);    /* which is left out beside unlabelled ones */
}

/* STEPS that a stage of WORDS and FIDELITY makes when it is told five, with |T| texts. */
static void makes(const char *words, int t, const char *fidelity, int steps) {
  char all[300];
  forget("made");
  snprintf(all, sizeof all,
           "classify %s examples.labelled=%d train.steps=5 batch.examples=16 batch.shards=4 "
           "classify.repetitions=1 classify.patterns=0 classify.fidelity=%s",
           words, t, fidelity);
  run_into(&(start){0}, all, "made");
  if ((int)metric("made", "steps") != steps)
    fail_msg("%s: %g updates, expected %d", all, metric("made", "steps"), steps);
}

/* At |T| = 10 the code never trains without the auxiliary loss, and says so; its members are the
 * models that they began as. */
static void no_update(void **state) {
  static const char lm[] = "@/pet.yaml classify.lm=1e-4 classify.lm_examples=12";
  makes("@/pet.yaml", 10, "code", 0);
  assert_non_null(strstr(said(),
                         "no update is made, as in the published code: an epoch of 10 texts "
                         "has fewer than 4 micro-batches of 4\n"));
  json_t *all = run_metrics("made");
  const json_t *member = json_array_get(at(all, "members"), 0);
  assert_true(number(member, "heldout_mlm_before") == number(member, "heldout_mlm_after"));
  json_decref(all);
  makes("@/ft.yaml", 10, "code", 0);
  makes("@/ft.yaml", 50, "code", 6);
  makes(lm, 10, "code", 6);
  makes(lm, 3, "code", 0);
  makes("@/pet.yaml", 10, "paper", 5);
  assert_null(strstr(said(), "no update is made"));
  makes("@/ft.yaml", 10, "paper", 5);
  makes("@/ft.yaml", 10, "corrected", 5);
  makes(lm, 10, "paper", 5);
  makes("@/ft.yaml batch.epoch_ends=short", 10, "code", 6); /* the code of 2021 counts on */
}

/* Where epochs are whole batches of one micro-batch, the code differs in the update without a rate
 * alone, which moves nothing. */
static void idle_update(void **state) {
  static const char *const fidelities[] = {"paper", "code"}, *const runs[] = {"without", "idle"};
  for (int i = 0; i < 2; i++) {
    char words[120];
    snprintf(words, sizeof words,
             "classify @/ft.yaml optimizer.schedule=constant classify.fidelity=%s", fidelities[i]);
    run_into(&(start){0}, words, runs[i]);
  }
  assert_true(metric("without", "steps") + 2 == metric("idle", "steps")); /* of two repetitions */
  json_t *a = run_metrics("without"), *b = run_metrics("idle");
  assert_true(json_equal(at(a, "ensemble"), at(b, "ensemble")));
  assert_true(json_equal(at(a, "members"), at(b, "members")));
  json_decref(a);
  json_decref(b);
}

/* v1.1 adds as many texts of each label, where the paper, and v2, keep T's ratio. */
static void labels_of_sets(void **state) {
  static const char *const more[] = {"classify.fidelity=code",
                                     "classify.fidelity=code classify.balance=even",
                                     "classify.fidelity=code classify.balance=ratio"};
  static const char *const runs[] = {"sets", "even", "ratio"};
  json_t *members[3];
  run_into(&(start){0}, "classify @/pet.yaml examples.labelled=7", "pet");
  for (int i = 0; i < 3; i++) {
    char words[200];
    snprintf(words, sizeof words, "classify @/ipet.yaml examples.labelled=7 classify.scale=3 %s",
             more[i]);
    run_into(&(start){0}, words, runs[i]);
    json_t *all = run_metrics(runs[i]);
    members[i] = json_deep_copy(at(all, "members"));
    json_decref(all);
  }
  assert_true(json_equal(members[0], members[1]));
  assert_false(json_equal(members[0], members[2]));
  for (int i = 0; i < 3; i++) json_decref(members[i]);
}

/* What cannot both be meant. */
static void contradictions(void **state) {
  expect(2, "classify @/ft.yaml classify.fidelity=code batch.epoch_ends=join --out @/no",
         "batch.epoch_ends: join is not the published code's, which `fidelity: code` asks for: "
         "restart, the default there, or short");
  expect(2, "classify @/ft.yaml classify.fidelity=code train.loss_normalisation=padded --out @/no",
         "train.loss_normalisation: the published code, which `fidelity: code` asks for, divides");
  expect(2, "classify @/ft.yaml batch.epoch_ends=restart --out @/no",
         "batch.epoch_ends: restart leaves texts out");
  expect(2, "distill @/st.yaml distill.fidelity=corrected batch.epoch_ends=restart --out @/no",
         "batch.epoch_ends: restart leaves texts out");
}

static int make(void **state) {
  static const char head[] =
      "seed: 5\n"
      "init: %s/bert\n"
      "examples: {pattern: " PUBLISHED "/p.yaml, train: " PUBLISHED "/train.tsv,\n"
      "  unlabelled_file: " PUBLISHED "/pool.tsv, test: " PUBLISHED "/test.tsv,\n"
      "  labelled: -1, max_length: 24}\n"
      "optimizer: {name: adamw, learning_rate: 4e-3, schedule: "
      "transformers_linear,\n"
      "  weight_decay: 0.01, clip_norm: 1, epsilon: 1e-8}\n";
  static const char *const families[] = {"bert", "roberta"};
  static const char *const files[] = {"config.json", "model.safetensors"};
  json_error_t why;
  char text[1000], to[600];
  if (make_few_shot(state)) return -1;
  expected = json_load_file(PUBLISHED "/expected.json", 0, &why);
  if (!expected) return print_error("expected.json:%d: %s\n", why.line, why.text), -1;
  for (int f = 0; f < 2; f++) {
    char name[40], from[600];
    snprintf(name, sizeof name, "hf/%s", families[f]);
    OK(cz_fs_make_dirs(under(name)));
    for (int k = 0; k < 2; k++) {
      snprintf(from, sizeof from, PUBLISHED "/%s/%s", families[f], files[k]);
      snprintf(to, sizeof to, "%s/%s", under(name), files[k]);
      copy_file(to, from);
    }
    snprintf(from, sizeof from, FIXTURES "/prompts/%s.json", families[f]);
    snprintf(to, sizeof to, "%s/tokenizer.json", under(name));
    copy_file(to, from);
  }
  snprintf(text, sizeof text, head, under("hf"));
  write_format("published.yaml",
               "%sclassify: {repetitions: 1, weights: uniform, lm: 0.4, lm_examples: 6, held_out: "
               "0, fidelity: code}\n"
               "batch: {examples: 8, shards: 2}\n"
               "train: {steps: 6, z_loss: 0, log_steps: 1}\n",
               text);
  write_format("student.yaml",
               "%sdistill: {from: x, temperature: 2, fidelity: code}\n"
               "batch: {examples: 4, shards: 2}\n"
               "train: {steps: 5, z_loss: 0, log_steps: 1}\n",
               text);
  return 0;
}

static int drop(void **state) {
  json_decref(expected);
  return drop_runs(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(members),           cmocka_unit_test(arithmetic),
      cmocka_unit_test(student),           cmocka_unit_test(paper_has_none),
      cmocka_unit_test(updates_of_epochs), cmocka_unit_test(no_update),
      cmocka_unit_test(idle_update),       cmocka_unit_test(labels_of_sets),
      cmocka_unit_test(contradictions)};
  return cmocka_run_group_tests(tests, make, drop);
}
