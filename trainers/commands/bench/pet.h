/* What `cloze bench step --task pet` computes: the step of a member of PET on 16 texts, or the
 * scores of 512, by the nets that members have (few_shot/shape.h). */
#ifndef CZ_BENCH_PET_H
#define CZ_BENCH_PET_H

#include "few_shot/shape.h"

enum { CZ_BENCH_PET_TEXTS = 16, CZ_BENCH_PET_SCORED = 512, CZ_BENCH_PET_CLASSES = 5 };

/* Texts of random tokens, and what runs on them. Zero-initialise; free with cz_bench_pet_close. */
typedef struct cz_bench_pet {
  cz_prepared texts;
  int64_t tokens; /* of all texts */
  int32_t words[CZ_BENCH_PET_CLASSES];
  cz_source source;    /* to train: */
  cz_batches *batches; /* whose first one is fed again and again */
  cz_net_head_feed heads[CZ_NET_HEADS];
  cz_scorer *scorer; /* to score: */
  float *scores;     /* [texts, classes] */
} cz_bench_pet;

CZ_MUST cz_status cz_bench_pet_config(cz_model_config *config, const char *name);
CZ_MUST cz_status cz_bench_pet_train(cz_bench_pet *p, cz_net **net, cz_feed *feed, cz_model *model,
                                     cz_precision precision, bool recompute);
CZ_MUST cz_status cz_bench_pet_open_scorer(cz_bench_pet *p, cz_model *model);
CZ_MUST cz_status cz_bench_pet_score(cz_bench_pet *p);
void cz_bench_pet_close(cz_bench_pet *p);

#endif
