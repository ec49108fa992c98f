/* What somebody without prompts would do: a frozen sentence encoder (the mean of the last states of
 * a text, of length 1), and logistic regression on the vectors of T. It leaves what a member
 * leaves, so that ensembles, reports and students take it as one. */
#ifndef CZ_FEW_SHOT_ENCODER_H
#define CZ_FEW_SHOT_ENCODER_H

#include "few_shot/examples.h"
#include "nn/model.h"

typedef struct cz_encoder_options {
  const cz_examples *examples; /* borrowed, as all that follows */
  const char *init;            /* folder of the encoder */
  cz_device *device;
  cz_precision precision;
  uint64_t seed;        /* of heads that the folder does not have, which nothing reads */
  int64_t score_tokens; /* of one run of the net */
  double strength;      /* of the regression: scikit-learn's C */
} cz_encoder_options;

CZ_MUST cz_status cz_encoder_run(const cz_encoder_options *options, const char *folder);

#endif
