/* What a few-shot stage will cost: its texts as its members read them, counted one by one where
 * data and model are there. Where they are not, the sets have the sizes that the keys say, and a
 * text is as long as examples.max_length, which is an upper bound. */
#ifndef CZ_STAGES_FEW_SHOT_COST_H
#define CZ_STAGES_FEW_SHOT_COST_H

#include "ensemble/calibrate.h"
#include "stages/estimate.h"
#include "stages/few_shot.h"

typedef enum cz_counted_set {
  CZ_COUNT_T,
  CZ_COUNT_D,
  CZ_COUNT_TEST,
  CZ_COUNTED_SETS
} cz_counted_set;

/* What texts are read for. Under a pattern with several masks scoring reads one several times, and
 * training, on its labels or as masked LM, once (docs/pet.md 3.3). */
typedef enum cz_read_for { CZ_READ_TO_SCORE, CZ_READ_TO_TRAIN, CZ_READ_MASKED } cz_read_for;

typedef struct cz_few_shot_cost {
  cz_cost *cost;  /* that is being filled; borrowed */
  cz_few_shot *f; /* its examples are opened where everything is there; borrowed */
  double texts[CZ_COUNTED_SETS];
  double first_test;           /* of the test texts, those of the first file */
  double chosen;               /* of T, texts that a stage will choose from D */
  cz_pattern_file *own;        /* where there are no examples but the pattern file */
  const cz_pattern_file *file; /* null: it is not there */
  /* set by who opens */
  bool parallel;                           /* the masks of an answer are filled in at once */
  bool encodes;                            /* the mean over all tokens is read, not single rows */
  const cz_demonstrations *demonstrations; /* [patterns] in front of texts; or null */
  cz_model_config config;                  /* without sizes where cost->unknown_model */
} cz_few_shot_cost;

/* Reading some texts once, forward. */
typedef struct cz_reading {
  double texts, tokens, flop;
} cz_reading;

CZ_MUST cz_status cz_few_shot_cost_open(cz_few_shot_cost *x, cz_cost *cost, cz_few_shot *f,
                                        const cz_recipe *recipe);
CZ_MUST cz_status cz_few_shot_cost_read(cz_reading *out, const cz_few_shot_cost *x,
                                        cz_counted_set set, int32_t pattern, cz_read_for purpose);
CZ_MUST cz_status cz_few_shot_cost_offsets(const cz_few_shot_cost *x, cz_calibrate kind,
                                           int32_t pattern);
CZ_MUST cz_status cz_few_shot_cost_held_out(const cz_few_shot_cost *x, double n, double models);
CZ_MUST cz_status cz_few_shot_cost_read_padded(cz_reading *out, const cz_few_shot_cost *x,
                                               cz_counted_set set, int32_t pattern);
CZ_MUST cz_status cz_few_shot_cost_generation(cz_reading *labelled, const cz_few_shot_cost *x,
                                              const cz_reading *d, const char *from,
                                              const cz_ipet *ipet);
void cz_few_shot_cost_score(const cz_few_shot_cost *x, const cz_reading *texts, double times);
void cz_few_shot_cost_train(const cz_few_shot_cost *x, double models, const cz_reading *labelled,
                            const cz_reading *unlabelled, double unlabelled_a_step);
void cz_few_shot_cost_close(cz_few_shot_cost *x);

#endif
