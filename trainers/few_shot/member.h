/* Members: models of one ensemble, each of which starts from the same pretrained weights, is
 * trained on texts of its own under its own pattern, and leaves its scores.
 *
 * What they share is made once in a process: the model and the net that scores. The pretrained
 * weights stay mapped, so that float32 numbers go from the page cache, which all processes share,
 * into the model, and no process has a second copy of them.
 * A member's random draws are keyed by seed, generation, pattern and repetition, so it is the same
 * wherever and in whatever order it is computed.
 *
 *   FOLDER/logits.h5      scores of all sets, accuracy before training, masked-LM losses; it is
 *                         there when the member is done
 *   FOLDER/lock           held by the process that computes it
 *   FOLDER/checkpoint.h5  while it is trained
 *   FOLDER/model          where it is kept (keep.h)
 *   FOLDER/metrics.jsonl, events.* */
#ifndef CZ_FEW_SHOT_MEMBER_H
#define CZ_FEW_SHOT_MEMBER_H

#include "few_shot/answers.h"
#include "few_shot/completions.h"
#include "few_shot/prepare.h"
#include "few_shot/scorer.h"
#include "few_shot/scores_file.h"
#include "objectives/masking.h"
#include "training/loop.h"

/* What the members of a stage have in common. Everything is borrowed. */
typedef struct cz_members_options {
  const cz_examples *examples;
  const cz_tokenizer *tokenizer;
  const char *init; /* folder of the pretrained model */
  cz_device *device;
  cz_comm *comm;   /* of the ranks that train one member together */
  cz_loop_job job; /* batch, optimizer, train, seed, config_hash, dropout_mask */
  bool classifier; /* the head is the classification head, and the texts stand as they are */
  bool causal;     /* the model is a causal LM, which says how likely texts with the words are */
  const cz_demonstrations *demonstrations; /* [patterns of the file], or null */
  bool soft;                               /* targets are probabilities of classes */
  double temperature;
  double lm;              /* alpha: the part of the loss that is masked language modelling */
  int64_t lm_examples;    /* of a batch, unlabelled texts for that */
  int64_t held_out;       /* texts whose masked-LM loss is taken before and after; 0: none */
  int64_t score_tokens;   /* of one run of the net that scores */
  cz_fill_order decoding; /* of answers of several tokens */
  cz_fidelity fidelity;
} cz_members_options;

typedef struct cz_members cz_members;

/* One of them. */
typedef struct cz_member_plan {
  int32_t pattern, repetition, generation; /* pattern -1: the texts as they stand */
  const char *model; /* folder that the trained model is left in, before the scores; null: none */
  const cz_prepared *train; /* as cz_members_prepare makes it; null: not trained */
  const double *offsets;    /* [C] of its pattern's calibration, or null: scores
                               before training are judged without them */
  bool calibrated_start;    /* the label words' biases start without them, too */
} cz_member_plan;

CZ_MUST cz_status cz_members_open(cz_members **m, const cz_members_options *options);
CZ_MUST cz_status cz_members_prepare(cz_members *m, cz_prepared *out, int32_t pattern,
                                     const cz_text_set *set, size_t i, const cz_wanted *wanted);
CZ_MUST cz_status cz_members_prepare_t(cz_members *m, cz_prepared *out, int32_t pattern);
CZ_MUST cz_status cz_members_score(cz_members *m, float *scores, int32_t pattern,
                                   const cz_text_set *set);
CZ_MUST cz_status cz_members_run(cz_members *m, const cz_member_plan *plan, const char *folder);
double cz_members_scored(const cz_members *m);
const cz_model *cz_members_model(const cz_members *m);
const cz_examples *cz_members_examples(const cz_members *m);
void cz_members_close(cz_members **m);

#endif
