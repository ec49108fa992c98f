/* The stages of a run: one after another, or by several processes at once.
 *
 * Processes are equal. Each goes through the plan and takes what it can: a stage that is not done,
 * whose earlier stages are, and which nobody holds: FOLDER/claim is locked by who runs it. Who
 * finds none helps at a stage that somebody holds, where that has members, and else waits. Locks
 * end with their process, however that ends, and no process needs to know of another. */
#include "base/fs.h"
#include "base/log.h"
#include "base/stop.h"
#include "experiment/run_internal.h"
#include "stages/go_on.h"
#include "stages/jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* One process's view of a run that several share. */
typedef struct sharing {
  cz_session *s;
  const cz_run_request *r;
  cz_plan *p;
  bool *done;   /* [all] seen to be done */
  bool *helped; /* [all] this process has computed members of it */
} sharing;

/* Lets a stage begin where a shorter training of the same kind has ended. */
static cz_status begin(cz_session *s, const cz_run_request *r, const cz_plan *p, size_t k,
                       const cz_config_node *node, const char *folder) {
  const cz_plan_stage *stage = &p->stages[k];
  char shorter[4096];
  cz_status st = CZ_OK;
  if (stage->shorter == SIZE_MAX) return CZ_OK;
  CZ_TRY(cz_plan_folder(shorter, sizeof shorter, r->folder, &p->stages[stage->shorter]));
  if (s->comm->rank == 0) st = cz_stage_go_on(s, node, stage->node, folder, shorter);
  return cz_comm_agree(s->comm, st);
}

/* A file that is not what it was when the plan was made is not what earlier stages have read. */
static cz_status check_files(cz_session *s, const cz_run_request *r, cz_plan *p,
                             const cz_plan_stage *stage) {
  cz_buf changed = {0};
  cz_status st = cz_plan_changed_files(&changed, p, stage, &s->inputs, r->folder);
  if (st == CZ_OK && changed.len)
    st =
        CZ_FAIL(CZ_EINVAL,
                "%s: this run began with other data:\n%srun the same command again, and the stages "
                "that read it are made anew",
                r->folder, changed.data);
  cz_buf_free(&changed);
  return st;
}

/* The number of stage K among those that run, from 1, of *TOTAL. */
static size_t number_of(size_t *total, const cz_plan *p, size_t k) {
  size_t at = 0;
  *total = 0;
  for (size_t i = 0; i < cz_plan_count(p); i++) {
    *total += p->stages[i].first;
    at += i <= k && p->stages[i].first;
  }
  return at;
}

static cz_status run_stage(cz_session *s, const cz_run_request *r, cz_plan *p, size_t k) {
  const cz_plan_stage *stage = &p->stages[k];
  const char *row = p->rows[k / p->n_stages % p->n_rows].name;
  long long seed = (long long)p->seeds[k / p->n_stages / p->n_rows];
  size_t total, at = number_of(&total, p, k);
  const cz_config_node *node;
  char folder[4096];
  CZ_TRY(cz_plan_folder(folder, sizeof folder, r->folder, stage));
  CZ_TRY(cz_plan_run_node(p, &node, r->folder, k));
  cz_status st = CZ_OK;
  if (!cz_stage_done(stage->kind, folder)) {
    cz_log("[%zu/%zu] seed %lld, %s: %s", at, total, seed, row, stage->name);
    st = cz_comm_agree(s->comm, s->comm->rank == 0 ? check_files(s, r, p, stage) : CZ_OK);
  }
  if (st == CZ_OK) st = begin(s, r, p, k, node, folder);
  if (st == CZ_OK) st = cz_stage_run(s, node, stage->node, folder);
  return st == CZ_OK ? st : CZ_NOTE(st, "seed %lld, row %s, stage %s", seed, row, stage->name);
}

/* Stages of one key have one folder, so it does not matter which of them is asked for. */
static bool is_done(sharing *w, size_t k) {
  char folder[4096];
  const cz_plan_stage *stage = &w->p->stages[k];
  if (!w->done[k] && cz_plan_folder(folder, sizeof folder, w->r->folder, stage) == CZ_OK)
    w->done[k] = cz_stage_done(stage->kind, folder);
  cz_error_clear();
  return w->done[k];
}

/* Whether the stages that K names, or goes on from, are done. */
static bool is_ready(sharing *w, size_t k) {
  const cz_plan_stage *stage = &w->p->stages[k];
  for (size_t i = 0; i < stage->n_from; i++)
    if (!is_done(w, (size_t)(cz_plan_from(w->p, k, i) - w->p->stages))) return false;
  return stage->shorter == SIZE_MAX || is_done(w, stage->shorter);
}

/* Takes stage K for this process, or *CLAIM is -1: somebody has it. */
static cz_status claim(int *claim, const sharing *w, size_t k) {
  char folder[4096], path[4096];
  *claim = -1;
  CZ_TRY(cz_plan_folder(folder, sizeof folder, w->r->folder, &w->p->stages[k]));
  CZ_TRY(cz_fs_make_dirs(folder));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "claim"));
  cz_status st = cz_fs_lock(path, claim);
  return st == CZ_EBUSY ? cz_error_clear(), CZ_OK : st;
}

/* Runs what nobody else does; *LEFT stages are not done. */
static cz_status take(sharing *w, size_t *left, bool *took) {
  *left = 0;
  *took = false;
  for (size_t k = 0; k < cz_plan_count(w->p); k++) {
    int own;
    if (!w->p->stages[k].first || is_done(w, k)) continue;
    ++*left;
    CZ_TRY(cz_stop_check("stages"));
    if (!is_ready(w, k)) continue;
    CZ_TRY(claim(&own, w, k));
    if (own < 0) continue;
    cz_status st = is_done(w, k) ? CZ_OK : run_stage(w->s, w->r, w->p, k);
    cz_fs_unlock(&own);
    CZ_TRY(st);
    *took = true;
  }
  return CZ_OK;
}

/* Computes members of one stage that somebody holds, each stage once: it returns when they are all
 * computed. */
static cz_status help(sharing *w, bool *helped) {
  *helped = false;
  for (size_t k = 0; k < cz_plan_count(w->p) && !*helped; k++) {
    const cz_plan_stage *stage = &w->p->stages[k];
    const cz_config_node *node;
    char folder[4096], path[4096];
    int own;
    if (!stage->first || !stage->kind->members || w->helped[k] || is_done(w, k)) continue;
    CZ_TRY(cz_plan_folder(folder, sizeof folder, w->r->folder, stage));
    CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.yaml"));
    if (!cz_fs_exists(path)) continue;
    CZ_TRY(claim(&own, w, k));
    const bool nobody = own >= 0;
    cz_fs_unlock(&own);
    if (nobody) continue;
    CZ_TRY(cz_plan_run_node(w->p, &node, w->r->folder, k));
    w->helped[k] = *helped = true;
    CZ_TRY(cz_stage_help_with(w->s, node, stage->node, folder));
  }
  return CZ_OK;
}

/* Until all stages are done, whoever ran them. */
static cz_status share(cz_session *s, const cz_run_request *r, cz_plan *p) {
  const struct timespec moment = {.tv_nsec = 100000000};
  sharing w = {.s = s, .r = r, .p = p};
  cz_status st = cz_alloc(&w.done, cz_plan_count(p), sizeof *w.done);
  if (st == CZ_OK) st = cz_alloc(&w.helped, cz_plan_count(p), sizeof *w.helped);
  for (size_t left = 1; st == CZ_OK && left;) {
    bool took = false, helped = false;
    st = take(&w, &left, &took);
    if (st == CZ_OK && left && !took) st = help(&w, &helped);
    if (st == CZ_OK && left && !took && !helped) nanosleep(&moment, NULL);
  }
  free(w.done);
  free(w.helped);
  return st;
}

/* With N - 1 more processes, which open the plan that this one has recorded. */
static cz_status share_among(cz_session *s, const cz_run_request *r, cz_plan *p, int64_t n) {
  char file[4096], process[32];
  cz_jobs jobs;
  CZ_TRY(cz_fs_join(file, sizeof file, r->folder, "experiment.yaml"));
  snprintf(process, sizeof process, "%ld", (long)getpid());
  char *const argv[] = {(char *)"cloze",         (char *)"run",     file,
                        (char *)"--out",         (char *)r->folder, (char *)"--device",
                        (char *)s->device->name, (char *)"--comm",  (char *)"self",
                        (char *)"--works",       process,           NULL};
  s->jobs = 1; /* of a stage: its members are shared by helping */
  s->works = true;
  cz_status st = cz_jobs_start(&jobs, n, argv, r->folder);
  if (st == CZ_OK) st = share(s, r, p);
  cz_status waited = cz_jobs_wait(&jobs, st);
  s->works = false;
  s->jobs = n;
  return st != CZ_OK ? st : waited;
}

/** Runs the stages of P that are not done, in the file's order: those that a stage names stand
 * before it. Rows and seeds share stages: each runs, and is counted, where it first stands; one
 * left out never is. With S->jobs above 1 that many processes run what does not wait for anything.
 */
cz_status cz__run_stages(cz_session *s, const cz_run_request *r, cz_plan *p) {
  if (s->works) return share(s, r, p);
  if (s->jobs > 1) return share_among(s, r, p, s->jobs);
  for (size_t k = 0; k < cz_plan_count(p); k++)
    if (p->stages[k].first) CZ_TRY(run_stage(s, r, p, k));
  return CZ_OK;
}
