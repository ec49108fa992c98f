/* The nets that members of one shape share, and `cloze bench step --task pet` times: the one that
 * trains, as a job of the training loop, and the one that scores. */
#ifndef CZ_FEW_SHOT_SHAPE_H
#define CZ_FEW_SHOT_SHAPE_H

#include "few_shot/scorer.h"
#include "prompts/patterns.h"
#include "text/tokenizer.h"
#include "training/loop.h"

typedef struct cz_member_shape {
  bool classifier; /* the head is the classification head */
  bool generates;  /* the masks' tokens are the targets, of the whole vocabulary */
  bool soft;       /* targets are probabilities of classes */
  double temperature;
  double lm;              /* the part of the loss that is masked language modelling; 0: none */
  int64_t classes;        /* C */
  int64_t width;          /* W: the most words that a label has */
  int64_t masks;          /* M of the pattern to train with, where labels are answers */
  int64_t max_length;     /* tokens of a text, special ones included */
  int64_t texts;          /* of a record, which the classifier puts together; 0: one */
  bool choice;            /* and chooses among; else it adds them up */
  int64_t score_tokens;   /* of one run of the net that scores */
  const int32_t *words;   /* [C, W] of label words; borrowed, as answers are */
  const int32_t *answers; /* [sets, C, M] tokens, behind the last of each -1; null: label words */
  int64_t sets;           /* of answers: 1, or one for each text that is trained on */
} cz_member_shape;

void cz_member_shape_job(cz_loop_job *job, const cz_member_shape *shape);
void cz_member_shape_plain(cz_member_shape *shape, const cz_pattern_file *file);
int64_t cz_member_shape_numbers(const cz_pattern_file *file);
int64_t cz_member_shape_run(const cz_member_shape *shape);
CZ_MUST cz_status cz_masked_lm_check(const char *folder, const cz_tokenizer *tokenizer);
CZ_MUST cz_status cz_member_shape_scorer(cz_scorer **scorer, cz_model *model,
                                         const cz_member_shape *shape);

#endif
