/* `cloze pet` as its usage has it: what its result says of the untrained model, recomputed from the
 * raw scores of its stages by docs/pet.md 1.5 and 4.2; without labelled texts; with the labels of a
 * pattern file that names none; and on a test file without labels. */
#include "few_shot_test.h"

#include "tensor/h5_array.h"
#include "tensor/h5_file.h"

#include <jansson.h>
#include <math.h>

#define KEYS                                                                                       \
  " common.examples.max_length=40 common.batch.examples=6 common.train.steps=4 "                   \
  "stages.student.train.steps=4"
#define PET  "pet --model @/bert --unlabeled @/pool.tsv"
#define MORE KEYS " stages.supervised.train.steps=4 --train @/train.tsv"

enum { C = 3, MEMBERS = 2 };

/* Labels are in turn, as make_texts writes them, and classes in the order of p.yaml. */
static const char *const labels[C] = {"sports", "science", "business"};

/* Where RUN's stage lies: as its plan says, below its folder. */
static void folder_of(char *out, size_t n, const char *run, const char *stage) {
  char path[300];
  json_t *entry;
  size_t i;
  const char *at = NULL;
  snprintf(path, sizeof path, "%s/run/plan.json", run);
  json_t *plan = json_load_file(under(path), 0, NULL);
  json_array_foreach(plan, i, entry) {
    if (!strcmp(json_string_value(json_object_get(entry, "stage")), stage))
      at = json_string_value(json_object_get(entry, "folder"));
  }
  if (!at) fail_msg("%s has no stage %s", path, stage);
  snprintf(out, n, "%s/run/%s", under(run), at);
  json_decref(plan);
}

/* Set NAME of the scores that member M of the untrained ensemble has left, N texts; the caller
 * frees them. */
static float *scores_of(const char *run, int m, const char *name, int n) {
  char stage[600], path[700];
  hid_t file;
  uint64_t bytes;
  float *x;
  folder_of(stage, sizeof stage, run, "zero_shot");
  snprintf(path, sizeof path, "%s/members/p%d-r0/logits.h5", stage, m);
  OK(cz_h5_open(&file, &bytes, path));
  OK(cz_h5_get_matrix(&x, file, bytes, path, name, n, C));
  H5Fclose(file);
  return x;
}

static int best_of(const double *s) {
  int best = 0;
  for (int c = 1; c < C; c++)
    if (s[c] > s[best]) best = c;
  return best;
}

/* The untrained members of a run: their scores of the test texts, what each label's score is on the
 * mean over D, and the share of T that a pattern gets right less that; 1 where there is no T. */
typedef struct untrained {
  float *test[MEMBERS];
  double mean[MEMBERS][C], weights[MEMBERS];
} untrained;

static void open_untrained(untrained *u, const char *run, bool labelled) {
  *u = (untrained){.weights = {1, 1}};
  for (int m = 0; m < MEMBERS; m++) {
    float *d = scores_of(run, m, "unlabelled", POOL_TEXTS);
    for (int k = 0; k < POOL_TEXTS * C; k++) u->mean[m][k % C] += (double)d[k] / POOL_TEXTS;
    free(d);
    u->test[m] = scores_of(run, m, "test", TEST_TEXTS);
    if (!labelled) continue;
    float *t = scores_of(run, m, "labelled", TRAIN_TEXTS);
    int right = 0;
    for (int i = 0; i < TRAIN_TEXTS; i++) {
      double s[C];
      for (int c = 0; c < C; c++) s[c] = (double)t[i * C + c] - u->mean[m][c];
      right += best_of(s) == i % C;
    }
    u->weights[m] = (double)right / TRAIN_TEXTS;
    free(t);
  }
}

/* What RESULT says is that of the members together, less their means over D or as they are. */
static void check_judged(const json_t *result, const untrained *u, bool calibrated) {
  int right = 0, of[C] = {0};
  for (int i = 0; i < TEST_TEXTS; i++) {
    double s[C] = {0};
    for (int m = 0; m < MEMBERS; m++)
      for (int c = 0; c < C; c++)
        s[c] += u->weights[m] * ((double)u->test[m][i * C + c] - (calibrated ? u->mean[m][c] : 0));
    of[best_of(s)]++;
    right += best_of(s) == i % C;
  }
  const double accuracy = json_number_value(json_object_get(result, "accuracy"));
  if (!(fabs(accuracy - (double)right / TEST_TEXTS) < 1e-12))
    fail_msg("accuracy %g, expected %d of %d", accuracy, right, TEST_TEXTS);
  for (int c = 0; c < C; c++) {
    const json_t *share = json_object_get(json_object_get(result, "shares"), labels[c]);
    assert_true(json_is_number(share));
    assert_true(fabs(json_number_value(share) - (double)of[c] / TEST_TEXTS) < 1e-12);
  }
}

static void check_zero_shot(const char *run, bool labelled) {
  untrained u;
  json_t *all = run_metrics(run), *zero = json_object_get(all, "zero_shot");
  open_untrained(&u, run, labelled);
  check_judged(json_object_get(zero, "raw"), &u, false);
  check_judged(json_object_get(zero, "calibrated"), &u, true);
  assert_false(json_equal(json_object_get(json_object_get(zero, "raw"), "shares"),
                          json_object_get(json_object_get(zero, "calibrated"), "shares")));
  for (int m = 0; m < MEMBERS; m++) free(u.test[m]);
  json_decref(all);
}

static void values(void **state) { check_zero_shot("with", true); }

/* The table of the command's own experiment: per cent, beside the simple programs and with the test
 * texts' part of the error; nothing of deviations, which one seed has not, nor of a paper. */
static void own_table(void **state) {
  static const char *const says[] = {"accuracy (%)",
                                     "majority 33.33, largest_class 33.33, keyword ",
                                     "intervals cover seeds and test examples"},
                           *const not [] = {"All seeds have one and the same T",
                                            "beside the paper's", "look at the order"};
  char *text = read_text(under("with/run/report.txt"), NULL),
       *page = read_text(under("with/run/report.html"), NULL);
  for (size_t i = 0; i < sizeof says / sizeof *says; i++)
    if (!strstr(text, says[i])) fail_msg("no '%s' in:\n%s", says[i], text);
  for (size_t i = 0; i < sizeof not / sizeof *not ; i++) {
    if (strstr(text, not [i])) fail_msg("'%s' in:\n%s", not [i], text);
    if (strstr(page, not [i])) fail_msg("'%s' on the page", not [i]);
  }
  free(text);
  free(page);
}

/* A student answers each test text with what the run's predictions have. */
static void student_answers(const char *run) {
  char words[300], file[100];
  snprintf(words, sizeof words, "predict --model @/%s/student --input @/test.tsv --out @/%s.jsonl",
           run, run);
  expect(0, words, "");
  snprintf(file, sizeof file, "%s.jsonl", run);
  char *a = read_text(under(file), NULL), *rest_a = NULL;
  snprintf(file, sizeof file, "%s/predictions.jsonl", run);
  char *b = read_text(under(file), NULL), *rest_b = NULL;
  char *line = strtok_r(a, "\n", &rest_a), *other = strtok_r(b, "\n", &rest_b);
  int n = 0;
  for (; line && other; n++) {
    json_t *x = json_loads(line, 0, NULL), *y = json_loads(other, 0, NULL);
    assert_int_equal(json_integer_value(json_object_get(x, "row")), n);
    assert_true(json_equal(json_object_get(x, "row"), json_object_get(y, "row")));
    for (int c = 0; c < C; c++) {
      const json_t *p = json_object_get(json_object_get(x, "probabilities"), labels[c]),
                   *q = json_object_get(json_object_get(y, "probabilities"), labels[c]);
      assert_true(json_is_number(p) && json_is_number(q));
      assert_true(fabs(json_number_value(p) - json_number_value(q)) < 1e-5);
    }
    json_decref(x);
    json_decref(y);
    line = strtok_r(NULL, "\n", &rest_a);
    other = strtok_r(NULL, "\n", &rest_b);
  }
  assert_true(!line && !other && n == TEST_TEXTS);
  free(a);
  free(b);
}

/* Members are patterns on the model as it is; nothing is supervised. */
static void zero_shot(void **state) {
  run_into(&(start){0}, PET KEYS " --pattern @/p.yaml --test @/test.tsv --zero-shot", "zero");
  check_zero_shot("zero", false);
  json_t *all = run_metrics("zero"), *m;
  const json_t *members = json_object_get(all, "members");
  size_t i;
  assert_true(json_is_null(json_object_get(all, "supervised")));
  assert_int_equal(json_array_size(members), MEMBERS);
  json_array_foreach(members, i, m) {
    assert_int_equal(json_integer_value(json_object_get(m, "generation")), 0);
    assert_true(json_is_null(json_object_get(m, "zero_shot"))); /* no T to take it on */
  }
  assert_true(json_is_number(json_object_get(json_object_get(all, "student"), "accuracy")));
  json_decref(all);
  student_answers("zero");
  expect(2, PET " --pattern @/p.yaml --test @/test.tsv --out @/no",
         "--train FILE is missing; without labelled texts at all there is --zero-shot");
  expect(2, PET MORE " --pattern @/p.yaml --test @/test.tsv --zero-shot --out @/no",
         "--zero-shot takes no labelled texts, and --train names ");
}

/* Labels of the command are those of the file that names none: the same as a file that has them. */
static void labels_of_command(void **state) {
  static const char words[] = "fields: {a: text}\n%s"
                              "words: {sports: sports, science: [science, tech], business: news}\n"
                              "patterns:\n"
                              "  - '{mask} : {a*}'\n"
                              "  - '{a*} || it was {mask} .'\n";
  write_format("bare.yaml", words, "");
  run_into(&(start){0},
           PET MORE " --pattern @/bare.yaml --labels sports,science,business --test @/test.tsv",
           "named");
  same_file("with/predictions.jsonl", "named/predictions.jsonl");
  same_file("with/result.json", "named/result.json");
  student_answers("named");
  expect(2, PET MORE " --pattern @/bare.yaml --labels sports,science --test @/test.tsv --out @/no",
         "business");
}

/* The same answers; what wants labels has no value. */
static void no_labels(void **state) {
  static const char *const names[] = {"supervised", "ensemble", "student"};
  make_texts("bare.tsv", TEST_TEXTS, 3, false);
  run_into(&(start){0}, PET MORE " --pattern @/p.yaml --test @/bare.tsv", "bare");
  same_file("with/predictions.jsonl", "bare/predictions.jsonl");
  same_file("with/label_next.jsonl", "bare/label_next.jsonl");
  json_t *all = run_metrics("bare"), *with = run_metrics("with");
  for (int k = 0; k < 3; k++) {
    const json_t *a = json_object_get(all, names[k]), *b = json_object_get(with, names[k]);
    assert_true(json_is_null(json_object_get(a, "accuracy")));
    assert_true(json_is_null(json_object_get(a, "ece")));
    assert_true(json_is_number(json_object_get(b, "accuracy")));
    assert_true(json_equal(json_object_get(a, "shares"), json_object_get(b, "shares")));
  }
  json_decref(all);
  json_decref(with);
}

#ifdef CZ_HAVE_MPI
static void two_ranks(void **state) {
  static const char *const files[] = {"result.json", "predictions.jsonl", "label_next.jsonl",
                                      "student/model.safetensors", "student/cloze_task.json"};
  char a[100], b[100];
  run_into(&(start){.ranks = 2}, PET MORE " --pattern @/p.yaml --test @/test.tsv", "ranks");
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    snprintf(a, sizeof a, "with/%s", files[i]);
    snprintf(b, sizeof b, "ranks/%s", files[i]);
    same_file(a, b);
  }
}
#endif

#define IPET PET MORE " --pattern @/p.yaml --test @/test.tsv --ipet common.classify."

/* The largest `generation` among the members of RUN. */
static int64_t last_of(const char *run) {
  json_t *all = run_metrics(run), *m;
  int64_t last = 0;
  size_t i;
  json_array_foreach(json_object_get(all, "members"), i, m) {
    const int64_t g = json_integer_value(json_object_get(m, "generation"));
    if (g > last) last = g;
  }
  json_decref(all);
  return last;
}

/* A training file of eight texts of which one is there twice. */
static void write_seven(const char *name) {
  make_texts(name, 7, 9, true);
  char *text = read_text(under(name), NULL), *first = strchr(text, '\n') + 1;
  write_format(name, "%s%.*s\n", text, (int)strcspn(first, "\n"), first);
  free(text);
}

/* T has 60 texts: 300 and 1500 are two generations, 240 and 960 and 3840 three. Of seven, 35, 175,
 * 875 and 4375 are four, where eight would take three. */
static void generations(void **state) {
  run_into(&(start){0}, IPET "target=200", "g1");
  assert_int_equal(last_of("g1"), 1);
  run_into(&(start){0}, IPET "scale=4", "g3");
  assert_int_equal(last_of("g3"), 3);
  expect(0, IPET "target=60 --out @/g0", "--ipet: T has 60 texts and sets grow to 60, so no ");
  assert_int_equal(last_of("g0"), 0);
  write_seven("seven.tsv");
  run_into(&(start){0},
           PET KEYS " stages.supervised.train.steps=4 --train @/seven.tsv --pattern @/p.yaml "
                    "--test @/test.tsv --ipet",
           "g4");
  assert_int_equal(last_of("g4"), 4);
  expect(2, IPET "scale=1.1 --out @/no", "--ipet: 30 generations from 60 texts to the target of ");
  expect(2, IPET "scale=1 --out @/no", "common.classify.scale: 1 is not between 1.01 and 1000");
  assert_false(cz_fs_exists(under("no")));
}

static int make(void **state) {
  if (make_few_shot(state)) return -1;
  run_into(&(start){0}, PET MORE " --pattern @/p.yaml --test @/test.tsv", "with");
  return 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(values),    cmocka_unit_test(own_table),
      cmocka_unit_test(zero_shot), cmocka_unit_test(labels_of_command),
#ifdef CZ_HAVE_MPI
      cmocka_unit_test(two_ranks),
#endif
      cmocka_unit_test(no_labels), cmocka_unit_test(generations)};
  return cmocka_run_group_tests(tests, make, drop_runs);
}
