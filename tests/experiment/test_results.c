/* Results and reports against numbers worked out by hand, whole and with holes. */
#include "setup.h"
#include "metrics/statistics.h"
#include "trainers/experiment/compare.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

static const double t_two = 4.302652729911275; /* Student's t, 97.5 %, 2 degrees of freedom */

static void assert_near(double a, double b) {
  if (!(fabs(a - b) <= 1e-9 * (1 + fabs(b)))) fail_msg("%.17g is not %.17g", a, b);
}

static void test_cells(void **state) {
  cz_results r;
  cz_cell c;
  write_run();
  assert_ok(cz_results_open(&r, folder()));
  assert_int_equal(r.done, 18);
  assert_int_equal(r.total, 18);
  assert_near(r.baseline[0], 20);
  assert_string_equal(r.baseline_kind[0], "copy");
  assert_near(r.plan.columns[0].paper_noise, 0.25);

  assert_ok(cz_compare_cell(&c, &r, 0, 0));
  assert_near(c.ours.mean, 12);
  assert_near(c.ours.deviation, 2);
  assert_near(c.ours.half, t_two * 2 / sqrt(3));
  assert_near(c.paper, 3);
  assert_int_equal(c.difference.n, 0); /* the baseline row itself */
  assert_int_equal(c.verdict, CZ_VERDICT_FAILS);

  assert_ok(cz_compare_cell(&c, &r, 0, 1)); /* differences 1, 3, 2 */
  assert_near(c.ours.mean, 14);
  assert_near(c.difference.mean, 2);
  assert_near(c.difference.deviation, 1);
  assert_near(c.difference.half, t_two / sqrt(3));
  assert_false(c.differs);

  assert_ok(cz_compare_cell(&c, &r, 0, 2)); /* differences 20, 19.5, 20.2 */
  assert_near(c.difference.mean, 19.9);
  assert_near(c.difference.deviation, sqrt((0.01 + 0.16 + 0.09) / 2));
  assert_true(c.differs);
  assert_int_equal(c.verdict, CZ_VERDICT_BEATS);

  assert_ok(cz_compare_cell(&c, &r, 1, 0)); /* the mean of two values that are equal here */
  assert_near(c.ours.mean, 2);
  assert_true(isnan(c.paper));
  cz_results_close(&r);
}

static void test_rank_agreement(void **state) {
  cz_results r;
  cz_agreement a;
  write_run(); /* means 12, 14, 31.9 beside 3, 1, 2: ranks 1 2 3 beside 3 1 2 */
  assert_ok(cz_results_open(&r, folder()));
  assert_ok(cz_compare_agreement(&a, &r, 0));
  assert_int_equal(a.n, 3);
  assert_near(a.spearman, -0.5);
  assert_near(a.kendall, -1.0 / 3);
  assert_ok(cz_compare_agreement(&a, &r, 1));
  assert_int_equal(a.n, 0);
  assert_true(isnan(a.spearman) && isnan(a.kendall));
  cz_results_close(&r);
}

static void test_costs(void **state) {
  cz_results r;
  write_run();
  remove_file("stages/evaluate-0000000000000012/result.json");
  assert_ok(cz_results_open(&r, folder()));
  assert_int_equal(r.costs[0].seeds, 3);
  assert_near(r.costs[0].steps, 7);
  assert_near(r.costs[0].tokens, 1500);
  assert_near(r.costs[0].seconds, 4); /* 3 + 1 on average */
  assert_int_equal(r.costs[1].seeds, 2);
  assert_near(r.costs[1].seconds, 3.5);
  cz_results_close(&r);
}

static void test_missing_stages(void **state) {
  cz_results r;
  cz_cell c;
  cz_buf text = {0};
  write_run();
  remove_file("stages/evaluate-0000000000000010/result.json"); /* row b, first seed */
  remove_file("stages/finetune-0000000000000021/result.json"); /* row c, second seed: half of column two */
  assert_ok(cz_results_open(&r, folder()));
  assert_int_equal(r.done, 16);
  assert_ok(cz_compare_cell(&c, &r, 0, 1)); /* 15, 16; differences 3, 2 */
  assert_int_equal(c.ours.n, 2);
  assert_near(c.ours.mean, 15.5);
  assert_near(c.difference.mean, 2.5);
  assert_int_equal(c.difference.n, 2);
  assert_ok(cz_compare_cell(&c, &r, 1, 2));
  assert_int_equal(c.ours.n, 2);
  assert_near(c.ours.mean, 4.5);
  assert_ok(cz_report_text(&text, &r, false));
  assert_non_null(strstr(text.data, "16 of 18 stages are done"));
  cz_buf_free(&text);
  cz_results_close(&r);
}

static void test_nothing_done(void **state) {
  cz_results r;
  cz_buf out[4] = {{0}};
  write_text("experiment.yaml", experiment_text);
  write_plan();
  assert_ok(cz_results_open(&r, folder()));
  assert_int_equal(r.done, 0);
  assert_true(isnan(r.baseline[0]) && isnan(r.values[0]));
  assert_ok(cz_report_text(&out[0], &r, true));
  assert_ok(cz_report_csv(&out[1], &r));
  assert_ok(cz_report_json(&out[2], &r));
  assert_ok(cz_report_html(&out[3], &r, folder()));
  assert_non_null(strstr(out[0].data, "0 of 18 stages are done"));
  for (int i = 0; i < 4; i++) {
    if (strstr(out[i].data, "nan")) fail_msg("report %d says nan: %s", i, out[i].data);
    cz_buf_free(&out[i]);
  }
  cz_results_close(&r);
}

static void test_words(void **state) {
  cz_results r;
  cz_buf text = {0};
  write_run();
  assert_ok(cz_results_open(&r, folder()));
  assert_ok(cz_compare_remarks(&text, &r));
  assert_non_null(strstr(text.data, "one: a, b do not beat copying the input (20.00) by more than the interval; <c>&\" does."));
  assert_non_null(strstr(text.data, "one: <c>&\" is above a beyond the noise of the seeds."));
  assert_non_null(strstr(text.data, "Spearman -0.50, Kendall -0.33 (one order in 6 agrees fully by chance)"));
  cz_buf_free(&text);
  cz_results_close(&r);
}

static void test_one_seed(void **state) {
  static const char words[] =
      "[{\"seed\": 4, \"row\": 0, \"stage\": \"learn\", \"key\": \"0000000000000000\"}, {\"seed\": 4, \"row\": 0, \"stage\": \"score\", "
      "\"key\": \"0000000000000000\"}]";
  cz_results r;
  cz_cell c;
  cz_buf text = {0};
  char one_row[4096];
  snprintf(one_row, sizeof one_row, "%s", experiment_text);
  memcpy(strstr(one_row, "[4, 5, 9]"), "[4]      ", 9);
  char *rest = strstr(one_row, "  - {name: b"), *columns = strstr(one_row, "columns:");
  memmove(rest, columns, strlen(columns) + 1);
  write_text("experiment.yaml", one_row);
  write_text("plan.json", words);
  write_results(0, 0);
  assert_ok(cz_results_open(&r, folder()));
  assert_ok(cz_compare_cell(&c, &r, 0, 0));
  assert_int_equal(c.ours.n, 1);
  assert_true(isnan(c.ours.half) && isnan(c.ours.deviation));
  assert_ok(cz_report_text(&text, &r, false));
  assert_non_null(strstr(text.data, "One seed says nothing about noise"));
  assert_non_null(strstr(text.data, "no row beats copying the input"));
  assert_null(strstr(text.data, "±  ")); /* no deviation of one number */
  cz_buf_free(&text);
  cz_results_close(&r);
}

static void test_csv_and_json(void **state) {
  cz_results r;
  cz_buf csv = {0}, text = {0};
  json_error_t why;
  write_run();
  assert_ok(cz_results_open(&r, folder()));
  assert_ok(cz_report_csv(&csv, &r));
  assert_non_null(strstr(csv.data, "row,column,unit,seeds,mean"));
  assert_non_null(strstr(csv.data, "\"<c>&\"\"\",one,%,3,31.9,"));
  assert_non_null(strstr(csv.data, "\na,one,%,3,12,2,4.968275"));
  int lines = 0;
  for (const char *s = csv.data; *s; s++) lines += *s == '\n';
  assert_int_equal(lines, 1 + ROWS * 2);
  assert_ok(cz_report_json(&text, &r));
  json_t *root = json_loads(text.data, 0, &why);
  assert_non_null(root);
  json_t *cell = json_array_get(json_object_get(root, "cells"), 2);
  assert_string_equal(json_string_value(json_object_get(cell, "row")), "<c>&\"");
  assert_true(json_is_true(json_object_get(cell, "excludes_zero")));
  assert_near(json_number_value(json_object_get(json_object_get(cell, "difference"), "mean")), 19.9);
  json_t *column = json_array_get(json_object_get(root, "columns"), 0);
  assert_near(json_number_value(json_object_get(json_object_get(column, "rank_agreement"), "spearman")), -0.5);
  json_decref(root);
  cz_buf_free(&csv);
  cz_buf_free(&text);
  cz_results_close(&r);
}

/* The end of the element that begins at S (at '<'), its name in NAME. */
static const char *read_tag(const char *s, char *name, size_t n) {
  size_t k = strcspn(s + 1, " \n/>") + (s[1] == '/');
  if (s[1] == '/') k = strcspn(s + 2, " \n>") + 1;
  assert_true(k < n);
  memcpy(name, s + 1, k);
  name[k] = '\0';
  bool quoted = false;
  for (; *s && (*s != '>' || quoted); s++) quoted ^= *s == '"';
  assert_int_equal(*s, '>');
  return s;
}

/* Every element is closed in order, outside of the style sheet nothing looks like mark-up that is none. */
static void assert_well_formed(const char *html) {
  char stack[64][32], name[32];
  int depth = 0;
  for (const char *s = strchr(html, '\n'); (s = strchr(s, '<')); s++) {
    const char *end = read_tag(s, name, sizeof name);
    if (name[0] == '/') {
      if (depth == 0 || strcmp(stack[depth - 1], name + 1)) fail_msg("</%s> closes <%s>", name + 1, depth ? stack[depth - 1] : "nothing");
      depth--;
    } else if (end[-1] != '/') {
      assert_true(depth < 64);
      strcpy(stack[depth++], name);
    }
    s = end;
  }
  assert_int_equal(depth, 0);
  for (const char *s = html; (s = strchr(s, '&')); s++)
    if (strncmp(s, "&amp;", 5) && strncmp(s, "&lt;", 4) && strncmp(s, "&gt;", 4) && strncmp(s, "&quot;", 6) && strncmp(s, "&#39;", 5))
      fail_msg("bare & at %.20s", s);
}

static void test_html(void **state) {
  cz_results r;
  cz_buf html = {0};
  write_run();
  assert_ok(cz_results_open(&r, folder()));
  assert_ok(cz_report_html(&html, &r, folder()));
  assert_well_formed(html.data);
  assert_non_null(strstr(html.data, "&lt;c&gt;&amp;&quot;"));
  assert_null(strstr(html.data, "<c>"));
  const char *const outside[] = {"http:", "https:", "src=", "url(", "@import", "<script", "nan", "inf"};
  for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
    if (strstr(html.data, outside[i])) fail_msg("the page holds '%s'", outside[i]);
  int plots = 0;
  for (const char *s = html.data; (s = strstr(s, "<svg")); s++) plots++;
  assert_int_equal(plots, 3); /* two columns, one training stage */
  cz_buf_free(&html);
  cz_results_close(&r);
}

static void test_damaged_runs(void **state) {
  cz_results r;
  assert_fails(cz_results_open(&r, folder()), CZ_EUSAGE, "is not the folder of a run");
  cz_results_close(&r);
  write_run();
  write_text("stages/evaluate-0000000000000011/result.json", "{\"metrics\": {");
  assert_fails(cz_results_open(&r, folder()), CZ_ECORRUPT, "evaluate-0000000000000011/result.json:1:");
  cz_results_close(&r);
  write_results(1, 1);
  const char *const plans[][2] = {{"[", "plan.json:1:"},
                                  {"[]", "0 stages, experiment.yaml has 18"},
                                  {"{}", "0 stages"},
                                  {"[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]", "an entry is not {seed, row, stage, key}"}};
  for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
    write_text("plan.json", plans[i][0]);
    assert_fails(cz_results_open(&r, folder()), CZ_ECORRUPT, plans[i][1]);
    cz_results_close(&r);
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(test_cells),        TEST(test_rank_agreement), TEST(test_costs),    TEST(test_missing_stages),
                                     TEST(test_nothing_done), TEST(test_words),          TEST(test_one_seed), TEST(test_csv_and_json),
                                     TEST(test_html),         TEST(test_damaged_runs)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
