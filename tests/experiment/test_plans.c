/* Experiment files: what is refused and how it is said; the files of this project at
 * every scale; predicted costs. */
#include "setup.h"
#include "base/fs.h"
#include "commands/commands.h"
#include "recipe/recipe.h"
#include "experiment/cost.h"
#include "stages/check.h"
#include "training/flops.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static cz_status open_text(const char *text) {
  cz_plan plan;
  const char *path = write_text("x.yaml", text);
  cz_status st = cz_plan_open(&plan, path, NULL, 0, NULL, 0, NULL);
  cz_plan_close(&plan);
  return st;
}

/* The experiment of setup.c with FROM replaced by TO is refused with a message that names
 * the place and says TEXT. */
static void refuses(const char *from, const char *to, const char *text) {
  char changed[8192];
  const char *at = strstr(experiment_text, from);
  assert_non_null(at);
  snprintf(changed, sizeof changed, "%.*s%s%s", (int)(at - experiment_text), experiment_text, to,
           at + strlen(from));
  FAILS(open_text(changed), CZ_EUSAGE, text);
  if (!strstr(cz_error_message(), "x.yaml:")) fail_msg("no file and line: %s", cz_error_message());
}

static void test_refused(void **state) {
  OK(open_text(experiment_text));
  refuses("learn.train.steps: 8", "lern.train.steps: 8",
          "'lern.train.steps' does not begin with the name of a stage");
  refuses("baseline: a", "baseline: z", "no row is called 'z'");
  refuses("name: b,", "name: a,", "two rows are called 'a'");
  refuses("init: $learn", "init: $score", "'$score' is no stage before this one");
  refuses("init: $learn", "init: $later", "'$later' is no stage before this one");
  refuses("    batch: {input_tokens", "    init: $score\n    batch: {input_tokens",
          "'$score' is no stage before this one");
  refuses("kind: finetune", "kind: finetun", "did you mean 'finetune'?");
  refuses("value: score.tsv", "value: scores.tsv",
          "'scores.tsv.scores.accuracy' does not begin with the name of a stage");
  refuses("[score.tsv.scores.rouge1, learn.loss]", "[]", "no value");
  refuses("paper: P, unit", "paper: Q, unit", "no row's `paper` has a 'Q'");
  refuses("{P: 1}", "{P: many}", "expected a number");
  refuses("name: two", "name: one", "two columns are called 'one'");
  refuses("seeds: [4, 5, 9]", "seeds: [4, 5, 4]", "seed 4 is there twice");
  refuses("seeds: [4, 5, 9]", "seeds: []", "no seeds");
  refuses("title:", "titel:", "unknown key 'titel'");
  refuses("data: nothing\n", "", "needs the key `data`");
  refuses("columns:", "column:", "unknown key 'column'");
}

static void test_missing_files(void **state) {
  cz_plan plan;
  FAILS(cz_plan_open(&plan, under("none.yaml"), NULL, 0, NULL, 0, NULL), CZ_EUSAGE, "none.yaml");
  cz_plan_close(&plan);
  const char *path = write_text("x.yaml", experiment_text);
  FAILS(cz_plan_open(&plan, path, NULL, 0, NULL, 0, &(cz_session){0}), CZ_EUSAGE,
        "nothing/t.json"); /* a run needs the data, a look does not */
  cz_plan_close(&plan);
  FAILS(cz_plan_open(&plan, path, "huge", 0, NULL, 0, NULL), CZ_EUSAGE, "this file has no scales");
  cz_plan_close(&plan);
}

static void open_plan(cz_plan *plan, const char *text, const char *word) {
  char copy[128];
  const char *path = write_text("x.yaml", text);
  snprintf(copy, sizeof copy, "%s", word ? word : "");
  OK(cz_plan_open(plan, path, NULL, 0, (char *[]){copy}, word ? 1 : 0, NULL));
}

static void test_keys(void **state) {
  cz_plan plan, other;
  open_plan(&plan, experiment_text, NULL);
  for (size_t s = 0; s < SEEDS;
       s++) /* rows differ, so do seeds; what follows from what differs with it */
    for (size_t r = 0; r < ROWS; r++)
      for (size_t k = 0; k < SEEDS * ROWS; k++)
        for (size_t i = 0; i < 2; i++)
          assert_int_equal(!strcmp(cz_plan_at(&plan, s, r, i)->key, plan.stages[k * 2 + i].key),
                           k == s * ROWS + r);
  open_plan(
      &other, experiment_text,
      "rows.1.set={learn.train.steps: 7}"); /* the second row now asks for what the first does */
  for (size_t s = 0; s < SEEDS; s++)
    for (size_t i = 0; i < 2; i++) {
      assert_string_equal(cz_plan_at(&other, s, 0, i)->key, cz_plan_at(&plan, s, 0, i)->key);
      assert_string_equal(cz_plan_at(&other, s, 1, i)->key, cz_plan_at(&plan, s, 0, i)->key);
    }
  cz_plan_close(&other);
  open_plan(&other, experiment_text, "data=elsewhere"); /* another place is another configuration */
  assert_string_not_equal(cz_plan_at(&other, 0, 0, 0)->key, cz_plan_at(&plan, 0, 0, 0)->key);
  cz_plan_close(&other);
  cz_plan_close(&plan);
}

/* The experiment of setup.c with a third stage that names both others, in a list and in a file
 * of a task. */
static const char *with_third(const char *third) {
  static char text[8192];
  const char *at = strstr(experiment_text, "rows:\n");
  snprintf(text, sizeof text, "%.*s%s%s", (int)(at - experiment_text), experiment_text, third, at);
  return text;
}

static const char third[] =
    "  third:\n"
    "    kind: finetune\n"
    "    init: $learn\n"
    "    batch: {input_tokens: 64, target_tokens: 64}\n"
    "    optimizer: {learning_rate: 1}\n"
    "    train: {steps: 7}\n"
    "    tasks: {list: [{name: tsv, train: $score/predictions.tsv.jsonl, dev: $learn}]}\n";

/* A text that names an earlier stage is a part of the key, and a folder when the stage runs. */
static void test_references(void **state) {
  cz_plan plan, other;
  const cz_config_node *node, *list;
  const char *text;
  char wanted[256];
  open_plan(&plan, with_third(third), NULL);
  const cz_plan_stage *s = cz_plan_at(&plan, 1, 2, 2), *learn = cz_plan_at(&plan, 1, 2, 0),
                      *score = cz_plan_at(&plan, 1, 2, 1);
  size_t k = (size_t)(s - plan.stages);
  assert_int_equal(s->n_from, 2);
  assert_ptr_equal(cz_plan_from(&plan, k, 0), learn); /* `init` first */
  assert_ptr_equal(cz_plan_from(&plan, k, 1), score);
  assert_string_equal(s->init, "learn");
  OK(cz_plan_run_node(&plan, &node, "/run", k));
  list = cz_config_at(cz_config_get(cz_config_get(node, "tasks"), "list"), 0);
  OK(cz_config_text(&text, cz_config_get(list, "train")));
  snprintf(wanted, sizeof wanted, "/run/stages/evaluate-%s/predictions.tsv.jsonl", score->key);
  assert_string_equal(text, wanted);
  OK(cz_config_text(&text, cz_config_get(list, "dev")));
  snprintf(wanted, sizeof wanted, "/run/stages/finetune-%s", learn->key);
  assert_string_equal(text, wanted);
  OK(cz_config_text(&text, cz_config_get(node, "init")));
  strcat(wanted, "/model");
  assert_string_equal(text, wanted);
  open_plan(&other, with_third(third), "stages.score.evaluate={max_length: 3}");
  assert_string_equal(cz_plan_at(&other, 1, 2, 0)->key, learn->key);
  assert_string_not_equal(cz_plan_at(&other, 1, 2, 1)->key, score->key);
  assert_string_not_equal(cz_plan_at(&other, 1, 2, 2)->key, s->key); /* through its file alone */
  cz_plan_close(&other);
  cz_plan_close(&plan);
}

static void refuses_third(const char *word, const char *said) {
  char copy[128];
  cz_plan plan;
  snprintf(copy, sizeof copy, "stages.third.%s", word);
  FAILS(cz_plan_open(&plan, write_text("x.yaml", with_third(third)), NULL, 0, (char *[]){copy}, 1,
                     NULL),
        CZ_EUSAGE, said);
  assert_non_null(strstr(cz_error_message(), "stage third"));
  cz_plan_close(&plan);
}

static void test_wrong_references(void **state) {
  cz_plan plan;
  refuses_third("tasks.list.0.train=$third/x", "'$third/x' is no stage before this one");
  refuses_third("tasks.list.0.train=$scor/x",
                "'$scor/x' is no stage before this one; did you mean $score");
  refuses_third("init=$scor", "'$scor' is no stage before this one; did you mean $score");
  refuses_third("init=$zzzzzz", "a folder needs no dollar sign");
  open_plan(&plan, with_third(third), "stages.third.tasks.list.0.prefix=$5"); /* a text */
  assert_int_equal(cz_plan_at(&plan, 0, 0, 2)->n_from, 2);
  cz_plan_close(&plan);
  open_plan(&plan, with_third(third), "stages.third.init=$score");
  cz_buf missing = {0};
  FAILS(cz_plan_check(&plan, &missing, NULL), CZ_EUSAGE,
        "init: $score: a stage of kind evaluate leaves no model");
  cz_buf_free(&missing);
  cz_plan_close(&plan);
}

/* What a stage names is no missing file: an earlier stage leaves it. */
static void test_references_are_no_files(void **state) {
  cz_plan plan;
  cz_buf missing = {0};
  open_plan(&plan, with_third(third), "columns=[{name: one, value: learn.loss}]");
  OK(cz_plan_check(&plan, &missing, NULL));
  if (strstr(missing.data, "predictions") || strstr(missing.data, "$"))
    fail_msg("%s", missing.data);
  cz_buf_free(&missing);
  cz_plan_close(&plan);
}

static double processor_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

/* Two thousand stages, in one row that is a chain with a cross-reference, or in many rows, are
 * planned, checked, and their shares found in under a second each. */
static void test_many_stages(void **state) {
  enum { STAGES = 2000 };
  cz_buf text = {0}, missing = {0};
  cz_plan plan;
  size_t runs;
  OK(cz_buf_addf(&text,
                 "seeds: [1]\ncommon: {tokenizer: t.json, model: {name: t5-nano}}\nstages:\n"));
  for (int i = 0; i < STAGES; i++)
    OK(cz_buf_addf(&text,
                   "  s%d: {kind: finetune, %s%d%s, batch: {input_tokens: 64, target_tokens: 64}, "
                   "optimizer: {learning_rate: 1}, train: {steps: 3}, "
                   "tasks: {list: [{name: tsv, train: %s%d%s}]}}\n",
                   i, i ? "init: $s" : "seed: ", i ? i - 1 : 1, "", i > 1 ? "$s" : "x", i / 2,
                   i > 1 ? "/x" : ""));
  OK(cz_buf_addf(&text, "rows: [{name: a}]\ncolumns: [{name: loss, value: s%d.loss}]\n",
                 STAGES - 1));
  const char *path = write_text("x.yaml", text.data);
  double began = processor_seconds();
  OK(cz_plan_open(&plan, path, NULL, 0, NULL, 0, NULL));
  OK(cz_plan_distinct(&runs, &plan, STAGES - 1));
  OK(cz_plan_check(&plan, &missing, NULL));
  double seconds = processor_seconds() - began;
  print_message("a row of %d stages: %.3f s\n", STAGES, seconds);
  assert_int_equal(cz_plan_at(&plan, 0, 0, STAGES - 1)->n_from, 2);
  assert_true(seconds < 1);
  cz_plan_close(&plan);
  cz_buf_free(&missing);

  text.len = 0;
  const char *rows = strstr(experiment_text, "rows:\n"), *columns = strstr(rows, "columns:\n");
  OK(cz_buf_addf(&text, "%.*srows:\n", (int)(rows - experiment_text), experiment_text));
  for (int i = 0; i < STAGES / 2; i++)
    OK(cz_buf_addf(&text, "  - {name: %s%d, paper: {P: 1}, set: {learn.train.steps: %d}}\n",
                   i ? "r" : "a, note: n", i, 2 + i / 2));
  OK(cz_buf_addf(&text, "%s", columns));
  path = write_text("x.yaml", text.data);
  began = processor_seconds();
  char scores[] = "columns=[{name: one, value: learn.loss}]";
  OK(cz_plan_open(&plan, path, NULL, 1, (char *[]){scores}, 1, NULL));
  OK(cz_plan_distinct(&runs, &plan, 0));
  OK(cz_plan_check(&plan, &missing, NULL));
  seconds = processor_seconds() - began;
  print_message("%d rows of 2 stages: %.3f s\n", STAGES / 2, seconds);
  assert_int_equal(runs, STAGES / 4);
  assert_true(seconds < 1);
  cz_buf_free(&missing);
  cz_plan_close(&plan);
  cz_buf_free(&text);
}

/* A report has no limit of stages. */
static void test_results_of_many_stages(void **state) {
  enum { STAGES = 130 };
  cz_buf text = {0}, keys = {0};
  cz_results r;
  OK(cz_buf_addf(&text, "seeds: [1]\nrows: [{name: a}]\ncommon: {tokenizer: t.json}\n"));
  OK(cz_buf_addf(&text, "columns: [{name: last, value: s%d.loss}]\nstages:\n", STAGES - 1));
  for (int i = 0; i < STAGES; i++) {
    OK(cz_buf_addf(&text, "  s%d: {kind: finetune}\n", i));
    OK(cz_buf_addf(&keys, "%s{\"seed\": 1, \"row\": 0, \"stage\": \"s%d\", \"key\": \"%016x\"}",
                   i ? "," : "[", i, i));
  }
  OK(cz_buf_addf(&keys, "]"));
  write_text("experiment.yaml", text.data);
  write_text("plan.json", keys.data);
  write_text("stages/finetune-0000000000000081/result.json",
             "{\"metrics\": {\"loss\": 2.5}, \"measured\": {}}");
  OK(cz_results_open(&r, folder()));
  assert_int_equal(r.total, STAGES);
  assert_int_equal(r.done, 1);
  assert_true(r.values[0] == 2.5);
  cz_results_close(&r);
  cz_buf_free(&text);
  cz_buf_free(&keys);
}

static void test_more_seeds(void **state) {
  cz_plan plan;
  const char *path = write_text("x.yaml", experiment_text);
  OK(cz_plan_open(&plan, path, NULL, 5, NULL, 0, NULL));
  assert_int_equal(plan.n_seeds, 5);
  const int64_t wanted[] = {4, 5, 9, 10, 11};
  for (int i = 0; i < 5; i++) assert_int_equal(plan.seeds[i], wanted[i]);
  cz_plan_close(&plan);
  char seeds[] = "seeds=[7, 4]", *words[] = {seeds};
  OK(cz_plan_open(&plan, path, NULL, 4, words, 1, NULL));
  const int64_t others[] = {7, 4, 8, 9}; /* on from the largest */
  for (int i = 0; i < 4; i++) assert_int_equal(plan.seeds[i], others[i]);
  cz_plan_close(&plan);
}

/* docs/t5.md 6.5: 850 GFLOP for 8 examples of 512 and 114 tokens, and each of
 * its terms with nothing else in the step. */
static void test_step_flops(void **state) {
  cz_model_config c;
  OK(cz_model_config_named(&c, "t5-small"));
  cz_step_shape shape = {.segments = 8, .inputs = 512, .targets = 114};
  double Te = 4096, Td = 912, d = 512, f = 2048, L = 6, V = 32128;
  double encoder = L * (8 * d * d * Te + 4 * 512 * d * Te + 4 * d * f * Te);
  double decoder = L * (8 * d * d * Td + 4 * 114 * d * Td + 4 * d * d * Td + 4 * d * d * Te +
                        4 * 512 * d * Td + 4 * d * f * Td);
  double wanted = 3 * (encoder + decoder + 2 * d * V * Td), got = cz_flops_step(&c, &shape);
  assert_true(fabs(got - wanted) < 1e-12 * wanted);
  assert_true(fabs(got - 850e9) < 1e9);
  shape.segments = 16;
  assert_true(fabs(cz_flops_step(&c, &shape) - 2 * got) < 1);
  OK(cz_model_config_named(&c, "lm-small"));
  shape = (cz_step_shape){.segments = 1, .inputs = 3, .targets = 5};
  double stack = 6 * 8 * (8 * d * d + 4 * 8 * d + 4 * d * f);
  assert_true(fabs(cz_flops_forward(&c, &shape) - (stack + 2 * d * V * 5)) < 1);
  shape.loss_on_inputs = true;
  assert_true(fabs(cz_flops_forward(&c, &shape) - (stack + 2 * d * V * 8)) < 1);
}

static void open_file(cz_plan *plan, const char *name, const char *scale) {
  char path[1024];
  snprintf(path, sizeof path, "%s/experiments/%s", CZ_SOURCE_DIR, name);
  if (cz_plan_open(plan, path, scale, 0, NULL, 0, NULL) != CZ_OK)
    fail_msg("%s at %s: %s", name, scale ? scale : "-", cz_error_message());
}

/* Stages and columns are right as far as that can be said without data, and what is
 * missing is data. */
static void check_whole(const cz_plan *plan) {
  cz_buf missing = {0};
  OK(cz_plan_check(plan, &missing, NULL));
  assert_true(!missing.data || strstr(missing.data, "data/"));
  cz_buf_free(&missing);
}

/* Every stage of every file binds its sections, at every scale, without any data. */
static void test_files_of_the_project(void **state) {
  static const char *const names[] = {"t5/table4.yaml", "t5/table5.yaml", "t5/table6.yaml",
                                      "t5/table7.yaml"},
                           *const scales[] = {"nano", "mini", "small", "base"};
  for (size_t f = 0; f < 4; f++)
    for (size_t k = 0; k < 4; k++) {
      cz_plan plan;
      open_file(&plan, names[f], scales[k]);
      assert_int_equal(plan.n_columns, k == 3 ? 7 : 3);
      for (size_t r = 0; r < plan.n_rows; r++)
        for (size_t i = 0; i < plan.n_stages; i++) {
          cz_cost cost;
          const cz_plan_stage *s = cz_plan_at(&plan, 0, r, i);
          if (s->left_out) continue;
          if (cz_cost_stage(&cost, &plan, s) != CZ_OK)
            fail_msg("%s at %s, stage %s: %s", names[f], scales[k], s->name, cz_error_message());
          assert_true(!s->kind->cost ? cost.flop == 0
                                     : cost.flop > 1e9 && cost.tokens > 1e4 && cost.steps >= 100);
        }
      check_whole(&plan);
      cz_plan_close(&plan);
    }
}

static void test_quickstart_file(void **state) {
  cz_plan plan;
  open_file(&plan, "quickstart.yaml", NULL);
  assert_int_equal(plan.n_rows, 4);
  assert_int_equal(plan.control, 3);
  assert_true(plan.n_seeds >= 2);
  check_whole(&plan);
  cz_plan_close(&plan);
  open_file(&plan, "quickstart/own_task.yaml", NULL);
  check_whole(&plan);
  cz_plan_close(&plan);
  open_file(&plan, "quickstart.yaml", "test");
  cz_plan_close(&plan);
}

/* What the reference of T5 (Raffel et al. 2020, section 3.1.2 and our arithmetic) gives
 * for the baseline's step. */
static void test_cost_of_the_baseline(void **state) {
  cz_plan plan;
  cz_cost cost;
  open_file(&plan, "t5/table7.yaml", "base");
  OK(cz_cost_stage(&cost, &plan, cz_plan_at(&plan, 0, 2, 0))); /* spans of 3: 128 x 512 / 114 */
  assert_true(cost.steps == 524288 && cost.segments == 128 && cost.inputs == 512 &&
              cost.targets == 114);
  assert_true(cost.assumed_vocabulary && !cost.assumed_lengths);
  double step = cost.flop / cost.steps;
  if (fabs(step - 5.5e13) > 0.05e13) fail_msg("%.4g FLOP a step, reference 5.5e13", step);
  cz_plan_close(&plan);
}

/* With the data there, lengths are those of the tasks' records and the vocabulary is the
 * tokenizer's. */
static void test_cost_with_data(void **state) {
  char path[1024], word[1024];
  cz_plan plan;
  cz_cost cost;
  snprintf(path, sizeof path, "%s/experiments/quickstart.yaml", CZ_SOURCE_DIR);
  snprintf(word, sizeof word, "data=%s/experiments/quickstart/sample", CZ_SOURCE_DIR);
  OK(cz_plan_open(&plan, path, "test", 0, (char *[]){word}, 1, NULL));
  OK(cz_cost_stage(&cost, &plan, cz_plan_at(&plan, 0, 0, 1)));
  assert_false(cost.assumed_vocabulary || cost.assumed_lengths);
  assert_true(cost.inputs > 20 && cost.inputs < 96 && cost.targets > 2 &&
              cost.targets < 20); /* two label tasks, one of short texts */
  assert_true(fabs(cost.segments - fmin(256 / cost.inputs, 128 / cost.targets)) < 1e-9);
  assert_true(fabs(cost.tokens - 4 * cost.segments * (cost.inputs + cost.targets)) < 1e-6);
  OK(cz_cost_stage(&cost, &plan, cz_plan_at(&plan, 0, 0, 2)));
  assert_true(cost.flop == 0 && cost.steps == 0); /* scoring is not counted */
  cz_plan_close(&plan);
}

/* Every key of SECTION says what it means, and a number its range. */
static void has_help(const cz_section *section) {
  for (size_t i = 0; i < section->n_keys; i++) {
    const cz_key_spec *k = &section->keys[i];
    bool number = k->type == CZ_KEY_INT || k->type == CZ_KEY_REAL;
    if (!k->help || strlen(k->help) < 10)
      fail_msg("the key %s of %s has no help", k->name, section->name);
    if (number && !(k->min < k->max))
      fail_msg("the key %s of %s has no range", k->name, section->name);
    if (k->type == CZ_KEY_ENUM && !k->choices)
      fail_msg("the key %s of %s has no choices", k->name, section->name);
  }
}

static void test_keys_have_help(void **state) {
  const cz_section *const own[] = {&cz_row_keys, &cz_axis_keys, &cz_column_keys,
                                   &cz_experiment_keys};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++) has_help(own[i]);
  for (size_t i = 0; i < cz_objective_count; i++) has_help(&cz_objective_rows[i]->section);
  for (size_t i = 0; i < cz_task_count; i++) has_help(&cz_task_rows[i]->section);
  for (size_t k = 0; k < cz_stage_row_count; k++)
    for (const cz_stage_part *const *p = cz_stage_rows[k]->parts; *p; p++)
      if ((*p)->section) has_help((*p)->section);
}

/* `cloze help keys` says something of each key that a kind of stage takes. */
static void test_stage_keys_have_help(void **state) {
  cz_buf help = {0};
  char wanted[256];
  OK(cz_stage_help(&help, true));
  for (size_t k = 0; k < cz_stage_row_count; k++)
    for (const cz_stage_part *const *p = cz_stage_rows[k]->parts; *p; p++) {
      snprintf(wanted, sizeof wanted, "| `%s` | ", (*p)->key.name);
      if (!strstr(help.data, wanted) || strlen((*p)->key.help) < 10)
        fail_msg("the key %s of %s has no help", (*p)->key.name, cz_stage_rows[k]->name);
      if ((*p)->section) assert_string_equal((*p)->section->name, (*p)->key.name);
    }
  cz_buf_free(&help);
}

static cz_status sees_no_model(cz_check *c, const cz_recipe *recipe) {
  assert_non_null(recipe->tokenizer);
  assert_true(recipe->seed == 3 && !recipe->model.name && !recipe->init);
  return CZ_OK;
}

/* A kind may read texts without a model: neither the check nor the run then asks for one. */
static void test_kind_without_model(void **state) {
  static const cz_stage_part *const parts[] = {&cz_part_tokenizer, NULL};
  static const cz_stage_kind counts = {.name = "counts", .parts = parts, .check = sees_no_model};
  static const char *const words[] = {"kind=counts", "seed=3",
                                      "tokenizer=" CZ_SOURCE_DIR
                                      "/experiments/quickstart/sample/tokenizer.json"};
  cz_config *config;
  cz_check c;
  OK(cz_config_from_words(&config, words, 3));
  OK(cz_check_open(&c, NULL, NULL, NULL));
  OK(cz_check_stage(&c, cz_config_root(config), &counts));
  cz_check_close(&c);
  cz_config_destroy(&config);
  for (size_t k = 0; k < cz_stage_row_count; k++) /* a model's vocabulary is its tokenizer's */
    assert_true(!cz_stage_takes(cz_stage_rows[k], "model") ||
                cz_stage_takes(cz_stage_rows[k], "tokenizer"));
}

/* A recipe of one family does not start from a model of another, whatever the sizes; and keys of
 * positions reach the families that have them. */
static void test_families_differ(void **state) {
  cz_family learned = *cz_family_at(2);
  cz_model_config a, b;
  cz_model_keys keys = {.name = "lm-nano", .buckets = 32, .max_distance = 128, .n_positions = 9};
  const char *key = NULL;
  OK(cz_model_config_named(&a, "lm-nano"));
  b = a;
  OK(cz_recipe_same_model(&a, &b, "here"));
  learned.name = "learned";
  b.family = &learned;
  FAILS(cz_recipe_same_model(&a, &b, "here"), CZ_EUSAGE,
        "the model there (lm) has the family lm, the recipe's (learned) has learned");
  b.n_positions = 7;
  FAILS(cz_recipe_same_model(&a, &b, "here"), CZ_EUSAGE,
        "the model there has n_positions 0, the recipe's has 7");
  FAILS(cz_model_keys_config(&a, &keys, 100, &key), CZ_EUSAGE, "family lm are not learned");
  assert_string_equal(key, "n_positions");
  keys.n_positions = 0;
  OK(cz_model_keys_config(&a, &keys, 100, &key));
  assert_true(a.buckets == 32 && a.max_distance == 128);
}

/* The hash of the files of a configuration with the parts of all kinds. */
static cz_status hash_of(cz_inputs *known, uint64_t *hash, json_t *record, cz_config *config) {
  static const cz_stage_part *const parts[] = {&cz_part_tokenizer, &cz_part_corpus, &cz_part_tasks,
                                               &cz_part_init, NULL};
  return cz_inputs_hash(known, hash, record, parts, cz_config_root(config), NULL);
}

/* Keys follow the contents of files, and the order of reading does not matter to a file
 * that is known. */
static void test_keys_follow_files(void **state) {
  static const char *const text = "{tokenizer: '%s/a', corpus: '%s/b'}";
  char yaml[1024];
  cz_config *config;
  cz_inputs known = {0};
  uint64_t first = 1, same = 1, other = 1, fresh = 1;
  cz_buf changed = {0};
  json_t *before = json_object(), *after = json_object();
  snprintf(yaml, sizeof yaml, text, folder(), folder());
  OK(cz_config_parse(&config, "stage", yaml, strlen(yaml)));
  write_text("a", "tokens");
  write_text("b", "texts");
  OK(hash_of(&known, &first, before, config));
  OK(hash_of(&known, &same, NULL, config));
  assert_true(first == same);
  write_text("b", "text");
  OK(hash_of(&known, &other, after, config));
  assert_true(other != first);
  cz_inputs_free(&known);
  OK(hash_of(&known, &fresh, NULL, config));
  assert_true(fresh == other);
  OK(cz_inputs_write(before, folder()));
  OK(cz_inputs_compare(&changed, before, folder()));
  assert_int_equal(changed.len, 0);
  OK(cz_inputs_compare(&changed, after, folder()));
  assert_non_null(strstr(changed.data, "/b has changed since then\n"));
  assert_null(strstr(changed.data, "/a has"));
  write_text("inputs.json", "{\"");
  FAILS(cz_inputs_compare(&changed, after, folder()), CZ_ECORRUPT, "inputs.json:1:");
  remove_file("b");
  FAILS(hash_of(&known, &other, NULL, config), CZ_EUSAGE, "stage:1:");
  json_decref(before);
  json_decref(after);
  cz_buf_free(&changed);
  cz_inputs_free(&known);
  cz_config_destroy(&config);
}

/* Parallel text is the two files of its task's languages: another one beside them is none
 * of its inputs, and both must be there. */
static void test_parallel_files(void **state) {
  char yaml[1024], at[512];
  cz_config *config;
  cz_inputs known = {0};
  uint64_t hash = 0;
  json_t *record = json_object();
  snprintf(
      yaml, sizeof yaml,
      "{tasks: {list: [{name: wmt_en_de, train: '%s/w', dev: ''}, {name: tsv, test: '%s/w.fr'}]}}",
      folder(), folder());
  snprintf(at, sizeof at, "%s/w", folder());
  OK(cz_config_parse(&config, "stage", yaml, strlen(yaml)));
  write_text("w.en", "one");
  write_text("w.de", "eins");
  write_text("w.fr", "un");
  OK(hash_of(&known, &hash, record, config));
  assert_int_equal(json_object_size(record), 3);
  OK(cz_config_set(config, "tasks.list.1.test=''"));
  json_object_clear(record);
  OK(hash_of(&known, &hash, record, config));
  assert_int_equal(json_object_size(record), 2);
  remove_file("w.de");
  FAILS(hash_of(&known, &hash, record, config), CZ_EUSAGE, "w.de: No such file");
  const cz_task_row *row;
  char missing[512];
  OK(cz_task_find(&row, "wmt_en_de"));
  assert_false(cz_inputs_exist(missing, sizeof missing, at, row));
  assert_string_equal(missing + strlen(at), ".de");
  assert_false(cz_inputs_exist(missing, sizeof missing, at, NULL));
  assert_string_equal(missing, at);
  write_text("w.de", "eins");
  assert_true(cz_inputs_exist(missing, sizeof missing, at, row));
  OK(cz_config_set(config, "tasks.list.0.name=wmt_en_ge"));
  FAILS(hash_of(&known, &hash, record, config), CZ_EUSAGE, "no task is called 'wmt_en_ge'");
  json_decref(record);
  cz_inputs_free(&known);
  cz_config_destroy(&config);
}

static cz_status command(cz_status (*run)(int, char **), const char *a, const char *b,
                         const char *c) {
  char words[4][1024];
  char *argv[5] = {words[0], words[1], words[2], words[3], NULL};
  const char *const given[] = {"command", a, b, c};
  int argc = 0;
  for (; argc < 4 && given[argc]; argc++)
    snprintf(words[argc], sizeof words[argc], "%s", given[argc]);
  return run(argc, argv);
}

static void test_command_lines(void **state) {
  FAILS(command(cz_command_show, NULL, NULL, NULL), CZ_EUSAGE, "1 more word");
  FAILS(command(cz_command_show, "x.yaml", "--costs", NULL), CZ_EUSAGE, "did you mean '--cost'?");
  FAILS(command(cz_command_show, "x.yaml", "--gflops", "-3"), CZ_EUSAGE,
        "'-3' is not a rate above 0");
  FAILS(command(cz_command_show, "x.yaml", "--seeds", "0"), CZ_EUSAGE,
        "'0' is not between 1 and 1000");
  FAILS(command(cz_command_report, "x", "--json", "--csv"), CZ_EUSAGE, "not both");
  FAILS(command(cz_command_report, folder(), NULL, NULL), CZ_EUSAGE, "is not the folder of a run");
  FAILS(command(cz_command_list, "modells", NULL, NULL), CZ_EUSAGE, "no 'modells'");
  FAILS(command(cz_command_list, "experiments", "--in", "/nowhere"), CZ_EUSAGE, "/nowhere");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make_folder, drop_folder)

int main(void) {
  const struct CMUnitTest tests[] = {TEST(test_refused),
                                     TEST(test_missing_files),
                                     TEST(test_keys_have_help),
                                     TEST(test_kind_without_model),
                                     TEST(test_families_differ),
                                     TEST(test_keys),
                                     TEST(test_references),
                                     TEST(test_results_of_many_stages),
                                     TEST(test_wrong_references),
                                     TEST(test_references_are_no_files),
                                     TEST(test_many_stages),
                                     TEST(test_more_seeds),
                                     TEST(test_step_flops),
                                     TEST(test_files_of_the_project),
                                     TEST(test_quickstart_file),
                                     TEST(test_cost_of_the_baseline),
                                     TEST(test_cost_with_data),
                                     TEST(test_command_lines),
                                     TEST(test_stage_keys_have_help),
                                     TEST(test_keys_follow_files),
                                     TEST(test_parallel_files)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
