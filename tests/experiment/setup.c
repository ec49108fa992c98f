#include "setup.h"

#include <math.h>
#include <stdio.h>
#include <unistd.h>

const char experiment_text[] =
    "title: 'a <made> up & \"run\"'\n"
    "source: nowhere\n"
    "data: nothing\n"
    "seeds: [4, 5, 9]\n"
    "baseline: a\n"
    "common: {tokenizer: $data/t.json, model: {name: t5-nano}}\n"
    "stages:\n"
    "  learn:\n"
    "    kind: finetune\n"
    "    batch: {input_tokens: 64, target_tokens: 64}\n"
    "    optimizer: {learning_rate: 1}\n"
    "    train: {steps: 7}\n"
    "    tasks: {list: [{name: tsv, train: $data/x}]}\n"
    "  score:\n"
    "    kind: evaluate\n"
    "    init: $learn\n"
    "    tasks: {list: [{name: tsv, train: $data/x, dev: $data/y}]}\n"
    "rows:\n"
    "  - {name: a, paper: {P: 3}, set: {learn.train.steps: 7}}\n"
    "  - {name: b, paper: {P: 1}, set: {learn.train.steps: 8}}\n"
    "  - {name: '<c>&\"', paper: {P: 2}, set: {learn.train.steps: 9}}\n"
    "  - {name: d, paper: {P: 2.5}, set: {learn.train.steps: 10}}\n"
    "columns:\n"
    "  - {name: one, value: score.tsv.scores.accuracy, paper: P, unit: '%', note: 'x < y, or "
    "\"z\"'}\n"
    "  - {name: two, value: [score.tsv.scores.rouge1, learn.loss]}\n"
    "  - {name: three, value: [score.tsv.scores.accuracy, score.tsv.scores.rouge1]}\n"
    "paper_noise: {P: 0.25}\n";

/* Row d of column one is above its baseline, 20, by more than its deviation and by less
 * than its interval. */
const double one[ROWS][SEEDS] = {{10, 12, 14}, {11, 15, 16}, {30, 31.5, 34.2}, {21, 22.5, 22}};
const double two[ROWS][SEEDS] = {{1, 2, 3}, {4, 4, 4}, {2, 3, 7}, {5, 6, 9}};

/** Removes a file below the folder. */
void remove_file(const char *name) { assert_int_equal(unlink(under(name)), 0); }

static const int seeds[SEEDS] = {4, 5, 9};

/** Writes plan.json with keys of its own, which no configuration hashes to. */
void write_plan(void) {
  static const char *const stages[] = {"learn", "score"};
  char text[8192] = "[";
  for (int s = 0; s < SEEDS; s++)
    for (int r = 0; r < ROWS; r++)
      for (int i = 0; i < 2; i++)
        snprintf(
            text + strlen(text), sizeof text - strlen(text),
            "%s{\"seed\": %d, \"row\": %d, \"stage\": \"%s\", \"key\": \"00000000000000%d%d\"}",
            s + r + i ? "," : "", seeds[s], r, stages[i], r, s);
  strcat(text, "]");
  write_text("plan.json", text);
}

/* Two records whose parts are the scores themselves: the test examples are there and add
 * nothing to the noise, so that what the reports say is what the seeds say. */
static void write_even_predictions(int row, int seed) {
  char name[128], text[1024] = "";
  for (int i = 0; i < 2; i++)
    snprintf(text + strlen(text), sizeof text - strlen(text),
             "{\"input\": \"%d\", \"scores\": {\"accuracy\": [%g], \"rouge1\": [%g]}, "
             "\"baselines\": {\"copy\": {\"accuracy\": [20], \"rouge1\": [3]}}}\n",
             i, one[row][seed], two[row][seed]);
  snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/predictions.tsv.jsonl", row,
           seed);
  write_text(name, text);
}

/** Writes the results of both stages of a row and seed, and the predictions. */
void write_results(int row, int seed) {
  char name[128], text[1024];
  snprintf(name, sizeof name, "stages/finetune-00000000000000%d%d/result.json", row, seed);
  snprintf(text, sizeof text,
           "{\"metrics\": {\"loss\": %g, \"steps\": %d, \"input_tokens\": 1000, \"target_tokens\": "
           "500}, \"measured\": {\"seconds\": %d}}",
           two[row][seed], 7 + row, 2 + seed);
  write_text(name, text);
  snprintf(name, sizeof name, "stages/finetune-00000000000000%d%d/metrics.jsonl", row, seed);
  write_text(name, "{\"step\": 1, \"smooth_loss\": 5.5}\n{\"step\": 2, \"smooth_loss\": "
                   "4.5}\n{\"step\": 3, \"smooth_loss\": null}\n{\"step\": 4, \"smo");
  snprintf(name, sizeof name, "stages/evaluate-00000000000000%d%d/result.json", row, seed);
  snprintf(text, sizeof text,
           "{\"metrics\": {\"tsv\": {\"scores\": {\"accuracy\": %g, \"rouge1\": %g}, \"baseline\": "
           "{\"accuracy\": 20, \"rouge1\": 3}, "
           "\"baseline_kind\": \"copy\"}},"
           " \"measured\": {\"seconds\": 1}}",
           one[row][seed], two[row][seed]);
  write_text(name, text);
  write_even_predictions(row, seed);
}

/** Writes a whole finished run. */
void write_run(void) {
  write_text("experiment.yaml", experiment_text);
  write_plan();
  for (int r = 0; r < ROWS; r++)
    for (int s = 0; s < SEEDS; s++) write_results(r, s);
}

/** Equal but for rounding. */
void assert_near(double a, double b) {
  if (!(fabs(a - b) <= 1e-9 * (1 + fabs(b)))) fail_msg("%.17g is not %.17g", a, b);
}

/** TEXT has WHAT somewhere. */
void assert_says(const cz_buf *text, const char *what) {
  if (!strstr(text->data, what)) fail_msg("no '%s' in:\n%s", what, text->data);
}

/** The cell of the table that R makes now. */
cz_cell cell_of(const cz_results *r, size_t column, size_t row) {
  cz_comparison table;
  OK(cz_compare_open(&table, r));
  cz_cell c = *cz_compare_at(&table, column, row);
  cz_compare_close(&table);
  return c;
}

/** The sentences before and below the tables that R makes now. */
void remarks_of(cz_buf *out, const cz_results *r) {
  cz_comparison table;
  OK(cz_compare_open(&table, r));
  OK(cz_compare_first(out, &table));
  OK(cz_compare_remarks(out, &table));
  cz_compare_close(&table);
}

/** Opens the plan of TEXT, with the override WORD or null. */
cz_status open_with(cz_plan *plan, const char *text, const char *word) {
  char copy[256];
  snprintf(copy, sizeof copy, "%s", word ? word : "");
  return cz_plan_open(plan, write_text("x.yaml", text), NULL, 0, (char *[]){copy}, word ? 1 : 0,
                      NULL);
}
