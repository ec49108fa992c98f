/* What experiments and reports have for tables over few labelled texts: an axis of several stages,
 * columns of lists, contrasts, and what is shown of classifiers; numbers from scipy. */
#include "few_shot_run.h"
#include "base/fs.h"
#include "experiment/report/axis.h"
#include "experiment/report/contrasts.h"
#include "experiment/report/plot.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

static void refuses(const char *more, const char *text) {
  cz_plan plan;
  FAILS(open_with(&plan, with(more, ""), NULL), CZ_EUSAGE, text);
  if (!strstr(cz_error_message(), "x.yaml:")) fail_msg("no file and line: %s", cz_error_message());
  cz_plan_close(&plan);
}

static void test_refused(void **state) {
  refuses("axis: {name: n, set: [], values: [1]}\n", "the axis sets no key");
  refuses("axis: {name: n, set: [plain.train.steps, pte.train.steps], values: [1]}\n",
          "axis: 'pte' is no stage of this file; did you mean 'pet'?");
  refuses("axis: {name: n, set: [plain.train.steps, plain.train.steps], values: [1]}\n",
          "the axis sets 'plain.train.steps' twice");
  refuses("axis: {name: n, set: [plain.train.steps, pet], values: [1]}\n",
          "'pet' is not the name of a stage, a point and a key");
  refuses("axis: {name: n, set: common.trian.steps, values: [1]}\n",
          "no stage of this file takes 'trian.steps', or all set it themselves");
  refuses("axis: {name: n, set: common.train.steps, values: [1]}\n",
          "no stage of this file takes 'train.steps', or all set it themselves");
  refuses("contrasts: PET\n", "expected a list");
  refuses("contrasts: [PET]\n", "expected a list");
  refuses("contrasts: [[PET]]\n", "a contrast is two rows");
  refuses("contrasts: [[PET, suppervised]]\n",
          "no row is called 'suppervised'; did you mean 'supervised'?");
  refuses("contrasts: [[PET, PET]]\n", "the row 'PET' is compared with itself");
  refuses("contrasts: [[PET, ZERO], [PET, ZERO]]\n",
          "the contrast of 'PET' and 'ZERO' is there twice");
  refuses("contrasts: [[PET, ZERO], [ZERO, PET]]\n", "there twice, the other way round");
}

/* Each row stands once for each value unless it is without all stages of the axis; a value's stages
 * have the keys of a plan with that value alone, and what does not depend on it is one stage. */
static void test_axis_of_stages(void **state) {
  cz_plan plan, alone;
  size_t n;
  OK(open_with(&plan, with(axis, ""), NULL));
  assert_int_equal(plan.n_rows, 7);
  assert_string_equal(plan.rows[2].name, "supervised@10");
  assert_string_equal(plan.rows[6].name, "ZERO");
  assert_string_equal(plan.axis.stages, "plain, pet");
  assert_false(plan.axis.steps);
  OK(open_with(&alone, with("", ""), "stages.pet.optimizer.weight_decay=10"));
  for (size_t s = 0; s < SEEDS_HERE; s++)
    for (size_t i = 1; i < 3; i++)
      assert_string_equal(cz_plan_at(&plan, s, 5, i)->key, cz_plan_at(&alone, s, 1, i)->key);
  OK(cz_plan_distinct(&n, &plan, 2)); /* ZERO's once */
  assert_int_equal(n, 7 * SEEDS_HERE);
  cz_plan_close(&alone);
  cz_plan_close(&plan);
}

/* `common` lies below what a stage says: pet has a decay of its own, so its row stands once. */
static void test_axis_of_common(void **state) {
  cz_plan plan;
  OK(open_with(
      &plan, with("axis: {name: texts, set: common.optimizer.weight_decay, values: [0, 1]}\n", ""),
      NULL));
  assert_int_equal(plan.axis.n_keys, 1);
  assert_string_equal(plan.axis.keys[0], "plain.optimizer.weight_decay");
  assert_int_equal(plan.n_rows, 4);
  assert_string_equal(plan.rows[2].name, "PET");
  cz_plan_close(&plan);
  OK(open_with(
      &plan,
      with("axis: {name: texts, set: [common.batch.shards, score.seed], values: [1, 2]}\n", ""),
      NULL));
  assert_int_equal(plan.axis.n_keys, 3);
  assert_int_equal(plan.n_rows, 6);
  assert_string_equal(plan.axis.set, "common.batch.shards, score.seed");
  cz_plan_close(&plan);
}

/* PET less supervised at 1: 1.5, 1.5, 3 and at 10: 17, 16, 18.5; less ZERO at 1: 4.5, 5, 5.5 and at
 * 10: 20, 20, 20.5. scipy.stats.ttest_rel; Holm over the six by hand. */
static void test_contrasts(void **state) {
  cz_results r;
  cz_comparison t;
  cz_buf out[4] = {{0}};
  write_few_shot_run(with(axis, contrasts));
  OK(cz_results_open(&r, folder()));
  assert_int_equal(r.plan.n_pairs, 6);
  OK(cz_compare_open(&t, &r));
  const cz_pair_cell *c = cz_contrasts_at(&t, 0, 1);
  assert_near(c->difference.mean, 2);
  assert_near(c->difference.half, 2.151326364874731);
  assert_near(c->p, 0.17157287525380988);
  c = cz_contrasts_at(&t, 0, 2);
  assert_near(c->difference.half, 3.1258047396878874);
  assert_near(c->p, 0.00893067692943533);
  c = cz_contrasts_at(&t, 0, 5);
  assert_near(c->difference.mean, 60.5 / 3);
  assert_near(c->p, 0.0004097660923337146);
  assert_int_equal(t.pair_tests[0], 6);
  cz_compare_close(&t);
  OK(cz_report_text(&out[0], &r, false));
  OK(cz_report_csv(&out[1], &r));
  OK(cz_report_json(&out[2], &r));
  OK(cz_report_html(&out[3], &r, folder()));
  assert_says(&out[0],
              "one: PET is above supervised at 0 texts by 2.00 ± 8.96, within the noise "
              "after Holm over 6; at 1 above by 2.00 ± 2.15, within the noise; at 10 above "
              "by 17.17 ± 3.13, beyond the noise.\n");
  assert_says(
      &out[0],
      "one: highest mean at 0 texts PET (13.00), then supervised, ZERO level (11.00); at 1 PET "
      "(16.00), then supervised (14.00); at 10 PET (31.17), then supervised "
      "(14.00); means decide this, not intervals.\n");
  assert_says(&out[0], "PET minus supervised     10  3 seeds");
  assert_says(&out[1], "\nPET@10 minus supervised@10,one,,3,,,,,,,,17.16666667,");
  assert_says(&out[2], "\"deviation_over\": \"seeds\"");
  assert_says(&out[3], "<h2>Contrasts</h2>");
  for (int i = 0; i < 4; i++) cz_buf_free(&out[i]);
  cz_results_close(&r);
}

/* Every line of the CSV has as many fields as its head. */
static void test_csv_fields(void **state) {
  cz_results r;
  cz_buf csv = {0};
  char text[8192];
  snprintf(text, sizeof text,
           "%scontrol: {name: none, without: [plain, pet], set: {score.init: '', "
           "score.seed: 7}}\n",
           with(axis, contrasts));
  write_few_shot_run(text);
  OK(cz_results_open(&r, folder()));
  OK(cz_report_csv(&csv, &r));
  size_t expected = 0, n = 0;
  for (const char *at = csv.data; *at; at++) {
    n += *at == ',';
    if (*at != '\n') continue;
    if (!expected) expected = n;
    assert_int_equal(n, expected);
    n = 0;
  }
  cz_buf_free(&csv);
  cz_results_close(&r);
}

/* A lost file of predictions leaves the number and takes the verdict. */
static void test_unknown_examples(void **state) {
  cz_results r;
  cz_buf text = {0};
  char at[256], path[512];
  write_few_shot_run(with(axis, contrasts));
  OK(cz_results_open(&r, folder()));
  OK(cz_plan_folder(at, sizeof at, "", cz_plan_at(&r.plan, 1, 5, 2)));
  cz_results_close(&r);
  snprintf(path, sizeof path, "%s/predictions.tsv.jsonl", at);
  remove_file(path);
  OK(cz_results_open(&r, folder()));
  OK(cz_report_text(&text, &r, false));
  assert_says(&text, "within the noise after Holm over 4; at 1 above by 2.00 ± 2.15, within the "
                     "noise; at 10 above by 17.17 ± 3.13, the noise of the test examples not "
                     "known.\n");
  cz_buf_free(&text);
  cz_results_close(&r);
}

static const char *column(const char *text) {
  static char all[9000];
  snprintf(all, sizeof all, "%s  - {name: two, %s}\n%s", head, text, axis);
  return all;
}

static double second(const char *text) {
  cz_results r;
  write_few_shot_run(column(text));
  OK(cz_results_open(&r, folder()));
  const double value = r.values[(r.plan.n_rows + 4) * SEEDS_HERE + 1];
  assert_true(isnan(r.values[r.plan.n_rows * SEEDS_HERE])); /* supervised has no such stage */
  cz_results_close(&r);
  return value;
}

static void test_columns_of_lists(void **state) {
  cz_results r;
  assert_near(second("value: pet.members.accuracy, take: mean"), 0.6);
  assert_near(second("value: pet.members.accuracy, take: min"), 0.5);
  assert_near(second("value: pet.members.accuracy, take: max"), 0.7);
  assert_near(second("value: pet.members.accuracy, take: spread"), 0.2);
  assert_near(second("value: pet.ensemble.coverage.90"), 0.62);
  assert_true(isnan(second("value: pet.members.wanting, take: mean")));
  assert_true(isnan(second("value: pet.nothing, take: max")));
  write_few_shot_run(column("value: pet.members.accuracy"));
  FAILS(cz_results_open(&r, folder()), CZ_EUSAGE,
        "'pet.members.accuracy' leads to a list of 2 numbers: the key `take`");
  if (!strstr(cz_error_message(), "experiment.yaml:")) fail_msg("%s", cz_error_message());
  cz_results_close(&r);
  write_few_shot_run(column("value: pet.ensemble.ece, take: mean"));
  FAILS(cz_results_open(&r, folder()), CZ_EUSAGE, "'pet.ensemble.ece' is one number and no list");
  cz_results_close(&r);
  cz_plan plan;
  FAILS(open_with(&plan, column("value: pet.x, take: medium"), NULL), CZ_EUSAGE, "'medium'");
  cz_plan_close(&plan);
  FAILS(open_with(&plan, column("value: score.tsv.scores.accuracy, take: mean"), NULL), CZ_EUSAGE,
        "is one number and no list");
  cz_plan_close(&plan);
}

static double number_at(json_t *root, const char *list, const char *key, const char *what) {
  json_t *line = json_array_get(json_object_get(json_object_get(root, "few_shot"), list), 2);
  assert_string_equal(json_string_value(json_object_get(line, "row")), "PET@10");
  return json_number_value(json_object_get(json_object_get(line, key), what));
}

/* The tables of what stages with members leave, against numbers by hand: ECE 0.1, 0.2, 0.3; the
 * loss of one member of two rises by 1, 2, 3, the other's by 1. */
static void test_tables(void **state) {
  cz_results r;
  cz_buf out[3] = {{0}};
  json_error_t why;
  write_few_shot_run(with(axis, ""));
  OK(cz_results_open(&r, folder()));
  OK(cz_report_text(&out[0], &r, false));
  OK(cz_report_json(&out[1], &r));
  OK(cz_report_html(&out[2], &r, folder()));
  json_t *root = json_loads(out[1].data, 0, &why);
  assert_near(number_at(root, "sure", "ece", "mean"), 0.2);
  assert_near(number_at(root, "sure", "ece", "deviation"), 0.1);
  assert_near(number_at(root, "sure", "coverage.80", "mean"), 0.65);
  assert_near(number_at(root, "patterns", "agreement.kappa", "mean"), 0.25);
  assert_near(number_at(root, "abstaining", "abstain_for.50", "mean"), 0.72);
  assert_near(number_at(root, "abstaining", "abstain_for.50", "deviation"), 0.01);
  assert_near(number_at(root, "abstaining", "abstain.50.coverage", "mean"), 0.8);
  assert_near(number_at(root, "abstaining", "abstain.50.accuracy", "mean"), 0.65);
  assert_near(number_at(root, "forgetting", "members.heldout_mlm_after rise", "mean"), 1.5);
  assert_near(number_at(root, "forgetting", "members.heldout_mlm_after rise", "deviation"), 0.5);
  json_t *line = json_array_get(json_object_get(json_object_get(root, "few_shot"), "sure"), 2),
         *bins = json_object_get(line, "reliability"), *bin = json_array_get(bins, 1);
  assert_int_equal(json_array_size(bins), 2); /* the first bin is of one seed */
  assert_near(json_number_value(json_object_get(bin, "texts")), 60);
  assert_near(json_number_value(json_object_get(bin, "accuracy")),
              (10 * 0.4 + 20 * 0.5 + 30 * 0.6) / 60);
  assert_near(json_number_value(json_object_get(
                  json_object_get(json_object_get(line, "shares"), "fonts"), "mean")),
              0.75);
  json_decref(root);
  assert_says(&out[0], "20.00 ± 10.00");
  assert_says(&out[0], "80.0: 65.0");
  assert_says(&out[0], "0.0: -");
  assert_says(&out[0], "0.72 ± 0.01");
  assert_says(&out[0], "2: 70.00  0: 50.00  50.00  -  70.00\n"); /* best and worst pattern, all */
  assert_says(&out[0], "20.00 ± 0.00");                          /* best less worst */
  assert_says(&out[0], "fonts 75.0");
  assert_says(&out[2], "PET@10: reliability");
  assert_says(&out[2], "PET@10: accuracy on the most certain");
  assert_says(&out[2], "answered, per cent");
  assert_says(&out[2], "ga&lt;mes");
  for (int i = 0; i < 3; i++) cz_buf_free(&out[i]);
  cz_results_close(&r);
}

/* A stage that rows share stands in the first of them. */
static void test_shared_stage(void **state) {
  cz_results r;
  cz_buf out = {0};
  json_error_t why;
  write_few_shot_run(with("axis: {name: n, set: score.seed, values: [5, 6, 7]}\n", ""));
  OK(cz_results_open(&r, folder()));
  OK(cz_report_json(&out, &r));
  json_t *root = json_loads(out.data, 0, &why),
         *list = json_object_get(json_object_get(root, "few_shot"), "patterns");
  assert_int_equal(json_array_size(list), 1);
  assert_string_equal(json_string_value(json_object_get(json_array_get(list, 0), "row")), "PET@5");
  json_decref(root);
  cz_buf_free(&out);
  cz_results_close(&r);
}

/* 0 stands left of a logarithmic axis, and its tick is drawn; below 0 nothing is. */
static void test_plot_with_zero(void **state) {
  const double x[] = {-1, 0, 1, 10, 100}, y[] = {9, 1, 2, 3, 4}, band[] = {1, 1, 1, 1, 1};
  const cz_series s = {"a", x, y, band, 5};
  cz_buf out = {0};
  OK(cz_plot_lines_log(&out, "t", "x", "y", &s, 1));
  assert_says(&out, ">0</text>");
  assert_says(&out, ">100</text>");
  assert_says(&out, "d=\"M56.0 "); /* the axis begins at 0 */
  assert_null(strstr(out.data, "nan"));
  cz_buf_free(&out);
  const cz_series zero = {"a", x + 1, y, band, 1};
  OK(cz_plot_lines_log(&out, "t", "x", "y", &zero, 1));
  assert_says(&out, "<svg");
  assert_null(strstr(out.data, "nan"));
  cz_buf_free(&out);
}

/* What the seeds of a stage draw. */
static void test_what_seeds_draw(void **state) {
  static const struct {
    const char *text;
    cz_seeds_draw draws;
  } cases[] = {{"{train: {steps: 1}}", CZ_SEEDS_PLAIN},
               {"{examples: {train: x, labelled: 10}}", CZ_SEEDS_DRAWS},
               {"{examples: {train: x, labelled: 10, draw: random, draw_seed: 0}}", CZ_SEEDS_DRAWS},
               {"{examples: {train: x, labelled: 10, draw_seed: 3}}", CZ_SEEDS_ONE_T},
               {"{examples: {train: x, labelled: 10, draw: paper}}", CZ_SEEDS_ONE_T},
               {"{examples: {train: x, labelled: 0, draw: paper}}", CZ_SEEDS_PLAIN},
               {"{examples: {train: x, labelled: -1}}", CZ_SEEDS_ONE_T},
               {"{examples: {train: x}}", CZ_SEEDS_ONE_T},
               {"{examples: {test: y}}", CZ_SEEDS_PLAIN},
               {"{examples: {task: {name: mnli, train: x}, labelled: 10}}", CZ_SEEDS_DRAWS},
               {"{examples: {task: {name: mnli, test: x}, labelled: 10}}", CZ_SEEDS_PLAIN},
               {"{examples: {task: '', train: x, labelled: 10}}", CZ_SEEDS_DRAWS}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_config *config;
    OK(cz_config_parse(&config, "x", cases[i].text, strlen(cases[i].text)));
    assert_int_equal(cz_plan_stage_draws(cz_config_root(config)), cases[i].draws);
    cz_config_destroy(&config);
  }
}

static const char few[] =
    "data: nothing\nseeds: [1, 2]\n"
    "common: {init: $data/m, examples: {pattern: $data/p.yaml, train: $data/t.csv, test: "
    "$data/u.csv}}\n"
    "stages:\n"
    "  plain: {kind: classify, classify: {strategy: finetune}, batch: {examples: 2}, optimizer: "
    "{learning_rate: 1}, train: {steps: 3}}\n"
    "  zero: {kind: classify, classify: {strategy: tuning_free}, examples: {labelled: 0}}\n"
    "rows: [{name: a, without: [zero]}, {name: z, without: [plain]}]\n"
    "axis: {name: texts, set: common.examples.labelled, values: [10, 50]}\n"
    "contrasts: [[a, z]]\n";

/* The stages as they are: `common.examples.labelled` leaves the stage alone that has none, and what
 * a result will have is known before anything runs. */
static void test_stages_of_few_texts(void **state) {
  static const struct {
    const char *column, *refused;
  } cases[] = {{"value: plain.members.accuracy, take: min", NULL},
               {"value: plain.members.accuracy", "the key `take` (mean, min, max or spread)"},
               {"value: plain.agreement.worst, take: min", "is one number and no list"},
               {"value: plain.agreement.worst", NULL},
               {"value: plain.ensemble.coverage.90", NULL},
               {"value: plain.ensemble.coverage.95", "no result has"},
               {"value: plain.members.acuracy, take: min", "no result has"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_plan plan;
    cz_buf missing = {0};
    char text[2048];
    snprintf(text, sizeof text, "%scolumns: [{name: one, %s}]\n", few, cases[i].column);
    OK(open_with(&plan, text, NULL));
    assert_int_equal(plan.n_rows, 3);
    assert_int_equal(plan.n_pairs, 2);
    assert_int_equal(cz_plan_row_draws(&plan, 1), CZ_SEEDS_DRAWS);
    assert_int_equal(cz_plan_row_draws(&plan, 2), CZ_SEEDS_PLAIN);
    if (cases[i].refused)
      FAILS(cz_plan_check(&plan, &missing, NULL), CZ_EUSAGE, cases[i].refused);
    else
      OK(cz_plan_check(&plan, &missing, NULL));
    cz_buf_free(&missing);
    cz_plan_close(&plan);
  }
}

static const char encoder[] =
    "data: nothing\nseeds: [1, 2, 3]\n"
    "common: {init: $data/m, examples: {pattern: $data/p.yaml, train: $data/t.csv, test: "
    "$data/u.csv}}\n"
    "stages:\n"
    "  score: {kind: classify, classify: {strategy: pet}, batch: {examples: 2}, optimizer: "
    "{learning_rate: 1}, train: {steps: 3}}\n"
    "  score_vectors: {kind: classify, classify: {strategy: sentence_encoder}}\n"
    "rows: [{name: PET, without: [score_vectors]}, {name: vectors, without: [score]}]\n"
    "axis: {name: texts, set: common.examples.labelled, values: [1, 10, 50]}\n"
    "columns: [{name: one, take: first, value: [score.tsv.scores.accuracy, "
    "score_vectors.tsv.scores.accuracy]}]\n";

/* A row that is a frozen sentence encoder is said to win where the tested contrast with it does,
 * and nowhere else, whichever of the two the contrast names first. The differences are those of
 * test_contrasts, the other way round. */
static void test_encoder(void **state) {
  static const char *const pairs[] = {"contrasts: [[PET, vectors]]\n",
                                      "contrasts: [[vectors, PET]]\n"};
  for (int turned = 0; turned < 2; turned++) {
    cz_results r;
    cz_buf out[2] = {{0}};
    char text[4096];
    snprintf(text, sizeof text, "%s%s", encoder, pairs[turned]);
    write_few_shot_run(text);
    OK(cz_results_open(&r, folder()));
    OK(cz_report_text(&out[0], &r, false));
    OK(cz_report_html(&out[1], &r, folder()));
    assert_says(&out[0], "one at 1 texts: a frozen sentence encoder with logistic regression (row "
                         "vectors, 13.00) is above PET (11.00) by 2.00 ± 8.96, within the "
                         "noise after Holm over 3: neither is shown to be better.\n");
    assert_says(&out[0], "one at 10 texts: a frozen sentence encoder with logistic regression (row "
                         "vectors, 16.00) is above PET (14.00) by 2.00 ± 2.15, within the "
                         "noise after Holm over 3: neither is shown to be better.\n");
    assert_says(&out[0], "one at 50 texts: a frozen sentence encoder with logistic regression (row "
                         "vectors, 31.17) beats PET (14.00) by 17.17 ± 3.13, beyond the "
                         "noise after Holm over 3.\n");
    assert_says(&out[1], "beats PET (14.00) by 17.17");
    cz_results_close(&r);
    snprintf(text, sizeof text, "%s%s", encoder, pairs[turned]);
    memcpy(strstr(text, "[1, 2, 3]"), "[1]      ", 9); /* one seed: no interval and no verdict */
    write_few_shot_run(text);
    OK(cz_results_open(&r, folder()));
    out[0].len = 0;
    OK(cz_report_text(&out[0], &r, false));
    assert_says(&out[0], "vectors, 11.00) is above PET (10.00) by 1.00, one seed, no interval.\n");
    cz_buf_free(&out[0]);
    cz_buf_free(&out[1]);
    cz_results_close(&r);
  }
}

/* The report says which of the two deviations its numbers are. */
static void test_which_deviation(void **state) {
  static const char *const says[] = {
      "Each seed draws its own T: deviations, intervals and differences are over draws of the "
      "training set.\n",
      "All seeds have one and the same T in every row that has one: deviations, intervals and "
      "differences are over repetitions on it, as papers print them, and do not say how far "
      "another "
      "T would move the numbers.\n"};
  for (int i = 0; i < 2; i++) {
    cz_results r;
    cz_buf out[4] = {{0}};
    char text[2048];
    const char *at = strstr(few, "train: $data");
    snprintf(text, sizeof text, "%.*s%s%scolumns: [{name: one, value: plain.loss}]\n",
             (int)(at - few), few, i ? "draw: paper, " : "", at);
    write_few_shot_run(text);
    OK(cz_results_open(&r, folder()));
    OK(cz_report_text(&out[0], &r, false));
    OK(cz_report_json(&out[1], &r));
    assert_says(&out[0], says[i]);
    assert_null(strstr(out[0].data, says[1 - i]));
    assert_says(&out[1], i ? "\"deviation_over\": \"repetitions on one T\""
                           : "\"deviation_over\": \"draws of T\"");
    OK(cz_report_csv(&out[2], &r));
    OK(cz_report_html(&out[3], &r, folder()));
    for (int k = 0; k < 4; k++) { /* at each number, in all forms */
      assert_says(&out[k], i ? "repetitions on one T" : "draws of T");
      assert_null(strstr(out[k].data, i ? "draws of T" : "repetitions on one T"));
    }
    assert_says(&out[0], i ? "2 repetitions on one T" : "2 draws of T");
    assert_says(&out[2], ",deviation_over,seed_1,");
    assert_says(&out[3], i ? "<small>± over repetitions on one T</small>"
                           : "<small>± over draws of T</small>");
    for (int k = 2; k < 4; k++) cz_buf_free(&out[k]);
    cz_buf_free(&out[0]);
    cz_buf_free(&out[1]);
    cz_results_close(&r);
  }
}

/* Table 1 with five draws is of this size: 8 methods at 5 sizes of T, 14 stages a row. Plan,
 * results and all reports take under a second of one thread. */
static void test_two_thousand_stages(void **state) {
  enum { METHODS = 8, MODELS = 7, LIMIT_S = 20 };
  cz_results r;
  cz_buf y = {0}, out[4] = {{0}};
  OK(cz_buf_addf(&y, "data: nothing\nseeds: [1, 2, 3, 4, 5]\nbaseline: m0\nstages:\n"));
  for (int i = 0; i < MODELS; i++)
    OK(cz_buf_addf(&y,
                   "  pet%d: {kind: finetune, tokenizer: $data/t.json, train: {steps: 7}, "
                   "optimizer: {learning_rate: %d}}\n  score%d: {kind: evaluate, init: $pet%d, "
                   "tasks: {list: [{name: tsv, train: $data/x, dev: $data/y}]}}\n",
                   i, i + 1, i, i));
  OK(cz_buf_addf(&y, "rows:\n"));
  for (int m = 0; m < METHODS; m++) {
    OK(cz_buf_addf(&y, "  - {name: m%d, set: {", m));
    for (int i = 0; i < MODELS; i++)
      OK(cz_buf_addf(&y, "%spet%d.train.log_steps: %d", i ? ", " : "", i, m + 2));
    OK(cz_buf_addf(&y, "}}\n"));
  }
  OK(cz_buf_addf(&y, "axis: {name: texts, set: common.optimizer.weight_decay, values: [0, 1, 2, 3, "
                     "4]}\ncontrasts: [[m1, m0], [m2, m1]]\ncolumns:\n"));
  for (int i = 0; i < MODELS; i++)
    OK(cz_buf_addf(&y, "  - {name: c%d, value: score%d.tsv.scores.accuracy}\n", i, i));
  OK(cz_buf_addf(&y, "  - {name: list, value: pet1.members.accuracy, take: spread}\n"));
  write_few_shot_run(y.data);
  const clock_t begin = clock();
  OK(cz_results_open(&r, folder()));
  assert_int_equal(r.total, METHODS * 5 * MODELS * 2 * 5);
  assert_int_equal(r.done, r.total);
  OK(cz_report_text(&out[0], &r, false));
  OK(cz_report_csv(&out[1], &r));
  OK(cz_report_json(&out[2], &r));
  OK(cz_report_html(&out[3], &r, folder()));
  const double seconds = (double)(clock() - begin) / CLOCKS_PER_SEC;
  print_message("%zu stages: plan, results and reports in %.2f s\n", r.total, seconds);
  assert_true(seconds < LIMIT_S);
  for (int i = 0; i < 4; i++) cz_buf_free(&out[i]);
  cz_buf_free(&y);
  cz_results_close(&r);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_refused),         TEST(test_shared_stage),        TEST(test_encoder),
      TEST(test_which_deviation), TEST(test_stages_of_few_texts), TEST(test_two_thousand_stages),
      TEST(test_axis_of_stages),  TEST(test_axis_of_common),      TEST(test_contrasts),
      TEST(test_csv_fields),      TEST(test_unknown_examples),    TEST(test_columns_of_lists),
      TEST(test_tables),          TEST(test_plot_with_zero),      TEST(test_what_seeds_draw)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
