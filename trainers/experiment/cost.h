/* What an experiment would cost, before it runs. */
#ifndef CZ_EXPERIMENT_COST_H
#define CZ_EXPERIMENT_COST_H

#include "experiment/experiment.h"

typedef struct cz_stage_cost {
  double steps;
  double segments, inputs, targets; /* examples in a step, and their mean tokens */
  double tokens, flop;              /* of all steps */
  bool assumed_vocabulary;          /* the tokenizer is not there: the model's default vocabulary */
  bool assumed_lengths; /* the tasks' files are not there: every example as long as the batch allows
                         */
} cz_stage_cost;

CZ_MUST cz_status cz_cost_stage(cz_stage_cost *cost, const cz_plan_stage *stage);

#endif
