/* What the stages that classify from a few texts share: their examples, the pretrained folder, the
 * training job, and what an ensemble leaves in the stage's folder. */
#ifndef CZ_STAGES_FEW_SHOT_H
#define CZ_STAGES_FEW_SHOT_H

#include "few_shot/generation.h"
#include "few_shot/shape.h"
#include "stages/check.h"
#include "stages/stage.h"

typedef struct cz_few_shot {
  cz_examples_keys keys;
  cz_loop_job job;        /* of a stage that trains; else its seed and hash alone */
  const char *init;       /* folder of the pretrained model; borrowed */
  cz_head head;           /* that answers: label words want masked LM */
  bool by_causal;         /* a causal LM may answer as well */
  bool causal;            /* and it does: told when the model's config.json is read */
  cz_model_config config; /* of that folder */
  bool mean;              /* no head does, but the mean of the text's states */
  cz_reader_kind reader;  /* how texts are read; known as `config` is */
  cz_tokenizer *tokenizer;
  cz_examples *examples;
  cz_comm *alone; /* the process by itself: ranks compute members of their own */
} cz_few_shot;

CZ_MUST cz_status cz_few_shot_bind(cz_few_shot *f, const cz_recipe *recipe, const char *what,
                                   uint64_t config_hash, bool trains);
CZ_MUST cz_status cz_few_shot_follow(cz_few_shot *f, const cz_recipe *recipe, cz_fidelity fidelity);
bool cz_few_shot_asks_causal(const cz_few_shot *f, const cz_family *family);
CZ_MUST cz_status cz_few_shot_open(cz_few_shot *f, const cz_recipe *recipe, cz_session *s);
CZ_MUST cz_status cz_few_shot_fit(const cz_few_shot *f, const cz_member_plan *plans, size_t n);
/* TRAINED: of members that are, null where none is; its classes and words need not be known. */
CZ_MUST cz_status cz_few_shot_check(cz_check *check, const cz_recipe *recipe, cz_few_shot *f,
                                    const cz_member_shape *trained);
cz_reader_kind cz_few_shot_reader(const cz_few_shot *f, const cz_model_config *config);
CZ_MUST cz_status cz_few_shot_results(cz_check *check, const cz_examples_keys *keys,
                                      const char *name);
void cz_few_shot_judged(char *out, size_t n, const char *name, const char *part);
cz_members_options cz_few_shot_members(const cz_few_shot *f, cz_session *s);
CZ_MUST cz_status cz_few_shot_compute(cz_few_shot *f, cz_session *s, cz_members *members,
                                      const cz_member_list *list, const char *kind);
void cz_few_shot_close(cz_few_shot *f);

/* How the members of a stage are put together, and under which names that stands in its result:
 *
 *     members     [{pattern, repetition, generation, zero_shot, accuracy, heldout_mlm_before,
 *                 heldout_mlm_after}]
 *     steps, input_tokens, target_tokens, scored_tokens
 *                 what all members took together, target_tokens 0: updates, tokens of the
 *                 texts that were trained on, and of those that were only read; nothing twice
 *                 that was done twice because of a kill or by several processes
 *     agreement   {best, worst, mean, deviation, pairs, kappa} of members on the test set
 *     NAME        of the ensemble: scores and simple programs as every task's, and accuracy,
 *                 macro_f1, ece, coverage, abstain_for, abstain, reliability, shares
 *                 (few_shot/summary.h)
 *     calibrated  the same of the ensemble whose members' scores are less their offsets */
typedef struct cz_ensemble_report {
  const char *name;
  cz_weighting weighting;
  cz_fidelity fidelity;
  int32_t generation;
  const cz_member_plan *plans;
  const double *offsets; /* [patterns of the file, C]; null: nothing calibrated */
  double scored;         /* tokens that were scored for all members together */
} cz_ensemble_report;

CZ_MUST cz_status cz_ensemble_write(cz_stage_output *out, const cz_generation *g,
                                    const cz_ensemble_report *report);

#endif
