/* What a report says of rows beside simple programs, and of scores that are not defined. */
#include "setup.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

/* Writes the scores of row b under one seed: no accuracy, because of WHY. */
static void write_undefined(int seed, const char *why) {
  char name[64], text[512];
  snprintf(name, sizeof name, "stages/evaluate-000000000000001%d/result.json", seed);
  snprintf(text, sizeof text,
           "{\"metrics\": {\"tsv\": {\"scores\": {\"accuracy\": null, \"rouge1\": 4}, %s"
           "\"baseline\": {\"accuracy\": 20, \"rouge1\": 3}, \"baseline_kind\": \"copy\"}}, "
           "\"measured\": {}}",
           why);
  write_text(name, text);
}

/* A score that is not defined says why, in every form of the report. */
static void test_undefined_scores(void **state) {
  cz_results r;
  cz_buf out[5] = {{0}};
  write_run();
  write_undefined(1, "");
  OK(cz_results_open(&r, folder()));
  remarks_of(&out[0], &r);
  assert_says(&out[0], "one: b has no score under 1 of 3 seeds, because it is not defined there: "
                       "its stage does not say why.\n");
  assert_null(strstr(out[0].data, "one: a has no score"));
  cz_results_close(&r);
  cz_buf_free(&out[0]);
  for (int s = 0; s < SEEDS; s++)
    write_undefined(s, "\"undefined\": {\"accuracy\": \"all <predictions>, are equal\"}, ");
  OK(cz_results_open(&r, folder()));
  assert_int_equal(r.undefined[1].seeds, SEEDS);
  remarks_of(&out[0], &r);
  OK(cz_report_text(&out[1], &r, false));
  OK(cz_report_csv(&out[2], &r));
  OK(cz_report_json(&out[3], &r));
  OK(cz_report_html(&out[4], &r, folder()));
  assert_says(&out[0], "under 3 of 3 seeds, because it is not defined there: all <predictions>, "
                       "are equal.\n");
  assert_says(&out[1], "  b          0       not defined ");
  assert_says(&out[1], "\n  b: not defined under 3 of 3 seeds: all <predictions>, are equal\n");
  assert_says(&out[2], "\nb,one,%,0,");
  assert_says(&out[2], ",\"all <predictions>, are equal\",");
  assert_says(&out[3], "\"why\": \"all <predictions>, are equal\"");
  assert_says(&out[4], "not defined<small>not defined under 3 seeds: all &lt;predictions&gt;, are "
                       "equal</small>");
  for (int i = 0; i < 5; i++) cz_buf_free(&out[i]);
  cz_results_close(&r);
}

static void remove_predictions(int row, int seed) {
  char name[128];
  snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/predictions.tsv.jsonl", row,
           seed);
  remove_file(name);
}

/* Row c has lost the predictions of one seed, and would beat everything by the seeds alone: no
 * verdict, star or rank, and every form of the report says so. Other rows keep theirs. */
static void test_unknown_examples(void **state) {
  cz_results r;
  cz_agreement a;
  cz_comparison t;
  cz_buf out[4] = {{0}};
  write_run();
  remove_predictions(2, 1);
  OK(cz_results_open(&r, folder()));
  OK(cz_compare_open(&t, &r));
  const cz_cell *c = cz_compare_at(&t, 0, 2);
  assert_int_equal(c->verdict, CZ_VERDICT_UNKNOWN);
  assert_int_equal(c->best_verdict, CZ_VERDICT_UNKNOWN);
  assert_true(isnan(c->p) && !c->differs);
  assert_near(c->best_lead.mean, 11.9); /* the number stays */
  c = cz_compare_at(&t, 0, 3);
  assert_true(c->best_verdict == CZ_VERDICT_FAILS && !isnan(c->p));
  assert_int_equal(t.tests, 4); /* b and d under two columns */
  OK(cz_compare_agreement(&a, &t, 0, SIZE_MAX));
  assert_int_equal(a.n, 3);
  assert_near(a.spearman, -0.5); /* a, b, d: 1 2 3 beside 3 1 2 */
  assert_false(cz_compare_knows_examples(&t, 0));
  cz_compare_close(&t);
  OK(cz_report_text(&out[0], &r, false));
  OK(cz_report_csv(&out[1], &r));
  OK(cz_report_json(&out[2], &r));
  OK(cz_report_html(&out[3], &r, folder()));
  assert_says(&out[0], "one: no verdict for <c>&\": the noise of the test examples is not known "
                       "(predictions are missing or too few).\n");
  assert_says(&out[0], "one: at this scale no row with known test examples beats copying the input "
                       "(20.00) by more than the interval; in the mean d is above it.");
  assert_says(&out[0], "; intervals cover seeds, and test examples where those are known\n");
  assert_says(&out[0], "0.21, -  examples unknown         2.00\n");
  assert_says(&out[1], ",,,copy,20,11.9,5.287188192,,copy,20,11.9,5.287188192,,2,,30,");
  assert_says(&out[2], "\"beats_strongest\": null");
  assert_says(&out[3], "<small>no verdict: test examples unknown</small>");
  for (int i = 0; i < 4; i++) cz_buf_free(&out[i]);
  cz_results_close(&r);
}

/* A lost part belongs to the comparisons that need it: without the baseline row's predictions
 * there are no stars, without the program's there are no verdicts. */
static void test_unknown_other_side(void **state) {
  cz_results r;
  cz_buf text = {0};
  write_run();
  for (int s = 0; s < SEEDS; s++) remove_predictions(0, s);
  OK(cz_results_open(&r, folder()));
  cz_cell c = cell_of(&r, 0, 2);
  assert_true(isnan(c.p) && c.best_verdict == CZ_VERDICT_BEATS);
  remarks_of(&text, &r);
  assert_says(&text, "one: no verdict for a: the noise of the test examples is not known "
                     "(predictions are missing or too few).\n"
                     "one: no star for b, <c>&\", d: the noise ");
  cz_buf_free(&text);
  cz_results_close(&r);
  write_run();
  for (int row = 0; row < ROWS; row++)
    for (int s = 0; s < SEEDS; s++) {
      char name[128], line[256];
      snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/predictions.tsv.jsonl", row,
               s);
      snprintf(line, sizeof line,
               "{\"input\": \"0\", \"scores\": {\"accuracy\": [%g]}}\n"
               "{\"input\": \"1\", \"scores\": {\"accuracy\": [%g]}}\n",
               one[row][s], one[row][s]);
      write_text(name, line);
    }
  OK(cz_results_open(&r, folder()));
  c = cell_of(&r, 0, 2);
  assert_true(c.differs && c.verdict == CZ_VERDICT_UNKNOWN);
  remarks_of(&text, &r);
  assert_says(&text, "one: no verdict for a, b, <c>&\", d: the noise of the test examples is not "
                     "known (predictions are missing");
  assert_null(strstr(text.data, "no star"));
  assert_null(strstr(text.data, "by more than the interval"));
  cz_buf_free(&text);
  cz_results_close(&r);
}

/* A damaged file is named with its line and what is wrong, where the rows are named; of several
 * the first. The baseline row's is also why the others have no star. */
static void test_damaged_predictions(void **state) {
  static const char first[] = "{\"input\": \"0\", \"scores\": {\"accuracy\": [12]}}\n";
  cz_results r;
  cz_buf out[2] = {{0}};
  json_error_t why;
  char text[256];
  write_run();
  snprintf(text, sizeof text, "%s{\"input\": \"1\", \"scores\": {\"accuracy\": [1, 2]}}\n", first);
  write_text("stages/evaluate-0000000000000001/predictions.tsv.jsonl", text);
  write_text("stages/evaluate-0000000000000002/predictions.tsv.jsonl", "{\n");
  write_text("stages/evaluate-0000000000000032/predictions.tsv.jsonl",
             "{\"scores\": {\"acuracy\": [100]}}\n");
  OK(cz_results_open(&r, folder()));
  OK(cz_report_text(&out[0], &r, false));
  OK(cz_report_json(&out[1], &r));
  const char *const said[] = {
      "one: no verdict for a, d: the noise of the test examples is not known "
      "(stages/evaluate-0000000000000001/predictions.tsv.jsonl: accuracy has 2 numbers, expected 1 "
      "(line 2)).",
      "one: no star for b, <c>&\": the noise of the test examples is not known "
      "(stages/evaluate-0000000000000001/predictions.tsv.jsonl: accuracy has 2 numbers, expected 1 "
      "(line 2))."};
  json_t *root = json_loads(out[1].data, 0, &why), *remarks = json_object_get(root, "remarks");
  for (size_t i = 0; i < 2; i++) {
    size_t found = 0;
    assert_says(&out[0], said[i]);
    while (found < json_array_size(remarks) &&
           strcmp(json_string_value(json_array_get(remarks, found)), said[i]))
      found++;
    assert_true(found < json_array_size(remarks));
  }
  json_decref(root);
  assert_string_equal(r.noise[3].unknown,
                      "stages/evaluate-0000000000000032/predictions.tsv.jsonl: no score is called "
                      "'acuracy'; did you mean 'accuracy'? (line 1)");
  assert_null(r.noise[1].unknown);
  for (int i = 0; i < 2; i++) cz_buf_free(&out[i]);
  cz_results_close(&r);
}

/* Where no row has a second seed there is no interval to speak of, whether the file has one seed
 * or the others are not done. */
static void test_one_seed(void **state) {
  for (int planned = 1; planned <= SEEDS; planned += SEEDS - 1) {
    cz_results r;
    cz_buf text = {0};
    write_run();
    OK(cz_results_open(&r, folder()));
    for (size_t i = 0; i < ROWS * RUN_COLUMNS; i++) {
      const double first = r.values[i * SEEDS];
      for (int s = 1; s < planned; s++) r.values[i * SEEDS + (size_t)s] = NAN;
      r.values[i * (size_t)planned] = first;
    }
    r.plan.n_seeds = (size_t)planned;
    remarks_of(&text, &r);
    assert_says(&text, "one: a, b do not beat copying the input (20.00); <c>&\", d are above it "
                       "with one seed.\n");
    assert_null(strstr(text.data, "by more than the interval"));
    cz_buf_free(&text);
    cz_results_close(&r);
  }
}

/* A task may be called `scores`: its values and baseline stand below that name. */
static void test_task_called_scores(void **state) {
  cz_results r;
  char file[4096];
  write_run();
  snprintf(file, sizeof file, "%s", experiment_text);
  char *at = strstr(file, "score.tsv.scores.accuracy, paper: P");
  assert_non_null(at);
  memcpy(at, "score.scores.scores.mcc,   paper: P", strlen("score.tsv.scores.accuracy, paper: P"));
  write_text("experiment.yaml", file);
  write_text("stages/evaluate-0000000000000000/result.json",
             "{\"metrics\": {\"scores\": {\"scores\": {\"mcc\": 70}, \"baseline\": {\"mcc\": 60}, "
             "\"keyword\": {\"mcc\": 65}, \"baseline_kind\": \"majority\"}}, \"measured\": {}}");
  OK(cz_results_open(&r, folder()));
  const cz_column_path *path = r.plan.columns[0].paths;
  assert_true(path->stage == 1 && cz_column_all_scores(&r.plan.columns[0]));
  assert_string_equal(path->task, "scores");
  assert_string_equal(path->metric, "mcc");
  assert_true(r.values[0] == 70);
  assert_true(cz_results_baseline(&r, 0, SIZE_MAX, false) == 60 &&
              cz_results_baseline(&r, 0, SIZE_MAX, true) == 65);
  assert_string_equal(cz_results_baseline_kind(&r, 0, SIZE_MAX, false), "majority");
  path = r.plan.columns[1].paths;
  assert_true(cz_column_same_task(&path[0], &r.plan.columns[2].paths[1]));
  assert_false(cz_column_same_task(&path[1], &path[1])); /* learn.loss is no score */
  assert_true(!path[1].task && path[1].stage == 0 && !strcmp(path[1].key, "loss"));
  cz_results_close(&r);
}

/* Scores of row 0 with three programs beside them, and predictions of 10 records: the tasks'
 * own, keyword, naive Bayes. */
static void write_programs(int row, int seed) {
  static const int right[4] = {10, 6, 8, 7}; /* of ten: row c, majority, keyword, naive Bayes */
  char name[128], text[4096] = "";
  snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/result.json", row, seed);
  snprintf(text, sizeof text,
           "{\"metrics\": {\"tsv\": {\"scores\": {\"accuracy\": %d, \"rouge1\": 4}, \"baseline\": "
           "{\"accuracy\": 60, \"rouge1\": 3}, \"keyword\": {\"accuracy\": 80, \"rouge1\": 1}, "
           "\"naive_bayes\": {\"accuracy\": 70}, \"baseline_kind\": \"majority\"}}, "
           "\"measured\": {\"seconds\": 1}}",
           row == 2 ? 100 : 70);
  write_text(name, text);
  text[0] = '\0';
  for (int i = 0; i < 10; i++) {
    int own = row == 2 ? right[0] : 7;
    snprintf(text + strlen(text), sizeof text - strlen(text),
             "{\"input\": \"%d\", \"scores\": {\"accuracy\": [%d]}, \"baselines\": {\"majority\": "
             "{\"accuracy\": [%d]}, \"keyword\": {\"accuracy\": [%d]}, \"naive_bayes\": "
             "{\"accuracy\": [%d]}}}\n",
             i, i < own ? 100 : 0, i < right[1] ? 100 : 0, i >= 2 ? 100 : 0,
             i < right[3] ? 100 : 0);
  }
  snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/predictions.tsv.jsonl", row,
           seed);
  write_text(name, text);
}

/* Several programs: all are shown, the words are about the strongest, and `lead` stays the
 * lead over the tasks' own. Both leads are paired by example: against keyword, which errs on
 * the first two records, row c (all right) has differences 100, 100, 0 x 8. */
static void test_several_baselines(void **state) {
  cz_results r;
  cz_buf text = {0};
  write_run();
  for (int row = 0; row < ROWS; row++)
    for (int seed = 0; seed < SEEDS; seed++) write_programs(row, seed);
  OK(cz_results_open(&r, folder()));
  assert_int_equal(cz_results_baselines(&r, 0, SIZE_MAX)->n, 3);
  assert_int_equal(cz_results_baselines(&r, 2, SIZE_MAX)->n, 2); /* its ROUGE has no naive Bayes */
  assert_near(cz_results_baseline(&r, 0, SIZE_MAX, false), 60);
  assert_near(cz_results_baseline(&r, 0, SIZE_MAX, true), 80);
  assert_string_equal(cz_results_baseline_kind(&r, 0, SIZE_MAX, false), "majority");
  assert_string_equal(cz_results_baseline_kind(&r, 0, SIZE_MAX, true), "keyword");
  cz_cell c = cell_of(&r, 0, 2);
  assert_near(c.lead.mean, 40);
  assert_near(c.best_lead.mean, 20);
  assert_near(c.lead.examples.error, 100 * sqrt(10.0 / 9 * (4 * 0.36 + 6 * 0.16) / 100));
  assert_near(c.best_lead.examples.error,
              100 * sqrt((3.0 / 12 - 4.0 / 144) / 12)); /* Agresti and Min's */
  assert_int_equal(c.verdict, CZ_VERDICT_BEATS);
  assert_int_equal(c.best_verdict, CZ_VERDICT_FAILS); /* 20 +- 2.26 x 13.3 */
  c = cell_of(&r, 0, 1);
  assert_int_equal(c.verdict, CZ_VERDICT_FAILS);
  assert_near(c.best_lead.mean, -10);
  OK(cz_report_text(&text, &r, false));
  assert_says(&text, "; simple baseline: majority 60.00, keyword 80.00, naive_bayes 70.00;");
  assert_says(&text, "beats keyword");
  const char *first = strstr(text.data, "\n\n");
  assert_true(first && !strncmp(first, "\n\none: ", 7)); /* of the program that knows least */
  assert_says(&text,
              "b, d do not beat always answering with the most frequent label (60.00) by more "
              "than the interval; <c>&\" does; in the mean ");
  assert_says(&text, "  simple baseline  keyword 80.00 ");
  assert_says(&text,
              "one: at this scale no row beats answering with the label word that stands in "
              "the input (80.00) by more than the interval; in the mean <c>&\" is above it.");
  r.trained[0] = (cz_trained){"f32", 9}, text.len = 0;
  OK(cz_report_text(&text, &r, false));
  assert_null(strstr(text.data, "Stages trained"));
  r.trained[1] = (cz_trained){"bf16", 3}, text.len = 0;
  OK(cz_report_text(&text, &r, false));
  assert_says(&text, "\n\nStages trained: 9 in f32, 3 in bf16.\n");
  json_t *rows = json_pack("{s:{}, s:{}, s:{}, s:{}}", "a", "b", "<c>&\"", "d");
  OK(cz_report_rows(rows, &r));
  const json_t *cell =
      json_object_get(json_object_get(json_object_get(rows, "<c>&\""), "table"), "one");
  assert_true(json_is_true(json_object_get(cell, "beats_baseline")));
  assert_true(json_is_false(json_object_get(cell, "beats_strongest")));
  assert_string_equal(json_string_value(json_object_get(cell, "strongest_kind")), "keyword");
  assert_near(json_number_value(json_object_get(json_object_get(cell, "lead"), "mean")), 40);
  assert_near(json_number_value(json_object_get(json_object_get(cell, "strongest_lead"), "mean")),
              20);
  json_decref(rows);
  cz_buf_free(&text);
  cz_results_close(&r);
}

static void write_records(int row, int seed, const char *task, const char *const line[10]) {
  char name[128], text[4096] = "";
  for (int i = 0; i < 10; i++)
    snprintf(text + strlen(text), sizeof text - strlen(text), "{\"input\": \"%d\", %s}\n", i,
             line[i]);
  snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/predictions.%s.jsonl", row, seed,
           task);
  write_text(name, text);
}

/* A row and seed of two tasks: tsv, whose strongest program is keyword, and sum, which has
 * none but its own. */
static void write_two_tasks(int row, int seed) {
  const char *tsv[10], *sum[10];
  char name[128];
  snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/result.json", row, seed);
  write_text(name, "{\"metrics\": {\"tsv\": {\"scores\": {\"accuracy\": 100}, \"baseline\": "
                   "{\"accuracy\": 60}, \"keyword\": {\"accuracy\": 80}, \"naive_bayes\": "
                   "{\"accuracy\": 70}, \"baseline_kind\": \"majority\"}, \"sum\": {\"scores\": "
                   "{\"rouge1\": 30}, \"baseline\": {\"rouge1\": 10}, \"baseline_kind\": "
                   "\"lead\"}}, \"measured\": {\"seconds\": 1}}");
  for (int i = 0; i < 10; i++) {
    tsv[i] = i < 2   ? "\"scores\": {\"accuracy\": [100]}, \"baselines\": {\"majority\": "
                       "{\"accuracy\": [100]}, \"keyword\": {\"accuracy\": [0]}}"
             : i < 6 ? "\"scores\": {\"accuracy\": [100]}, \"baselines\": {\"majority\": "
                       "{\"accuracy\": [100]}, \"keyword\": {\"accuracy\": [100]}}"
                     : "\"scores\": {\"accuracy\": [100]}, \"baselines\": {\"majority\": "
                       "{\"accuracy\": [0]}, \"keyword\": {\"accuracy\": [100]}}";
    sum[i] = i < 5
                 ? "\"scores\": {\"rouge1\": [50]}, \"baselines\": {\"lead\": {\"rouge1\": [10]}}"
                 : "\"scores\": {\"rouge1\": [10]}, \"baselines\": {\"lead\": {\"rouge1\": [10]}}";
  }
  write_records(row, seed, "tsv", tsv);
  write_records(row, seed, "sum", sum);
}

/* A column over two tasks is compared with each task's own strongest program, (80 + 10) / 2,
 * and keeps keyword although sum does not have it. Parts of 20 sources, (d - mean) / 10 / 2:
 * tsv 2 x 4^2 + 8 x 1 beside keyword, 6 x 2^2 + 4 x 3^2 beside majority; sum 10 x 1. */
static void test_strongest_of_each_task(void **state) {
  cz_results r;
  cz_buf text = {0};
  char file[4096];
  write_run();
  snprintf(file, sizeof file, "%s", experiment_text);
  char *at = strstr(file, "score.tsv.scores.rouge1]}\npaper");
  assert_non_null(at);
  memcpy(at, "score.sum", 9);
  write_text("experiment.yaml", file);
  for (int row = 0; row < ROWS; row++)
    for (int seed = 0; seed < SEEDS; seed++) write_two_tasks(row, seed);
  OK(cz_results_open(&r, folder()));
  assert_int_equal(cz_results_baselines(&r, 2, SIZE_MAX)->n, 2);
  assert_near(cz_results_baseline(&r, 2, SIZE_MAX, false), 35);
  assert_string_equal(cz_results_baseline_kind(&r, 2, SIZE_MAX, false), "simple");
  assert_near(cz_results_baseline(&r, 2, SIZE_MAX, true), 45);
  assert_string_equal(cz_results_baseline_kind(&r, 2, SIZE_MAX, true), "strongest");
  cz_cell c = cell_of(&r, 2, 1);
  assert_near(c.lead.mean, 30);
  assert_near(c.best_lead.mean, 20);
  assert_near(c.lead.examples.error, sqrt(20.0 / 19 * 70));
  assert_near(c.best_lead.examples.error, sqrt(20.0 / 19 * 50));
  assert_true(c.best_lead.examples.freedom == 18);
  OK(cz_report_text(&text, &r, false));
  assert_says(&text, "; simple baseline: simple 35.00, strongest 45.00;");
  assert_says(&text, "three: every row beats the strongest simple program of each task (45.00) by "
                     "more than the interval.");
  cz_buf_free(&text);
  cz_results_close(&r);
}

/* An interval that passes 0 or 100 ends there where ends are shown; its half width stays. A
 * correlation may be below 0, a mean with a loss or with a score that this program does not have
 * anything. */
static void test_ends_of_intervals(void **state) {
  static const double rows[ROWS][SEEDS] = {{98, 99, 100}, {0, 0.5, 2}, {50, 51, 52}, {0, 0, 0}};
  static const char *const metrics[] = {"accuracy", "mcc     ", "unheard "};
  for (int k = 0; k < 3; k++) {
    cz_results r;
    cz_comparison t;
    cz_buf out[3] = {{0}};
    char file[4096];
    double ends[2];
    write_run();
    snprintf(file, sizeof file, "%s", experiment_text);
    memcpy(strstr(file, "accuracy, paper"), metrics[k], 8);
    write_text("experiment.yaml", file);
    OK(cz_results_open(&r, folder()));
    for (size_t c = 0; c < 2; c++) memcpy(&r.values[c * ROWS * SEEDS], rows, sizeof rows);
    OK(cz_compare_open(&t, &r));
    const double half = 4.302652729911275 / sqrt(3);
    assert_near(cz_compare_at(&t, 0, 0)->ours.half, half);
    cz_compare_ends(ends, &t, 0, 0);
    assert_near(ends[0], 99 - half);
    if (k < 2)
      assert_true(ends[1] == 100);
    else
      assert_near(ends[1], 99 + half);
    cz_compare_ends(ends, &t, 0, 1);
    assert_true(k ? ends[0] < 0 : ends[0] == 0);
    cz_compare_ends(ends, &t, 1, 1);
    assert_true(ends[0] < 0);
    OK(cz_report_text(&out[0], &r, false));
    assert_says(&out[0], k < 2 ? "  96.52 .. 100.00 " : "  96.52 .. 101.48 ");
    OK(cz_report_html(&out[1], &r, folder()));
    assert_says(&out[1], "95 % ± 2.48"); /* half widths are not cut */
    OK(cz_report_csv(&out[2], &r));
    assert_says(&out[2], "a,one,%,3,99,1,0.5773502692,");
    for (int i = 0; i < 3; i++) cz_buf_free(&out[i]);
    cz_compare_close(&t);
    cz_results_close(&r);
  }
}

/* Six records of three sources: a 100, 100, 0; b 0, 0; c 100. About their mean, 50, the
 * sources' sums are 50, -100, 50, so the error is sqrt(3/2 (50^2 + 100^2 + 50^2)) / 6 = 25;
 * one by one it would be sqrt(6/5 x 6 x 50^2) / 6 = 22.4. */
static void test_sources(void **state) {
  static const char *const source[] = {"a", "a", "a", "b", "b", "c"};
  static const int score[] = {100, 100, 0, 0, 0, 100};
  for (int grouped = 0; grouped < 2; grouped++) {
    cz_results r;
    write_run();
    for (int row = 0; row < ROWS; row++)
      for (int seed = 0; seed < SEEDS; seed++) {
        char name[128], text[2048] = "", group[16];
        for (int i = 0; i < 6; i++) {
          if (grouped)
            snprintf(group, sizeof group, "\"%s\"", source[i]);
          else
            snprintf(group, sizeof group, "%d", i);
          snprintf(text + strlen(text), sizeof text - strlen(text),
                   "{\"input\": \"%d\", \"group\": %s, \"scores\": {\"accuracy\": [%d]}}\n", i,
                   group, score[i]);
        }
        snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/predictions.tsv.jsonl", row,
                 seed);
        write_text(name, text);
      }
    OK(cz_results_open(&r, folder()));
    assert_near(r.noise[1].own.error, grouped ? 25 : sqrt(6.0 / 5 * 6 * 2500) / 6);
    assert_near(r.noise[1].own.freedom, grouped ? 2 : 5);
    cz_results_close(&r);
  }
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, drop_folder)
  const struct CMUnitTest tests[] = {
      TEST(test_undefined_scores),    TEST(test_several_baselines),
      TEST(test_ends_of_intervals),   TEST(test_strongest_of_each_task),
      TEST(test_unknown_examples),    TEST(test_unknown_other_side),
      TEST(test_damaged_predictions), TEST(test_one_seed),
      TEST(test_task_called_scores),  TEST(test_sources)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
