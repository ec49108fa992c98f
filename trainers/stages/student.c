#include "stages/student.h"
#include "base/fs.h"
#include "few_shot/task_file.h"
#include "metrics/statistics.h"
#include "stages/model_folder.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

static cz_status add_set(cz_buf *out, const char *name, const cz_text_set *set) {
  if (!set->n) return cz_buf_addf(out, "| %s | none | 0 | |\n", name);
  uint64_t hash = cz_hash_texts(set);
  return cz_buf_addf(out, "| %s | %s | %zu | %016" PRIx64 " |\n", name, set->path, set->n, hash);
}

/* A share and the ends of its 95 % interval over test texts of this size: the normal approximation,
 * of shares near 0 and 1 with the least error that a report gives them, ended at 0 and 1. */
static cz_status add_share(cz_buf *out, const char *name, const json_t *value, size_t n) {
  const double p = json_number_value(value);
  if (!json_is_number(value)) return CZ_OK;
  const double error = fmax(sqrt(p * (1 - p) / (double)n), cz_stats_share_error(p * (double)n, n));
  return cz_buf_addf(out, "- %s: %.4f (95 %% over %zu test texts: %.4f to %.4f)\n", name, p, n,
                     fmax(p - 1.96 * error, 0), fmin(p + 1.96 * error, 1));
}

/* Who answers only where the student is sure: what is right then, and below which probability he
 * says nothing (`cloze predict --abstain`). */
static cz_status add_coverage(cz_buf *out, const json_t *scores) {
  static const char *const percents[] = {"90", "80", "50"};
  for (size_t i = 0; i < sizeof percents / sizeof *percents; i++) {
    const json_t *right = json_object_get(json_object_get(scores, "coverage"), percents[i]),
                 *from = json_object_get(json_object_get(scores, "abstain_for"), percents[i]);
    CZ_TRY(cz_buf_addf(out, "- accuracy on the surest %s %% of them: %.4f, with --abstain %.6f\n",
                       percents[i], json_number_value(right), json_number_value(from)));
  }
  return CZ_OK;
}

static cz_status add_scores(cz_buf *out, const cz_text_set *test, const json_t *scores) {
  if (!test->labelled) return cz_buf_addf(out, "The test texts had no labels.\n");
  CZ_TRY(add_share(out, "accuracy", json_object_get(scores, "accuracy"), test->n));
  const double f1 = json_number_value(json_object_get(scores, "macro_f1")),
               ece = json_number_value(json_object_get(scores, "ece"));
  CZ_TRY(cz_buf_addf(out, "- macro F1: %.4f\n- expected calibration error: %.4f\n", f1, ece));
  return add_coverage(out, scores);
}

/* The words of each label under PATTERN, which has no answers of the records' own. */
static cz_status add_words(cz_buf *out, const cz_pattern_file *file, const cz_pattern *pattern) {
  for (size_t c = 0; c < file->n_labels; c++) {
    const cz_label_words *words = &pattern->words[c];
    CZ_TRY(cz_buf_addf(out, "%s%s:", c ? "; " : ", ", file->labels[c]));
    for (size_t w = 0; w < words->n; w++)
      CZ_TRY(cz_buf_addf(out, "%s `%s`", w ? "," : "", words->words[w]));
  }
  return CZ_OK;
}

static cz_status add_patterns(cz_buf *out, const cz_pattern_file *file) {
  if (!file->n_patterns) return cz_buf_addf(out, "None: texts were read without a prompt.\n");
  for (size_t i = 0; i < file->n_patterns; i++) {
    CZ_TRY(cz_buf_addf(out, "%zu. `%s`", i, file->patterns[i].text));
    if (!file->choices) CZ_TRY(add_words(out, file, &file->patterns[i]));
    CZ_TRY(cz_buf_addf(out, "\n"));
  }
  return CZ_OK;
}

static cz_status add_labels(cz_buf *out, const cz_pattern_file *file) {
  for (size_t c = 0; c < file->n_labels; c++) CZ_TRY(cz_buf_addf(out, "- %s\n", file->labels[c]));
  return CZ_OK;
}

/* FOLDER of a stage of an experiment as the run has it, since the run's folder moves. */
static const char *in_run(const char *folder) {
  const char *at = NULL;
  for (const char *s = folder; (s = strstr(s, "/stages/")); s++) at = s + 1;
  return at ? at : folder;
}

static cz_status write_readme(const char *folder, const cz_few_shot *f, const cz_stage_output *out,
                              const json_t *scores, const char *teachers) {
  const cz_examples *e = f->examples;
  const cz_text_set test = cz_examples_part(e, 0);
  char path[4096];
  cz_buf text = {0};
  cz_status st;
  CZ_GO(st,
        cz_buf_addf(&text,
                    "# A classifier into %d labels\n\nMade by cloze (" CZ_VERSION "), seed "
                    "%" PRIu64 ", configuration %016" PRIx64 ", from the pretrained model %s and "
                    "what the members in %s say of unlabelled texts.\n\n## Data\n\n| | file | "
                    "texts | hash |\n|---|---|---|---|\n",
                    (int)e->classes, f->job.seed, out->config_hash, f->init, in_run(teachers)),
        done);
  CZ_GO(st, add_set(&text, "labelled", &e->t), done);
  CZ_GO(st, add_set(&text, "unlabelled", &e->d), done);
  CZ_GO(st, add_set(&text, "test", &test), done);
  if (f->keys.chosen)
    CZ_GO(st,
          cz_buf_addf(&text,
                      "\n%lld of the labelled texts are from %s, chosen by where the members in %s "
                      "disagree.\n",
                      (long long)f->keys.chosen, e->d.path, f->keys.chosen_by),
          done);
  CZ_GO(st, cz_buf_addf(&text, "\n## Labels\n\n"), done);
  CZ_GO(st, add_labels(&text, e->file), done);
  CZ_GO(st, cz_buf_addf(&text, "\n## Patterns\n\n"), done);
  CZ_GO(st, add_patterns(&text, e->file), done);
  CZ_GO(st, cz_buf_addf(&text, "\n## Scores\n\n"), done);
  CZ_GO(st, add_scores(&text, &test, scores), done);
  CZ_GO(st, cz_fs_join(path, sizeof path, folder, "README.md"), done);
  st = cz_fs_write_atomic(path, text.data, text.len);
done:
  cz_buf_free(&text);
  return st;
}

/** Adds to the model in FOLDER what makes it a classifier that is understood without this run: its
 * tokenizer, cloze_task.json, and README.md with the scores that OUT has under NAME. TEACHERS:
 * where its members lie. */
cz_status cz_student_complete(const char *folder, const cz_few_shot *f, const cz_stage_output *out,
                              const char *name, const char *teachers) {
  CZ_TRY(cz_task_file_write(folder, f->examples->file, (int64_t)f->examples->prompts->max_length));
  CZ_TRY(write_readme(folder, f, out, json_object_get(out->metrics, name), teachers));
  return cz_model_folder_take_tokenizer(f->tokenizer, f->init, folder);
}
