/* The members of a stage, computed by whoever is there: the processes of a stage, be they ranks of
 * an MPI job or started beside one another, go through the members in one order and take each that
 * nobody holds and that is not done. A member is claimed by the lock of its folder, which ends with
 * the process that holds it. */
#ifndef CZ_FEW_SHOT_CLAIMS_H
#define CZ_FEW_SHOT_CLAIMS_H

#include "few_shot/keep.h"

/* What a stage's members are, in ascending order of pattern and repetition. */
typedef struct cz_member_list {
  const char *folder; /* of the stage; members lie in FOLDER/members */
  cz_member_plan *plans;
  size_t n;
  cz_keep keep; /* BEST: T has texts */
  /* Fills OUT with the training texts of member I; null: they are not trained. */
  cz_status (*train_of)(void *self, cz_prepared *out, size_t i);
  void *self;
} cz_member_list;

CZ_MUST cz_status cz_member_folder(char *out, size_t n, const char *stage,
                                   const cz_member_plan *plan);
bool cz_member_is_done(const cz_examples *e, const char *folder, bool says);
bool cz_members_begun(const char *stage);
CZ_MUST cz_status cz_members_compute(cz_members *m, const cz_member_list *list);

#endif
