/* An ensemble as a stage has left it in its folder, and what a member of the next generation is
 * trained on because of it (docs/pet.md 2). */
#ifndef CZ_FEW_SHOT_GENERATION_H
#define CZ_FEW_SHOT_GENERATION_H

#include "ensemble/sets.h"
#include "few_shot/claims.h"

/* The scores of all members, and views of them as ensembles on each set. */
typedef struct cz_generation {
  const cz_examples *examples;      /* borrowed */
  cz_member_scores *scores;         /* [n] */
  cz_member *on_t, *on_d, *on_test; /* [n], in ascending order of pattern and repetition */
  int32_t *patterns, *repetitions;  /* [n] */
  size_t n;
} cz_generation;

CZ_MUST cz_status cz_generation_read(cz_generation *g, const cz_examples *e, const char *folder,
                                     const cz_member_plan *plans, size_t n);
cz_ensemble cz_generation_on(const cz_generation *g, const cz_text_set *set);
CZ_MUST cz_status cz_generation_weights(double **weights, const cz_generation *g,
                                        cz_weighting weighting, cz_fidelity fidelity);
CZ_MUST cz_status cz_generation_mean(float *mean, const cz_generation *g, const cz_text_set *set,
                                     const double *weights);
void cz_generation_free(cz_generation *g);

/* Of a stage's folder: its generation, and its members' patterns and repetitions. */
#define CZ_MEMBERS_FILE "members.json"
CZ_MUST cz_status cz_generation_note(const char *folder, int32_t generation,
                                     const cz_member_plan *plans, size_t n);
CZ_MUST cz_status cz_generation_noted(const char *folder, int32_t *generation,
                                      cz_member_plan **plans, size_t *n);

CZ_MUST cz_status cz_generation_texts(cz_prepared *out, cz_members *m, const cz_ipet *settings,
                                      const cz_generation *before, size_t member,
                                      const cz_member_plan *plan);

#endif
