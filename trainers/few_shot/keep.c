#include "few_shot/keep.h"
#include "base/fs.h"
#include "base/new_folder.h"
#include "few_shot/candidates.h"
#include "few_shot/claims.h"

#include <stdlib.h>

const char *const cz_keep_names[] = {"logits", "best", "all", NULL};

/** The folder of the model that the member PLAN of STAGE may leave. */
cz_status cz_member_model_folder(char *out, size_t n, const char *stage,
                                 const cz_member_plan *plan) {
  char folder[4096];
  CZ_TRY(cz_member_folder(folder, sizeof folder, stage, plan));
  return cz_fs_join(out, n, folder, "model");
}

/* ACCURACY on T of the trained member PLAN; below 0 while it has no scores that can be read. */
static cz_status accuracy_of(double *accuracy, const cz_examples *e, const char *stage,
                             const cz_member_plan *plan) {
  char folder[4096], path[4096];
  cz_member_scores s = {0};
  *accuracy = -1;
  CZ_TRY(cz_member_folder(folder, sizeof folder, stage, plan));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, CZ_SCORES_FILE));
  if (!cz_fs_exists(path)) return CZ_OK;
  if (cz_member_scores_read(&s, e, folder) == CZ_OK)
    *accuracy = cz_text_set_accuracy(&e->t, s.t, e->classes);
  cz_error_clear(); /* damaged: it will be computed again */
  cz_member_scores_free(&s);
  return CZ_OK;
}

/** Removes the models of those members of STAGE, PLANS [n], that are done and beaten: which are
 * less often right on T after training than another one that is done, or as often and behind it in
 * the list. *BEST is that other one; N when none is done. E has texts in T. One that is beaten
 * stays so, so processes that finish members may all do it. */
cz_status cz_keep_best(const cz_examples *e, const char *stage, const cz_member_plan *plans,
                       size_t n, size_t *best) {
  double *accuracy, most = -1;
  cz_status st = CZ_OK;
  *best = n;
  CZ_TRY(cz_alloc(&accuracy, n, sizeof *accuracy));
  for (size_t i = 0; i < n && st == CZ_OK; i++) {
    st = accuracy_of(&accuracy[i], e, stage, &plans[i]);
    if (accuracy[i] > most) most = accuracy[i], *best = i;
  }
  for (size_t i = 0; i < n && st == CZ_OK; i++) {
    char model[4096];
    if (i == *best || accuracy[i] < 0) continue;
    st = cz_member_model_folder(model, sizeof model, stage, &plans[i]);
    if (st == CZ_OK) st = cz_folder_remove(model);
  }
  free(accuracy);
  return st;
}
