/* Pretraining objectives: each file is a batch transform and its config keys; the list is objectives.def.
 *
 * A transform takes a raw piece of tokens and makes inputs and targets (reference t5.md 3). The loss head of all of these is cross-entropy over the
 * targets (and over the inputs too for single-stack models that ask for it), so a row only says which stack reads what. */
#ifndef CZ_TRAINERS_OBJECTIVE_H
#define CZ_TRAINERS_OBJECTIVE_H

#include "config/config.h"
#include "data/example.h"

/* What an objective must know about the tokenizer. */
typedef struct cz_vocabulary {
  int32_t size;           /* ids below this are drawn as random tokens: the tokenizer's size, sentinels included */
  int32_t pad, eos, unk;
  int32_t n_sentinels;    /* <extra_id_0> .. <extra_id_{n-1}> */
  int32_t first_sentinel; /* id of <extra_id_0>; <extra_id_k> is first_sentinel - k */
} cz_vocabulary;

typedef enum cz_fidelity { CZ_FIDELITY_PAPER, CZ_FIDELITY_CODE, CZ_FIDELITY_CORRECTED } cz_fidelity;

/* Every key any objective has; each objective's table names those it reads. */
typedef struct cz_objective_config {
  int64_t inputs_length, targets_length; /* caps with EOS, in tokens; targets_length 0: the objective's own */
  double noise_density, mean_noise_span_length, random_token_probability;
  int fidelity;
  uint64_t seed;
} cz_objective_config;

/* A configured objective; `self` of cz_corrupt_fn. */
typedef struct cz_objective {
  const struct cz_objective_row *row;
  cz_objective_config config;
  cz_vocabulary vocabulary;
  cz_cut cut;                        /* derived by the row's solve */
  int64_t inputs_cap, targets_cap;   /* tokens with EOS, derived */
} cz_objective;

typedef struct cz_objective_row {
  const char *name, *help;
  cz_section section;
  cz_status (*solve)(cz_objective *o); /* derives cut and caps from the configuration; refuses what can't work */
  cz_corrupt_fn corrupt;
} cz_objective_row;

#endif
