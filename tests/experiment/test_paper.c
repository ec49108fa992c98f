/* What the experiment files say of the paper, by row and by column: Raffel et al. 2020,
 * Tables 1, 4, 5, 6 and 7, copied from the paper's pages once more. And what each row
 * asks for, so that no value stands beside another objective. */
#include "setup.h"

#include <math.h>
#include <stdio.h>

enum { COLUMNS = 7, MOST_ROWS = 5 };
static const char *const columns[COLUMNS] = {"GLUE", "CNNDM", "SQuAD", "SGLUE",
                                             "EnDe", "EnFr",  "EnRo"};

/* Table 1: standard deviation of the baseline's ten runs. */
static const double deviations[COLUMNS] = {0.235, 0.065, 0.343, 0.416, 0.112, 0.090, 0.108};

typedef struct paper_row {
  const char *name, *objective, *key; /* KEY of the objective that the table varies, or null */
  double value, scores[COLUMNS];
} paper_row;

typedef struct paper_table {
  const char *file, *baseline;
  paper_row rows[MOST_ROWS + 1]; /* a null name ends them */
} paper_table;

/* clang-format off */
#define BERT_STYLE {82.96, 19.17, 80.65, 69.85, 26.78, 40.03, 27.41}
#define REPLACE_SPANS {83.28, 19.24, 80.88, 71.36, 26.98, 39.82, 27.65} /* the paper's baseline, starred in every table */
static const paper_table tables[] = {
    {"t5/table4.yaml", "prefix_lm", {
        {"prefix_lm", "prefix_lm", NULL, 0, {80.69, 18.94, 77.99, 65.27, 26.86, 39.73, 27.49}},
        {"bert_style", "bert_style", NULL, 0, BERT_STYLE},
        {"deshuffling", "deshuffling", NULL, 0, {73.17, 18.59, 67.61, 58.47, 26.11, 39.30, 25.62}}}},
    {"t5/table5.yaml", "bert_style", {
        {"bert_style", "bert_style", NULL, 0, BERT_STYLE},
        {"mass", "mass", NULL, 0, {82.32, 19.16, 80.10, 69.28, 26.79, 39.89, 27.55}},
        {"replace_spans", "iid_replace_spans", NULL, 0, REPLACE_SPANS},
        {"drop_tokens", "iid_drop_tokens", NULL, 0, {84.44, 19.31, 80.52, 68.67, 27.07, 39.76, 27.82}}}},
    {"t5/table6.yaml", "15_percent", {
        {"10_percent", "iid_replace_spans", "noise_density", 0.10, {82.82, 19.00, 80.38, 69.55, 26.87, 39.28, 27.44}},
        {"15_percent", "iid_replace_spans", "noise_density", 0.15, REPLACE_SPANS},
        {"25_percent", "iid_replace_spans", "noise_density", 0.25, {83.00, 19.54, 80.96, 70.48, 27.04, 39.83, 27.47}},
        {"50_percent", "iid_replace_spans", "noise_density", 0.50, {81.27, 19.32, 79.80, 70.33, 27.01, 39.90, 27.49}}}},
    {"t5/table7.yaml", "iid", {
        {"iid", "iid_replace_spans", NULL, 0, REPLACE_SPANS},
        {"spans_2", "random_spans", "mean_noise_span_length", 2, {83.54, 19.39, 82.09, 72.20, 26.76, 39.99, 27.63}},
        {"spans_3", "random_spans", "mean_noise_span_length", 3, {83.49, 19.62, 81.84, 72.53, 26.86, 39.65, 27.62}},
        {"spans_5", "random_spans", "mean_noise_span_length", 5, {83.40, 19.24, 82.05, 72.23, 26.88, 39.40, 27.53}},
        {"spans_10", "random_spans", "mean_noise_span_length", 10, {82.85, 19.33, 81.84, 70.44, 26.79, 39.49, 27.69}}}},
};
static const paper_table quickstart = {"quickstart.yaml", "prefix_lm", { /* two of the paper's columns; 0: not there */
    {"prefix_lm", "prefix_lm", NULL, 0, {80.69, 18.94}},
    {"deshuffling", "deshuffling", NULL, 0, {73.17, 18.59}},
    {"random_spans", "random_spans", NULL, 0, {83.49, 19.62}}}}; /* spans of 3, the objective's default */
/* clang-format on */

static void open_file(cz_plan *plan, const char *name, const char *scale) {
  char path[1024];
  snprintf(path, sizeof path, "%s/experiments/%s", CZ_SOURCE_DIR, name);
  OK(cz_plan_open(plan, path, scale, 0, NULL, 0, NULL));
}

static double real_of(const cz_config_node *node) {
  double value;
  assert_non_null(node);
  OK(cz_config_real(&value, node, -INFINITY, INFINITY));
  return value;
}

static void check_scores(const char *file, const cz_plan_row *got, const double *want) {
  size_t there = 0;
  for (int c = 0; c < COLUMNS; c++) {
    const cz_config_node *score = cz_config_get(got->paper, columns[c]);
    there += score != NULL;
    if (!score != (want[c] == 0))
      fail_msg("%s, row %s: %s", file, got->name,
               score ? "a score that is not wanted" : "no score");
    if (score && real_of(score) != want[c])
      fail_msg("%s, row %s, %s: %g, the paper has %g", file, got->name, columns[c], real_of(score),
               want[c]);
  }
  assert_int_equal(cz_config_count(got->paper), there); /* no misspelt column */
}

/* The row's pretraining, which is the plan's first stage. */
static void check_objective(const cz_plan *plan, size_t row, const paper_row *want) {
  const cz_plan_stage *stage = cz_plan_at(plan, 0, row, 0);
  const char *name;
  assert_string_equal(stage->kind->name, "pretrain");
  const cz_config_node *objective = cz_config_get(stage->node, "objective");
  OK(cz_config_text(&name, cz_config_get(objective, "name")));
  assert_string_equal(name, want->objective);
  if (want->key && real_of(cz_config_get(objective, want->key)) != want->value)
    fail_msg("row %s has another %s", want->name, want->key);
  static const char *const varied[] = {"noise_density", "mean_noise_span_length"};
  for (int i = 0; i < 2; i++)
    if (!want->key || strcmp(want->key, varied[i]))
      assert_null(cz_config_get(objective, varied[i])); /* the paper's 15 %, spans of 3 */
}

static void check_table(const paper_table *t, const char *scale) {
  cz_plan plan;
  open_file(&plan, t->file, scale);
  assert_string_equal(plan.baseline, t->baseline);
  size_t n = 0;
  for (; t->rows[n].name; n++) {
    assert_true(n < plan.n_rows);
    assert_string_equal(plan.rows[n].name, t->rows[n].name);
    check_scores(t->file, &plan.rows[n], t->rows[n].scores);
    check_objective(&plan, n, &t->rows[n]);
  }
  assert_int_equal(plan.n_rows, n);
  cz_plan_close(&plan);
}

static void test_tables(void **state) {
  static const char *const scales[] = {"nano", "mini", "small", "base"};
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
    for (int k = 0; k < 4; k++) check_table(&tables[t], scales[k]);
}

static void test_quickstart(void **state) {
  check_table(&quickstart, NULL);
  check_table(&quickstart, "test");
}

/* Which of the paper's columns one of ours stands beside, and the noise that comes with
 * it. */
static void check_columns(const char *file, const char *scale, const char *const (*want)[2],
                          size_t n) {
  cz_plan plan;
  open_file(&plan, file, scale);
  assert_int_equal(plan.n_columns, n);
  for (size_t i = 0; i < n; i++) {
    assert_string_equal(plan.columns[i].name, want[i][0]);
    assert_string_equal(plan.columns[i].paper, want[i][1]);
    for (int c = 0; c < COLUMNS; c++)
      if (!strcmp(want[i][1], columns[c]) && plan.columns[i].paper_noise != deviations[c])
        fail_msg("%s: the paper's noise of %s is %g, not %g", file, columns[c], deviations[c],
                 plan.columns[i].paper_noise);
  }
  cz_plan_close(&plan);
}

static void test_columns(void **state) {
  static const char *const ours[][2] = {
      {"classify", "GLUE"}, {"summarize", "CNNDM"}, {"en_de", "EnDe"}};
  static const char *const theirs[][2] = {
      {"GLUE", "GLUE"}, {"CNNDM", "CNNDM"}, {"SQuAD", "SQuAD"}, {"SGLUE", "SGLUE"},
      {"EnDe", "EnDe"}, {"EnFr", "EnFr"},   {"EnRo", "EnRo"}};
  static const char *const quick[][2] = {
      {"section", "GLUE"}, {"language", "GLUE"}, {"summarize", "CNNDM"}};
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
    check_columns(tables[t].file, "nano", ours, 3);
    check_columns(tables[t].file, "mini", ours, 3);
    check_columns(tables[t].file, "small", ours, 3);
    check_columns(tables[t].file, "base", theirs, COLUMNS);
  }
  check_columns("quickstart.yaml", NULL, quick, 3);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_tables),
                                     cmocka_unit_test(test_quickstart),
                                     cmocka_unit_test(test_columns)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
