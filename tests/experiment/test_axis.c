/* A plan's control and axis: what is refused, which stages there are and what they go on from,
 * and what reports say of both, against numbers worked out by hand. */
#include "axis_run.h"
#include "base/fs.h"
#include "experiment/cost.h"
#include "experiment/report/axis.h"
#include "experiment/report/plot.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

static void refuses(const char *more, const char *text) {
  cz_plan plan;
  FAILS(open_with(&plan, with(more, ""), NULL), CZ_EUSAGE, text);
  if (!strstr(cz_error_message(), "x.yaml:")) fail_msg("no file and line: %s", cz_error_message());
  cz_plan_close(&plan);
}

static void test_refused(void **state) {
  refuses("control: some\n", "expected a mapping");
  refuses("control: {without: [learn]}\n", "the key 'name' is missing");
  refuses("control: {name: b}\n", "two rows are called 'b'");
  refuses("control: {name: n, withuot: [learn]}\n", "did you mean 'without'?");
  refuses("control: {name: n, paper: {P: many}}\n", "expected a number");
  refuses("control: {name: n, without: [lern]}\n", "without: 'lern' is no stage of this file");
  refuses("control: {name: n, without: [learn]}\n",
          "the row is without the stage 'learn', and tune names it");
  refuses("axis: [1]\n", "expected a mapping");
  refuses("axis: {set: learn.train.steps, values: [1]}\n", "the key 'name' is missing");
  refuses("axis: {name: n, set: learn.train.steps}\n", "the key 'values' is missing");
  refuses("axis: {name: n, set: learn.train.steps, value: [1]}\n", "did you mean 'values'?");
  refuses("axis: {name: n, set: lern.train.steps, values: [1]}\n",
          "axis: 'lern' is no stage of this file; did you mean 'learn'?");
  refuses("axis: {name: n, set: learn, values: [1]}\n",
          "'learn' is not the name of a stage, a point and a key");
  refuses("axis: {name: n, set: learn.train.steps, values: []}\n", "no values");
  refuses("axis: {name: n, set: learn.train.steps, values: 7}\n", "expected a list");
  refuses("axis: {name: n, set: learn.train.steps, values: [[1]]}\n", "expected a");
  refuses("axis: {name: n, set: learn.train.steps, values: [8, 2]}\n",
          "steps must rise: 2 is not above 8");
  refuses("axis: {name: n, set: learn.train.steps, values: [2, many]}\n", "'many'");
  refuses("axis: {name: n, set: learn.train.steps, values: [0, 2]}\n", "0");
  refuses("axis: {name: n, set: learn.init, values: [8, 2, 8]}\n", "the value 8 is there twice");
  refuses("axis: {name: n, set: learn.objective.name, values: [lm, mass]}\n",
          "the axis sets 'learn.objective.name'");
  refuses("control: {name: n}\naxis: {name: n, set: learn.train.steps, values: [1, 2]}\n"
          "rows: [{name: a}, {name: a@2}]\n",
          "was given before"); /* `rows` twice */
}

/* A control is a row behind the others and changes none of their stages; an empty one is none. */
static void test_control(void **state) {
  cz_plan plan, other;
  OK(open_with(&plan, with("", ""), NULL));
  assert_int_equal(plan.control, 2);
  assert_int_equal(plan.n_rows, 2);
  assert_true(cz_plan_control_of(&plan, 0) == SIZE_MAX);
  OK(open_with(&other, with(control, ""), NULL));
  assert_int_equal(other.control, 2);
  assert_int_equal(other.n_rows, 3);
  assert_string_equal(other.rows[2].name, "none");
  assert_int_equal(cz_plan_control_of(&other, 1), 2);
  assert_true(cz_plan_control_of(&other, 2) == SIZE_MAX);
  assert_true(cz_plan_at(&other, 0, 2, 0)->left_out && !cz_plan_at(&other, 0, 2, 1)->init);
  for (size_t s = 0; s < 3; s++)
    for (size_t r = 0; r < 2; r++)
      for (size_t i = 0; i < 3; i++)
        assert_string_equal(cz_plan_at(&plan, s, r, i)->key, cz_plan_at(&other, s, r, i)->key);
  cz_plan_close(&other);
  OK(open_with(&other, with(control, ""), "control="));
  assert_int_equal(other.n_rows, 2);
  cz_plan_close(&other);
  OK(open_with(&other, with("control: null\naxis:\n", ""), NULL));
  assert_true(other.n_rows == 2 && !other.axis.node);
  cz_plan_close(&other);
  cz_plan_close(&plan);
}

/* A file that lists rows of its own keeps its base's control, which a scale completes. */
static void test_control_of_a_base(void **state) {
  cz_plan plan;
  char text[8192];
  snprintf(text, sizeof text,
           "%scontrol: {name: none, without: [learn], paper: {P: 1}}\n"
           "scales: {s: {control: {set: {tune.init: ''}}}}\n",
           head);
  write_text("base.yaml", text);
  const char *path = write_text("x.yaml", "base: base.yaml\nbaseline: c\nrows: [{name: c, paper: "
                                          "{P: 2}, set: {learn.objective.name: mass}}]\n");
  OK(cz_plan_open(&plan, path, "s", 0, NULL, 0, NULL));
  assert_int_equal(plan.n_rows, 2);
  assert_string_equal(plan.rows[plan.control].name, "none");
  cz_plan_close(&plan);
}

/* Rows x values, the control once; a value's stage has the key of a plan with that number of steps
 * alone, and goes on from the value before, of the same row and seed. */
static void test_axis(void **state) {
  static const char *const names[AXIS_ROWS] = {"<a>@2", "<a>@8", "<a>@32", "b@2",
                                               "b@8",   "b@32",  "none"};
  cz_plan plan, alone;
  OK(open_with(&plan, with(control, axis), NULL));
  assert_int_equal(plan.n_rows, AXIS_ROWS);
  for (size_t r = 0; r < AXIS_ROWS; r++) assert_string_equal(plan.rows[r].name, names[r]);
  for (size_t r = 0; r < AXIS_ROWS - 1; r++) {
    assert_int_equal(plan.rows[r].point, r % POINTS);
    assert_int_equal(cz_plan_control_of(&plan, r), 6);
    assert_int_equal(cz_plan_baseline_of(&plan, r), r % POINTS); /* at the same value */
    assert_int_equal(cz_plan_row_is(&plan, r, SIZE_MAX), r % POINTS == 2);
  }
  for (size_t s = 0; s < 3; s++)
    for (size_t r = 0; r < AXIS_ROWS; r++)
      for (size_t i = 0; i < 3; i++) {
        const cz_plan_stage *stage = cz_plan_at(&plan, s, r, i);
        const bool goes_on = i == 0 && r < 6 && r % POINTS;
        assert_true(goes_on ? stage->shorter == (s * AXIS_ROWS + r - 1) * 3
                            : stage->shorter == SIZE_MAX);
      }
  OK(open_with(&alone, with(control, ""), "stages.learn.train.steps=32"));
  for (size_t i = 0; i < 3; i++)
    assert_string_equal(cz_plan_at(&plan, 1, 5, i)->key, cz_plan_at(&alone, 1, 1, i)->key);
  cz_plan_close(&alone);
  OK(open_with(&alone, with(control, axis), "axis.values=[2, 8, 32, 128]")); /* a longer run */
  for (size_t k = 0; k < POINTS; k++)
    for (size_t i = 0; i < 3; i++)
      assert_string_equal(cz_plan_at(&plan, 2, POINTS + k, i)->key,
                          cz_plan_at(&alone, 2, POINTS + 1 + k, i)->key);
  cz_plan_close(&alone);
  cz_plan_close(&plan);
}

/* A rate that depends on the number of steps, or an axis of another key, leaves nothing to go on
 * from. */
static void test_nothing_to_go_on_from(void **state) {
  static const struct {
    const char *word;
    bool goes_on;
  } cases[] = {{"stages.learn.optimizer.schedule=constant", true},
               {"stages.learn.optimizer.schedule=cosine", false},
               {"stages.learn.optimizer.schedule=linear", false},
               {"axis.set=learn.train.log_steps", false},
               {"axis.set=tune.train.steps", true}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_plan plan;
    size_t n = 0;
    OK(open_with(&plan, with(control, axis), cases[i].word));
    for (size_t k = 0; k < cz_plan_count(&plan); k++) n += plan.stages[k].shorter != SIZE_MAX;
    const bool tunes = i == 4; /* the control has that stage: it stands at every value */
    assert_int_equal(plan.n_rows, tunes ? 9 : AXIS_ROWS);
    assert_int_equal(n, cases[i].goes_on ? (tunes ? 3 : 2) * 2 * 3 : 0);
    if (tunes) {
      assert_string_equal(plan.rows[7].name, "none@8");
      assert_int_equal(cz_plan_control_of(&plan, 4), 7);
      assert_true(cz_plan_control_of(&plan, 7) == SIZE_MAX);
    }
    cz_plan_close(&plan);
  }
}

/* As b@8 of the axis has it. */
static int make_spread(void **state) {
  memset(spread, 0, sizeof spread);
  spread[4] = sqrt(1. / 24);
  return make_folder(state);
}

static void first_words(cz_buf *out, const cz_results *r) {
  cz_comparison t;
  OK(cz_compare_open(&t, r));
  OK(cz_compare_first(out, &t));
  cz_compare_close(&t);
}

static void test_words_of_the_axis(void **state) {
  cz_results r;
  cz_buf text = {0};
  write_axis_run(with(control, axis));
  OK(cz_results_open(&r, folder()));
  first_words(&text, &r);
  assert_string_equal(
      text.data,
      "one: none (11.00) is beaten beyond the noise (corrected for 6 comparisons) by <a> at 1 of 3 "
      "values of budget, but not at the last; b from 8 steps (4.00 million tokens) on.\n"
      "one: order of the rows beside the paper's P (Kendall): 1.00 at 2, 1.00 at 8, 1.00 at 32; it "
      "is the paper's from 2 on (one order in 2 is so by chance), where no row differs from the "
      "baseline row beyond the noise, so it may be chance.\n");
  const cz_row_point *at = &r.points[4];
  assert_near(at->tokens, 4e6);
  assert_near(at->seconds, 8); /* its own and those of the training before */
  assert_near(at->loss, 8);
  assert_true(isnan(r.points[6].tokens) && at->seconds == r.points[1].seconds);
  cz_cell c = cell_of(&r, 0, 1);
  assert_near(c.over_control.mean, 3);
  assert_near(c.over_control.half, 4.302652729911275 * 0.5 / sqrt(3));
  assert_int_equal(c.control_verdict, CZ_VERDICT_BEATS);
  assert_near(c.control_p, 4 * (1 - sqrt(108. / 110))); /* t^2 108; two of six are smaller */
  c = cell_of(&r, 0, 2);
  assert_near(c.over_control.half, 4.302652729911275 / sqrt(3)); /* 3 is more: alone it would do */
  assert_near(c.control_p, 3 * (1 - sqrt(27. / 29)));
  assert_int_equal(c.control_verdict, CZ_VERDICT_FAILS);
  c = cell_of(&r, 0, 4);
  assert_near(c.over_control.half, 3.182446305284263 / sqrt(8));
  c = cell_of(&r, 0, 5);
  assert_near(c.difference.mean, (17 + 16 + 18.5) / 3); /* to <a> at 32, not at 2 */
  c = cell_of(&r, 0, 6);
  assert_true(c.over_control.n == 0 && c.difference.n == 0);
  cz_buf_free(&text);
  cz_results_close(&r);
}

/* One seed has no interval, so nothing is said of who beats whom. */
static void test_one_seed_of_the_axis(void **state) {
  cz_results r;
  cz_buf text = {0};
  write_axis_run(with(control, axis));
  OK(cz_results_open(&r, folder()));
  for (size_t row = 0; row < AXIS_ROWS; row++)
    for (size_t s = 1; s < 3; s++) r.values[row * 3 + s] = NAN;
  first_words(&text, &r);
  assert_says(&text, "one: with one seed no row can be said to beat none (10.00): there is no "
                     "interval.\n");
  cz_buf_free(&text);
  cz_results_close(&r);
}

/* A row's cost is that of its budget; the run's counts each step once. */
static void test_cost_of_the_axis(void **state) {
  cz_plan plan;
  cz_cost whole, fresh;
  OK(open_with(&plan, with(control, axis), NULL));
  OK(cz_cost_row(&whole, &plan, 5, false));
  OK(cz_cost_row(&fresh, &plan, 5, true));
  assert_near(whole.steps, 32 + 7);
  assert_near(fresh.steps, 24 + 7);
  assert_true(fresh.flop > 0 && fresh.flop < whole.flop && fresh.tokens < whole.tokens);
  OK(cz_cost_row(&fresh, &plan, 3, true)); /* the first value */
  assert_near(fresh.steps, 2 + 7);
  cz_plan_close(&plan);
}

/* A key that the axis sets and its stage does not know. */
static void test_unknown_key_of_the_axis(void **state) {
  cz_plan plan;
  cz_buf missing = {0};
  OK(open_with(&plan, with(control, axis), "axis.set=learn.train.stepps"));
  FAILS(cz_plan_check(&plan, &missing, NULL), CZ_EUSAGE, "did you mean 'steps'?");
  if (!strstr(cz_error_message(), "x.yaml:30:"))
    fail_msg("no file and line: %s", cz_error_message());
  cz_buf_free(&missing);
  cz_plan_close(&plan);
}

/* A stage that is null is dropped, with what rows of a base set in it; a column that wants it is
 * refused. */
static void test_dropped_stages(void **state) {
  cz_plan plan;
  char text[8192];
  snprintf(text, sizeof text, "%s", with(control, axis));
  write_text("base.yaml", text);
  static const char more[] = "base: base.yaml\nstages: {tune: null, score: {init: $learn}}\n"
                             "control: {set: {score.init: ''}}\n";
  OK(cz_plan_open(&plan, write_text("x.yaml", more), NULL, 0, NULL, 0, NULL));
  assert_int_equal(plan.n_stages, 2);
  assert_string_equal(cz_plan_at(&plan, 0, 0, 1)->name, "score");
  cz_plan_close(&plan);
  FAILS(cz_plan_open(&plan, write_text("x.yaml", "base: base.yaml\nstages: {score: null}\n"), NULL,
                     0, NULL, 0, NULL),
        CZ_EUSAGE, "does not begin with the name of a stage");
  cz_plan_close(&plan);
  FAILS(cz_plan_open(&plan, write_text("x.yaml", "base: base.yaml\nstages: {tune: null}\n"), NULL,
                     0, NULL, 0, NULL),
        CZ_EUSAGE, "'$tune' is no stage before this one");
  cz_plan_close(&plan);
}

/* Rows that are all equal have no order. */
static void test_no_order(void **state) {
  cz_results r;
  cz_buf text = {0};
  write_axis_run(with(control, axis));
  OK(cz_results_open(&r, folder()));
  for (size_t i = 0; i < AXIS_ROWS * 3; i++) r.values[i] = 7;
  first_words(&text, &r);
  assert_null(strstr(text.data, "Kendall"));
  cz_buf_free(&text);
  cz_results_close(&r);
}

/* Below the control at every value: said in words. The order against the paper's too. */
static void test_words_when_none(void **state) {
  cz_results r;
  cz_buf text = {0};
  write_axis_run(with(control, axis));
  OK(cz_results_open(&r, folder()));
  for (size_t row = 0; row < 6; row++)
    for (size_t s = 0; s < 3; s++) r.values[row * 3 + s] = (double)s - (double)row;
  first_words(&text, &r);
  assert_says(&text, "one: no row beats none (11.00) beyond the noise (corrected for 6 "
                     "comparisons) at any budget: nothing here shows that what the rows do "
                     "helps.\n");
  assert_says(&text, "-1.00 at 32; at the last one it is not the paper's.\n");
  cz_buf_free(&text);
  cz_results_close(&r);
}

/* Of two rows, <a> and b, whose paper's values are 3 and 4: accuracy at 2, 8 and 32. */
static void test_where_the_order_begins(void **state) {
  static const struct {
    double a[POINTS][3], b[POINTS][3];
    const char *text, *from;
    bool clear;
  } cases[] = {
      /* right, wrong, right: it is lost in between; the differences at 32 are 8, 8 and 8.5 */
      {{{1, 2, 3}, {5, 6, 7}, {10, 11, 12}},
       {{2, 2, 4}, {4, 6, 5}, {18, 19, 20.5}},
       "1.00 at 2, -1.00 at 8, 1.00 at 32; it is the paper's from 32 on (one order in 2 is so by "
       "chance).\n",
       "32",
       true},
      /* the star stands at 8, where the order is another one: 32 may be chance */
      {{{1, 2, 3}, {18, 19, 20.5}, {10, 11, 12}},
       {{2, 2, 4}, {10, 11, 12}, {11, 11, 13}},
       "1.00 at 2, -1.00 at 8, 1.00 at 32; it is the paper's from 32 on (one order in 2 is so by "
       "chance), where no row differs from the baseline row beyond the noise, so it may be "
       "chance.\n",
       "32",
       false},
      /* the star stands where the order is the paper's for the first time */
      {{{1, 2, 3}, {10, 11, 12}, {10, 11, 12}},
       {{0, 2, 2}, {18, 19, 20.5}, {11, 11, 13}},
       "-1.00 at 2, 1.00 at 8, 1.00 at 32; it is the paper's from 8 on (one order in 2 is so by "
       "chance).\n",
       "8",
       true},
      /* with a star, and lost again */
      {{{10, 11, 12}, {1, 2, 3}, {5, 6, 7}},
       {{18, 19, 20.5}, {2, 2, 4}, {4, 6, 5}},
       "1.00 at 2, 1.00 at 8, -1.00 at 32; at the last one it is not the paper's.\n",
       NULL,
       false},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_results r;
    cz_buf text = {0}, out = {0};
    json_error_t why;
    write_axis_run(with(control, axis));
    OK(cz_results_open(&r, folder()));
    for (size_t k = 0; k < POINTS; k++) {
      memcpy(&r.values[k * 3], cases[i].a[k], sizeof cases[i].a[k]);
      memcpy(&r.values[(POINTS + k) * 3], cases[i].b[k], sizeof cases[i].b[k]);
    }
    first_words(&text, &r);
    assert_says(&text, cases[i].text);
    OK(cz_report_json(&out, &r));
    json_t *root = json_loads(out.data, 0, &why), *o = json_object_get(root, "axis");
    o = json_array_get(json_object_get(o, "columns"), 0);
    const char *from = json_string_value(json_object_get(o, "paper_order_from"));
    assert_true(cases[i].from ? from && !strcmp(from, cases[i].from) : !from);
    assert_int_equal(json_is_true(json_object_get(o, "paper_order_beyond_noise")), cases[i].clear);
    json_decref(root);
    cz_buf_free(&out);
    cz_buf_free(&text);
    cz_results_close(&r);
  }
}

static void test_reports_of_the_axis(void **state) {
  cz_results r;
  cz_buf out[4] = {{0}};
  json_error_t why;
  write_axis_run(with(control, axis));
  OK(cz_results_open(&r, folder()));
  OK(cz_report_text(&out[0], &r, false));
  OK(cz_report_csv(&out[1], &r));
  OK(cz_report_json(&out[2], &r));
  OK(cz_report_html(&out[3], &r, folder()));
  const char *first = strchr(strchr(out[0].data, '\n') + 1, '\n');
  assert_int_equal(strncmp(first, "\n\none: none (11.00) is beaten beyond the noise", 46), 0);
  assert_says(&out[0], "3 rows, 3 values of budget, 3 seeds;");
  assert_says(&out[0], "one by budget (learn.train.steps)\n");
  assert_says(&out[0], "  b                       13.00 ± 3.46    16.00 ± 1.50 +   31.17 ± 1.26 +");
  assert_says(&out[0], "    minus none            +2.00 ± 6.57    +5.00 ± 1.13    +20.17 ± 0.72 ");
  assert_says(&out[0], "  + beats none: at most 5 % for the whole table, corrected for its 6 "
                       "comparisons with it (Holm)\n");
  assert_says(&out[0],
              "`beats it` and what is said first of none: at most 5 % for the whole table, "
              "corrected for its 6 comparisons with it (Holm),\n");
  assert_says(&out[0], "  Kendall with the paper          1.00            1.00");
  assert_says(&out[0], "learn up to each budget, mean over seeds\n");
  assert_says(&out[0], "million tokens  1.000  4.000  16.000");
  assert_says(&out[1], ",over_control,over_control_half_interval,over_control_p_holm,"
                       "beats_control,file_row,value,"
                       "axis_tokens,axis_seconds,axis_loss,seed_1");
  assert_says(&out[1], ",5,1.125164682,0.003829421792,yes,b,8,4000000,8,8,14.5,16,17.5\n");
  assert_says(&out[1], ",3,2.484137712,0.1052961559,no,<a>,32,16000000,32,5,13,15,14\n");
  assert_says(&out[1], ",,,,,none,,,,,10,11,12\n");
  json_t *root = json_loads(out[2].data, 0, &why), *o = json_object_get(root, "axis");
  assert_string_equal(json_string_value(json_object_get(root, "control")), "none");
  assert_string_equal(json_string_value(json_object_get(o, "set")), "learn.train.steps");
  o = json_array_get(json_object_get(o, "columns"), 0);
  assert_string_equal(json_string_value(json_object_get(json_object_get(o, "begins"), "b")), "8");
  assert_true(json_is_null(json_object_get(json_object_get(o, "begins"), "<a>")));
  assert_string_equal(json_string_value(json_object_get(o, "paper_order_from")), "2");
  assert_int_equal(json_integer_value(json_object_get(root, "control_comparisons")), 6);
  o = json_array_get(json_object_get(root, "cells"), 2);
  assert_true(json_is_false(json_object_get(o, "beats_control")));
  assert_near(json_number_value(json_object_get(o, "over_control_p_holm")),
              3 * (1 - sqrt(27. / 29)));
  o = json_array_get(json_object_get(root, "cells"), 4);
  assert_true(json_is_true(json_object_get(o, "beats_control")));
  assert_near(json_number_value(json_object_get(json_object_get(o, "point"), "tokens")), 4e6);
  json_decref(root);
  assert_says(&out[3], "<h2>First</h2>\n<p>one: none (11.00) is beaten beyond the noise");
  assert_says(&out[3],
              "+ where it is above 0, at most 5 % for the whole table, corrected for its 6 "
              "comparisons with the control (Holm).</p>");
  assert_says(&out[3],
              "+ marks a difference to the control that is above zero, at most 5 % for the "
              "whole table, corrected for its 6 comparisons with the control (Holm).</p>");
  assert_says(&out[3], "one over million tokens of learn");
  assert_says(&out[3], "one over seconds of learn");
  assert_says(&out[3], "<td>16.00 ± 1.50<small>+5.00 ± 1.13 +</small></td>");
  assert_says(&out[3], "<td>14.00 ± 1.00<small>+3.00 ± 2.48</small></td>");
  assert_null(strstr(out[3].data, "<a>"));
  for (int i = 0; i < 4; i++) {
    if (strstr(out[i].data, "nan")) fail_msg("report %d says nan: %s", i, out[i].data);
    cz_buf_free(&out[i]);
  }
  cz_results_close(&r);
}

/* A run that has only begun has dashes, and says that before all. */
static void test_nothing_done(void **state) {
  cz_results r;
  cz_buf out[4] = {{0}};
  cz_plan plan;
  write_axis_run(with(control, axis));
  OK(open_with(&plan, with(control, axis), NULL));
  for (size_t k = 0; k < cz_plan_count(&plan); k++) {
    char at[256], name[300];
    if (plan.stages[k].left_out) continue;
    OK(cz_plan_folder(at, sizeof at, "", &plan.stages[k]));
    snprintf(name, sizeof name, "%s/result.json", at);
    remove_file(name);
  }
  cz_plan_close(&plan);
  OK(cz_results_open(&r, folder()));
  first_words(&out[0], &r);
  assert_string_equal(out[0].data, "The run is not finished: 0 of 60 stages are done.\n");
  out[0].len = 0;
  OK(cz_report_text(&out[0], &r, true));
  OK(cz_report_csv(&out[1], &r));
  OK(cz_report_json(&out[2], &r));
  OK(cz_report_html(&out[3], &r, folder()));
  for (int i = 0; i < 4; i++) {
    if (strstr(out[i].data, "nan") || strstr(out[i].data, "inf "))
      fail_msg("report %d says nan: %s", i, out[i].data);
    cz_buf_free(&out[i]);
  }
  cz_results_close(&r);
}

/* While rows have unlike numbers of seeds, nothing is said of their order; a row without a score is
 * not among those that beat the control. */
static void test_half_done(void **state) {
  cz_results r;
  cz_buf text = {0};
  cz_plan plan;
  char at[256], name[300];
  for (int left = 2; left >= 0; left--) {
    write_axis_run(with(control, left ? axis : ""));
    OK(open_with(&plan, with(control, left ? axis : ""), NULL));
    for (int seed = left; seed < 3; seed++) {
      OK(cz_plan_folder(at, sizeof at, "", cz_plan_at(&plan, (size_t)seed, 1, 2)));
      snprintf(name, sizeof name, "%s/result.json", at);
      remove_file(name);
    }
    cz_plan_close(&plan);
    OK(cz_results_open(&r, folder()));
    text.len = 0;
    first_words(&text, &r);
    assert_int_equal(strncmp(text.data, "The run is not finished: ", 25), 0);
    if (left) assert_says(&text, "(Kendall): 1.00 at 2, 1.00 at 32;"); /* not at 8 */
    assert_null(strstr(text.data, "every row"));
    cz_results_close(&r);
  }
  cz_buf_free(&text);
}

/* Without an axis: every row, some rows, one seed, no row. */
static void test_words_of_the_control(void **state) {
  static const struct {
    double a[3], b[3];
    const char *text;
  } cases[] = {{{13, 14.5, 14.5},
                {14, 16, 18},
                "one: every row beats none (11.00) beyond the noise (corrected for 2 "
                "comparisons).\n"
                "one: no row differs from <a> beyond the noise of seeds and examples.\n"},
               {{13, 14.5, 14.5},
                {11, 11, 17},
                "one: <a> beats none (11.00) beyond the noise (corrected for 2 "
                "comparisons); b does not.\n"
                "one: no row differs from <a> beyond the noise of seeds and examples.\n"},
               {{13, 15, 14}, /* +3 ± 2.48 and -3 ± 2.48: each alone would do, two do not */
                {7, 7, 10},
                "one: no row beats none (11.00) beyond the noise (corrected for 2 comparisons): "
                "nothing here shows that what the rows do helps.\n"
                "one: b is below <a> beyond the noise of seeds and examples.\n"},
               {{10, 12, 11},
                {5, 6, 7.5},
                "one: no row beats none (11.00) beyond the noise (corrected for 2 comparisons): "
                "nothing here shows that what the rows do helps; b is below it beyond the "
                "noise.\n"
                "one: b is below <a> beyond the noise of seeds and examples.\n"},
               {{12, NAN, NAN},
                {9, NAN, NAN},
                "one: <a> is above none (11.00), with one seed and so "
                "without an interval; b is not.\n"},
               {{9, NAN, NAN},
                {9, NAN, NAN},
                "one: <a>, b are not above none (11.00), with one seed and "
                "so without an interval.\n"}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    cz_results r;
    cz_buf text = {0};
    write_axis_run(with(control, ""));
    OK(cz_results_open(&r, folder()));
    memcpy(&r.values[0], cases[i].a, sizeof cases[i].a);
    memcpy(&r.values[3], cases[i].b, sizeof cases[i].b);
    memcpy(&r.values[6], scores[6], sizeof scores[6]);
    first_words(&text, &r);
    assert_string_equal(text.data, cases[i].text);
    cz_buf_free(&text);
    cz_results_close(&r);
  }
}

/* A verdict about scores needs their test examples. */
static void test_control_without_examples(void **state) {
  cz_results r;
  cz_buf text = {0};
  cz_plan plan;
  char at[256], name[300];
  write_axis_run(with(control, ""));
  OK(open_with(&plan, with(control, ""), NULL));
  OK(cz_plan_folder(at, sizeof at, "", cz_plan_at(&plan, 0, 1, 2)));
  cz_plan_close(&plan);
  snprintf(name, sizeof name, "%s/predictions.tsv.jsonl", at);
  remove_file(name);
  OK(cz_results_open(&r, folder()));
  first_words(&text, &r);
  assert_string_equal(text.data,
                      "one: no row with known test examples beats none (14.00) beyond the noise "
                      "(corrected for 1 comparison): nothing here shows that what the rows do "
                      "helps; <a> is below it beyond the noise; of b the noise of the test "
                      "examples is not known.\n");
  cz_buf_free(&text);
  cz_results_close(&r);
}

/* The test examples are part of the noise beside the control: b is 3 above it with a squared error
 * of 1/3 from the seeds and of 2/3 from the examples, which have 1 / (1/18 + 4/9) = 2 degrees of
 * freedom. By the seeds alone its interval would be ± 2.48. */
static void test_examples_beside_the_control(void **state) {
  static const double a[] = {30, 31, 32.5}, b[] = {13, 15, 14};
  cz_results r;
  cz_buf text = {0};
  spread[1] = sqrt(2. / 3);
  write_axis_run(with(control, ""));
  OK(cz_results_open(&r, folder()));
  memcpy(&r.values[0], a, sizeof a);
  memcpy(&r.values[3], b, sizeof b);
  memcpy(&r.values[6], scores[6], sizeof scores[6]);
  cz_cell c = cell_of(&r, 0, 1);
  assert_near(c.over_control.half, 4.302652729911275);
  assert_near(c.control_p, 1 - sqrt(9. / 11));
  first_words(&text, &r);
  assert_string_equal(text.data, "one: <a> beats none (11.00) beyond the noise (corrected for 2 "
                                 "comparisons); b does not.\n"
                                 "one: b is below <a> beyond the noise of seeds and examples.\n");
  r.noise[1].control.error = 0; /* what the seeds alone would say */
  c = cell_of(&r, 0, 1);
  assert_near(c.over_control.half, 4.302652729911275 / sqrt(3));
  assert_int_equal(c.control_verdict, CZ_VERDICT_BEATS);
  cz_buf_free(&text);
  cz_results_close(&r);
}

/* The control moves neither the stars of the others nor their rank agreement. */
static void test_control_changes_no_star(void **state) {
  cz_results with_it, without;
  write_axis_run(with("", ""));
  OK(cz_results_open(&without, folder()));
  cz_comparison t;
  cz_agreement a, b;
  OK(cz_compare_open(&t, &without));
  const cz_cell c = *cz_compare_at(&t, 0, 1);
  OK(cz_compare_agreement(&a, &t, 0, SIZE_MAX));
  const size_t tests = t.tests;
  cz_compare_close(&t);
  cz_results_close(&without);
  write_axis_run(with(control, ""));
  OK(cz_results_open(&with_it, folder()));
  OK(cz_compare_open(&t, &with_it));
  assert_int_equal(t.tests, tests);
  assert_true(cz_compare_at(&t, 0, 1)->p == c.p);
  OK(cz_compare_agreement(&b, &t, 0, SIZE_MAX));
  assert_true(a.n == b.n && a.kendall == b.kendall);
  cz_compare_close(&t);
  cz_results_close(&with_it);
}

/* Points that have no logarithm are left out, and nothing else is lost. */
static void test_logarithmic_plots(void **state) {
  static const double x[] = {0, -1, NAN, INFINITY, 1, 100}, y[] = {1, 2, 3, 4, 5, 6},
                      band[] = {1, 1, 1, 1, 1, NAN}, one_x[] = {3};
  cz_series s = {"<n>", x, y, band, 6};
  cz_buf out = {0};
  OK(cz_plot_lines_log(&out, "<t>", "x", "y", &s, 1));
  assert_says(&out, "M56.0 "); /* 1 at the left end, 100 at the right */
  assert_says(&out, "L560.0 ");
  assert_says(&out, ">10</text>");
  assert_null(strstr(out.data, "nan"));
  assert_null(strstr(out.data, "<n>"));
  out.len = 0;
  s = (cz_series){"n", one_x, y, band, 1};
  OK(cz_plot_lines_log(&out, "t", "x", "y", &s, 1));
  assert_null(strstr(out.data, "nan"));
  assert_says(&out, "<svg");
  out.len = 0;
  s.n = 0;
  OK(cz_plot_lines_log(&out, "t", "x", "y", &s, 1));
  assert_int_equal(out.len, 0);
  cz_buf_free(&out);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_spread, drop_folder)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(test_refused),
                                     TEST(test_control),
                                     TEST(test_control_of_a_base),
                                     TEST(test_axis),
                                     TEST(test_nothing_to_go_on_from),
                                     TEST(test_words_of_the_axis),
                                     TEST(test_words_when_none),
                                     TEST(test_no_order),
                                     TEST(test_where_the_order_begins),
                                     TEST(test_one_seed_of_the_axis),
                                     TEST(test_cost_of_the_axis),
                                     TEST(test_unknown_key_of_the_axis),
                                     TEST(test_dropped_stages),
                                     TEST(test_reports_of_the_axis),
                                     TEST(test_nothing_done),
                                     TEST(test_half_done),
                                     TEST(test_words_of_the_control),
                                     TEST(test_control_without_examples),
                                     TEST(test_examples_beside_the_control),
                                     TEST(test_control_changes_no_star),
                                     TEST(test_logarithmic_plots)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
