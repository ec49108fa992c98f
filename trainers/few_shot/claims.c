#include "few_shot/claims.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/stop.h"
#include "checkpoint/checkpoint.h"

#include <dirent.h>
#include <stdio.h>
#include <time.h>

/** The folder of the member PLAN below that of its STAGE: members/p2-r1, members/plain-r1. */
cz_status cz_member_folder(char *out, size_t n, const char *stage, const cz_member_plan *plan) {
  char name[64];
  if (plan->pattern < 0)
    snprintf(name, sizeof name, "members/plain-r%d", plan->repetition);
  else
    snprintf(name, sizeof name, "members/p%d-r%d", plan->pattern, plan->repetition);
  return cz_fs_join(out, n, stage, name);
}

/* Whether the member NAME of those in FOLDER has left scores, or what training goes on from. */
static bool has_begun(const char *folder, const char *name) {
  char member[4096], scores[4096];
  if (cz_fs_join(member, sizeof member, folder, name) != CZ_OK ||
      cz_fs_join(scores, sizeof scores, member, CZ_SCORES_FILE) != CZ_OK)
    return cz_error_clear(), false;
  return cz_fs_exists(scores) || cz_checkpoint_exists(member);
}

/** Whether something was computed of a member of STAGE, a folder, whatever its configuration was.
 */
bool cz_members_begun(const char *stage) {
  char folder[4096];
  bool begun = false;
  if (cz_fs_join(folder, sizeof folder, stage, "members") != CZ_OK) return cz_error_clear(), false;
  DIR *d = opendir(folder);
  for (const struct dirent *e; d && !begun && (e = readdir(d));)
    begun = e->d_name[0] != '.' && has_begun(folder, e->d_name);
  if (d) closedir(d);
  return begun;
}

/** Whether the member in FOLDER has left scores of the texts of E; damaged ones are made anew,
 * which whoever makes them SAYS. */
bool cz_member_is_done(const cz_examples *e, const char *folder, bool says) {
  cz_member_scores scores;
  char path[4096];
  if (cz_fs_join(path, sizeof path, folder, CZ_SCORES_FILE) != CZ_OK || !cz_fs_exists(path))
    return cz_error_clear(), false;
  bool good = cz_member_scores_read(&scores, e, folder) == CZ_OK;
  cz_member_scores_free(&scores);
  if (!good && says) cz_warn("%s; the member is computed again", cz_error_message());
  cz_error_clear();
  return good;
}

/* Of the models that are there the best one stays. */
static cz_status drop_beaten(cz_members *m, const cz_member_list *l) {
  size_t best;
  if (l->keep != CZ_KEEP_BEST) return CZ_OK;
  return cz_keep_best(cz_members_examples(m), l->folder, l->plans, l->n, &best);
}

static cz_status compute_one(cz_members *m, const cz_member_list *l, size_t i, const char *folder) {
  cz_member_plan plan = l->plans[i];
  cz_prepared texts = {0};
  char model[4096];
  cz_status st = l->train_of ? l->train_of(l->self, &texts, i) : CZ_OK;
  if (l->train_of && texts.count) plan.train = &texts;
  if (st == CZ_OK && l->keep != CZ_KEEP_LOGITS && !plan.model) {
    st = cz_member_model_folder(model, sizeof model, l->folder, &plan);
    plan.model = model;
  }
  if (st == CZ_OK) st = cz_members_run(m, &plan, folder);
  cz_prepared_free(&texts);
  return st == CZ_OK ? drop_beaten(m, l) : st;
}

/* What a process that was killed right behind a member's scores has left of it. */
static cz_status tidy(cz_members *m, const cz_member_list *l) {
  char folder[4096];
  for (size_t i = 0; i < l->n; i++) {
    CZ_TRY(cz_member_folder(folder, sizeof folder, l->folder, &l->plans[i]));
    CZ_TRY(cz_checkpoint_remove(folder));
  }
  return drop_beaten(m, l);
}

/* Computes member I unless it is done or somebody else holds it, which leaves it *OPEN. */
static cz_status take(cz_members *m, const cz_member_list *l, size_t i, const cz_examples *e,
                      bool *open) {
  char folder[4096], path[4096];
  int lock = -1;
  *open = false;
  CZ_TRY(cz_member_folder(folder, sizeof folder, l->folder, &l->plans[i]));
  if (cz_member_is_done(e, folder, false)) return CZ_OK;
  CZ_TRY(cz_fs_make_dirs(folder));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "lock"));
  cz_status st = cz_fs_lock(path, &lock);
  if (st == CZ_EBUSY) {
    cz_error_clear();
    *open = true;
    return CZ_OK;
  }
  CZ_TRY(st);
  if (!cz_member_is_done(e, folder, true)) /* it may have ended meanwhile */
    st = compute_one(m, l, i, folder);
  cz_fs_unlock(&lock);
  return st;
}

/** Computes the members of LIST that are not done, each by one process; returns when all of them
 * are, whoever computed them. Errors of this process's members only; CZ_EINTERRUPT after a
 * signal. */
cz_status cz_members_compute(cz_members *m, const cz_member_list *l) {
  const struct timespec moment = {.tv_nsec = 50000000};
  const cz_examples *e = cz_members_examples(m);
  for (;;) {
    size_t left = 0;
    for (size_t i = 0; i < l->n; i++) {
      bool open;
      CZ_TRY(cz_stop_check("members"));
      CZ_TRY(take(m, l, i, e, &open));
      left += open;
    }
    if (!left) return tidy(m, l);
    nanosleep(&moment, NULL);
  }
}
