/* What a stage costs: predicted before it runs, or measured after. Training and the reading of
 * texts that are only scored stand apart: `tokens` and `flop` are those of training. */
#ifndef CZ_STAGES_ESTIMATE_H
#define CZ_STAGES_ESTIMATE_H

#include "recipe/recipe.h"

/* Of one stage, or the sum over the stages of a row. Zero is nothing. */
typedef struct cz_cost {
  double steps;            /* optimizer updates */
  double tokens;           /* read and written in training */
  double flop;             /* predicted */
  double scored;           /* tokens of texts that a few-shot stage reads to score them */
  double scoring_flop;     /* predicted */
  double seconds;          /* measured */
  size_t seeds;            /* of a row: how many finished seeds it is the mean of */
  double segments;         /* of one stage: examples in a step, ... */
  double inputs, targets;  /* ... and their mean tokens, EOS included */
  bool assumed_vocabulary; /* without the tokenizer's file: the model's default vocabulary */
  bool assumed_lengths;    /* without the tasks' files: examples as long as the batch allows */
  bool assumed_texts;      /* without texts or tokenizer: texts as long as examples.max_length */
  bool assumed_sizes;      /* a set, or the patterns, whose number nothing tells: none, or one */
  bool assumed_model;      /* of a folder that is not there: the size that its name has */
  bool unknown_model;      /* ... and its name is no model's: FLOP are not known */
  /* given by who asks, of one stage */
  int32_t generation;           /* of iPET: how many stages of its kind it learns from in turn */
  const cz_model_config *model; /* that `init: $STAGE` will be; null: `init` is a folder */
} cz_cost;

/* FLOP are those of matrix products, in training forward and backward (training/flops.h);
 * decoding is not counted. caps gives the maximum lengths of an example that
 * a recipe's batches take. */
void cz_cost_add(cz_cost *sum, const cz_cost *one);
CZ_MUST cz_status cz_cost_caps(double *inputs, double *targets, const cz_recipe *recipe);
CZ_MUST cz_status cz_cost_training(cz_cost *cost, const cz_recipe *recipe);

#endif
