#include "axis_run.h"

#include <math.h>
#include <stdio.h>

const char head[] = "title: budgets\n"
                    "data: nothing\n"
                    "seeds: [1, 2, 3]\n"
                    "baseline: <a>\n"
                    "common: {tokenizer: $data/t.json, model: {name: t5-nano}}\n"
                    "stages:\n"
                    "  learn:\n"
                    "    kind: pretrain\n"
                    "    corpus: $data/c.h5\n"
                    "    batch: {input_tokens: 64, target_tokens: 64}\n"
                    "    optimizer: {learning_rate: 1, schedule: rsqrt}\n"
                    "    train: {steps: 7}\n"
                    "  tune:\n"
                    "    kind: finetune\n"
                    "    init: $learn\n"
                    "    batch: {input_tokens: 64, target_tokens: 64}\n"
                    "    optimizer: {learning_rate: 1}\n"
                    "    train: {steps: 7}\n"
                    "    tasks: {list: [{name: tsv, train: $data/x}]}\n"
                    "  score:\n"
                    "    kind: evaluate\n"
                    "    init: $tune\n"
                    "    tasks: {list: [{name: tsv, train: $data/x, dev: $data/y}]}\n"
                    "rows:\n"
                    "  - {name: <a>, paper: {P: 3}, set: {learn.objective.name: prefix_lm}}\n"
                    "  - {name: b, paper: {P: 4}, set: {learn.objective.name: bert_style}}\n"
                    "columns:\n"
                    "  - {name: one, value: score.tsv.scores.accuracy, paper: P, unit: '%'}\n";
const char control[] =
    "control: {name: none, without: [learn], set: {tune.init: ''}, paper: {P: 1}}\n";
const char axis[] = "axis: {name: budget, set: learn.train.steps, values: [2, 8, 32]}\n";

/** The file with A and B behind it. */
const char *with(const char *a, const char *b) {
  static char text[8192];
  snprintf(text, sizeof text, "%s%s%s", head, a, b);
  return text;
}

/** The file with LIST as its rows, and MORE behind it. */
const char *with_rows(const char *list, const char *more) {
  static char text[8192];
  const char *rows = strstr(head, "rows:\n"), *columns = strstr(head, "columns:\n");
  snprintf(text, sizeof text, "%.*srows:\n%s%s%s", (int)(rows - head), head, list, columns, more);
  return text;
}

/* Accuracy of each row and seed. Differences to `none` (10, 11, 12): <a>@2 0, 1, -1; <a>@8
 * 3, 3.5, 2.5; <a>@32 3, 4, 2; b@2 1, 0, 5; b@8 4.5, 5, 5.5; b@32 20, 20, 20.5. By the seeds alone,
 * t(2) = 4.30, half widths are 2.48, 1.24, 2.48, 6.57, 1.24 and 0.72. b@8 has noise of the examples
 * too (spread): squared errors of 1/12 and 1/24 have (1/8)^2 / (1/288 + 1/576) = 3 degrees of
 * freedom, t(3) = 3.18, half width 1.13. */
const double scores[AXIS_ROWS][3] = {{10, 12, 11},     {13, 14.5, 14.5}, {13, 15, 14}, {11, 11, 17},
                                     {14.5, 16, 17.5}, {30, 31, 32.5},   {10, 11, 12}};

/* How far the two examples of a row lie from its accuracy, one above and one below it, under every
 * seed. The parts of two such groups are half of that each, so the standard error of the examples
 * is sqrt(2 / 1 x 2 (spread / 2)^2), the spread itself, with one degree of freedom. */
double spread[AXIS_ROWS];

static void write_stage(const char *folder_name, const char *name, const char *text) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", folder_name, name);
  write_text(path, text);
}

/** Writes a finished run of the plan of TEXT, with the numbers above. */
void write_axis_run(const char *text) {
  cz_plan plan;
  cz_buf entries = {0};
  write_text("experiment.yaml", text);
  OK(open_with(&plan, text, NULL));
  for (size_t k = 0; k < cz_plan_count(&plan); k++) {
    const size_t seed = k / plan.n_stages / plan.n_rows, row = k / plan.n_stages % plan.n_rows;
    const cz_plan_stage *s = &plan.stages[k];
    char at[256], line[1024];
    if (s->left_out) continue;
    OK(cz_buf_addf(&entries, "%s{\"seed\": %d, \"row\": %zu, \"stage\": \"%s\", \"key\": \"%s\"}",
                   entries.len ? "," : "[", (int)plan.seeds[seed], row, s->name, s->key));
    OK(cz_plan_folder(at, sizeof at, "", s));
    const double steps = row < 6 ? 2 * pow(4, (double)(row % POINTS)) : 0;
    if (!strcmp(s->name, "score"))
      snprintf(line, sizeof line,
               "{\"metrics\": {\"tsv\": {\"scores\": {\"accuracy\": %g}, \"baseline\": "
               "{\"accuracy\": 5}, \"baseline_kind\": \"copy\"}}, \"measured\": {\"seconds\": 1}}",
               scores[row][seed]);
    else
      snprintf(line, sizeof line,
               "{\"metrics\": {\"loss\": %g, \"steps\": %g, \"input_tokens\": %g, "
               "\"target_tokens\": %g}, \"measured\": {\"seconds\": %g, \"earlier_seconds\": %g}}",
               9 - steps / 8, steps, 3e5 * steps, 2e5 * steps, 0.75 * steps, 0.25 * steps);
    write_stage(at, "result.json", line);
    write_stage(at, "metrics.jsonl", "{\"step\": 1, \"smooth_loss\": 5}\n");
    snprintf(line, sizeof line,
             "{\"input\": \"0\", \"scores\": {\"accuracy\": [%.17g]}, \"baselines\": {\"copy\": "
             "{\"accuracy\": [5]}}}\n{\"input\": \"1\", \"scores\": {\"accuracy\": [%.17g]}, "
             "\"baselines\": {\"copy\": {\"accuracy\": [5]}}}\n",
             scores[row][seed] + spread[row], scores[row][seed] - spread[row]);
    if (!strcmp(s->name, "score")) write_stage(at, "predictions.tsv.jsonl", line);
  }
  OK(cz_buf_addf(&entries, "]"));
  write_text("plan.json", entries.data);
  cz_buf_free(&entries);
  cz_plan_close(&plan);
}
