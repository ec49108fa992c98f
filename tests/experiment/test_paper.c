/* What the experiment files say of the paper, by row and by column: Raffel et al. 2020,
 * Tables 1, 4, 5, 6 and 7, copied from the paper's pages once more. And what each row
 * asks for, so that no value stands beside another objective. */
#include "setup.h"
#include "stages/precision.h"

#include <math.h>
#include <stdio.h>

enum { COLUMNS = 7, MOST_ROWS = 5 };
static const char *const columns[COLUMNS] = {"GLUE", "CNNDM", "SQuAD", "SGLUE",
                                             "EnDe", "EnFr",  "EnRo"};

/* Table 1: standard deviation of the baseline's ten runs. */
static const double deviations[COLUMNS] = {0.235, 0.065, 0.343, 0.416, 0.112, 0.090, 0.108};

/* Table 1: the same model without pretraining, the control of every table. */
static const double no_pretraining[COLUMNS] = {66.22, 17.60, 50.31, 53.04, 25.86, 39.77, 24.04};

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
static const paper_table quickstart = {"quickstart.yaml", "prefix_lm", { /* one of the paper's columns; 0: not there */
    {"prefix_lm", "prefix_lm", NULL, 0, {80.69, 0}},
    {"deshuffling", "deshuffling", NULL, 0, {73.17, 0}},
    {"random_spans", "random_spans", NULL, 0, {83.49, 0}}}}; /* spans of 3, the objective's default */
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
static void check_objective(const cz_plan *plan, size_t row, const paper_row *want, bool joined) {
  const cz_plan_stage *stage = cz_plan_at(plan, 0, row, 0);
  const char *name;
  assert_string_equal(stage->kind->name, "pretrain");
  const cz_config_node *objective = cz_config_get(stage->node, "objective");
  OK(cz_config_text(&name, cz_config_get(objective, "name")));
  assert_string_equal(name, want->objective);
  if (want->key && real_of(cz_config_get(objective, want->key)) != want->value)
    fail_msg("row %s has another %s", want->name, want->key);
  const cz_config_node *concatenate = cz_config_get(objective, "concatenate");
  const char *how = "code";
  if (concatenate) OK(cz_config_text(&how, concatenate));
  assert_string_equal(how, joined ? "yes" : "code");
  static const char *const varied[] = {"noise_density", "mean_noise_span_length"};
  for (int i = 0; i < 2; i++)
    if (!want->key || strcmp(want->key, varied[i]))
      assert_null(cz_config_get(objective, varied[i])); /* the paper's 15 %, spans of 3 */
}

/* The control: no pretraining, the same stages otherwise, but that they draw their weights. QUICK:
 * with one of the paper's columns. */
static void check_control(const cz_plan *plan, const char *file, bool quick) {
  static const double glue[COLUMNS] = {66.22};
  const cz_plan_row *row = &plan->rows[plan->control];
  assert_string_equal(row->name, "no_pretraining");
  check_scores(file, row, quick ? glue : no_pretraining);
  for (size_t i = 0; i < plan->n_stages; i++) {
    const cz_plan_stage *stage = cz_plan_at(plan, 0, plan->control, i),
                        *other = cz_plan_at(plan, 0, 0, i);
    assert_int_equal(stage->left_out, !strcmp(stage->kind->name, "pretrain"));
    if (!stage->left_out && strcmp(stage->kind->name, "evaluate")) {
      const cz_config_node *init = cz_config_get(stage->node, "init"), *rest;
      const char *text;
      assert_non_null(init);
      OK(cz_config_text(&text, init));
      assert_string_equal(text, "");
      assert_true(!stage->init && other->init);
      OK(cz_config_without(plan->config, &rest, stage->node, "init"));
      uint64_t a, b;
      OK(cz_config_hash(&a, rest));
      OK(cz_config_hash(&b, other->node));
      assert_true(a == b); /* the plan takes `init: $pretrain` out */
    }
  }
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
    /* short documents are joined for all rows; the paper's scales follow its code */
    bool joined = !scale || (strcmp(scale, "small") && strcmp(scale, "base"));
    check_objective(&plan, n, &t->rows[n], joined);
  }
  assert_int_equal(plan.control, n);
  assert_int_equal(plan.n_rows, n + 1);
  check_control(&plan, t->file, t == &quickstart);
  cz_plan_close(&plan);
}

static void test_tables(void **state) {
  static const char *const scales[] = {"nano", "mini", "small", "base"};
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
    for (int k = 0; k < 4; k++) check_table(&tables[t], scales[k]);
}

/* Table 4 by budget: its rows and control at budgets that are powers of four apart, each of which
 * goes on from the one before; documents are joined, but at the paper's own scale. */
static void check_budget(const char *scale) {
  const paper_table *t = &tables[0];
  cz_plan plan;
  open_file(&plan, "t5/budget.yaml", scale);
  assert_string_equal(plan.baseline, t->baseline);
  assert_true(plan.axis.steps && plan.axis.n >= 2);
  assert_int_equal(plan.control, 3 * plan.axis.n);
  assert_int_equal(plan.n_rows, plan.control + 1);
  check_control(&plan, "t5/budget.yaml", false);
  for (size_t row = 0; row < plan.control; row++) {
    const size_t listed = row / plan.axis.n, point = row % plan.axis.n;
    const cz_plan_stage *stage = cz_plan_at(&plan, 0, row, 0);
    double steps = real_of(cz_config_get(cz_config_get(stage->node, "train"), "steps"));
    assert_string_equal(plan.rows[row].listed, t->rows[listed].name);
    check_scores("t5/budget.yaml", &plan.rows[row], t->rows[listed].scores);
    check_objective(&plan, row, &t->rows[listed], strcmp(scale, "base") != 0);
    if (!point) continue;
    assert_int_equal(stage->shorter, (row - 1) * plan.n_stages);
    stage = cz_plan_at(&plan, 0, row - 1, 0);
    assert_true(steps == 4 * real_of(cz_config_get(cz_config_get(stage->node, "train"), "steps")));
  }
  cz_plan_close(&plan);
}

static void test_budget(void **state) {
  static const char *const scales[] = {"test", "nano", "mini", "small", "base"};
  for (size_t i = 0; i < sizeof scales / sizeof *scales; i++) check_budget(scales[i]);
}

static uint64_t hash_of(const cz_config_node *node) {
  uint64_t hash;
  OK(cz_config_hash(&hash, node));
  return hash;
}

/* f32 against bf16: nothing else differs between the rows, and the stages of f32 are those of the
 * budget table at 2,048 steps, where its objectives are rows. */
static void test_precision(void **state) {
  cz_plan p, budget;
  open_file(&p, "t5/precision.yaml", NULL);
  open_file(&budget, "t5/budget.yaml", "mini");
  assert_string_equal(p.baseline, "f32");
  assert_true(p.n_rows == 3 && p.control == 2 && p.n_stages == 9 && p.n_columns == 3);
  for (size_t i = 0; i < p.n_stages; i++) {
    const cz_plan_stage *f32 = cz_plan_at(&p, 0, 0, i), *bf16 = cz_plan_at(&p, 0, 1, i);
    const cz_config_node *stripped;
    OK(cz_stage_without_precision(p.config, &stripped, bf16->node));
    assert_true(hash_of(stripped) == hash_of(f32->node));
    assert_true((hash_of(bf16->node) != hash_of(f32->node)) == (i % 3 < 2)); /* not evaluate */
    size_t row = i / 3 * budget.axis.n, same = 0;
    for (size_t point = 0; point < budget.axis.n; point++)
      same += hash_of(cz_plan_at(&budget, 0, row + point, i % 3)->node) == hash_of(f32->node);
    assert_int_equal(same,
                     i % 3 == 0 ? 1 : budget.axis.n); /* later stages do not name the budget */
  }
  cz_plan_close(&budget);
  cz_plan_close(&p);
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
  static const char *const quick[][2] = {{"section", "GLUE"}, {"language", "GLUE"}};
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
    check_columns(tables[t].file, "nano", ours, 3);
    check_columns(tables[t].file, "mini", ours, 3);
    check_columns(tables[t].file, "small", ours, 3);
    check_columns(tables[t].file, "base", theirs, COLUMNS);
  }
  check_columns("quickstart.yaml", NULL, quick, 2);
}

/* The places of each column's values at `base`: GLUE and SuperGLUE are means over tasks, so a
 * task's only score stands twice. */
static const struct {
  const char *column, *paths;
} base_values[COLUMNS] = {
    {"GLUE", "evaluate_glue.cola.scores.mcc evaluate_glue.cola.scores.mcc "
             "evaluate_glue.sst2.scores.accuracy evaluate_glue.sst2.scores.accuracy "
             "evaluate_glue.mrpc.scores.f1 evaluate_glue.mrpc.scores.accuracy "
             "evaluate_glue.stsb.scores.pearson evaluate_glue.stsb.scores.spearman "
             "evaluate_glue.qqp.scores.f1 evaluate_glue.qqp.scores.accuracy "
             "evaluate_glue.mnli.scores.accuracy evaluate_glue.mnli_mismatched.scores.accuracy "
             "evaluate_glue.qnli.scores.accuracy evaluate_glue.qnli.scores.accuracy "
             "evaluate_glue.rte.scores.accuracy evaluate_glue.rte.scores.accuracy "},
    {"CNNDM", "evaluate_cnn_dm.cnn_dm.scores.rouge2 "},
    {"SQuAD", "evaluate_squad.squad.scores.squad_em "},
    {"SGLUE",
     "evaluate_superglue.boolq.scores.accuracy evaluate_superglue.boolq.scores.accuracy "
     "evaluate_superglue.cb.scores.macro_f1 evaluate_superglue.cb.scores.accuracy "
     "evaluate_superglue.copa.scores.accuracy evaluate_superglue.copa.scores.accuracy "
     "evaluate_superglue.multirc.scores.f1 evaluate_superglue.multirc.scores.group_em "
     "evaluate_superglue.record.scores.squad_f1 evaluate_superglue.record.scores.squad_em "
     "evaluate_superglue.superglue_rte.scores.accuracy "
     "evaluate_superglue.superglue_rte.scores.accuracy evaluate_superglue.wic.scores.accuracy "
     "evaluate_superglue.wic.scores.accuracy evaluate_superglue.wsc.scores.accuracy "
     "evaluate_superglue.wsc.scores.accuracy "},
    {"EnDe", "evaluate_en_de.wmt_en_de.scores.bleu "},
    {"EnFr", "evaluate_en_fr.wmt_en_fr.scores.bleu "},
    {"EnRo", "evaluate_en_ro.wmt_en_ro.scores.bleu "}};

/* The stages of `base` after pretraining: caps and budgets of t5.md 5.3 (128 x the cap), and
 * the files, which are those that the benchmarks' own scripts write. */
static const struct {
  const char *stage, *settings, *files;
} base_stages[] = {
    {"finetune_glue", "10752 84 proportional",
     "cola=glue/CoLA/train.tsv sst2=glue/SST-2/train.tsv mrpc=glue/MRPC/train.tsv "
     "stsb=glue/STS-B/train.tsv qqp=glue/QQP/train.tsv mnli=glue/MNLI/train.tsv "
     "qnli=glue/QNLI/train.tsv rte=glue/RTE/train.tsv "},
    {"finetune_superglue", "7936 62 proportional",
     "boolq=superglue/BoolQ/train.jsonl cb=superglue/CB/train.jsonl "
     "copa=superglue/COPA/train.jsonl multirc=superglue/MultiRC/train.jsonl "
     "record=superglue/ReCoRD/train.jsonl superglue_rte=superglue/RTE/train.jsonl "
     "wic=superglue/WiC/train.jsonl wsc=superglue/WSC/train.jsonl "
     "dpr=superglue/DPR/train.jsonl "},
    {"finetune_squad", "12416 97", "squad=squad/train-v1.1.json "},
    {"finetune_cnn_dm", "65536 512", "cnn_dm=cnn_dm/train.jsonl "},
    {"finetune_en_de", "65536 512", "wmt_en_de=wmt_en_de/train "},
    {"finetune_en_fr", "65536 512", "wmt_en_fr=wmt_en_fr/train "},
    {"finetune_en_ro", "65536 512", "wmt_en_ro=wmt_en_ro/train "},
    {"evaluate_glue", "dev 84",
     "cola=glue/CoLA/train.tsv,glue/CoLA/dev.tsv sst2=glue/SST-2/train.tsv,glue/SST-2/dev.tsv "
     "mrpc=glue/MRPC/train.tsv,glue/MRPC/dev.tsv stsb=glue/STS-B/train.tsv,glue/STS-B/dev.tsv "
     "qqp=glue/QQP/train.tsv,glue/QQP/dev.tsv mnli=glue/MNLI/train.tsv,glue/MNLI/dev_matched.tsv "
     "mnli=glue/MNLI/train.tsv,glue/MNLI/dev_mismatched.tsv "
     "qnli=glue/QNLI/train.tsv,glue/QNLI/dev.tsv rte=glue/RTE/train.tsv,glue/RTE/dev.tsv "},
    {"evaluate_superglue", "dev 62",
     "boolq=superglue/BoolQ/train.jsonl,superglue/BoolQ/val.jsonl "
     "cb=superglue/CB/train.jsonl,superglue/CB/val.jsonl "
     "copa=superglue/COPA/train.jsonl,superglue/COPA/val.jsonl "
     "multirc=superglue/MultiRC/train.jsonl,superglue/MultiRC/val.jsonl "
     "record=superglue/ReCoRD/train.jsonl,superglue/ReCoRD/val.jsonl "
     "superglue_rte=superglue/RTE/train.jsonl,superglue/RTE/val.jsonl "
     "wic=superglue/WiC/train.jsonl,superglue/WiC/val.jsonl "
     "wsc=superglue/WSC/train.jsonl,superglue/WSC/val.jsonl "},
    {"evaluate_squad", "dev 97", "squad=squad/train-v1.1.json,squad/dev-v1.1.json "},
    {"evaluate_cnn_dm", "dev 512", "cnn_dm=cnn_dm/train.jsonl,cnn_dm/val.jsonl "},
    {"evaluate_en_de", "dev 512", "wmt_en_de=wmt_en_de/train,wmt_en_de/newstest2013 "},
    {"evaluate_en_fr", "dev 512", "wmt_en_fr=wmt_en_fr/train,wmt_en_fr/newstest2014 "},
    {"evaluate_en_ro", "dev 512", "wmt_en_ro=wmt_en_ro/train,wmt_en_ro/newsdev2016 "}};

static const char *text_of(const cz_config_node *section, const char *key) {
  const char *text = "";
  const cz_config_node *node = cz_config_get(section, key);
  if (node) OK(cz_config_text(&text, node));
  return text;
}

/* `name=train,dev` of each item, below the data's folder. */
static void list_files(cz_buf *out, const cz_config_node *list) {
  for (size_t i = 0; i < cz_config_count(list); i++) {
    const cz_config_node *item = cz_config_at(list, i);
    static const char folder[] = "data/t5/";
    const char *train = text_of(item, "train"), *dev = text_of(item, "dev");
    assert_int_equal(strncmp(train, folder, sizeof folder - 1), 0);
    OK(cz_buf_addf(out, "%s=%s%s%s ", text_of(item, "name"), train + sizeof folder - 1,
                   *dev ? "," : "", *dev ? dev + sizeof folder - 1 : ""));
    assert_string_equal(text_of(item, "test"), ""); /* the paper's tables are of validation sets */
  }
}

static void check_base_stage(const cz_plan_stage *stage, const char *settings, const char *files) {
  cz_buf text = {0};
  const cz_config_node *tasks = cz_config_get(stage->node, "tasks"),
                       *batch = cz_config_get(stage->node, "batch"),
                       *train = cz_config_get(stage->node, "train"),
                       *optimizer = cz_config_get(stage->node, "optimizer"),
                       *evaluate = cz_config_get(stage->node, "evaluate");
  if (evaluate) {
    OK(cz_buf_addf(&text, "%s %s", text_of(evaluate, "split"), text_of(evaluate, "max_length")));
    assert_string_equal(text_of(evaluate, "max_inputs"), "512");
    assert_null(cz_config_get(evaluate, "beams")); /* greedy */
  } else {
    const char *mixing = text_of(tasks, "mixing");
    OK(cz_buf_addf(&text, "%s %s%s%s", text_of(batch, "target_tokens"),
                   text_of(batch, "max_targets"), *mixing ? " " : "", mixing));
    assert_string_equal(text_of(batch, "input_tokens"), "65536");
    assert_string_equal(text_of(batch, "max_inputs"), "512");
    assert_string_equal(text_of(train, "steps"), "262144");
    assert_string_equal(text_of(train, "loss_normalisation"), "padded");
    assert_true(real_of(cz_config_get(train, "z_loss")) == 1e-4);
    assert_string_equal(text_of(optimizer, "name"), "adafactor");
    assert_string_equal(text_of(optimizer, "schedule"), "constant");
    assert_true(real_of(cz_config_get(optimizer, "learning_rate")) == 1e-3);
  }
  assert_string_equal(text.data, settings);
  text.len = 0;
  list_files(&text, cz_config_get(tasks, "list"));
  assert_string_equal(text.data, files);
  cz_buf_free(&text);
}

/* What all rows of all tables share at `base`. */
static void test_base(void **state) {
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
    cz_plan plan;
    open_file(&plan, tables[t].file, "base");
    assert_int_equal(plan.n_columns, COLUMNS);
    for (size_t c = 0; c < COLUMNS; c++) {
      cz_buf paths = {0};
      for (size_t i = 0; i < plan.columns[c].n_paths; i++)
        OK(cz_buf_addf(&paths, "%s ", plan.columns[c].paths[i].text));
      assert_string_equal(plan.columns[c].name, base_values[c].column);
      assert_string_equal(paths.data, base_values[c].paths);
      cz_buf_free(&paths);
    }
    const size_t n = sizeof base_stages / sizeof *base_stages;
    assert_int_equal(plan.n_stages, n + 1);
    for (size_t row = 0; row < plan.n_rows; row++)
      for (size_t k = 0; k < n; k++) {
        const cz_plan_stage *stage = cz_plan_at(&plan, 0, row, k + 1);
        assert_false(stage->left_out);
        assert_string_equal(stage->name, base_stages[k].stage);
        check_base_stage(stage, base_stages[k].settings, base_stages[k].files);
      }
    cz_plan_close(&plan);
  }
}

static void assert_ends(const char *text, const char *end) {
  size_t n = strlen(text), k = strlen(end);
  if (n < k || strcmp(text + n - k, end)) fail_msg("'%s' does not end in %s", text, end);
}

/* Every evaluation of a file at a scale is of SPLIT, and names both held-out files. */
static void check_splits(const char *file, const char *scale, const char *split) {
  char path[1024], word[64];
  char *const words[] = {word};
  cz_plan plan;
  size_t scored = 0;
  snprintf(path, sizeof path, "%s/experiments/%s", CZ_SOURCE_DIR, file);
  snprintf(word, sizeof word, "common.evaluate.split=%s", split);
  OK(cz_plan_open(&plan, path, scale, 0, words, strcmp(split, "dev") ? 1 : 0, NULL));
  for (size_t k = 0; k < cz_plan_count(&plan); k++) {
    const cz_config_node *node = plan.stages[k].node, *list;
    if (strcmp(plan.stages[k].kind->name, "evaluate")) continue;
    assert_string_equal(text_of(cz_config_get(node, "evaluate"), "split"), split);
    list = cz_config_get(cz_config_get(node, "tasks"), "list");
    for (size_t i = 0; i < cz_config_count(list); i++, scored++) {
      assert_ends(text_of(cz_config_at(list, i), "dev"), ".dev.tsv");
      assert_ends(text_of(cz_config_at(list, i), "test"), ".test.tsv");
    }
  }
  assert_true(scored > 0);
  cz_plan_close(&plan);
}

/* What is shipped scores validation files, and test files when asked. */
static void test_splits(void **state) {
  static const char *const scales[] = {"nano", "mini", "small"}, *const splits[] = {"dev", "test"};
  for (int s = 0; s < 2; s++) {
    check_splits("quickstart.yaml", NULL, splits[s]);
    for (int k = 0; k < 3; k++) check_splits("t5/budget.yaml", scales[k], splits[s]);
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
      for (int k = 0; k < 3; k++) check_splits(tables[t].file, scales[k], splits[s]);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_tables),    cmocka_unit_test(test_budget),
      cmocka_unit_test(test_precision), cmocka_unit_test(test_quickstart),
      cmocka_unit_test(test_columns),   cmocka_unit_test(test_base),
      cmocka_unit_test(test_splits)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
