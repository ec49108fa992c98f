/* What simple programs get under a column, from what stands beside the scores of its tasks. */
#include "experiment/results_internal.h"
#include "tasks/baseline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The kind of the baseline beside a column's scores, "majority" or "copy"; two tasks with
 * different kinds are "simple". */
static const char *kind_beside(const cz__stages *o, const cz_column *c) {
  const char *name = NULL;
  for (size_t i = 0; i < c->n_paths; i++) {
    const json_t *task = cz__results_task(o, &c->paths[i]);
    const char *kind = json_string_value(json_object_get(task, "baseline_kind"));
    if (kind) name = !name || !strcmp(name, kind) ? kind : "simple";
  }
  return name;
}

static cz_status keep(const char **kept, const cz_results *r, const char *text) {
  char *copy = NULL;
  if (text) CZ_TRY(cz_arena_strdup(r->plan.arena, &copy, text));
  *kept = copy;
  return CZ_OK;
}

static cz_status add_baseline(cz_results *r, size_t column, const char *kind, double value) {
  cz_baselines *b = &r->baselines[column];
  if (isnan(value)) return CZ_OK;
  CZ_CHECK(b->n < CZ_BASELINES);
  CZ_TRY(keep(&b->kind[b->n], r, kind));
  b->value[b->n++] = value;
  return CZ_OK;
}

/* The name of a program in a stage's result: number 0 is the task's own, the others are those
 * of cz_task_simple. */
static const char *program_name(size_t k) { return k ? cz_task_simple[k - 1].name : "baseline"; }

static size_t programs(void) {
  size_t n = 1;
  while (cz_task_simple[n - 1].name) n++;
  return n;
}

/* What program K gets on average under the column's paths of the task that path I names; NaN
 * where one of them lacks it. */
static double task_value(const cz__stages *o, const cz_column *c, size_t i, size_t k) {
  double sum = 0;
  size_t n = 0;
  for (size_t j = 0; j < c->n_paths; j++) {
    if (!cz_column_same_task(&c->paths[i], &c->paths[j])) continue;
    sum += cz__results_value(o, &c->paths[j], program_name(k));
    n++;
  }
  return sum / (double)n;
}

/* BEST[paths]: the first of the programs that get the most in the path's task. The mean over
 * the paths of what these get. */
static double best_of_tasks(size_t *best, const cz__stages *o, const cz_column *c) {
  double sum = 0;
  for (size_t i = 0; i < c->n_paths; i++) {
    double most = task_value(o, c, i, 0);
    best[i] = 0;
    for (size_t k = 1; k < programs(); k++) {
      const double value = task_value(o, c, i, k);
      if (value > most) most = value, best[i] = k;
    }
    sum += most;
  }
  return sum / (double)c->n_paths;
}

/* The first program that gets as much as the BEST in every task; programs(): there is none. */
static size_t best_everywhere(const size_t *best, const cz__stages *o, const cz_column *c) {
  size_t k = 0;
  for (; k < programs(); k++) {
    bool everywhere = true;
    for (size_t i = 0; i < c->n_paths; i++)
      everywhere &= task_value(o, c, i, k) == task_value(o, c, i, best[i]);
    if (everywhere) break;
  }
  return k;
}

/* Sets what each path is compared with: the task's own program, and program K; where BEST is
 * not null, BEST[path] in place of K. */
static cz_status set_programs(cz_results *r, const cz__stages *o, size_t column, size_t k,
                              const size_t *best) {
  const cz_column *c = &r->plan.columns[column];
  const char *(*out)[2];
  CZ_TRY(cz_arena_alloc(r->plan.arena, &out, c->n_paths, sizeof *out));
  for (size_t i = 0; i < c->n_paths; i++) {
    const size_t mine = best ? best[i] : k;
    const json_t *task = cz__results_task(o, &c->paths[i]);
    CZ_TRY(keep(&out[i][0], r, json_string_value(json_object_get(task, "baseline_kind"))));
    out[i][1] = mine ? program_name(mine) : out[i][0];
  }
  r->baselines[column].of_path = out;
  return CZ_OK;
}

/* Where KIND stands among the baselines. */
static size_t kind_at(const cz_baselines *b, const char *kind) {
  size_t found = 0;
  for (size_t i = 1; i < b->n; i++)
    if (b->kind[i] && !strcmp(b->kind[i], kind)) found = i;
  return found;
}

/* One program that is the strongest in every task, or "strongest", each task's own. */
static cz_status add_strongest(cz_results *r, const cz__stages *o, size_t column) {
  const cz_column *c = &r->plan.columns[column];
  cz_baselines *b = &r->baselines[column];
  size_t *best;
  CZ_TRY(cz_alloc(&best, c->n_paths, sizeof *best));
  const double mean = best_of_tasks(best, o, c);
  const size_t k = best_everywhere(best, o, c);
  const bool differ = k == programs();
  cz_status st = set_programs(r, o, column, k, differ ? best : NULL);
  free(best);
  if (st == CZ_OK && differ) st = add_baseline(r, column, "strongest", mean);
  b->strongest = k ? kind_at(b, differ ? "strongest" : program_name(k)) : 0;
  return st;
}

/** Fills in the baselines of COLUMN from what stands beside its scores in STAGES, unless they are
 * known: the tasks' own, then each simple program that all of the tasks have, then the strongest
 * of each task. A column that means scores with something else has none. The plan's arena owns
 * the texts. */
cz_status cz__results_baselines(cz_results *r, const cz__stages *o, size_t column) {
  const cz_column *c = &r->plan.columns[column];
  if (r->baselines[column].n || !cz_column_all_scores(c)) return CZ_OK;
  CZ_TRY(add_baseline(r, column, kind_beside(o, c), cz__results_mean(o, c, "baseline")));
  if (!r->baselines[column].n) return CZ_OK;
  for (const cz_simple *s = cz_task_simple; s->name; s++)
    CZ_TRY(add_baseline(r, column, s->name, cz__results_mean(o, c, s->name)));
  return add_strongest(r, o, column);
}

/** What the tasks' own baseline gets under COLUMN, or with STRONGEST the best of the simple
 * programs; NaN where there is none. */
double cz_results_baseline(const cz_results *r, size_t column, bool strongest) {
  const cz_baselines *b = &r->baselines[column];
  return b->n ? b->value[strongest ? b->strongest : 0] : NAN;
}

/** The kind of that program; null where there is none, or its stage does not say. */
const char *cz_results_baseline_kind(const cz_results *r, size_t column, bool strongest) {
  const cz_baselines *b = &r->baselines[column];
  return b->n ? b->kind[strongest ? b->strongest : 0] : NULL;
}
