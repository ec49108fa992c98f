/* Results and reports against numbers worked out by hand, whole and with holes. */
#include "setup.h"
#include "base/fs.h"
#include "metrics/statistics.h"
#include "experiment/predictions.h"
#include "experiment/report/compare.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

static const double t_two = 4.302652729911275; /* Student's t, 97.5 %, 2 degrees of freedom */

static void agreement_of(cz_agreement *a, const cz_results *r, size_t column) {
  cz_comparison table;
  OK(cz_compare_open(&table, r));
  OK(cz_compare_agreement(a, &table, column, SIZE_MAX));
  cz_compare_close(&table);
}

static void test_cells(void **state) {
  cz_results r;
  cz_cell c;
  write_run();
  OK(cz_results_open(&r, folder()));
  assert_int_equal(r.done, 24);
  assert_int_equal(r.total, 24);
  assert_near(cz_results_baseline(&r, 0, SIZE_MAX, false), 20);
  assert_near(cz_results_baseline(&r, 0, SIZE_MAX, true), 20); /* the only one */
  assert_string_equal(cz_results_baseline_kind(&r, 0, SIZE_MAX, true), "copy");
  assert_near(r.plan.columns[0].paper_noise, 0.25);

  c = cell_of(&r, 0, 0);
  assert_near(c.ours.mean, 12);
  assert_near(c.ours.deviation, 2);
  assert_near(c.ours.half, t_two * 2 / sqrt(3));
  assert_near(c.paper, 3);
  assert_int_equal(c.difference.n, 0); /* the baseline row itself */
  assert_int_equal(c.verdict, CZ_VERDICT_FAILS);

  c = cell_of(&r, 0, 1); /* differences 1, 3, 2 */
  assert_near(c.ours.mean, 14);
  assert_near(c.difference.mean, 2);
  assert_near(c.difference.deviation, 1);
  assert_near(c.difference.half, t_two / sqrt(3));
  assert_false(c.differs);

  c = cell_of(&r, 0, 2); /* differences 20, 19.5, 20.2 */
  assert_near(c.difference.mean, 19.9);
  assert_near(c.difference.deviation, sqrt((0.01 + 0.16 + 0.09) / 2));
  assert_true(c.differs);
  assert_int_equal(c.verdict, CZ_VERDICT_BEATS);

  c = cell_of(&r, 1, 0); /* the mean of two values that are equal here */
  assert_near(c.ours.mean, 2);
  assert_true(isnan(c.paper));
  assert_true(isnan(cz_results_baseline(&r, 1, SIZE_MAX, false))); /* a loss has none */
  assert_null(cz_results_baseline_kind(&r, 1, SIZE_MAX, true));
  assert_int_equal(c.verdict, CZ_VERDICT_NONE);

  c = cell_of(&r, 0, 3); /* 21, 22.5, 22: above 20 by 1.83, of which the deviation is
                                        0.76 and the interval 1.90 */
  assert_near(c.ours.mean, 65.5 / 3);
  assert_near(c.ours.deviation, sqrt((0.25 * 0.25 * 100 / 9 + 0.5 * 0.5 * 16 / 9 + 1.0 / 36) / 2));
  assert_true(c.ours.mean - c.ours.deviation > 20 && c.ours.mean - c.ours.half < 20);
  assert_int_equal(c.verdict, CZ_VERDICT_FAILS);

  assert_near(cz_results_baseline(&r, 2, SIZE_MAX, false), 11.5);
  assert_string_equal(cz_results_baseline_kind(&r, 2, SIZE_MAX, false), "copy");
  c = cell_of(&r, 2, 3); /* 13, 14.25, 15.5 */
  assert_near(c.ours.mean, 14.25);
  assert_near(c.ours.deviation, 1.25);
  assert_int_equal(c.verdict, CZ_VERDICT_FAILS);
  cz_results_close(&r);
}

static void test_rank_agreement(void **state) {
  cz_results r;
  cz_agreement a;
  write_run(); /* means 12, 14, 31.9, 21.8 beside 3, 1, 2, 2.5: ranks 1 2 4 3 beside 4 1 2 3 */
  OK(cz_results_open(&r, folder()));
  agreement_of(&a, &r, 0);
  assert_int_equal(a.n, 4);
  assert_near(a.spearman, -0.4);
  assert_near(a.kendall, -1.0 / 3);
  cz_results_close(&r);
  for (int s = 0; s < SEEDS; s++) { /* without the last row: ranks 1 2 3 beside 3 1 2 */
    char name[64];
    snprintf(name, sizeof name, "stages/evaluate-000000000000003%d/result.json", s);
    remove_file(name);
  }
  OK(cz_results_open(&r, folder()));
  agreement_of(&a, &r, 0);
  assert_int_equal(a.n, 3);
  assert_near(a.spearman, -0.5);
  assert_near(a.kendall, -1.0 / 3);
  agreement_of(&a, &r, 1);
  assert_int_equal(a.n, 0);
  assert_true(isnan(a.spearman) && isnan(a.kendall));
  cz_results_close(&r);
}

static void test_costs(void **state) {
  cz_results r;
  write_run();
  remove_file("stages/evaluate-0000000000000012/result.json");
  OK(cz_results_open(&r, folder()));
  assert_int_equal(r.costs[0].seeds, 3);
  assert_near(r.costs[0].steps, 7);
  assert_near(r.costs[0].tokens, 1500);
  assert_near(r.costs[0].seconds, 4); /* 3 + 1 on average */
  assert_int_equal(r.costs[1].seeds, 2);
  assert_near(r.costs[1].seconds, 3.5);
  cz_results_close(&r);
}

/* Results of the stage `learn` of each row and seed, in folders of KIND, with what it read. */
static void write_read_text(const char *kind) {
  for (int row = 0; row < ROWS; row++)
    for (int s = 0; s < SEEDS; s++) {
      char name[128], text[256];
      snprintf(name, sizeof name, "stages/%s-00000000000000%d%d/result.json", kind, row, s);
      snprintf(text, sizeof text,
               "{\"metrics\": {\"loss\": 1, \"steps\": 2, \"examples\": %d, \"text_tokens\": %d, "
               "\"mean_inputs\": %g, \"mean_targets\": 3}, \"measured\": {\"seconds\": 1}}",
               10 + row, 1000 * (row + 1) + s, 20.5 + s);
      write_text(name, text);
    }
}

/* The text that a row read is that of its stages with an objective: fine-tuning's own counts
 * are not mixed in. */
static void test_text_read(void **state) {
  cz_results r;
  char text[4096];
  write_run();
  write_read_text("finetune");
  OK(cz_results_open(&r, folder()));
  assert_int_equal(r.costs[1].seeds, 3);
  assert_true(isnan(r.texts[1].tokens) && isnan(r.texts[1].inputs));
  cz_results_close(&r);
  snprintf(text, sizeof text, "%s", experiment_text);
  memcpy(strstr(text, "kind: finetune"), "kind: pretrain", 14);
  memcpy(strstr(text, "tasks: {list: [{name: tsv, train: $data/x}]}"),
         "objective: {name: lm}                       ", 44);
  write_text("experiment.yaml", text);
  write_read_text("pretrain");
  OK(cz_results_open(&r, folder()));
  for (int row = 0; row < ROWS; row++) {
    assert_near(r.texts[row].tokens, 1000 * (row + 1) + 1);
    assert_near(r.texts[row].inputs, 21.5);
    assert_near(r.texts[row].targets, 3);
  }
  cz_results_close(&r);
}

static void test_missing_stages(void **state) {
  cz_results r;
  cz_cell c;
  cz_buf text = {0};
  write_run();
  remove_file("stages/evaluate-0000000000000010/result.json"); /* row b, first seed */
  remove_file(
      "stages/finetune-0000000000000021/result.json"); /* row c, second seed: half of column two */
  OK(cz_results_open(&r, folder()));
  assert_int_equal(r.done, 22);
  c = cell_of(&r, 0, 1); /* 15, 16; differences 3, 2 */
  assert_int_equal(c.ours.n, 2);
  assert_near(c.ours.mean, 15.5);
  assert_near(c.difference.mean, 2.5);
  assert_int_equal(c.difference.n, 2);
  c = cell_of(&r, 1, 2);
  assert_int_equal(c.ours.n, 2);
  assert_near(c.ours.mean, 4.5);
  OK(cz_report_text(&text, &r, false));
  assert_non_null(strstr(text.data, "22 of 24 stages are done"));
  cz_buf_free(&text);
  cz_results_close(&r);
}

static void test_nothing_done(void **state) {
  cz_results r;
  cz_buf out[4] = {{0}};
  write_text("experiment.yaml", experiment_text);
  write_plan();
  OK(cz_results_open(&r, folder()));
  assert_int_equal(r.done, 0);
  assert_true(isnan(cz_results_baseline(&r, 0, SIZE_MAX, true)) && isnan(r.values[0]));
  OK(cz_report_text(&out[0], &r, true));
  OK(cz_report_csv(&out[1], &r));
  OK(cz_report_json(&out[2], &r));
  OK(cz_report_html(&out[3], &r, folder()));
  assert_non_null(strstr(out[0].data, "0 of 24 stages are done"));
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
  OK(cz_results_open(&r, folder()));
  remarks_of(&text, &r);
  assert_non_null(strstr(text.data, "one: a, b, d do not beat copying the input (20.00) by more "
                                    "than the interval; <c>&\" does; in the mean d is above it."));
  assert_non_null(strstr(
      text.data, "one: <c>&\" is above, d is above a beyond the noise of seeds and examples."));
  assert_non_null(strstr(
      text.data, "Spearman -0.40, Kendall -0.33 (one order in 24 agrees fully by chance).\n"));
  cz_buf_free(&text);
  cz_results_close(&r);
}

static void test_one_seed(void **state) {
  static const char words[] =
      "[{\"seed\": 4, \"row\": 0, \"stage\": \"learn\", \"key\": \"0000000000000000\"}, {\"seed\": "
      "4, \"row\": 0, \"stage\": \"score\", "
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
  OK(cz_results_open(&r, folder()));
  c = cell_of(&r, 0, 0);
  assert_int_equal(c.ours.n, 1);
  assert_true(isnan(c.ours.half) && isnan(c.ours.deviation));
  OK(cz_report_text(&text, &r, false));
  assert_non_null(strstr(text.data, "One seed says nothing about noise"));
  assert_non_null(strstr(text.data, "no row beats copying the input"));
  assert_null(strstr(text.data, "±  ")); /* no deviation of one number */
  cz_buf_free(&text);
  cz_results_close(&r);
}

#define REPORTS CZ_SOURCE_DIR "/tests/fixtures/report/"

/* The bytes of a fixture. */
static void assert_golden(const char *found, const char *name) {
  char at[512];
  cz_buf wanted = {0};
  snprintf(at, sizeof at, REPORTS "%s", name);
  OK(cz_fs_read(at, &wanted));
  OK(cz_buf_add(&wanted, "", 1));
  if (strcmp(found, wanted.data)) {
    printf("%s", found);
    fail_msg("the report above is not %s", name);
  }
  cz_buf_free(&wanted);
}

/* The same values below the same keys; reals to rounding. */
static void assert_same_json(const json_t *found, const json_t *wanted, const char *where) {
  const char *key;
  json_t *value;
  size_t i;
  char at[256];
  if (json_is_number(found) && json_is_number(wanted)) {
    double x = json_number_value(found), y = json_number_value(wanted);
    if (!(fabs(x - y) <= 1e-12 * (1 + fabs(y)))) fail_msg("%s: %.17g is not %.17g", where, x, y);
    return;
  }
  if (json_typeof(found) != json_typeof(wanted) ||
      json_object_size(found) != json_object_size(wanted) ||
      json_array_size(found) != json_array_size(wanted))
    fail_msg("%s: another type or size", where);
  json_object_foreach((json_t *)wanted, key, value) {
    snprintf(at, sizeof at, "%.200s.%.50s", where, key);
    if (!json_object_get(found, key)) fail_msg("%s is not there", at);
    assert_same_json(json_object_get(found, key), value, at);
  }
  json_array_foreach(wanted, i, value) {
    snprintf(at, sizeof at, "%.200s.%zu", where, i);
    assert_same_json(json_array_get(found, i), value, at);
  }
  if (json_is_string(wanted) && strcmp(json_string_value(found), json_string_value(wanted)))
    fail_msg("%s: '%s' is not '%s'", where, json_string_value(found), json_string_value(wanted));
}

/* A whole report against numbers that NumPy and SciPy found:
 * scripts/make_report_fixtures.py. */
static void test_whole_reports(void **state) {
  cz_results r;
  cz_buf text = {0}, csv = {0}, json = {0};
  json_error_t why;
  write_run();
  OK(cz_results_open(&r, folder()));
  OK(cz_report_text(&text, &r, false));
  OK(cz_report_csv(&csv, &r));
  OK(cz_report_json(&json, &r));
  assert_golden(csv.data, "report.csv");
  json_t *wanted = json_load_file(REPORTS "report.json", 0, &why),
         *found = json_loads(json.data, 0, &why);
  assert_true(wanted && found);
  assert_same_json(found, json_object_get(wanted, "report"), "report");
  assert_golden(text.data, "report.txt");
  json_decref(wanted);
  json_decref(found);
  cz_buf_free(&text);
  cz_buf_free(&csv);
  cz_buf_free(&json);
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

/* Every element is closed in order, outside of the style sheet nothing looks like mark-up
 * that is none. */
static void assert_well_formed(const char *html) {
  char stack[64][32], name[32];
  int depth = 0;
  for (const char *s = strchr(html, '\n'); (s = strchr(s, '<')); s++) {
    const char *end = read_tag(s, name, sizeof name);
    if (name[0] == '/') {
      if (depth == 0 || strcmp(stack[depth - 1], name + 1))
        fail_msg("</%s> closes <%s>", name + 1, depth ? stack[depth - 1] : "nothing");
      depth--;
    } else if (end[-1] != '/') {
      assert_true(depth < 64);
      strcpy(stack[depth++], name);
    }
    s = end;
  }
  assert_int_equal(depth, 0);
  for (const char *s = html; (s = strchr(s, '&')); s++)
    if (strncmp(s, "&amp;", 5) && strncmp(s, "&lt;", 4) && strncmp(s, "&gt;", 4) &&
        strncmp(s, "&quot;", 6) && strncmp(s, "&#39;", 5))
      fail_msg("bare & at %.20s", s);
}

/* The line of the table that begins with the row's NAME, as the page has it. */
static void assert_row(const char *html, const char *name, const char *cells) {
  char wanted[1024];
  snprintf(wanted, sizeof wanted, "</span>%s</td>%s</tr>\n", name, cells);
  const char *at = strstr(html, wanted + strlen("</span>"));
  if (!strstr(html, wanted))
    fail_msg("the page has no %s; it has %.300s", wanted, at ? at : strstr(html, name));
}

static void test_html_cells(void **state) {
  cz_results r;
  cz_buf html = {0};
  write_run();
  OK(cz_results_open(&r, folder()));
  OK(cz_report_html(&html, &r, folder()));
  assert_says(&html, "<h2>Rows with their noise, beside the paper's</h2>");
  assert_says(&html, "look at the order");
  assert_row(html.data, "b",
             "<td>14.00 ± 2.65<small>95 % ± 6.57 (seeds 1.53, examples 0.00)</small><small>+2.00 ± "
             "2.48 (seeds 0.58, examples 0.00)</small><small>does not beat its baseline by more "
             "than the interval</small><small>paper 1.00</small></td><td>4.00 ± 0.00<small>95 % ± "
             "0.00 (seeds 0.00, examples -)</small><small>+2.00 ± 2.48 (seeds 0.58, examples "
             "-)</small></td><td>9.00 ± 1.32<small>95 % ± 3.29 (seeds 0.76, examples "
             "0.00)</small><small>+2.00 ± 1.24 (seeds 0.29, examples 0.00) *</small><small>does "
             "not beat its baseline by more than the interval</small></td>");
  assert_row(
      html.data, "d",
      "<td>21.83 ± 0.76<small>95 % ± 1.90 (seeds 0.44, examples 0.00)</small><small>+9.83 ± 3.99 "
      "(seeds 0.93, examples 0.00) *</small><small>above in the mean, but does not beat its "
      "baseline by more than the interval</small><small>paper 2.50</small></td><td>6.67 ± "
      "2.08<small>95 % ± 5.17 (seeds 1.20, examples -)</small><small>+4.67 ± 2.87 (seeds 0.67, "
      "examples -)</small></td><td>14.25 ± 1.25<small>95 % ± 3.11 (seeds 0.72, examples "
      "0.00)</small><small>+7.25 ± 0.62 (seeds 0.14, examples 0.00) *</small><small>above in the "
      "mean, but does not beat its baseline by more than the interval</small></td>");
  assert_non_null(strstr(
      html.data, "<tr><td>simple "
                 "baseline</td><td>20.00<small>copy</small></td><td>none</td><td>11.50<small>copy</"
                 "small></td></tr>\n<tr><td>intervals cover</td><td>seeds and test "
                 "examples</td><td>seeds alone</td><td>seeds and test examples</td>"));
  assert_non_null(strstr(html.data, "<td>d</td><td>10</td><td>0.00</td><td>-</td><td>-</td><td>-</"
                                    "td><td>4.0</td><td>3</td></tr>"));
  assert_non_null(strstr(html.data, "corrected for its 6 comparisons (Holm)"));
  cz_buf_free(&html);
  cz_results_close(&r);
}

/* Predictions of a row and seed from the fixture, under METRIC (accuracy or f1). */
static void write_predictions(const json_t *x, int row, int seed, const char *metric) {
  char name[128];
  cz_buf text = {0};
  const json_t *said = json_array_get(json_array_get(json_object_get(x, "said"), row), seed),
               *rouge = json_array_get(json_array_get(json_object_get(x, "rouge1"), row), seed);
#define AT(list, i) json_number_value(json_array_get(list, i))
#define OF(key, i)  AT(json_object_get(x, key), i)
  for (size_t i = 0; i < json_array_size(said); i++) {
    double own = AT(said, i), base = OF("base_said", i), wanted = OF("wanted", i);
    const char *key =
        json_string_value(json_array_get(json_object_get(x, "keys"), (size_t)OF("group", i)));
    OK(cz_buf_addf(
        &text, "{\"input\": \"%zu\", \"target\": \"t\", \"group\": \"%s\", \"scores\": {", i, key));
    for (int k = 0; k < 2; k++) {
      double out = k ? base : own;
      if (k) OK(cz_buf_addf(&text, "}, \"baselines\": {\"copy\": {"));
      if (!strcmp(metric, "f1"))
        OK(cz_buf_addf(&text, "\"f1\": [%g, %g]", out, wanted));
      else
        OK(cz_buf_addf(&text, "\"accuracy\": [%d]", out == wanted ? 100 : 0));
      OK(cz_buf_addf(&text, ", \"rouge1\": [%.17g]", k ? OF("base_rouge1", i) : AT(rouge, i)));
    }
    OK(cz_buf_addf(&text, "}}}\n"));
  }
  snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/predictions.tsv.jsonl", row,
           seed);
  write_text(name, text.data);
  cz_buf_free(&text);
}

static json_t *write_run_with_predictions(const char *metric) {
  json_error_t why;
  json_t *x = json_load_file(REPORTS "examples.json", 0, &why);
  assert_non_null(x);
  write_run();
  for (int row = 0; row < ROWS; row++)
    for (int seed = 0; seed < SEEDS; seed++) write_predictions(x, row, seed, metric);
  return x;
}

static void assert_errors(const cz_results *r, size_t column, const json_t *wanted) {
  for (size_t row = 0; row < ROWS; row++) {
    const cz_example_noise *n = &r->noise[column * ROWS + row];
    const cz_noise *found[] = {&n->own, &n->difference, &n->lead, &n->best_lead};
    for (size_t k = 0; k < 4; k++) { /* one program: the tasks' own is the strongest */
      double want = AT(json_array_get(wanted, k < 3 ? k : 2), row);
      if (k == 1 && row == 0) {
        assert_true(isnan(found[k]->error)); /* the baseline row itself */
        continue;
      }
      if (!(fabs(found[k]->error - want) <= 1e-9 * want))
        fail_msg("column %zu, row %zu, error %zu: %.17g is not %.17g", column, row, k,
                 found[k]->error, want);
      assert_true(found[k]->freedom == 11);
    }
  }
}

/* Errors of the examples against statsmodels and NumPy: in closed form, of the mean of two
 * scores of the same examples, and by the bootstrap. */
static void test_noise_of_examples(void **state) {
  cz_results r;
  json_t *x = write_run_with_predictions("accuracy");
  OK(cz_results_open(&r, folder()));
  assert_errors(&r, 0, json_object_get(x, "accuracy_errors"));
  assert_errors(&r, 2, json_object_get(x, "mean_errors"));
  assert_true(isnan(r.noise[ROWS].own.error)); /* a loss has no examples */
  cz_cell c = cell_of(&r, 0, 1);
  assert_near(c.ours.total.error, hypot(c.ours.seeds.error, r.noise[1].own.error));
  assert_near(c.difference.total.error,
              hypot(c.difference.seeds.error, r.noise[1].difference.error));
  assert_near(c.lead.examples.error, r.noise[1].lead.error);
  assert_near(c.best_lead.examples.error, r.noise[1].best_lead.error);
  assert_near(c.best_lead.total.error, hypot(c.best_lead.seeds.error, r.noise[1].lead.error));
  cz_results_close(&r);
  json_decref(x);
}

static void test_noise_by_bootstrap(void **state) {
  cz_results r;
  char text[4096];
  json_t *x = write_run_with_predictions("f1");
  for (int row = 0; row < ROWS; row++)
    for (int seed = 0; seed < SEEDS; seed++) {
      char name[128];
      snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/result.json", row, seed);
      write_text(name, "{\"metrics\": {\"tsv\": {\"scores\": {\"f1\": 50}, \"baseline\": {\"f1\": "
                       "20}, \"baseline_kind\": \"copy\"}}, \"measured\": {}}");
    }
  snprintf(text, sizeof text, "%s", experiment_text);
  memcpy(strstr(text, "accuracy, paper: P"), "f1,       paper: P", 18);
  write_text("experiment.yaml", text);
  OK(cz_results_open(&r, folder()));
  assert_errors(&r, 0, json_object_get(x, "f1_errors"));
  cz_results_close(&r);
  json_decref(x);
}

/* A score that this program does not have, or that the first line does not have, is an error
 * with its name and line, not one that is left out without a word. */
static void test_unknown_scores(void **state) {
  static const struct {
    const char *text, *message;
  } bad[] = {{"{\"input\": \"0\", \"scores\": {\"acuracy\": [100]}}\n",
              "no score is called 'acuracy'; did you mean 'accuracy'?\n  (line 1)"},
             {"{\"input\": \"0\", \"scores\": {\"none\": [100]}}\n", "no score is called 'none'"},
             {"{\"input\": \"0\", \"scores\": {\"accuracy\": [100]}}\n"
              "{\"input\": \"1\", \"scores\": {\"accuracy\": [0], \"mcc\": [0, 1, 2]}}\n",
              "the first line has no score mcc\n  (line 2)"}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    cz_predictions p;
    const char *path = write_text("predictions.tsv.jsonl", bad[i].text);
    FAILS(cz_predictions_read(&p, path, "tsv"), CZ_ECORRUPT, bad[i].message);
    cz_predictions_free(&p);
  }
}

/* What can't be compared, or is damaged, is left out: intervals then cover seeds alone. */
static void test_noise_left_out(void **state) {
  static const char *const damaged[] = {
      "{\"input\": \"0\", \"scores\": {\"accuracy\": [100]}}\n", /* other examples */
      "{\"input\": \"0\", \"scores\": {\"accuracy\": [1, 2]}}\n", "{\"input\": ", "", "[]\n", "\n"};
  for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
    cz_results r;
    json_t *x = write_run_with_predictions("accuracy");
    write_text("stages/evaluate-0000000000000021/predictions.tsv.jsonl", damaged[i]);
    OK(cz_results_open(&r, folder()));
    assert_true(isnan(r.noise[2].own.error) && isnan(r.noise[2].difference.error));
    assert_true(isnan(r.noise[2].lead.error) && isnan(r.noise[2].best_lead.error));
    assert_int_equal(isnan(r.noise[1].own.error), i == 0); /* other rows keep theirs */
    cz_cell c = cell_of(&r, 0, 2);
    assert_true(c.ours.total.error == c.ours.seeds.error);
    assert_true(isnan(c.p) && !c.differs && c.best_verdict == CZ_VERDICT_UNKNOWN);
    cz_results_close(&r);
    json_decref(x);
  }
}

/* All right, or none, is no certainty: eight records leave twelve points of error. */
static void test_noise_of_few(void **state) {
  cz_results r;
  write_run();
  for (int row = 0; row < ROWS; row++)
    for (int seed = 0; seed < SEEDS; seed++) {
      char name[128], line[4096] = "";
      for (int i = 0; i < 8; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line),
                 "{\"input\": \"%d\", \"scores\": {\"accuracy\": [100]}, \"baselines\": {\"copy\": "
                 "{\"accuracy\": [100]}}}\n",
                 i);
      snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/predictions.tsv.jsonl", row,
               seed);
      write_text(name, line);
    }
  OK(cz_results_open(&r, folder()));
  assert_near(r.noise[1].own.error, 100 * sqrt(10.0 / 12 * (2.0 / 12) / 12));
  assert_near(r.noise[1].difference.error, 10);
  assert_near(r.noise[1].lead.error, 10);
  assert_true(r.noise[1].own.freedom == 7);
  cz_results_close(&r);
}

/* Texts from a result.json are escaped, and numbers of any size leave every row and every
 * page whole. */
static void test_hostile_results(void **state) {
  static const char kind[] = "<script>\\\",\\n&'";
  static const char *const numbers[] = {"1e308", "-1e308", "1.7976931348623157e308", "1e17",
                                        "1e-308"};
  for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) {
    cz_results r;
    cz_buf out[4] = {{0}};
    json_error_t why;
    write_run();
    for (int seed = 0; seed < SEEDS; seed++) {
      char name[128], text[1024];
      snprintf(name, sizeof name, "stages/evaluate-000000000000001%d/result.json", seed);
      snprintf(text, sizeof text,
               "{\"metrics\": {\"tsv\": {\"scores\": {\"accuracy\": %s, \"rouge1\": %s}, "
               "\"baseline\": {\"accuracy\": 20, \"rouge1\": %s}, \"baseline_kind\": \"%s\"}}, "
               "\"measured\": {\"seconds\": 1}}",
               seed ? numbers[k] : "3", numbers[k], numbers[k], kind);
      write_text(name, text);
    }
    remove_file("stages/evaluate-0000000000000000/result.json"); /* the kind is read here first */
    OK(cz_results_open(&r, folder()));
    OK(cz_report_text(&out[0], &r, false));
    OK(cz_report_csv(&out[1], &r));
    OK(cz_report_json(&out[2], &r));
    OK(cz_report_html(&out[3], &r, folder()));
    json_t *root = json_loads(out[2].data, 0, &why);
    assert_int_equal(json_array_size(json_object_get(root, "cells")), ROWS * RUN_COLUMNS);
    assert_int_equal(json_array_size(json_object_get(root, "costs")), ROWS);
    json_decref(root);
    assert_well_formed(out[3].data);
    for (int i = 0; i < 4; i++) {
      if (strstr(out[i].data, "nan") || strstr(out[i].data, "inf,") || strstr(out[i].data, "inf "))
        fail_msg("report %d with %s says nan or inf: %s", i, numbers[k], out[i].data);
      if (i == 3 && strstr(out[i].data, "<script")) fail_msg("the kind is not escaped");
      cz_buf_free(&out[i]);
    }
    cz_results_close(&r);
  }
}

/* Every line of the CSV has the fields of its header, quoted ones counted once. */
static void test_csv_is_quoted(void **state) {
  cz_results r;
  cz_buf csv = {0};
  write_run();
  OK(cz_results_open(&r, folder()));
  r.baselines[0].kind[0] = "a,b\"c";
  OK(cz_report_csv(&csv, &r));
  size_t commas = 0, wanted = 0;
  bool quoted = false;
  for (const char *s = csv.data; *s; s++) {
    quoted ^= *s == '"';
    commas += *s == ',' && !quoted;
    if (*s != '\n' || quoted) continue;
    if (!wanted) wanted = commas;
    assert_int_equal(commas, wanted);
    commas = 0;
  }
  assert_non_null(strstr(csv.data, "\"a,b\"\"c\""));
  cz_buf_free(&csv);
  cz_results_close(&r);
}

static void test_empty_metrics_file(void **state) {
  cz_results r;
  cz_buf html = {0};
  write_run();
  for (int s = 0; s < SEEDS; s++)
    for (int row = 0; row < ROWS; row++) {
      char name[128];
      snprintf(name, sizeof name, "stages/finetune-00000000000000%d%d/metrics.jsonl", row, s);
      write_text(name, "");
    }
  OK(cz_results_open(&r, folder()));
  OK(cz_report_html(&html, &r, folder()));
  assert_well_formed(html.data);
  cz_buf_free(&html);
  cz_results_close(&r);
}

/* A run of which nothing depends on the seed says so; whether rows that do not differ are
 * in the paper's order, says how little that means. */
static void test_seeds_that_change_nothing(void **state) {
  static const char agree[] = "All seeds have the same scores in every column",
                    chance[] = "so this order may be chance";
  static const double means[ROWS] = {1, 2, 3, 3}, noise[SEEDS] = {-0.5, 1, 0.25},
                      loud[ROWS] = {-9, 1, 2, 3};
  for (int noisy = 0; noisy < 2; noisy++) {
    cz_results r;
    cz_buf text = {0};
    write_run();
    OK(cz_results_open(&r, folder()));
    for (size_t i = 0; i < RUN_COLUMNS * ROWS * SEEDS; i++)
      r.values[i] = means[i / SEEDS % ROWS] + noisy * loud[i / SEEDS % ROWS] * noise[i % SEEDS];
    r.values[4] = NAN;
    remarks_of(&text, &r);
    assert_int_equal(strstr(text.data, agree) != NULL, !noisy);
    assert_int_equal(strstr(text.data, chance) != NULL, noisy);
    if (!noisy) {
      r.values[RUN_COLUMNS * ROWS * SEEDS - 1] += 1e-15; /* one bit, or two, of one value */
      text.len = 0;
      remarks_of(&text, &r);
      assert_null(strstr(text.data, agree));
    }
    cz_buf_free(&text);
    cz_results_close(&r);
  }
}

static void test_csv_and_json(void **state) {
  cz_results r;
  cz_buf csv = {0}, text = {0};
  json_error_t why;
  write_run();
  OK(cz_results_open(&r, folder()));
  OK(cz_report_csv(&csv, &r));
  assert_non_null(strstr(csv.data, "row,column,unit,seeds,mean"));
  assert_non_null(strstr(csv.data, "\"<c>&\"\"\",one,%,3,31.9,"));
  assert_non_null(strstr(csv.data, "\na,one,%,3,12,2,1.154700538,0,1.154700538,2,4.968275"));
  int lines = 0;
  for (const char *s = csv.data; *s; s++) lines += *s == '\n';
  assert_int_equal(lines, 1 + ROWS * RUN_COLUMNS);
  OK(cz_report_json(&text, &r));
  json_t *root = json_loads(text.data, 0, &why);
  assert_non_null(root);
  json_t *cell = json_array_get(json_object_get(root, "cells"), 2);
  assert_string_equal(json_string_value(json_object_get(cell, "row")), "<c>&\"");
  assert_true(json_is_true(json_object_get(cell, "differs")));
  assert_near(json_number_value(json_object_get(json_object_get(cell, "difference"), "mean")),
              19.9);
  json_t *column = json_array_get(json_object_get(root, "columns"), 0);
  assert_near(
      json_number_value(json_object_get(json_object_get(column, "rank_agreement"), "spearman")),
      -0.4);
  json_decref(root);
  cz_buf_free(&csv);
  cz_buf_free(&text);
  cz_results_close(&r);
}

static void test_html(void **state) {
  cz_results r;
  cz_buf html = {0};
  write_run();
  OK(cz_results_open(&r, folder()));
  OK(cz_report_html(&html, &r, folder()));
  assert_well_formed(html.data);
  assert_non_null(strstr(html.data, "&lt;c&gt;&amp;&quot;"));
  assert_null(strstr(html.data, "<c>"));
  const char *const outside[] = {"http:",   "https:",  "src=", "url(",
                                 "@import", "<script", "nan",  "inf"};
  for (size_t i = 0; i < sizeof outside / sizeof *outside; i++)
    if (strstr(html.data, outside[i])) fail_msg("the page holds '%s'", outside[i]);
  int plots = 0;
  for (const char *s = html.data; (s = strstr(s, "<svg")); s++) plots++;
  assert_int_equal(plots, 4); /* three columns, one training stage */
  cz_buf_free(&html);
  cz_results_close(&r);
}

static void test_damaged_runs(void **state) {
  cz_results r;
  FAILS(cz_results_open(&r, folder()), CZ_EUSAGE, "is not the folder of a run");
  cz_results_close(&r);
  write_run();
  write_text("stages/evaluate-0000000000000011/result.json", "{\"metrics\": {");
  OK(cz_results_open(&r, folder())); /* as good as missing: the run makes it anew */
  assert_true(isnan(r.values[1 * SEEDS + 1]) && r.done == r.total - 1);
  cz_results_close(&r);
  write_results(1, 1);
  const char *const plans[][2] = {{"[", "plan.json:1:"},
                                  {"[]", "0 stages, experiment.yaml has 24"},
                                  {"{}", "0 stages"},
                                  {"[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]",
                                   "an entry is not {seed, row, stage, key}"}};
  for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) {
    write_text("plan.json", plans[i][0]);
    FAILS(cz_results_open(&r, folder()), CZ_ECORRUPT, plans[i][1]);
    cz_results_close(&r);
  }
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(test_cells),
                                     TEST(test_rank_agreement),
                                     TEST(test_costs),
                                     TEST(test_text_read),
                                     TEST(test_missing_stages),
                                     TEST(test_nothing_done),
                                     TEST(test_words),
                                     TEST(test_one_seed),
                                     TEST(test_csv_and_json),
                                     TEST(test_html),
                                     TEST(test_whole_reports),
                                     TEST(test_html_cells),
                                     TEST(test_seeds_that_change_nothing),
                                     TEST(test_damaged_runs),
                                     TEST(test_noise_of_examples),
                                     TEST(test_noise_by_bootstrap),
                                     TEST(test_noise_left_out),
                                     TEST(test_unknown_scores),
                                     TEST(test_noise_of_few),
                                     TEST(test_hostile_results),
                                     TEST(test_csv_is_quoted),
                                     TEST(test_empty_metrics_file)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
