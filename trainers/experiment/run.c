/* A run: stages in order, what is done left alone, then result and reports. */
#include "experiment/run.h"
#include "experiment/run_internal.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/stop.h"
#include "experiment/report/report.h"
#include "stages/jobs.h"
#include "stages/result.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The resolved experiment: seeds as they are, scales gone, so that it runs again as it
 * stands. */
static cz_status resolved(const cz_config_node **root, cz_plan *p) {
  cz_buf seeds = {0};
  *root = cz_config_root(p->config);
  cz_status st = cz_buf_addf(&seeds, "seeds=[");
  for (size_t i = 0; i < p->n_seeds && st == CZ_OK; i++)
    st = cz_buf_addf(&seeds, "%s%lld", i ? ", " : "", (long long)p->seeds[i]);
  if (st == CZ_OK) st = cz_buf_addf(&seeds, "]");
  if (st == CZ_OK) st = cz_config_with_word(p->config, root, *root, seeds.data);
  if (st == CZ_OK && cz_config_get(*root, "scales"))
    st = cz_config_without(p->config, root, *root, "scales");
  cz_buf_free(&seeds);
  return st;
}

static cz_status write_file(const char *folder, const char *name, const cz_buf *text) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, name));
  return cz_fs_write_atomic(path, text->data, text->len);
}

/* Which stage is whose: a line for each seed, row and stage. */
static cz_status plan_text(cz_buf *out, const cz_plan *p) {
  size_t n = p->n_seeds * p->n_rows * p->n_stages;
  const char *before = "[";
  char folder[256];
  for (size_t k = 0; k < n; k++) {
    const cz_plan_stage *s = &p->stages[k];
    size_t row = k / p->n_stages % p->n_rows;
    if (s->left_out) continue;
    CZ_TRY(cz_plan_folder(folder, sizeof folder, "", s));
    json_t *entry =
        json_pack("{s:I, s:I, s:s, s:s, s:s, s:s}", "seed",
                  (json_int_t)p->seeds[k / p->n_stages / p->n_rows], "row", (json_int_t)row, "name",
                  p->rows[row].name, "stage", s->name, "key", s->key, "folder", folder);
    cz_status st = cz_buf_addf(out, "%s", before);
    if (st == CZ_OK) st = cz_json_print(out, entry, 0);
    before = ",\n ";
    json_decref(entry);
    CZ_TRY(st);
  }
  return cz_buf_addf(out, "%s]\n", *before == '[' ? before : "");
}

/* How many stages of the folder's plan are still in this one, and how many are not; false
 * when there is no plan that can be read. */
static bool overlap(const cz_run_request *r, const cz_plan *p, size_t *shared, size_t *lost) {
  char path[4096];
  bool known = cz_fs_join(path, sizeof path, r->folder, "plan.json") == CZ_OK &&
               cz_results_overlap(shared, lost, p, path) == CZ_OK;
  if (!known) cz_error_clear();
  return known;
}

/* A finished run belongs to its experiment and its data; what else could differ is the
 * program that made it. */
static cz_status check_finished(const cz_run_request *r, const cz_plan *p,
                                const cz_config_node *root) {
  size_t shared, lost;
  CZ_TRY(cz_stage_same(root, p->files, r->folder, "experiment.yaml"));
  if (!overlap(r, p, &shared, &lost))
    return cz_warn("%s: plan.json can't be read; it is written anew", r->folder), CZ_OK;
  if (!lost) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE,
                 "%s: this folder's stages were made by another version of cloze or from other "
                 "files; cloze report prints its table, another --out "
                 "runs it anew",
                 r->folder);
}

/* Appends a line for each value in which the experiment of this folder was another;
 * nothing when that can't be said any more. */
static cz_status compare_experiments(cz_buf *out, const cz_run_request *r,
                                     const cz_config_node *root) {
  char path[4096];
  cz_config *there = NULL;
  CZ_TRY(cz_fs_join(path, sizeof path, r->folder, "experiment.yaml"));
  if (!cz_fs_exists(path)) return CZ_OK;
  cz_status st = cz_config_open(&there, path);
  if (st == CZ_OK)
    st = cz_config_compare(out, cz_config_root(there), root);
  else
    cz_error_clear(), st = CZ_OK;
  cz_config_destroy(&there);
  return st;
}

/* Whether a stage of the run in FOLDER is done or has left something to go on from. */
static cz_status has_begun(bool *begun, const char *folder) {
  char stages[4096], stage[4096];
  cz_status st = CZ_OK;
  *begun = false;
  CZ_TRY(cz_fs_join(stages, sizeof stages, folder, "stages"));
  DIR *d = opendir(stages);
  for (const struct dirent *e; d && st == CZ_OK && !*begun && (e = readdir(d));) {
    if (e->d_name[0] == '.') continue;
    st = cz_fs_join(stage, sizeof stage, stages, e->d_name);
    *begun = st == CZ_OK && cz_stage_begun(stage);
  }
  if (d) closedir(d);
  return st;
}

/* An experiment file may be corrected before its run is finished: stages are found by
 * their keys, so those that the change does not touch are kept. Warns of those that are
 * lost. Where none would be kept, the folder is another experiment's, unless nothing of that was
 * computed. */
static cz_status warn_of_losses(const cz_run_request *r, const cz_plan *p,
                                const cz_config_node *root) {
  cz_buf keys = {0}, files = {0};
  size_t shared = 0, lost = 0;
  bool known = overlap(r, p, &shared, &lost), begun = false;
  CZ_TRY(has_begun(&begun, r->folder));
  if (!begun) return CZ_OK;
  cz_status st = compare_experiments(&keys, r, root);
  if (st == CZ_OK) st = cz_inputs_compare(&files, p->files, r->folder);
  if (st == CZ_ECORRUPT) cz_error_clear(), st = CZ_OK; /* inputs.json is written anew */
  if (files.len)
    cz_warn("%s: stages that read what follows are made anew:\n%.*s", r->folder, (int)files.len - 1,
            files.data);
  if (st == CZ_OK && keys.len && known && !shared)
    st = CZ_FAIL(CZ_EUSAGE,
                 "%s: this folder holds another run, and none of its stages would stay:\n%schoose "
                 "another --out or remove this folder",
                 r->folder, keys.data);
  else if (keys.len && known)
    cz_warn("%s: the experiment is not what it was here:\n%s%zu of its %zu stages no longer belong "
            "to it",
            r->folder, keys.data, lost, shared + lost);
  else if (known && lost && !files.len)
    cz_warn("%s: the stages that are there were made by another version of cloze or from other "
            "files; they are made anew",
            r->folder);
  cz_buf_free(&keys);
  cz_buf_free(&files);
  return st;
}

static cz_status record_plan(const cz_run_request *r, cz_plan *p) {
  const cz_config_node *root;
  char path[4096];
  size_t shared, lost;
  cz_buf experiment = {0}, plan = {0};
  cz_status st;
  CZ_GO(st, resolved(&root, p), done);
  CZ_GO(st, cz_fs_join(path, sizeof path, r->folder, "result.json"), done);
  bool finished = cz_fs_exists(path);
  CZ_GO(st, finished ? check_finished(r, p, root) : warn_of_losses(r, p, root), done);
  if (finished && overlap(r, p, &shared, &lost)) goto done; /* nothing to write */
  CZ_GO(st, cz_config_emit(&experiment, root), done);
  CZ_GO(st, plan_text(&plan, p), done);
  CZ_GO(st, write_file(r->folder, "experiment.yaml", &experiment), done);
  CZ_GO(st, cz_inputs_write(p->files, r->folder), done);
  CZ_GO(st, write_file(r->folder, "plan.json", &plan), done);
done:
  cz_buf_free(&experiment);
  cz_buf_free(&plan);
  return st;
}

static cz_status stage_metrics(json_t *into, const cz_run_request *r, const cz_plan_stage *stage) {
  char folder[4096];
  json_t *result;
  CZ_TRY(cz_plan_folder(folder, sizeof folder, r->folder, stage));
  CZ_TRY(cz_result_open(&result, folder));
  cz_status st = cz_json_set(into, stage->name, json_incref(json_object_get(result, "metrics")));
  json_decref(result);
  return st;
}

/* {"metrics": {ROW: {SEED: {STAGE: metrics}, "table": {COLUMN: the row's means with their
 * noise}}}} */
static cz_status write_result(const cz_run_request *r, const cz_plan *p,
                              const cz_results *results) {
  char path[4096], seed_name[32];
  cz_status st = CZ_OK;
  json_t *root = json_object(), *metrics = json_object();
  json_object_set_new(root, "metrics", metrics);
  for (size_t row = 0; row < p->n_rows && st == CZ_OK; row++) {
    json_t *of_row = json_object();
    json_object_set_new(metrics, p->rows[row].name, of_row);
    for (size_t seed = 0; seed < p->rows[row].n_seeds && st == CZ_OK; seed++) {
      json_t *of_seed = json_object();
      snprintf(seed_name, sizeof seed_name, "%lld", (long long)p->seeds[seed]);
      json_object_set_new(of_row, seed_name, of_seed);
      for (size_t i = 0; i < p->n_stages && st == CZ_OK; i++)
        if (!cz_plan_at(p, seed, row, i)->left_out)
          st = stage_metrics(of_seed, r, cz_plan_at(p, seed, row, i));
    }
  }
  if (st == CZ_OK) st = cz_report_rows(metrics, results);
  if (st == CZ_OK) st = cz_fs_join(path, sizeof path, r->folder, "result.json");
  if (st == CZ_OK)
    st = cz_json_write(root, path, JSON_INDENT(1) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
  json_decref(root);
  return st;
}

static cz_status results_of(const cz_run_request *r, const cz_plan *p) {
  cz_results results;
  char path[4096];
  cz_buf html = {0}, csv = {0}, text = {0};
  cz_status st;
  CZ_GO(st, cz_results_open(&results, r->folder), done);
  CZ_GO(st, write_result(r, p, &results), done);
  CZ_GO(st, cz_report_text(&text, &results, false), done);
  CZ_GO(st, write_file(r->folder, "report.txt", &text), done);
  CZ_GO(st, cz_report_csv(&csv, &results), done);
  CZ_GO(st, write_file(r->folder, "report.csv", &csv), done);
  CZ_GO(st, cz_report_html(&html, &results, r->folder), done);
  CZ_GO(st, write_file(r->folder, "report.html", &html), done);
  CZ_GO(st, cz_fs_join(path, sizeof path, r->folder, "report.html"), done);
  fputs(text.data, stdout);
  cz_log("\nfull report: %s", path);
done:
  cz_buf_free(&html);
  cz_buf_free(&csv);
  cz_buf_free(&text);
  cz_results_close(&results);
  return st;
}

static cz_status run_locked(cz_session *s, const cz_run_request *r, cz_plan *p) {
  if (r->works) return cz__run_stages(s, r, p);
  CZ_TRY(cz_comm_agree(s->comm, s->comm->rank == 0 ? record_plan(r, p) : CZ_OK));
  CZ_TRY(cz__run_stages(s, r, p));
  if (s->comm->rank != 0) return CZ_OK;
  return results_of(r, p);
}

/* Makes the run's folder and names it in one way, however the user spells it: stages
 * carry the path of the model that they start from. */
static cz_status make_folder(cz_run_request *r) {
  char whole[PATH_MAX];
  CZ_TRY(cz_fs_make_dirs(r->folder));
  if (!realpath(r->folder, whole) || strlen(whole) >= sizeof r->folder)
    return CZ_FAIL(CZ_EIO, "%s: this path cannot be followed", r->folder);
  memcpy(r->folder, whole, strlen(whole) + 1);
  return CZ_OK;
}

/** Runs what R asks for, or the rest of it, in R->folder, which is made. Collective. CZ_EUSAGE
 * for an experiment that cannot run or a folder that is another's, CZ_EBUSY when another process
 * works there. */
cz_status cz_experiment_run(cz_run_request *r) {
  cz_session s = {0};
  cz_plan plan = {0};
  char path[4096];
  int lock = -1;
  cz_status st;
  CZ_GO(st, cz_session_open(&s, r->device, r->comm), done);
  CZ_GO(st, cz_session_jobs(&s, r->jobs), done);
  if (!r->jobs && r->jobs_else && s.comm->size == 1) s.jobs = r->jobs_else;
  cz_stop_on_signals(s.comm->size == 1 && !r->works);
  s.works = r->works != NULL;
  if (r->works) CZ_GO(st, cz_jobs_tie("--works", r->works), done);
  r->rank = s.comm->rank;
  st = cz_plan_open_text(&plan, r->file, r->text, r->scale, r->n_seeds, r->words, r->n_words, &s);
  CZ_GO(st, cz_comm_agree(s.comm, st), done);
  if (s.comm->rank == 0) CZ_GO(st, cz_stage_folder(r->folder, "plan.json", "config.yaml"), done);
  CZ_GO(st, make_folder(r), done);
  if (s.comm->rank == 0 && !r->works) { /* else who started this process holds it */
    CZ_GO(st, cz_fs_join(path, sizeof path, r->folder, "lock"), done);
    CZ_GO(st, cz_fs_lock(path, &lock), done);
  }
  CZ_GO(st, run_locked(&s, r, &plan), done);
done:
  cz_plan_close(&plan);
  cz_session_close(&s, st);
  cz_fs_unlock(&lock);
  /* why it was told to stop is for who started it to say */
  return st == CZ_EINTERRUPT && r->works ? cz_error_clear(), CZ_OK : st;
}
