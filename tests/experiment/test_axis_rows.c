/* Rows that stand at some values of the axis only, under one name with settings of their own, and
 * the paper's numbers by value: what is refused, what is planned, what reports show. */
#include "axis_run.h"
#include "experiment/report/axis.h"

#include <math.h>
#include <stdio.h>

/* b has the paper's numbers by value; <a> leaves one value out, and has settings of its own at
 * another. */
static const char at_some[] =
    "  - {name: <a>, at: [2], paper: {P: 3}, set: {learn.objective.name: prefix_lm}}\n"
    "  - {name: b, paper: {P: {2: 4, 32: 2}}, set: {learn.objective.name: bert_style}}\n"
    "  - {name: <a>, at: [32], paper: {P: 5}, set: {learn.objective.name: mass}}\n";

/* Rows at some values only: nothing goes on over a gap or from other settings, and what is compared
 * with a row that is not there is compared with nothing. */
static void test_rows_at_some_values(void **state) {
  static const char *const names[] = {"<a>@2", "b@2", "b@8", "b@32", "<a>@32", "none"};
  static const double paper[] = {3, 4, NAN, 2, 5, 1};
  static const size_t baselines[] = {0, 0, SIZE_MAX, 4, 4, SIZE_MAX};
  cz_plan plan, other;
  char more[512];
  snprintf(more, sizeof more, "contrasts: [[b, <a>]]\n%s%s", control, axis);
  OK(open_with(&plan, with_rows(at_some, more), NULL));
  assert_int_equal(plan.n_rows, 6);
  for (size_t r = 0; r < 6; r++) {
    const cz_config_node *n = cz_config_get(plan.rows[r].paper, "P");
    double number = NAN;
    assert_string_equal(plan.rows[r].name, names[r]);
    if (n) OK(cz_config_real(&number, n, 0, 10));
    assert_true(isnan(paper[r]) ? isnan(number) : number == paper[r]);
    assert_true(cz_plan_baseline_of(&plan, r) == baselines[r]);
    assert_true(cz_plan_at(&plan, 0, r, 0)->shorter == (r == 2 || r == 3 ? (r - 1) * 3 : SIZE_MAX));
  }
  assert_int_equal(plan.n_pairs, 2); /* at 2 and at 32 */
  assert_true(plan.pairs[0].row == 1 && plan.pairs[0].other == 0 && plan.pairs[0].point == 0);
  assert_true(plan.pairs[1].row == 3 && plan.pairs[1].other == 4 && plan.pairs[1].point == 2);
  /* one listed row with a gap goes on over it: all of the shorter training is in the longer one */
  OK(open_with(&other, with_rows("  - {name: <a>, at: [2, 32], paper: {P: 1}}\n", axis), NULL));
  assert_int_equal(other.n_rows, 2);
  assert_true(cz_plan_at(&other, 0, 1, 0)->shorter == 0);
  cz_plan_close(&other);
  cz_plan_close(&plan);
}

static void refuses_rows(const char *list, const char *text) {
  cz_plan plan;
  FAILS(open_with(&plan, with_rows(list, axis), NULL), CZ_EUSAGE, text);
  if (!strstr(cz_error_message(), "x.yaml:")) fail_msg("no file and line: %s", cz_error_message());
  cz_plan_close(&plan);
}

static void test_refused_values_of_rows(void **state) {
  cz_plan plan;
  refuses_rows("  - {name: <a>, at: 2}\n", "expected a list");
  refuses_rows("  - {name: <a>, at: []}\n", "at: no value");
  refuses_rows("  - {name: <a>, at: [2, 31]}\n",
               "at: '31' is no value of the axis budget; did you mean '32'?");
  refuses_rows("  - {name: <a>, at: [8, 8]}\n", "at: 8 is there twice");
  refuses_rows("  - {name: <a>}\n  - {name: n, at: [2], without: [learn], set: {tune.init: ''}}\n",
               "at: the row is without all stages that the axis sets, and stands once");
  refuses_rows("  - {name: <a>, at: [2, 8]}\n  - {name: <a>, at: [8]}\n",
               "two rows are called '<a>@8'");
  refuses_rows(
      "  - {name: <a>, at: [8]}\n  - {name: <a>, at: [2]}\n",
      "the row '<a>' stands at 2 behind 8: values of one row are in the order of the axis");
  refuses_rows("  - {name: <a>, at: [2, 8], paper: {P: {32: 1}}}\n",
               "'32' is no value of the axis at which the row stands");
  refuses_rows("  - {name: <a>, paper: {P: {3: 1}}}\n",
               "'3' is no value of the axis at which the row stands");
  refuses_rows("  - {name: <a>, paper: {P: {2: many}}}\n", "expected a number");
  FAILS(open_with(&plan, with_rows("  - {name: <a>, at: [2]}\n", ""), NULL), CZ_EUSAGE,
        "at: there is no axis");
  cz_plan_close(&plan);
  FAILS(open_with(&plan, with_rows("  - {name: <a>, paper: {P: {2: 3}}}\n", ""), NULL), CZ_EUSAGE,
        "'2' is no value of the axis at which the row stands");
  cz_plan_close(&plan);
}

/* `only` some stages is `without` all others, and names no stage that a scale adds. */
static void test_only_some_stages(void **state) {
  static const char list[] = "  - {name: <a>, without: [score]}\n"
                             "  - {name: b, without: [learn], set: {tune.init: ''}}\n";
  static const char same[] = "  - {name: <a>, only: [learn, tune]}\n"
                             "  - {name: b, only: [tune, score], set: {tune.init: ''}}\n";
  cz_plan plan, other;
  OK(open_with(&plan, with_rows(list, axis), "columns=[{name: l, value: tune.loss}]"));
  OK(open_with(&other, with_rows(same, axis), "columns=[{name: l, value: tune.loss}]"));
  assert_int_equal(plan.n_rows, 4); /* b has no stage of the axis and stands once */
  assert_int_equal(other.n_rows, 4);
  for (size_t k = 0; k < cz_plan_count(&plan); k++) {
    assert_true(plan.stages[k].left_out == other.stages[k].left_out);
    if (!plan.stages[k].left_out) assert_string_equal(plan.stages[k].key, other.stages[k].key);
  }
  assert_int_equal(cz_plan_uses(&other, 0), 3 * 3);
  assert_int_equal(cz_plan_uses(&other, 2), 3);
  cz_plan_close(&plan);
  cz_plan_close(&other);
  refuses_rows("  - {name: <a>, only: [lern]}\n", "only: 'lern' is no stage of this file");
  refuses_rows("  - {name: <a>, only: []}\n", "only: no stage");
  refuses_rows("  - {name: <a>, only: learn}\n", "expected a list");
  refuses_rows("  - {name: <a>, only: [learn], without: [tune]}\n",
               "a row is `without` some stages or has `only` some, not both");
  refuses_rows("  - {name: <a>, only: [tune]}\n", "the row is without the stage 'learn'");
}

/* A table with rows at some values only has empty places there, and the paper's numbers below those
 * rows that it has by value; the page has the same. */
static void test_report_of_some_values(void **state) {
  cz_results r;
  cz_comparison t;
  cz_buf text = {0}, page = {0};
  char more[512];
  snprintf(more, sizeof more, "%s%s", control, axis);
  spread[4] = sqrt(1. / 24); /* <a>@32 has noise of the examples too */
  write_axis_run(with_rows(at_some, more));
  OK(cz_results_open(&r, folder()));
  OK(cz_compare_open(&t, &r));
  OK(cz_axis_text(&text, &t, false));
  assert_says(&text,
              "  row                                 2                8               32    the "
              "paper's\n"
              "  <a>                      11.00 ± 1.00                      16.00 ± 1.50"
              "               \n"
              "    minus none            -20.17 ± 3.13                     -15.17 ± 1.01"
              "               \n"
              "    the paper's                    3.00                              5.00"
              "               \n"
              "  b                        14.00 ± 0.87     14.00 ± 1.00     13.00 ± 3.46"
              "               \n"
              "    minus none            -17.17 ± 1.90    -17.17 ± 3.13    -18.17 ± 5.87"
              "               \n"
              "    the paper's                    4.00                -             2.00"
              "               \n"
              "  none                     31.17 ± 1.26                                             "
              "1.00\n");
  OK(cz_axis_figures(&page, &t));
  assert_says(&page, "<td></td>");
  assert_says(&page, "<small>paper 2.00</small>");
  cz_buf_free(&text);
  cz_buf_free(&page);
  cz_compare_close(&t);
  cz_results_close(&r);
}

/* <a> has one seed at 2 and two at 32, b two everywhere. */
static const char fewer[] =
    "  - {name: <a>, seeds: {2: 1, 32: 2}, set: {learn.objective.name: prefix_lm}}\n"
    "  - {name: b, seeds: 2, set: {learn.objective.name: bert_style}}\n";

/* Rows with fewer seeds: the stages of the others are not planned, and nothing else changes. */
static void test_rows_with_fewer_seeds(void **state) {
  static const size_t seeds[] = {1, 3, 2, 2, 2, 2, 3};
  cz_plan plan, all;
  char more[512];
  snprintf(more, sizeof more, "%s%s", control, axis);
  OK(open_with(&plan, with_rows(fewer, more), NULL));
  OK(open_with(&all, with(control, axis), NULL));
  for (size_t k = 0; k < cz_plan_count(&plan); k++) {
    const size_t seed = k / 3 / plan.n_rows, row = k / 3 % plan.n_rows;
    assert_int_equal(plan.rows[row].n_seeds, seeds[row]);
    assert_true(plan.stages[k].left_out == (all.stages[k].left_out || seed >= seeds[row]));
    if (!plan.stages[k].left_out) assert_string_equal(plan.stages[k].key, all.stages[k].key);
  }
  assert_int_equal(cz_plan_uses(&plan, 0), 1 + 3 + 2 + 3 * 2);
  cz_plan_close(&plan);
  cz_plan_close(&all);
  /* a run with fewer seeds than a row may have; and with more, of which the row has its own */
  OK(cz_plan_open(&plan, write_text("x.yaml", with_rows(fewer, more)), NULL, 1, NULL, 0, NULL));
  assert_int_equal(plan.rows[2].n_seeds, 1);
  cz_plan_close(&plan);
  OK(cz_plan_open(&plan, write_text("x.yaml", with_rows(fewer, more)), NULL, 5, NULL, 0, NULL));
  assert_int_equal(plan.rows[1].n_seeds, 5);
  assert_int_equal(plan.rows[2].n_seeds, 2);
  cz_plan_close(&plan);
}

/* Means and intervals are of the seeds that a row has, differences of those that both have: b - <a>
 * at 2 is 11 - 10 of one seed, at 32 (17 + 17) / 2; the scores are in axis_run.c. */
static void test_report_of_fewer_seeds(void **state) {
  cz_results r;
  cz_comparison t;
  cz_buf text = {0};
  char more[512];
  snprintf(more, sizeof more, "%s%s", control, axis);
  write_axis_run(with_rows(fewer, more));
  OK(cz_results_open(&r, folder()));
  OK(cz_compare_open(&t, &r));
  assert_int_equal(r.done, r.total);
  assert_int_equal(cz_compare_at(&t, 0, 0)->ours.n, 1);
  assert_int_equal(cz_compare_at(&t, 0, 2)->ours.n, 2);
  assert_true(cz_compare_at(&t, 0, 2)->ours.mean == 14);
  assert_int_equal(cz_compare_at(&t, 0, 3)->difference.n, 1);
  assert_true(cz_compare_at(&t, 0, 3)->difference.mean == 1);
  assert_int_equal(cz_compare_at(&t, 0, 5)->difference.n, 2);
  assert_true(cz_compare_at(&t, 0, 5)->difference.mean == 16.5);
  assert_int_equal(r.costs[0].seeds, 1);
  OK(cz_compare_remarks(&text, &t));
  assert_says(&text, "Fewer seeds, by the file: <a>@2 (1), <a>@32 (2), b@2 (2), b@8 (2), b@32 (2). "
                     "Rows are compared over the seeds that both have.\n");
  cz_buf_free(&text);
  cz_compare_close(&t);
  cz_results_close(&r);
}

static void test_refused_seeds_of_rows(void **state) {
  refuses_rows("  - {name: <a>, seeds: 4}\n", "4 is not between 1 and 3");
  refuses_rows("  - {name: <a>, seeds: 0}\n", "0 is not between 1 and 3");
  refuses_rows("  - {name: <a>, seeds: {9: 1}}\n",
               "'9' is no value of the axis at which the row stands");
  refuses_rows("  - {name: <a>, at: [2], seeds: {8: 1}}\n",
               "'8' is no value of the axis at which the row stands");
  refuses_rows("  - {name: <a>, seeds: [1]}\n", "expected");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(test_rows_at_some_values),   TEST(test_refused_values_of_rows),
      TEST(test_report_of_some_values), TEST(test_only_some_stages),
      TEST(test_rows_with_fewer_seeds), TEST(test_report_of_fewer_seeds),
      TEST(test_refused_seeds_of_rows)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
