/* experiments/pet: every file plans at every scale; Tables 1 to 4 and 7 of Schick and Schuetze
 * 2021, copied from the paper once more, stand beside the rows that they belong to; and each row
 * has the |T| of its value and as many generations as the paper's formula says. So plan the second
 * quickstart and its methods on dbpedia14, at their own scale and at `mini`. */
#include "setup.h"
#include "ensemble/generations.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>

static const char *const scales[] = {"test", "nano", "base", "large"};
enum { SCALES = 4, SETS = 4, SIZES = 5 };
static const char *const sets[SETS] = {"yelp", "agnews", "yahoo", "mnli"};
static const long sizes[SIZES] = {0, 10, 50, 100, 1000};

/* By data set, then |T| = 0, 10, 50, 100, 1000; 0: the paper has none. MNLI's are matched but where
 * it is said. */
/* clang-format off */
static const double supervised[SETS][SIZES] = {
    {0, 21.1, 44.8, 53.0, 63.0}, {0, 25.0, 82.1, 86.0, 86.9}, {0, 10.1, 52.5, 62.9, 70.5}, {0, 34.2, 45.6, 47.9, 73.1}};
static const double pet[SETS][SIZES] = {
    {0, 52.9, 60.0, 61.9, 64.8}, {0, 87.5, 86.3, 88.3, 86.9}, {0, 63.8, 66.2, 69.2, 72.7}, {0, 41.8, 63.9, 74.7, 85.3}};
static const double ipet[SETS][SIZES] = {
    {56.7, 57.6, 60.7, 62.9, 0}, {87.5, 89.3, 88.4, 89.6, 0}, {70.7, 70.7, 69.7, 71.2, 0}, {53.6, 43.2, 67.4, 78.4, 0}};
static const double untrained[SETS][2] = { /* mean and best of the patterns */
    {33.8, 40.8}, {69.5, 79.4}, {44.0, 56.4}, {39.1, 43.8}};
static const double mismatched[3][SIZES] = { /* MNLI's other set: supervised, PET, iPET */
    {0, 34.1, 47.6, 51.2, 74.8}, {0, 41.5, 64.2, 75.9, 85.5}, {54.2, 45.7, 68.3, 78.6, 0}};
static const double base_pet[SETS][SIZES] = { /* Table 2 */
    {0, 48.8, 55.3}, {0, 84.1, 86.4}, {0, 59.0, 63.3}, {0, 39.5, 55.1}};
static const double base_ipet[SETS][SIZES] = {
    {0, 52.9, 56.7}, {0, 87.5, 87.3}, {0, 67.0, 66.4}, {0, 42.1, 56.3}};
static const double parts[SETS][5] = { /* Table 4: worst, best, ensemble, uniform, weighted */
    {39.6, 52.4, 51.7, 52.7, 52.9}, {82.1, 85.0, 87.0, 87.3, 87.5},
    {50.2, 63.6, 62.8, 63.8, 63.8}, {36.4, 40.2, 40.6, 42.0, 41.8}};
static const double stance[2][4][2] = { /* Table 3, German and French, 1,000, 2,000, 4,000 and all texts: supervised, PET */
    {{43.3, 66.4}, {57.4, 69.5}, {63.2, 71.7}, {76.6, 77.9}}, {{49.5, 68.7}, {62.1, 71.7}, {66.7, 74.0}, {76.0, 79.0}}};
static const double joint[2][3] = {{77.6, 79.1, 75.9}, {78.8, 80.6, 77.2}}; /* German, French, Italian */
/* clang-format on */

static void open_file(cz_plan *plan, const char *name, const char *scale) {
  char path[1024];
  snprintf(path, sizeof path, "%s/experiments/%s%s", CZ_SOURCE_DIR,
           strncmp(name, "quickstart", 10) ? "pet/" : "", name);
  OK(cz_plan_open(plan, path, scale, 0, NULL, 0, NULL));
}

static const char *file_of(const char *table, int set) {
  static char name[64];
  snprintf(name, sizeof name, "%s_%s.yaml", table, sets[set]);
  return name;
}

/* Columns, stages and what each refers to are checked too; data need not be there. */
static void open_checked(cz_plan *plan, const char *name, const char *scale) {
  cz_buf missing = {0};
  open_file(plan, name, scale);
  OK(cz_plan_check(plan, &missing, NULL));
  cz_buf_free(&missing);
}

static void test_all_plan(void **state) {
  DIR *folder = opendir(CZ_SOURCE_DIR "/experiments/pet");
  size_t files = 0;
  assert_non_null(folder);
  for (const struct dirent *e; (e = readdir(folder));) {
    if (!strstr(e->d_name, ".yaml")) continue;
    if (!strcmp(e->d_name, "dbpedia14.yaml")) continue; /* test_quickstart */
    for (int s = 0; s < SCALES; s++) {
      cz_plan plan;
      open_checked(&plan, e->d_name, scales[s]);
      cz_plan_close(&plan);
    }
    files++;
  }
  closedir(folder);
  assert_int_equal(files, 4 * SETS + 5);
}

static const cz_plan_row *row_of(const cz_plan *plan, const char *name) {
  for (size_t r = 0; r < plan->n_rows; r++)
    if (!strcmp(plan->rows[r].name, name)) return &plan->rows[r];
  fail_msg("%s: no row is called %s", plan->title, name);
  return NULL;
}

/* What stage NAME of the row has. */
static const cz_plan_stage *stage_of(const cz_plan *plan, const char *row, const char *name) {
  const size_t r = (size_t)(row_of(plan, row) - plan->rows);
  for (size_t i = 0; i < plan->n_stages; i++)
    if (!strcmp(cz_plan_at(plan, 0, r, i)->name, name)) return cz_plan_at(plan, 0, r, i);
  fail_msg("no stage is called %s", name);
  return NULL;
}

/* WANT 0: the row does not exist. */
static void check_paper(const cz_plan *plan, const char *name, const char *column, double want) {
  double value;
  if (want == 0) {
    for (size_t r = 0; r < plan->n_rows; r++) assert_string_not_equal(plan->rows[r].name, name);
    return;
  }
  const cz_config_node *n = cz_config_get(row_of(plan, name)->paper, column);
  assert_non_null(n);
  OK(cz_config_real(&value, n, 0, 100));
  if (fabs(value - want) > 1e-9)
    fail_msg("%s, row %s, %s: %g, the paper has %g", plan->title, name, column, value, want);
}

static void check_sizes(const cz_plan *plan, const char *method, const char *column,
                        const double *want) {
  char name[64];
  for (int i = 0; i < SIZES; i++) {
    snprintf(name, sizeof name, "%s@%ld", method, sizes[i]);
    check_paper(plan, name, column, want[i]);
  }
}

static void test_table1(void **state) {
  for (int d = 0; d < SETS; d++) {
    cz_plan plan;
    open_file(&plan, file_of("table1", d), "large");
    assert_int_equal(plan.n_rows, 13);
    check_sizes(&plan, "supervised", "accuracy", supervised[d]);
    check_sizes(&plan, "PET", "accuracy", pet[d]);
    check_sizes(&plan, "iPET", "accuracy", ipet[d]);
    static const char *const methods[] = {"supervised", "PET", "iPET"};
    for (int m = 0; m < 3 && !strcmp(sets[d], "mnli"); m++)
      check_sizes(&plan, methods[m], "mismatched", mismatched[m]);
    check_paper(&plan, "unsupervised", "avg", untrained[d][0] / 100);
    check_paper(&plan, "unsupervised", "max", untrained[d][1] / 100);
    cz_plan_close(&plan);
  }
}

static void test_table2(void **state) {
  for (int d = 0; d < SETS; d++) {
    cz_plan plan;
    open_file(&plan, file_of("table2", d), NULL); /* base */
    assert_int_equal(plan.n_rows, 4);
    check_sizes(&plan, "PET", "accuracy", base_pet[d]);
    check_sizes(&plan, "iPET", "accuracy", base_ipet[d]);
    cz_plan_close(&plan);
  }
}

static void test_table4(void **state) {
  static const char *const columns[] = {"worst", "best", "ensemble"};
  for (int d = 0; d < SETS; d++) {
    cz_plan plan;
    open_file(&plan, file_of("table4", d), "large");
    for (int i = 0; i < 3; i++)
      check_paper(&plan, "weighted", columns[i], parts[d][i] / (i < 2 ? 100 : 1));
    check_paper(&plan, "uniform", "accuracy", parts[d][3]);
    check_paper(&plan, "weighted", "accuracy", parts[d][4]);
    /* the members are trained once for both */
    assert_string_equal(stage_of(&plan, "weighted", "pet")->key,
                        stage_of(&plan, "uniform", "pet")->key);
    assert_string_not_equal(stage_of(&plan, "weighted", "student")->key,
                            stage_of(&plan, "uniform", "student")->key);
    cz_plan_close(&plan);
  }
}

static void test_table3(void **state) {
  static const char *const files[] = {"table3_de.yaml", "table3_fr.yaml"},
                           *const methods[] = {"supervised", "PET"},
                           *const columns[] = {"de", "fr", "it"};
  static const int texts[] = {1000, 2000, 4000, -1};
  cz_plan plan;
  for (int l = 0; l < 2; l++) {
    char name[64];
    open_file(&plan, files[l], NULL); /* base */
    assert_int_equal(plan.n_rows, 8);
    for (int i = 0; i < 4; i++)
      for (int m = 0; m < 2; m++) {
        snprintf(name, sizeof name, "%s@%d", methods[m], texts[i]);
        check_paper(&plan, name, "macro_f1", stance[l][i][m]);
      }
    cz_plan_close(&plan);
  }
  open_file(&plan, "table3_joint.yaml", NULL);
  for (int m = 0; m < 2; m++)
    for (int c = 0; c < 3; c++) check_paper(&plan, methods[m], columns[c], joint[m][c]);
  cz_plan_close(&plan);
}

/* Two rows of it, which Table 1 has too. */
static void test_table7(void **state) {
  for (int d = 0; d < SETS; d++) {
    cz_plan plan;
    open_file(&plan, file_of("table7", d), "large");
    assert_int_equal(plan.n_rows, 2);
    check_paper(&plan, "supervised", "accuracy", supervised[d][2]);
    check_paper(&plan, "PET", "accuracy", pet[d][2]);
    cz_plan_close(&plan);
  }
}

/* The number at SECTION.KEY of a stage. */
static double number_at(const cz_plan_stage *stage, const char *section, const char *key) {
  double value;
  const cz_config_node *n = cz_config_get(cz_config_get(stage->node, section), key);
  if (!n) fail_msg("stage %s has no %s.%s", stage->name, section, key);
  OK(cz_config_real(&value, n, 0, 1e9));
  return value;
}

static void has_labelled(const cz_plan *plan, size_t row, const cz_plan_stage *stage, int64_t t) {
  if (number_at(stage, "examples", "labelled") != (double)t)
    fail_msg("%s, row %s: stage %s has another T", plan->title, plan->rows[row].name, stage->name);
}

/* Stages of a row at a value of |T| draw as many texts. */
static void check_drawn(const cz_plan *plan, size_t row) {
  const int64_t t = strtol(plan->axis.values[plan->rows[row].point], NULL, 10);
  for (size_t i = 0; i < plan->n_stages; i++) {
    const cz_plan_stage *stage = cz_plan_at(plan, 0, row, i);
    if (!stage->left_out) has_labelled(plan, row, stage, t);
  }
}

/* All stages of a row draw the same T, each learns from the one before, and as many generations are
 * there as the paper's formula says. */
static void check_row(const cz_plan *plan, size_t row, int64_t once) {
  const size_t point = plan->rows[row].point;
  const int64_t t = point == SIZE_MAX ? once : strtol(plan->axis.values[point], NULL, 10);
  int64_t generations = 0;
  size_t before = SIZE_MAX;
  for (size_t i = 0; i < plan->n_stages; i++) {
    const cz_plan_stage *stage = cz_plan_at(plan, 0, row, i);
    if (stage->left_out) continue;
    if (before != SIZE_MAX && (stage->n_from != 1 || stage->from[0] != before))
      fail_msg("%s, row %s: stage %s learns from another one", plan->title, plan->rows[row].name,
               stage->name);
    before = i;
    has_labelled(plan, row, stage, t);
    generations += !strncmp(stage->name, "generation", 10);
  }
  const bool wanted = !strncmp(plan->rows[row].name, "iPET", 4);
  assert_int_equal(generations, wanted ? cz_ipet_generations(&cz_ipet_paper, t) : 0);
}

static void test_rows(void **state) {
  static const char *const tables[] = {"table1", "table2", "table7"};
  static const int64_t once[] = {0, 0, 50}; /* |T| of rows that stand at no value */
  for (int k = 0; k < 3; k++)
    for (int s = 0; s < SCALES; s++) {
      cz_plan plan;
      open_file(&plan, file_of(tables[k], s % SETS), scales[s]);
      for (size_t row = 0; row < plan.n_rows; row++) check_row(&plan, row, once[k]);
      cz_plan_close(&plan);
    }
}

/* Rows of the second quickstart at each |T|, and what its scales have besides. */
static void check_rows(const char *name, const char *scale, size_t seeds, const char *const *rows) {
  cz_plan plan;
  size_t n = 0;
  open_checked(&plan, name, scale);
  assert_int_equal(plan.n_seeds, seeds);
  for (; rows[n]; n++) row_of(&plan, rows[n]);
  if (plan.n_rows != n)
    fail_msg("%s, %s: %zu rows, expected %zu", name, scale ? scale : "as it stands", plan.n_rows,
             n);
  for (size_t r = 0; r < n; r++)
    if (plan.rows[r].point != SIZE_MAX) check_drawn(&plan, r);
  cz_plan_close(&plan);
}

static void test_quickstart(void **state) {
  static const char *const here[] = {"zero_shot",
                                     "supervised@10",
                                     "supervised@50",
                                     "supervised@100",
                                     "sentence_encoder@10",
                                     "sentence_encoder@50",
                                     "sentence_encoder@100",
                                     "PET@10",
                                     "PET@50",
                                     "PET@100",
                                     "iPET@10",
                                     "iPET@50",
                                     "iPET@100",
                                     NULL},
                           *const mini[] = {"zero_shot",
                                            "zero_shot_minilm",
                                            "supervised@10",
                                            "supervised@50",
                                            "supervised@100",
                                            "supervised_minilm@50",
                                            "sentence_encoder@10",
                                            "sentence_encoder@50",
                                            "sentence_encoder@100",
                                            "PET@10",
                                            "PET@50",
                                            "PET@100",
                                            "iPET@10",
                                            "iPET@50",
                                            "iPET@100",
                                            "PET_auxiliary@50",
                                            "PET_calibrated@10",
                                            "PET_calibrated@50",
                                            "PET_minilm@50",
                                            "ten_random",
                                            "ten_chosen",
                                            "twenty_random",
                                            NULL},
                           *const fourteen[] = {"zero_shot", "supervised@50", "sentence_encoder@50",
                                                "PET@50",    "iPET@50",       NULL};
  check_rows("quickstart-pet.yaml", NULL, 3, here);
  check_rows("quickstart-pet.yaml", "mini", 10, mini);
  check_rows("dbpedia14.yaml", NULL, 5, fourteen);
  check_rows("dbpedia14.yaml", "mini", 5, fourteen);
}

static const char *text_at(const cz_plan_stage *stage, const char *section, const char *key) {
  return cz_config_text_or(cz_config_get(stage->node, section), key, "");
}

/* What is compared differs in one thing: the auxiliary loss reads as many labelled texts, and who
 * draws ten or twenty of them draws by one rule. */
static void test_alike(void **state) {
  static const char *const rows[][2] = {
      {"ten_random", "ten"}, {"ten_chosen", "chosen"}, {"twenty_random", "twenty"}};
  cz_plan plan;
  open_checked(&plan, "quickstart-pet.yaml", "mini");
  const cz_plan_stage *plain = stage_of(&plan, "PET@50", "pet"),
                      *both = stage_of(&plan, "PET_auxiliary@50", "pet");
  double lm_examples = 12; /* the default */
  const cz_config_node *key = cz_config_get(cz_config_get(both->node, "classify"), "lm_examples");
  if (key) OK(cz_config_real(&lm_examples, key, 1, 1e6));
  assert_true(number_at(both, "classify", "lm") > 0);
  const double read = number_at(plain, "train", "steps") * number_at(plain, "batch", "examples"),
               read_beside = number_at(both, "train", "steps") *
                             (number_at(both, "batch", "examples") - lm_examples);
  if (!(read > 0) || read != read_beside)
    fail_msg("PET reads %g labelled texts, PET_auxiliary %g", read, read_beside);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    assert_string_equal(text_at(stage_of(&plan, rows[i][0], rows[i][1]), "examples", "draw"),
                        "random");
  cz_plan_close(&plan);
}

static void check_recipe(const cz_plan_stage *stage, double steps) {
  assert_true(number_at(stage, "train", "steps") == steps);
  assert_true(number_at(stage, "batch", "examples") == 16);
  assert_true(number_at(stage, "batch", "shards") == 4);
  assert_true(number_at(stage, "optimizer", "learning_rate") == 1e-5);
  assert_true(number_at(stage, "examples", "max_length") == 256);
}

/* The paper's Table 5, and the sizes of D. */
static void test_recipes(void **state) {
  cz_plan plan;
  open_file(&plan, "table1_agnews.yaml", "large");
  check_recipe(stage_of(&plan, "supervised@50", "supervised"), 250);
  check_recipe(stage_of(&plan, "iPET@50", "pet"), 1000);
  check_recipe(stage_of(&plan, "iPET@50", "generation2"), 1000);
  check_recipe(stage_of(&plan, "iPET@50", "student"), 5000);
  assert_true(number_at(stage_of(&plan, "PET@50", "pet"), "classify", "lm") == 1e-4);
  assert_true(number_at(stage_of(&plan, "iPET@10", "generation3"), "classify", "lm") == 1e-4);
  assert_true(number_at(stage_of(&plan, "PET@50", "pet"), "examples", "unlabelled") == 10000);
  cz_plan_close(&plan);
  open_file(&plan, "table2_agnews.yaml", NULL);
  assert_true(number_at(stage_of(&plan, "PET@50", "pet"), "examples", "unlabelled") == 5000);
  cz_plan_close(&plan);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_all_plan), cmocka_unit_test(test_table1),
      cmocka_unit_test(test_table2),   cmocka_unit_test(test_table4),
      cmocka_unit_test(test_table3),   cmocka_unit_test(test_table7),
      cmocka_unit_test(test_rows),     cmocka_unit_test(test_quickstart),
      cmocka_unit_test(test_recipes),  cmocka_unit_test(test_alike)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
