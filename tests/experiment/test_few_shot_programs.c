/* What reports say of few-shot rows beside simple programs, which learn from each row's own texts,
 * and what they leave out because there is nothing to say. */
#include "few_shot_run.h"

#include <math.h>
#include <stdio.h>

/* What naive Bayes gets that learned from the texts of a stage, by row and seed: at 0, 1 and 10 of
 * both rows, and ZERO's. */
static const double learned[7][3] = {{3, 4, 5},   {9, 10, 11},  {20, 26, 23}, {3, 4, 5},
                                     {9, 10, 11}, {20, 26, 23}, {25, 25, 25}};

/* Whether stages say what the most frequent label of the test texts gets, as few-shot ones do. */
static bool with_constant;

/* The results of ROW and SEED with programs of their own. Naive Bayes is right of two records by
 * 2 (seed + 1) (row + 1) points less and more than on average. */
static void write_with_programs(const char *at, size_t row, size_t seed) {
  const double ours = scores[row][seed], bayes = learned[row][seed],
               apart = 2. * (double)((seed + 1) * (row + 1));
  char text[1024] = "";
  snprintf(text, sizeof text,
           "{\"metrics\": {\"tsv\": {\"scores\": {\"accuracy\": %g}, \"baseline\": {\"accuracy\": "
           "5}, %s\"naive_bayes\": {\"accuracy\": %g}, \"baseline_kind\": \"majority\"}}, "
           "\"measured\": {\"seconds\": 1}}",
           ours, with_constant ? "\"largest_class\": {\"accuracy\": 16}, " : "", bayes);
  write_stage(at, "result.json", text);
  *text = '\0';
  for (int i = 0; i < 2; i++)
    snprintf(text + strlen(text), sizeof text - strlen(text),
             "{\"input\": \"%d\", \"scores\": {\"accuracy\": [%.17g]}, \"baselines\": "
             "{\"majority\": {\"accuracy\": [5]}, %s\"naive_bayes\": {\"accuracy\": [%.17g]}}}\n",
             i, ours,
             !with_constant ? ""
             : i            ? "\"largest_class\": {\"accuracy\": [20]}, "
                            : "\"largest_class\": {\"accuracy\": [12]}, ",
             i ? bayes + apart : bayes - apart);
  write_stage(at, "predictions.tsv.jsonl", text);
}

static void write_programs_run(cz_results *r) {
  char at[256];
  cz_plan plan;
  write_few_shot_run(with(axis, contrasts));
  OK(open_with(&plan, with(axis, contrasts), NULL));
  for (size_t k = 0; k < cz_plan_count(&plan); k++) {
    const cz_plan_stage *s = &plan.stages[k];
    OK(cz_plan_folder(at, sizeof at, "", s));
    if (!strcmp(s->name, "score") && !s->left_out)
      write_with_programs(at, k / plan.n_stages % plan.n_rows, k / plan.n_stages / plan.n_rows);
  }
  cz_plan_close(&plan);
  OK(cz_results_open(r, folder()));
}

/* A row is compared with the programs that learned from its own texts, draw by draw. PET at 10
 * leads naive Bayes by 10, 5 and 9.5; its records by 12 (1 + 2 + 3) / 3 = 24 less and more. */
static void test_own_programs(void **state) {
  cz_results r;
  write_programs_run(&r);
  cz_cell c = cell_of(&r, 0, 5);
  assert_near(c.best_lead.mean, 24.5 / 3);
  assert_near(c.best_lead.deviation, 2.7537852736430506);
  assert_near(c.best_lead.examples.error, 24);
  assert_near(c.lead.mean, 93.5 / 3 - 5);
  assert_int_equal(c.best_verdict, CZ_VERDICT_FAILS);
  assert_int_equal(c.verdict, CZ_VERDICT_BEATS);
  c = cell_of(&r, 0, 3); /* at 0 the strongest is the majority */
  assert_near(c.best_lead.mean, 8);
  assert_near(c.best_lead.examples.error, 0);
  c = cell_of(&r, 0, 6);
  assert_near(c.best_lead.mean, -14);
  assert_near(cz_results_baseline(&r, 0, 5, true), 23);
  assert_string_equal(cz_results_baseline_kind(&r, 0, 3, true), "majority");
  assert_true(isnan(cz_results_baseline(&r, 0, SIZE_MAX, true)));
  assert_true(r.plan.n_rows == 7 && !r.shared[0]);
  cz_results_close(&r);
}

/* Every form of the report has them, and the table over the axis a line of each program. */
static void test_own_programs_in_reports(void **state) {
  cz_results r;
  cz_buf out[4] = {{0}};
  write_programs_run(&r);
  OK(cz_report_text(&out[0], &r, false));
  OK(cz_report_csv(&out[1], &r));
  OK(cz_report_json(&out[2], &r));
  OK(cz_report_html(&out[3], &r, folder()));
  assert_says(&out[0], "\n  naive_bayes   4.00 ± 1.00    10.00 ± 1.00    23.00 ± 3.00  ");
  assert_says(&out[0], "\n  majority      5.00 ± 0.00     5.00 ± 0.00     5.00 ± 0.00  ");
  assert_says(&out[0], "  simple baseline  each row's own");
  assert_says(&out[0], "  beats its own  ");
  assert_says(&out[0], "; simple baseline: each row's own, below; intervals");
  assert_says(&out[0], "\n  simple baseline of supervised@10, PET@10: majority 5.00, naive_bayes "
                       "23.00\n  simple baseline of ZERO: majority 5.00, naive_bayes 25.00\n");
  assert_says(&out[0], " always answering with the most frequent label (5.00, from the row's own "
                       "texts) by more than the interval");
  assert_says(&out[0], " the strongest simple program of each row (5.00 to 25.00, from the row's "
                       "own texts) by more than the interval");
  assert_says(&out[1], ",naive_bayes,23,8.166666667,");
  assert_says(&out[1], ",naive_bayes,25,-14,");
  assert_says(&out[2], "\"naive_bayes\": 23.0");
  assert_says(&out[3], "<small>baselines: majority 5.00, naive_bayes 23.00</small>");
  assert_says(&out[3], "<td>naive_bayes</td><td>4.00 ± 1.00</td><td>10.00 ± 1.00</td><td>23.00 ± "
                       "3.00</td>");
  for (int i = 0; i < 4; i++) cz_buf_free(&out[i]);
  cz_results_close(&r);
}

/* Where there is a largest constant answer, the weakest comparison is with that, and not with the
 * majority of T: PET at 10 leads it by 93.5 / 3 - 16, its two records by 4 more and 4 less. */
static void test_largest_class(void **state) {
  cz_results r;
  cz_buf out[2] = {{0}};
  with_constant = true;
  write_programs_run(&r);
  with_constant = false;
  const cz_cell c = cell_of(&r, 0, 5);
  assert_near(c.lead.mean, 93.5 / 3 - 16);
  assert_near(c.lead.examples.error, 4);
  assert_near(c.best_lead.mean, 24.5 / 3);
  assert_int_equal(c.verdict, CZ_VERDICT_FAILS); /* where it beats the majority */
  assert_near(cz_results_baseline(&r, 0, 5, false), 16);
  assert_string_equal(cz_results_baseline_kind(&r, 0, 5, false), "largest_class");
  assert_string_equal(cz_results_baseline_kind(&r, 0, 3, true), "largest_class");
  assert_string_equal(cz_results_baseline_kind(&r, 0, 5, true), "naive_bayes");
  OK(cz_report_text(&out[0], &r, false));
  OK(cz_report_csv(&out[1], &r));
  assert_says(&out[0],
              " always answering with the most frequent label of the test texts (16.00) by "
              "more than the interval");
  assert_says(&out[0], "PET@10: majority 5.00, largest_class 16.00, naive_bayes 23.00\n");
  assert_says(&out[0], "\n  largest_class  16.00 ± 0.00    16.00 ± 0.00    16.00 ± 0.00  ");
  assert_says(&out[1], ",largest_class,16,15.16666667,");
  for (int i = 0; i < 2; i++) cz_buf_free(&out[i]);
  cz_results_close(&r);
}

/* A column that one row of the table has alone, and that row at every value; no paper, and stages
 * that say no loss. */
static const char narrow[] =
    "data: nothing\nseeds: [1, 2, 3]\n"
    "common: {init: $data/m, examples: {pattern: $data/p.yaml, train: $data/t.csv, test: "
    "$data/u.csv}}\n"
    "stages:\n"
    "  score: {kind: classify, classify: {strategy: sentence_encoder}}\n"
    "  score_more: {kind: classify, classify: {strategy: sentence_encoder}, init: $data/n}\n"
    "  score_zero: {kind: classify, classify: {strategy: tuning_free}, examples: {labelled: 0}}\n"
    "rows: [{name: PET, without: [score_zero]}, {name: ZERO, only: [score_zero]}]\n"
    "contrasts: [[PET, ZERO]]\n"
    "columns: [{name: one, take: first, value: [score.tsv.scores.accuracy, "
    "score_zero.tsv.scores.accuracy]}, {name: raw, value: score_zero.tsv.scores.accuracy}]\n";
static const char narrow_axis[] = "axis: {name: texts, set: [score.examples.labelled, "
                                  "score_more.examples.labelled], values: [1, 10]}\n";

static void open_narrow(cz_results *r, cz_buf out[2], const char *seeds, const char *more) {
  char text[4096];
  snprintf(text, sizeof text, "%s%s", narrow, more);
  memcpy(strstr(text, "[1, 2, 3]"), seeds, 9);
  write_few_shot_run(text);
  OK(cz_results_open(r, folder()));
  out[0].len = out[1].len = 0;
  OK(cz_report_text(&out[0], r, false));
  OK(cz_report_html(&out[1], r, folder()));
}

/* What has no number to show is not there: lines, columns, tables and figures; and words fit what
 * there is. PET has 11 and 14 at 1 and 10, ZERO 14. */
static void test_nothing_to_say(void **state) {
  cz_results r;
  cz_buf out[2] = {{0}};
  open_narrow(&r, out, "[1, 2, 3]", narrow_axis);
  assert_says(&out[0],
              "one: highest mean at 1 texts ZERO (14.00), then PET (11.00); at 10 PET, ZERO "
              "level (14.00); means decide this");
  assert_says(&out[0], "\none by texts\n  row              1              10  \n");
  assert_says(&out[0], "\none: contrasts, paired");
  assert_says(&out[0],
              "What a row took at each texts, in the stages that the axis sets, mean over");
  assert_says(&out[1], "one over texts");
  static const char *const not_there[] = {"raw by texts", "raw: contrasts", "  loss  ",
                                          "up to each"};
  for (size_t i = 0; i < sizeof not_there / sizeof *not_there; i++)
    assert_null(strstr(out[0].data, not_there[i]));
  static const char *const not_on_page[] = {"raw over", "raw at", "<th>the paper's</th>",
                                            "with the control (Holm)", "<caption>raw"};
  for (size_t i = 0; i < sizeof not_on_page / sizeof *not_on_page; i++)
    assert_null(strstr(out[1].data, not_on_page[i]));
  char *raw = strstr(out[0].data, "\nraw (no column of the paper)"), *end = NULL;
  assert_true(raw && (end = strstr(raw + 1, "\n\n")));
  *end = '\0';
  assert_non_null(strstr(raw, "ZERO"));
  assert_null(strstr(raw, "PET"));
  cz_results_close(&r);
  open_narrow(&r, out, "[1]      ", narrow_axis);
  assert_says(&out[0], "  1 draw of T  ");
  assert_null(strstr(out[0].data, "1 draws"));
  assert_null(strstr(out[0].data, "Each seed draws"));
  cz_results_close(&r);
  open_narrow(&r, out, "[1, 2, 3]", "");
  assert_says(&out[1], "<h2>Rows with their noise</h2>");
  assert_null(strstr(out[1].data, "look at the order"));
  cz_results_close(&r);
  for (int i = 0; i < 2; i++) cz_buf_free(&out[i]);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(test_own_programs), TEST(test_own_programs_in_reports),
                                     TEST(test_largest_class), TEST(test_nothing_to_say)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
