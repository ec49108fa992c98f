/* The inside of the kind `classify`: its keys, what they say of a stage, and its state. */
#ifndef CZ_STAGES_CLASSIFY_H
#define CZ_STAGES_CLASSIFY_H

#include "few_shot/generation.h"
#include "stages/estimate.h"
#include "stages/few_shot.h"

/* In the order of the strategies' table (classify_keys.c); null-terminated. */
extern const char *const cz__strategy_names[];

typedef struct cz__classify_keys {
  int strategy, weights, calibrate, balance, fidelity, decoding, keep;
  bool calibrated_start;
  const char *patterns, *from;
  int64_t repetitions, lm_examples, held_out, score_tokens, demonstrations;
  int64_t target, first, likely;
  double lm, scale, share, strength;
} cz__classify_keys;

/* A stage's configuration and what it works on. */
typedef struct cz__classifying {
  cz__classify_keys keys;
  cz_few_shot f;
  cz_members *members;
  cz_demonstrations *demonstrations; /* [patterns of the file] of the examples; or null */
  cz_member_plan *plans;
  size_t n;
  int32_t generation;
  cz_ipet ipet;
  cz_member_plan *earlier; /* of the generation before */
  cz_generation before;
  double *offsets; /* [patterns of the file, C] */
  double scored;   /* tokens, for the offsets */
} cz__classifying;

bool cz__classify_prompts(const cz__classifying *c);
bool cz__classify_encodes(const cz__classifying *c);
bool cz__classify_trains(const cz__classifying *c);
bool cz__classify_only_asks(const cz__classifying *c);
CZ_MUST cz_status cz__classify_bind(cz__classifying *c, const cz_recipe *recipe,
                                    uint64_t config_hash);
CZ_MUST cz_status cz__classify_input(const cz__classifying *c, const cz_pattern_file *file);
CZ_MUST cz_status cz__classify_patterns(int32_t **list, size_t *n, const cz__classifying *c,
                                        const cz_pattern_file *file, const cz_recipe *recipe);
CZ_MUST cz_status cz__classify_cost(cz_cost *cost, const cz_recipe *recipe);

#endif
