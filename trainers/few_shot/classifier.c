#include "few_shot/classifier.h"
#include "ensemble/ensemble.h"
#include "few_shot/shape.h"
#include "few_shot/task_file.h"
#include "metrics/jsonl.h"
#include "nn/hf.h"
#include "recipe/recipe.h"

#include <inttypes.h>
#include <stdlib.h>

/* The model with its head, which must have been saved with it, and as many classes as labels. */
static cz_status open_model(cz_classifier *c, const char *folder, cz_device *device) {
  const cz_hf_options hf = {.heads = CZ_HEAD_BIT(CZ_HEAD_CLASSIFICATION)};
  CZ_TRY(cz_hf_open_with(&c->model, folder, device, &hf));
  if (c->model->drawn)
    return CZ_FAIL(CZ_EUSAGE, "%s has no classification head: nothing was trained to answer",
                   folder);
  if (c->model->config.n_labels != cz_member_shape_numbers(c->file))
    return CZ_FAIL(
        CZ_EINVAL, "%s: the model has %lld classes, cloze_task.json %zu labels%s", folder,
        (long long)c->model->config.n_labels, c->file->n_labels,
        c->file->input == CZ_INPUT_CHOICE ? ", which are chosen among by one number for each" : "");
  return CZ_OK;
}

static cz_status check_sizes(const cz_classifier *c, const char *folder, int64_t max_length) {
  const int64_t longest = cz_model_longest(&c->model->config);
  CZ_TRY(cz_recipe_ids_fit(c->tokenizer, &c->model->config, folder));
  if (longest && max_length > longest)
    return CZ_FAIL(CZ_EINVAL,
                   "%s: max_length of cloze_task.json is %lld tokens, the model has %lld positions",
                   folder, (long long)max_length, (long long)longest);
  return CZ_OK;
}

static cz_status open_scorer(cz_classifier *c, int64_t max_length, int64_t batch_tokens) {
  cz_member_shape s = {.classifier = true,
                       .classes = (int64_t)c->file->n_labels,
                       .width = 1,
                       .max_length = max_length,
                       .score_tokens = batch_tokens};
  cz_member_shape_plain(&s, c->file);
  return cz_member_shape_scorer(&c->scorer, c->model, &s);
}

/** Opens the classifier in FOLDER on DEVICE, which is borrowed; BATCH_TOKENS go into one run of its
 * graph, or one longest input. CZ_EUSAGE and CZ_EINVAL that say what the folder lacks, or which of
 * its parts do not fit. The caller closes it. */
cz_status cz_classifier_open(cz_classifier **c, const char *folder, cz_device *device,
                             int64_t batch_tokens) {
  int64_t max_length;
  cz_status st;
  CZ_TRY(cz_alloc(c, 1, sizeof **c));
  cz_classifier *x = *c;
  CZ_GO(st, cz_task_file_read(&x->file, &max_length, folder), fail);
  CZ_GO(st, open_model(x, folder, device), fail);
  CZ_GO(st, cz_tokenizer_open(&x->tokenizer, folder), fail);
  CZ_GO(st, check_sizes(x, folder, max_length), fail);
  CZ_GO(st,
        cz_prompts_create_for(&x->prompts, x->file, x->tokenizer, max_length,
                              cz_reader_of(&x->model->config)),
        fail);
  CZ_GO(st, cz_prompt_texts_create(&x->texts, x->prompts), fail);
  x->preparer = (cz_preparer){.config = &x->model->config};
  cz_preparer_plain(&x->preparer, x->prompts);
  CZ_GO(st, open_scorer(x, max_length, batch_tokens), fail);
  return CZ_OK;
fail:
  cz_classifier_close(c);
  return st;
}

/** Adds RECORD, number inputs.count before the call, whose texts are not needed any more then.
 * CZ_EINVAL for a text that the tokenizer or its length does not allow; it is not added, and others
 * can be. */
cz_status cz_classifier_add(cz_classifier *c, const cz_record *record) {
  CZ_TRY(cz_prompt_texts_add(c->texts, record));
  const cz_text_set set = {.texts = c->texts, .n = c->texts->n};
  return cz_prepare_text(&c->preparer, &c->inputs, &set, set.n - 1, NULL);
}

/** Computes chance [inputs.count, C]. CZ_ENUMERIC as cz_scorer_run. */
cz_status cz_classifier_run(cz_classifier *c) {
  const size_t n = c->inputs.count * c->file->n_labels;
  CZ_TRY(cz_grow(&c->scores, &c->scores_cap, n, sizeof *c->scores));
  CZ_TRY(cz_grow(&c->wide, &c->wide_cap, n, sizeof *c->wide));
  CZ_TRY(cz_grow(&c->chance, &c->chance_cap, n, sizeof *c->chance));
  CZ_TRY(cz_scorer_run(c->scorer, c->scores, &c->inputs));
  for (size_t i = 0; i < n; i++) c->wide[i] = c->scores[i];
  if (n) cz_scores_softmax(c->chance, c->wide, c->inputs.count, (int32_t)c->file->n_labels, 1);
  return CZ_OK;
}

/** Forgets the records; room is kept. */
void cz_classifier_clear(cz_classifier *c) {
  cz_prompt_texts_clear(c->texts);
  cz_prepared_free(&c->inputs);
}

/** Closes the classifier, clears the pointer, accepts null. */
void cz_classifier_close(cz_classifier **c) {
  cz_classifier *x = *c;
  if (!x) return;
  cz_scorer_destroy(&x->scorer);
  cz_prepared_free(&x->inputs);
  cz_preparer_free(&x->preparer);
  cz_prompt_texts_destroy(&x->texts);
  cz_prompts_destroy(&x->prompts);
  cz_patterns_close(&x->file);
  cz_tokenizer_destroy(&x->tokenizer);
  cz_model_destroy(&x->model);
  free(x->scores);
  free(x->wide);
  free(x->chance);
  free(x);
  *c = NULL;
}

/** Appends the answer to row ROW, whose labels have the probabilities P: the likeliest label, the
 * first of equal ones, or none where its probability is below ABSTAIN. */
cz_status cz_answer_add(cz_buf *out, int64_t row, const cz_pattern_file *file, const double *p,
                        double abstain) {
  const int32_t best = cz_scores_label(p, (int32_t)file->n_labels);
  CZ_TRY(cz_buf_addf(out, "{\"row\": %" PRId64 ", \"label\": ", row));
  if (p[best] < abstain)
    CZ_TRY(cz_buf_addf(out, "null"));
  else
    CZ_TRY(cz_jsonl_quote(out, file->labels[best]));
  CZ_TRY(cz_buf_addf(out, ", \"probabilities\": {"));
  for (size_t i = 0; i < file->n_labels; i++) {
    if (i) CZ_TRY(cz_buf_addf(out, ", "));
    CZ_TRY(cz_jsonl_quote(out, file->labels[i]));
    CZ_TRY(cz_buf_addf(out, ": %.9g", p[i])); /* as many digits as a score in float32 has */
  }
  return cz_buf_addf(out, "}}\n");
}
