/* The stages that classify from a few texts, as a user starts them: what their results hold, that
 * the values agree with one another, and that what they leave can be used. */
#include "few_shot_test.h"

#include <jansson.h>
#include <math.h>
#include <sys/stat.h>

static double number(const json_t *o, const char *key) {
  const json_t *x = json_object_get(o, key);
  if (!json_is_number(x)) fail_msg("%s is no number", key);
  return json_number_value(x);
}

static void is_share(double x) { assert_true(x >= 0 && x <= 1); }

static void near(double a, double b) {
  if (!(fabs(a - b) < 1e-9)) fail_msg("%.17g and %.17g", a, b);
}

/* The lines of a run's predictions: their number; of *RIGHT those that are right. */
static int predictions(const char *run, const char *name, int *right) {
  static const char *const labels = "sports science business";
  char file[128];
  int lines = 0;
  snprintf(file, sizeof file, "%s/predictions.%s.jsonl", run, name);
  char *text = read_text(under(file), NULL);
  *right = 0;
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"), lines++) {
    json_t *o = json_loads(line, 0, NULL);
    const char *output = json_string_value(json_object_get(o, "output")),
               *target = json_string_value(json_object_get(o, "target"));
    assert_true(output && target && strstr(labels, output) && strstr(labels, target));
    assert_non_null(json_string_value(json_object_get(o, "input")));
    assert_int_equal(
        json_array_size(json_object_get(
            json_object_get(json_object_get(o, "baselines"), "largest_class"), "accuracy")),
        1); /* so that a lead over it is paired text by text */
    *right += !strcmp(output, target);
    json_decref(o);
  }
  free(text);
  return lines;
}

/* An ensemble's values agree with one another and with its predictions. */
static void consistent(const char *run, const char *name) {
  json_t *all = run_metrics(run), *o = json_object_get(all, name);
  const json_t *shares = json_object_get(o, "shares"), *bin;
  const char *key;
  json_t *value;
  double sum = 0, texts = 0, hits = 0;
  int right;
  size_t i;
  assert_non_null(o);
  assert_int_equal(predictions(run, name, &right), TEST_TEXTS);
  near(number(o, "accuracy"), (double)right / TEST_TEXTS);
  near(number(json_object_get(o, "scores"), "accuracy"), 100 * number(o, "accuracy"));
  near(number(json_object_get(o, "scores"), "macro_f1"), 100 * number(o, "macro_f1"));
  near(number(json_object_get(o, "coverage"), "100"), number(o, "accuracy"));
  is_share(number(o, "ece"));
  assert_int_equal(json_object_size(shares), 3);
  json_object_foreach((json_t *)shares, key, value) {
    is_share(json_number_value(value));
    sum += json_number_value(value);
  }
  near(sum, 1);
  json_array_foreach(json_object_get(o, "reliability"), i, bin) {
    texts += number(bin, "texts");
    hits += number(bin, "texts") * number(bin, "accuracy");
  }
  assert_true(texts == TEST_TEXTS);
  near(hits, right);
  assert_true(number(json_object_get(o, "naive_bayes"), "accuracy") >
              number(json_object_get(o, "baseline"), "accuracy"));         /* it sees the texts */
  near(number(json_object_get(o, "largest_class"), "accuracy"), 100. / 3); /* labels in turn */
  json_decref(all);
}

/* MEMBERS of the run, numbered by pattern and repetition; their spread is that of their accuracies.
 */
static void has_members(const char *run, size_t members, int repetitions, int generation,
                        bool prompts) {
  json_t *all = run_metrics(run), *list = json_object_get(all, "members"), *m;
  double sum = 0;
  size_t i;
  assert_int_equal(json_array_size(list), members);
  assert_int_equal((int)number(all, "generation"), generation);
  json_array_foreach(list, i, m) {
    assert_int_equal((int)number(m, "pattern"), prompts ? (int)i / repetitions : -1);
    assert_int_equal((int)number(m, "repetition"), (int)i % repetitions);
    assert_int_equal((int)number(m, "generation"), generation);
    if (!prompts) assert_true(json_is_null(json_object_get(m, "zero_shot")));
    is_share(number(m, "accuracy"));
    sum += number(m, "accuracy");
  }
  const json_t *agreement = json_object_get(all, "agreement");
  is_share(number(agreement, "pairs"));
  assert_true(number(agreement, "worst") <= number(agreement, "mean") &&
              number(agreement, "mean") <= number(agreement, "best"));
  near(number(agreement, "mean"), sum / (double)members);
  json_decref(all);
}

static double zero_shot_of(const char *run, size_t member) {
  json_t *all = run_metrics(run);
  const double x = number(json_array_get(json_object_get(all, "members"), member), "zero_shot");
  json_decref(all);
  return x;
}

static void tuning_free(void **state) {
  run_into(&(start){0}, "classify @/zero.yaml classify.calibrate=unlabeled_mean", "zero");
  consistent("zero", "ensemble");
  consistent("zero", "calibrated");
  has_members("zero", 2, 1, 0, true);
  run_into(&(start){0}, "classify @/zero.yaml classify.calibrate=content_free", "free");
  consistent("free", "calibrated");
  run_into(&(start){0}, "classify @/zero.yaml", "raw");
  consistent("raw", "ensemble");
}

static void pet(void **state) {
  run_into(&(start){0}, "classify @/pet.yaml", "pet");
  consistent("pet", "ensemble");
  has_members("pet", 4, 2, 0, true);
  /* before training a member is its pattern on the model as it is */
  near(zero_shot_of("pet", 1), zero_shot_of("raw", 0));
  near(zero_shot_of("pet", 2), zero_shot_of("raw", 1));
  json_t *all = run_metrics("pet"), *m;
  size_t i;
  json_array_foreach(json_object_get(all, "members"), i, m)
      assert_true(number(m, "heldout_mlm_before") != number(m, "heldout_mlm_after"));
  json_decref(all);
  run_into(&(start){0}, "classify @/pet.yaml classify.lm=0.3 classify.lm_examples=3", "lm");
  consistent("lm", "ensemble");
  run_into(&(start){0},
           "classify @/pet.yaml classify.calibrate=content_free classify.calibrated_start=true",
           "begun");
  consistent("begun", "ensemble");
}

static void finetune(void **state) {
  run_into(&(start){0}, "classify @/ft.yaml", "ft");
  consistent("ft", "ensemble");
  has_members("ft", 2, 2, 0, false);
}

static void generations(void **state) {
  run_into(&(start){0}, "classify @/ipet.yaml", "ipet");
  consistent("ipet", "ensemble");
  has_members("ipet", 4, 2, 1, true);
  char next[128];
  snprintf(next, sizeof next, "classify @/ipet.yaml classify.from=%s", under("ipet"));
  run_into(&(start){0}, next, "ipet2");
  has_members("ipet2", 4, 2, 2, true);
  /* without T the first generation learns from the model as it is */
  run_into(&(start){0}, "classify @/zero.yaml examples.labelled=0", "none");
  snprintf(next, sizeof next, "classify @/ipet.yaml examples.labelled=0 classify.from=%s",
           under("none"));
  run_into(&(start){0}, next, "ipet0");
  has_members("ipet0", 4, 2, 1, true); /* two repetitions of what was one */
}

/* cloze pet --ipet of 60 texts: as many generations as the T that is asked for takes, and no more
 * texts are in T than there are. */
static void generations_of_command(void **state) {
  static const struct { int labelled, generations; } cases[] = {{10, 3}, {200, 2}, {-1, 2}, {0, 4}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char words[700], name[64];
    snprintf(name, sizeof name, "command%d", cases[i].labelled);
    snprintf(words, sizeof words,
             "pet --model @/bert --pattern @/p.yaml --train @/train.tsv --unlabeled @/pool.tsv "
             "--test @/test.tsv --ipet --jobs 1 common.train.steps=1 stages.student.train.steps=1 "
             "common.examples.labelled=%d --out @/%s",
             cases[i].labelled, name);
    expect(0, words, "");
    json_t *all = run_metrics(name);
    assert_int_equal(json_array_size(json_object_get(all, "members")),
                     2 * (1 + cases[i].generations)); /* of two patterns */
    json_decref(all);
  }
}

/* It is a classifier that the prompts' stages can begin from, and that says what it is. */
static void student(void **state) {
  run_into(&(start){0}, "distill @/st.yaml", "st");
  consistent("st", "student");
  has_members("st", 2, 2, 0, false);
  json_t *config = json_load_file(under("st/model/config.json"), 0, NULL),
         *task = json_load_file(under("st/model/cloze_task.json"), 0, NULL);
  const json_t *names = json_object_get(config, "id2label");
  assert_string_equal(json_string_value(json_object_get(names, "2")), "business");
  assert_int_equal(json_array_size(json_object_get(task, "labels")), 3);
  json_decref(config);
  json_decref(task);
  expect(0, "inspect @/st/model", "classification");
  char *readme = read_text(under("st/model/README.md"), NULL), accuracy[64];
  json_t *all = run_metrics("st");
  snprintf(accuracy, sizeof accuracy, "- accuracy: %.4f ",
           number(json_object_get(all, "student"), "accuracy"));
  assert_non_null(strstr(readme, accuracy));
  json_decref(all);
  free(readme);
  same_file("bert/tokenizer.json", "st/model/tokenizer.json");
  assert_false(cz_fs_exists(under("st/members/plain-r1/model")));
}

/* A test set whose labels are what the student says: all of 30 are right, of which a report would
 * say 1.96 sqrt(32/34 2/34 / 34) = 0.0791. */
static void all_are_right(void **state) {
  char *text = read_text(under("test.tsv"), NULL),
       *said_of = read_text(under("st/predictions.student.jsonl"), NULL), *rest, *other;
  FILE *f = fopen(under("told.tsv"), "w");
  assert_non_null(f);
  char *line = strtok_r(text, "\n", &rest), *say = strtok_r(said_of, "\n", &other);
  fprintf(f, "%s\n", line);
  for (; (line = strtok_r(NULL, "\n", &rest)) && say; say = strtok_r(NULL, "\n", &other)) {
    json_t *one = json_loads(say, 0, NULL);
    fprintf(f, "%.*s\t%s\n", (int)strcspn(line, "\t"), line,
            json_string_value(json_object_get(one, "output")));
    json_decref(one);
  }
  assert_true(!line && !say);
  assert_int_equal(fclose(f), 0);
  free(text);
  free(said_of);
  run_into(&(start){0}, "distill @/st.yaml examples.test=@/told.tsv", "right");
  text = read_text(under("right/model/README.md"), NULL);
  if (!strstr(text, "- accuracy: 1.0000 (95 % over 30 test texts: 0.9209 to 1.0000)\n"))
    fail_msg("it says:\n%s", text);
  free(text);
}

/* Killed behind its one member, a frozen encoder does not encode again. */
static void encoder_once(void **state) {
  static const char words[] = "classify @/zero.yaml classify.strategy=sentence_encoder";
  struct stat was, is;
  run_into(&(start){0}, words, "vectors");
  char *before = metrics_of("vectors");
  assert_int_equal(stat(under("vectors/members/plain-r0/logits.h5"), &was), 0);
  assert_int_equal(remove(under("vectors/result.json")), 0);
  run_into(&(start){0}, words, "vectors");
  assert_int_equal(stat(under("vectors/members/plain-r0/logits.h5"), &is), 0);
  assert_true(was.st_ino == is.st_ino && was.st_mtim.tv_sec == is.st_mtim.tv_sec &&
              was.st_mtim.tv_nsec == is.st_mtim.tv_nsec);
  char *after = metrics_of("vectors");
  assert_string_equal(before, after);
  free(before);
  free(after);
}

/* A student by other weights is, byte for byte, that of an ensemble that has them, whose members
 * are the same. */
static void student_by_other_weights(void **state) {
  static const char *const stages[] = {"uniform", "pet", "pet"},
                           *const weights[] = {"as_ensemble", "uniform", "weighted"},
                           *const runs[] = {"st-alike", "st-anew", "st-again"};
  run_into(&(start){0}, "classify @/pet.yaml classify.weights=uniform", "uniform");
  same_file("pet/members/p1-r0/logits.h5", "uniform/members/p1-r0/logits.h5");
  for (int i = 0; i < 3; i++) {
    char words[512];
    snprintf(words, sizeof words,
             "distill @/st.yaml train.steps=4 distill.repetitions=1 distill.from=@/%s "
             "distill.weights=%s",
             stages[i], weights[i]);
    run_into(&(start){0}, words, runs[i]);
  }
  run_into(&(start){0}, "distill @/st.yaml train.steps=4 distill.repetitions=1", "st-pet");
  same_file("st-alike/logits.h5", "st-anew/logits.h5");
  same_file("st-alike/model/model.safetensors", "st-anew/model/model.safetensors");
  same_file("st-pet/logits.h5", "st-again/logits.h5");
  size_t n;
  char *weighted = read_text(under("st-pet/logits.h5"), &n),
       *alike = read_text(under("st-alike/logits.h5"), &n);
  assert_true(memcmp(weighted, alike, n) != 0); /* the patterns do not weigh alike */
  free(weighted);
  free(alike);
  expect(1,
         "distill @/st.yaml distill.from=@/none examples.labelled=0 distill.weights=weighted "
         "--out @/st-none",
         "has no accuracy before training to weigh it by");
}

/* Enough steps and texts tell the labels apart, by prompts and without, and the student keeps it:
 * what is trained is trained on the right labels. */
static void learns(void **state) {
  static const char more[] = " examples.labelled=60 train.steps=200";
  static const char *const words[] = {"classify @/pet.yaml classify.repetitions=1",
                                      "classify @/ft.yaml classify.repetitions=1",
                                      "distill @/st.yaml distill.repetitions=1"};
  static const char *const runs[] = {"pet200", "ft200", "st200"};
  for (int i = 0; i < 3; i++) {
    char command[512];
    snprintf(command, sizeof command, "%s%s%s%s", words[i], more, i == 2 ? " distill.from=" : "",
             i == 2 ? under(runs[0]) : "");
    run_into(&(start){0}, command, runs[i]);
    json_t *all = run_metrics(runs[i]);
    const double accuracy =
        number(json_object_get(all, i == 2 ? "student" : "ensemble"), "accuracy");
    if (accuracy < 0.8) fail_msg("%s: accuracy %g", runs[i], accuracy);
    json_decref(all);
  }
}

/* In 16 bits, and by the card's kernels. */
static void other_arithmetic(void **state) {
  run_into(&(start){0}, "classify @/pet.yaml train.precision=bf16 classify.repetitions=1", "bf16");
  assert_non_null(strstr(said(), "computes in bf16"));
  consistent("bf16", "ensemble");
  run_into(&(start){0}, "distill @/st.yaml train.precision=bf16 distill.repetitions=1", "st16");
  consistent("st16", "student");
#ifdef CZ_HAVE_EMULATOR
  run_into(&(start){0},
           "classify @/pet.yaml classify.repetitions=1 train.steps=5 classify.lm=0.3 "
           "classify.lm_examples=3 --device emu",
           "emu");
  consistent("emu", "ensemble");
  run_into(&(start){0}, "distill @/st.yaml distill.repetitions=1 train.steps=5 --device emu",
           "emust");
  consistent("emust", "student");
#endif
}

/* With the auxiliary loss a step has two losses in one graph. Fresh memory is NaN there and every
 * tensor is fenced in, and the same bytes come out. */
static void guarded(void **state) {
  static const char *const runs[] = {"open", "guarded"}, *const devices[] = {"cpu", "guard:cpu"};
  char *all[2];
  for (int k = 0; k < 2; k++) {
    char words[256];
    snprintf(words, sizeof words,
             "classify @/pet.yaml classify.repetitions=1 train.steps=6 classify.lm=0.3 "
             "classify.lm_examples=3 --device %s",
             devices[k]);
    run_into(&(start){0}, words, runs[k]);
    all[k] = metrics_of(runs[k]);
  }
  assert_string_equal(all[0], all[1]);
  same_file("open/logits.h5", "guarded/logits.h5");
  same_file("open/members/p0-r0/logits.h5", "guarded/members/p0-r0/logits.h5");
  same_file("open/members/p1-r0/logits.h5", "guarded/members/p1-r0/logits.h5");
  free(all[0]);
  free(all[1]);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(tuning_free),
                                     cmocka_unit_test(pet),
                                     cmocka_unit_test(finetune),
                                     cmocka_unit_test(generations),
                                     cmocka_unit_test(generations_of_command),
                                     cmocka_unit_test(encoder_once),
                                     cmocka_unit_test(student),
                                     cmocka_unit_test(all_are_right),
                                     cmocka_unit_test(student_by_other_weights),
                                     cmocka_unit_test(learns),
                                     cmocka_unit_test(other_arithmetic),
                                     cmocka_unit_test(guarded)};
  return cmocka_run_group_tests(tests, make_few_shot, drop_runs);
}
