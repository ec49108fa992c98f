/* A classifier in a folder, as a stage `distill` leaves it, and its answers: records become inputs
 * as they did in training, and each gets a probability a label. */
#ifndef CZ_FEW_SHOT_CLASSIFIER_H
#define CZ_FEW_SHOT_CLASSIFIER_H

#include "few_shot/prepare.h"
#include "few_shot/scorer.h"

/* Made by open, freed by close; what it holds is its own. */
typedef struct cz_classifier {
  cz_model *model;
  cz_tokenizer *tokenizer;
  cz_pattern_file *file; /* of cloze_task.json: fields, columns, labels; no patterns */
  cz_prompts *prompts;
  cz_scorer *scorer;
  /* the records that were added since the last clear */
  cz_prompt_texts *texts;
  cz_preparer preparer;
  cz_prepared inputs;
  float *scores;         /* [n, C] */
  double *wide, *chance; /* [n, C] scores in double precision, and probabilities */
  size_t scores_cap, wide_cap, chance_cap;
} cz_classifier;

CZ_MUST cz_status cz_classifier_open(cz_classifier **c, const char *folder, cz_device *device,
                                     int64_t batch_tokens);
CZ_MUST cz_status cz_classifier_add(cz_classifier *c, const cz_record *record);
CZ_MUST cz_status cz_classifier_run(cz_classifier *c);
void cz_classifier_clear(cz_classifier *c);
void cz_classifier_close(cz_classifier **c);

/* A line of predictions.jsonl. */
CZ_MUST cz_status cz_answer_add(cz_buf *out, int64_t row, const cz_pattern_file *file,
                                const double *p, double abstain);

#endif
