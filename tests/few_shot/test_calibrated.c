/* Calibration without labels (docs/pet.md 4.2), by the formula and from the raw scores in logits.h5
 * alone: what a stage calls calibrated, what calibrated members weigh, and where members begin
 * whose label words' biases are calibrated. Nothing of ensemble/ is asked. */
#include "few_shot_test.h"

#include "few_shot/scores_file.h"

#include <jansson.h>
#include <math.h>

enum { C = 3, MEMBERS = 2, T = 12, NOTHING = 3 };

typedef struct raw {
  cz_tokenizer *tokenizer;
  cz_examples *examples;
  cz_member_scores members[MEMBERS]; /* of the untrained model under each pattern */
  double mean[MEMBERS][C];           /* of their scores over D */
} raw;

static raw zero;

static void open_examples(cz_tokenizer **tokenizer, cz_examples **examples, const char *pool) {
  char pattern[300], train[300], unlabeled[300], test[300];
  snprintf(pattern, sizeof pattern, "%s", under("p.yaml"));
  snprintf(train, sizeof train, "%s", under("train.tsv"));
  snprintf(unlabeled, sizeof unlabeled, "%s", under(pool));
  snprintf(test, sizeof test, "%s", under("test.tsv"));
  const cz_examples_keys keys = {.pattern = pattern,
                                 NO_OTHER_KEYS,
                                 .train = train,
                                 .unlabelled_file = unlabeled,
                                 .test = test,
                                 .labelled = T,
                                 .unlabelled = -1,
                                 .tested = -1,
                                 .max_length = 40,
                                 .draw = CZ_DRAW_BALANCED,
                                 .unlabelled_draw = CZ_UNLABELLED_RANDOM};
  OK(cz_tokenizer_open(tokenizer, under("bert")));
  OK(cz_examples_open_for(examples, &keys, *tokenizer, 3, CZ_READS_PROMPTS));
}

static void read_members(cz_member_scores *members, const cz_examples *e, const char *run) {
  for (int m = 0; m < MEMBERS; m++) {
    char name[200];
    snprintf(name, sizeof name, "%s/members/p%d-r0", run, m);
    OK(cz_member_scores_read(&members[m], e, under(name)));
  }
}

static void free_members(cz_member_scores *members) {
  for (int m = 0; m < MEMBERS; m++) cz_member_scores_free(&members[m]);
}

static size_t best_of(const double *scores) {
  size_t best = 0;
  for (size_t c = 1; c < C; c++)
    if (scores[c] > scores[best]) best = c;
  return best;
}

/* The share of T that member M's scores less OFFSETS get right. */
static double share_of_t(const cz_member_scores *m, const double *offsets) {
  const cz_text_set *t = &zero.examples->t;
  double right = 0;
  for (size_t i = 0; i < t->n; i++) {
    double s[C];
    for (size_t c = 0; c < C; c++) s[c] = (double)m->t[i * C + c] - offsets[c];
    right += best_of(s) == (size_t)t->labels[i];
  }
  return right / (double)t->n;
}

static double zero_shot_of(const json_t *metrics, size_t m) {
  const json_t *x = json_array_get(json_object_get(metrics, "members"), m);
  return json_number_value(json_object_get(x, "zero_shot"));
}

/* LABELS [n]: of the test texts, where members' scores lose SIGN times OFFSETS [MEMBERS, C] and
 * WEIGHTS count the members. */
static void judge(size_t *labels, const double *offsets, double sign, const double *weights) {
  for (size_t i = 0; i < zero.examples->test.n; i++) {
    double s[C] = {0};
    for (size_t m = 0; m < MEMBERS; m++)
      for (size_t c = 0; c < C; c++)
        s[c] += weights[m] * ((double)zero.members[m].test[i * C + c] - sign * offsets[m * C + c]);
    labels[i] = best_of(s);
  }
}

static double share_of_test(const size_t *labels) {
  const cz_text_set *t = &zero.examples->test;
  double right = 0;
  for (size_t i = 0; i < t->n; i++) right += labels[i] == (size_t)t->labels[i];
  return right / (double)t->n;
}

/* What the stage answers to each text under NAME is LABELS, and so is its accuracy. */
static void answers_are(const char *run, const char *name, const size_t *labels) {
  char file[200];
  cz_buf text = {0};
  json_t *metrics = run_metrics(run), *judged = json_object_get(metrics, name);
  const double want = share_of_test(labels);
  assert_non_null(judged);
  assert_true(fabs(json_number_value(json_object_get(judged, "accuracy")) - want) < 1e-12);
  const json_t *scores = json_object_get(judged, "scores");
  assert_true(fabs(json_number_value(json_object_get(scores, "accuracy")) - 100 * want) < 1e-9);
  json_decref(metrics);
  snprintf(file, sizeof file, "%s/predictions.%s.jsonl", run, name);
  OK(cz_fs_read(under(file), &text));
  OK(cz_buf_add(&text, "", 1));
  size_t i = 0;
  char *rest = NULL;
  for (char *line = strtok_r(text.data, "\n", &rest); line;
       line = strtok_r(NULL, "\n", &rest), i++) {
    json_t *x = json_loads(line, 0, NULL);
    assert_non_null(x);
    assert_true(i < zero.examples->test.n);
    assert_string_equal(json_string_value(json_object_get(x, "output")),
                        zero.examples->file->labels[labels[i]]);
    json_decref(x);
  }
  assert_int_equal(i, zero.examples->test.n);
  cz_buf_free(&text);
}

static bool same_labels(const size_t *a, const size_t *b) {
  return !memcmp(a, b, zero.examples->test.n * sizeof *a);
}

/* The rows "calibrated" of an untrained ensemble, whose members weigh as WEIGHTS says. */
static void check_calibrated(const char *run, const double *offsets, const double *weights) {
  size_t plain[TEST_TEXTS], right[TEST_TEXTS], wrong[TEST_TEXTS];
  judge(plain, offsets, 0, weights);
  judge(right, offsets, 1, weights);
  judge(wrong, offsets, -1, weights);
  assert_false(same_labels(plain, right)); /* else this says nothing */
  assert_false(same_labels(wrong, right));
  assert_true(share_of_test(plain) != share_of_test(right));
  answers_are(run, "ensemble", plain);
  answers_are(run, "calibrated", right);
}

static void test_unlabeled_mean(void **state) {
  static const double even[MEMBERS] = {0.5, 0.5};
  run_into(&(start){0},
           "classify @/zero.yaml classify.weights=uniform classify.calibrate=unlabeled_mean",
           "mean");
  check_calibrated("mean", zero.mean[0], even);
}

/* Members weigh the share of T that they get right calibrated, without and with training. */
static void test_weights(void **state) {
  double weights[MEMBERS], plain[MEMBERS];
  static const double none[C] = {0};
  size_t differ = 0;
  run_into(&(start){0}, "classify @/zero.yaml classify.calibrate=unlabeled_mean", "weighted");
  run_into(&(start){0},
           "classify @/pet.yaml train.steps=2 classify.repetitions=1 "
           "classify.calibrate=unlabeled_mean",
           "tuned");
  json_t *untrained = run_metrics("weighted"), *tuned = run_metrics("tuned");
  for (size_t m = 0; m < MEMBERS; m++) {
    weights[m] = share_of_t(&zero.members[m], zero.mean[m]);
    plain[m] = share_of_t(&zero.members[m], none);
    assert_true(fabs(zero_shot_of(untrained, m) - weights[m]) < 1e-12);
    assert_true(fabs(zero_shot_of(tuned, m) - weights[m]) < 1e-12);
    differ += weights[m] != plain[m];
  }
  json_decref(untrained);
  json_decref(tuned);
  assert_true(differ && weights[0] != weights[1] && weights[0] + weights[1] > 0);
  check_calibrated("weighted", zero.mean[0], weights);
  /* and those weights put trained members together */
  cz_member_scores of[MEMBERS], all;
  read_members(of, zero.examples, "tuned");
  OK(cz_member_scores_read(&all, zero.examples, under("tuned")));
  for (size_t k = 0; k < zero.examples->d.n * C; k++) {
    const double want = (weights[0] * (double)of[0].d[k] + weights[1] * (double)of[1].d[k]) /
                        (weights[0] + weights[1]);
    assert_true(fabs((double)all.d[k] - want) < 1e-5 * fmax(1, fabs(want)));
  }
  cz_member_scores_free(&all);
  free_members(of);
}

/* Scores of the texts that say nothing are those of a D that has just these; of a character without
 * width the tokenizer leaves nothing, and a file may not have the empty text. */
static void test_content_free(void **state) {
  static const double even[MEMBERS] = {0.5, 0.5};
  cz_tokenizer *tokenizer;
  cz_examples *e;
  cz_member_scores of[MEMBERS];
  double offsets[MEMBERS][C];
  write_text("nothing.jsonl",
             "{\"text\": \"\\u200b\"}\n{\"text\": \"N/A\"}\n{\"text\": \"MASK\"}\n");
  run_into(&(start){0}, "classify @/zero.yaml examples.unlabelled_file=@/nothing.jsonl", "nothing");
  open_examples(&tokenizer, &e, "nothing.jsonl");
  assert_int_equal(e->d.n, NOTHING);
  read_members(of, e, "nothing");
  for (size_t m = 0; m < MEMBERS; m++) {
    double p[C] = {0};
    for (size_t i = 0; i < NOTHING; i++) {
      double z = 0;
      for (size_t c = 0; c < C; c++) z += exp((double)of[m].d[i * C + c]);
      for (size_t c = 0; c < C; c++) p[c] += exp((double)of[m].d[i * C + c]) / z / NOTHING;
    }
    for (size_t c = 0; c < C; c++) offsets[m][c] = log(p[c]);
  }
  run_into(&(start){0},
           "classify @/zero.yaml classify.weights=uniform classify.calibrate=content_free", "free");
  check_calibrated("free", offsets[0], even);
  free_members(of);
  cz_examples_close(&e);
  cz_tokenizer_destroy(&tokenizer);
}

/* SCORES [n, C] are PLAIN less OFFSETS. */
static void less(const float *scores, const float *plain, const double *offsets, size_t n,
                 const char *what) {
  for (size_t k = 0; k < n * C; k++) {
    const double want = (double)plain[k] - offsets[k % C];
    if (!(fabs((double)scores[k] - want) < 1e-4))
      fail_msg("%s, score %zu: %.9g, expected %.9g", what, k, (double)scores[k], want);
  }
}

/* Members that learn at a rate of nothing are where they began: as the pretrained model, and with
 * a calibrated start with each label's score less its mean over D. */
static void test_calibrated_start(void **state) {
  static const char *const runs[] = {"begin", "calibrated"};
  static const double none[C] = {0};
  run_into(&(start){0},
           "classify @/pet.yaml classify.repetitions=1 train.steps=1 "
           "optimizer.learning_rate=1e-30 classify.calibrate=unlabeled_mean",
           runs[0]);
  run_into(&(start){0},
           "classify @/pet.yaml classify.repetitions=1 train.steps=1 "
           "optimizer.learning_rate=1e-30 classify.calibrate=unlabeled_mean "
           "classify.calibrated_start=true",
           runs[1]);
  for (int k = 0; k < 2; k++) {
    cz_member_scores of[MEMBERS];
    json_t *metrics = run_metrics(runs[k]);
    read_members(of, zero.examples, runs[k]);
    for (size_t m = 0; m < MEMBERS; m++) {
      const double *off = k ? zero.mean[m] : none;
      less(of[m].t, zero.members[m].t, off, zero.examples->t.n, runs[k]);
      less(of[m].d, zero.members[m].d, off, zero.examples->d.n, runs[k]);
      less(of[m].test, zero.members[m].test, off, zero.examples->test.n, runs[k]);
      assert_true(fabs(zero_shot_of(metrics, m) - share_of_t(&zero.members[m], zero.mean[m])) <
                  1e-12);
    }
    json_decref(metrics);
    free_members(of);
  }
}

static int open_all(void **state) {
  if (make_few_shot(state)) return -1;
  open_examples(&zero.tokenizer, &zero.examples, "pool.tsv");
  assert_true(zero.examples->t.n == T && zero.examples->d.n == POOL_TEXTS);
  run_into(&(start){0}, "classify @/zero.yaml", "zero");
  read_members(zero.members, zero.examples, "zero");
  for (size_t m = 0; m < MEMBERS; m++)
    for (size_t k = 0; k < POOL_TEXTS * C; k++)
      zero.mean[m][k % C] += (double)zero.members[m].d[k] / POOL_TEXTS;
  return 0;
}

static int close_all(void **state) {
  free_members(zero.members);
  cz_examples_close(&zero.examples);
  cz_tokenizer_destroy(&zero.tokenizer);
  return drop_runs(state);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unlabeled_mean), cmocka_unit_test(test_weights),
      cmocka_unit_test(test_content_free), cmocka_unit_test(test_calibrated_start)};
  return cmocka_run_group_tests(tests, open_all, close_all);
}
