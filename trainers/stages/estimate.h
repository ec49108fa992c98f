/* What a stage costs: predicted before it runs, or measured after. */
#ifndef CZ_STAGES_ESTIMATE_H
#define CZ_STAGES_ESTIMATE_H

#include "recipe/recipe.h"

/* Of one stage, or the sum over the stages of a row. Zero is nothing. */
typedef struct cz_cost {
  double steps;            /* optimizer updates */
  double tokens;           /* read and written in training */
  double flop;             /* predicted */
  double seconds;          /* measured */
  size_t seeds;            /* of a row: how many finished seeds it is the mean of */
  double segments;         /* of one stage: examples in a step, ... */
  double inputs, targets;  /* ... and their mean tokens, EOS included */
  bool assumed_vocabulary; /* without the tokenizer's file: the model's default vocabulary */
  bool assumed_lengths;    /* without the tasks' files: examples as long as the batch allows */
} cz_cost;

/* FLOP are those of training's matrix products, forward and backward (training/flops.h);
 * decoding and reading are not counted. caps gives the maximum lengths of an example that
 * a recipe's batches take. */
void cz_cost_add(cz_cost *sum, const cz_cost *one);
CZ_MUST cz_status cz_cost_caps(double *inputs, double *targets, const cz_recipe *recipe);
CZ_MUST cz_status cz_cost_training(cz_cost *cost, const cz_recipe *recipe);

#endif
