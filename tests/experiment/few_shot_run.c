#include "few_shot_run.h"
#include "base/fs.h"

#include <stdio.h>

const char head[] = "title: few texts\n"
                    "data: nothing\n"
                    "seeds: [1, 2, 3]\n"
                    "common: {tokenizer: $data/t.json, model: {name: t5-nano}}\n"
                    "stages:\n"
                    "  plain:\n"
                    "    kind: finetune\n"
                    "    batch: {input_tokens: 64, target_tokens: 64}\n"
                    "    optimizer: {learning_rate: 1}\n"
                    "    train: {steps: 7}\n"
                    "    tasks: {list: [{name: tsv, train: $data/x}]}\n"
                    "  pet:\n"
                    "    kind: finetune\n"
                    "    batch: {input_tokens: 64, target_tokens: 64}\n"
                    "    optimizer: {learning_rate: 2, weight_decay: 0.5}\n"
                    "    train: {steps: 9}\n"
                    "    tasks: {list: [{name: tsv, train: $data/x}]}\n"
                    "  score:\n"
                    "    kind: evaluate\n"
                    "    init: $plain\n"
                    "    tasks: {list: [{name: tsv, train: $data/x, dev: $data/y}]}\n"
                    "rows:\n"
                    "  - {name: supervised, without: [pet]}\n"
                    "  - {name: PET, without: [plain], set: {score.init: $pet}}\n"
                    "  - {name: ZERO, without: [plain, pet], set: {score.init: ''}}\n"
                    "columns:\n"
                    "  - {name: one, value: score.tsv.scores.accuracy}\n";
const char axis[] = "axis: {name: texts, set: [plain.optimizer.weight_decay, "
                    "pet.optimizer.weight_decay], values: [0, 1, 10]}\n";
const char contrasts[] = "contrasts: [[PET, supervised], [PET, ZERO]]\n";

const char *with(const char *a, const char *b) {
  static char text[8192];
  snprintf(text, sizeof text, "%s%s%s", head, a, b);
  return text;
}

/* Accuracy by row and seed: supervised, PET at 0, 1 and 10, and ZERO. */
const double scores[7][3] = {{10, 12, 11},     {13, 14.5, 14.5}, {13, 15, 14}, {11, 11, 17},
                             {14.5, 16, 17.5}, {30, 31, 32.5},   {10, 11, 12}};

void write_stage(const char *at, const char *name, const char *text) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", at, name);
  write_text(path, text);
}

static void write_scores(const char *at, double accuracy) {
  char line[1024];
  snprintf(line, sizeof line,
           "{\"metrics\": {\"tsv\": {\"scores\": {\"accuracy\": %g}, \"baseline\": "
           "{\"accuracy\": 5}, \"baseline_kind\": \"copy\"}}, \"measured\": {\"seconds\": 1}}",
           accuracy);
  write_stage(at, "result.json", line);
  snprintf(line, sizeof line,
           "{\"input\": \"0\", \"scores\": {\"accuracy\": [%.17g]}, \"baselines\": {\"copy\": "
           "{\"accuracy\": [5]}}}\n{\"input\": \"1\", \"scores\": {\"accuracy\": [%.17g]}, "
           "\"baselines\": {\"copy\": {\"accuracy\": [5]}}}\n",
           accuracy, accuracy);
  write_stage(at, "predictions.tsv.jsonl", line);
}

/* What a stage of a few-shot ensemble leaves; two members, seed S of 0, 1, 2. */
static void write_ensemble(const char *at, int s) {
  char text[2048];
  snprintf(
      text, sizeof text,
      "{\"metrics\": {\"loss\": 1, \"members\": ["
      "{\"accuracy\": 0.5, \"pattern\": 0, \"heldout_mlm_before\": 2, \"heldout_mlm_after\": %g}, "
      "{\"accuracy\": 0.7, \"pattern\": 2, \"heldout_mlm_before\": 3, \"heldout_mlm_after\": 4}],"
      "\"agreement\": {\"best\": 0.7, \"worst\": 0.5, \"mean\": 0.6, \"deviation\": 0.1, "
      "\"pairs\": 0.8, \"kappa\": 0.25},"
      "\"ensemble\": {\"accuracy\": 0.6, \"macro_f1\": 0.5, \"ece\": 0.%d, "
      "\"coverage\": {\"100\": 0.6, \"90\": 0.62, \"80\": 0.65, \"50\": 0.75}, "
      "\"abstain_for\": {\"90\": 0.4, \"80\": 0.5, \"50\": 0.7%d}, \"abstain\": {\"50\": "
      "{\"coverage\": 0.8, \"accuracy\": 0.65}, \"99\": {\"coverage\": 0, \"accuracy\": null}}, "
      "\"reliability\": [%s{\"confidence\": 0.9, \"accuracy\": 0.%d, \"texts\": %d}], "
      "\"shares\": {\"ga<mes\": 0.25, \"fonts\": 0.75}}}, \"measured\": {\"seconds\": 1}}",
      3. + s, s + 1, s + 1, s ? "" : "{\"confidence\": 0.4, \"accuracy\": 0.5, \"texts\": 7},",
      s + 4, 10 * (s + 1));
  write_stage(at, "result.json", text);
}

void write_few_shot_run(const char *text) {
  cz_plan plan;
  cz_buf entries = {0};
  write_text("experiment.yaml", text);
  OK(open_with(&plan, text, NULL));
  for (size_t k = 0; k < cz_plan_count(&plan); k++) {
    const size_t seed = k / plan.n_stages / plan.n_rows, row = k / plan.n_stages % plan.n_rows;
    const cz_plan_stage *s = &plan.stages[k];
    char at[256];
    if (s->left_out) continue;
    OK(cz_buf_addf(&entries, "%s{\"seed\": %d, \"row\": %zu, \"stage\": \"%s\", \"key\": \"%s\"}",
                   entries.len ? "," : "[", (int)plan.seeds[seed], row, s->name, s->key));
    OK(cz_plan_folder(at, sizeof at, "", s));
    if (!strncmp(s->name, "score", 5))
      write_scores(at, scores[row % 7][seed % 3]);
    else if (!strncmp(s->name, "pet", 3))
      write_ensemble(at, (int)seed);
    else
      write_stage(at, "result.json", "{\"metrics\": {\"loss\": 1}, \"measured\": {}}");
  }
  OK(cz_buf_addf(&entries, "]"));
  write_text("plan.json", entries.data);
  cz_buf_free(&entries);
  cz_plan_close(&plan);
}
