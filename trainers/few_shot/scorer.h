/* A model's scores of prepared texts: a net without a loss, made once and used for every set and
 * every member, since weights are replaced in place. */
#ifndef CZ_FEW_SHOT_SCORER_H
#define CZ_FEW_SHOT_SCORER_H

#include "data/prepared.h"
#include "nn/net.h"

typedef struct cz_scorer cz_scorer;

/* What reads the rows of the texts, and how many tokens go into one run of the graph. */
typedef struct cz_scorer_options {
  cz_net_head_kind head; /* LABEL_WORDS or CLASSIFIER */
  int64_t classes, words;
  int64_t texts;                    /* of a record, which the classifier puts together; 0: one */
  bool choice;                      /* and chooses among */
  int64_t max_length, batch_tokens; /* of a record; batch_tokens at least that */
} cz_scorer_options;

CZ_MUST cz_status cz_scorer_create(cz_scorer **s, cz_model *model,
                                   const cz_scorer_options *options);
CZ_MUST cz_status cz_scorer_words(cz_scorer *s, const int32_t *words);
CZ_MUST cz_status cz_scorer_run(cz_scorer *s, float *scores, const cz_prepared *set);
const cz_net *cz_scorer_net(const cz_scorer *s);
void cz_scorer_destroy(cz_scorer **s);

#endif
