/* What simple programs get under a column, from what stands beside the scores of its tasks. They
 * learn from the texts of the stage that they stand beside, so they are of a row and a seed. */
#include "experiment/results_internal.h"
#include "tasks/baseline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static cz_status keep(const char **kept, const cz_results *r, const char *text) {
  char *copy = NULL;
  if (text) CZ_TRY(cz_arena_strdup(r->plan.arena, &copy, text));
  *kept = copy;
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

/* A table has what each program gets under each path of a column, [paths][programs]. */
static double at(const double *table, size_t path, size_t k) {
  return table[path * programs() + k];
}

/* What stands under SEED of a row. */
static double *of_seed(const cz_baselines *b, const cz_column *c, size_t seed) {
  return b->each + seed * c->n_paths * programs();
}

static double mean_of(const double *table, const cz_column *c, size_t k) {
  double sum = 0;
  for (size_t i = 0; i < c->n_paths; i++) sum += at(table, i, k);
  return sum / (double)c->n_paths;
}

/* What program K gets on average under the column's paths of the task that path I names; NaN
 * where one of them lacks it. */
static double task_value(const double *table, const cz_column *c, size_t i, size_t k) {
  double sum = 0;
  size_t n = 0;
  for (size_t j = 0; j < c->n_paths; j++) {
    if (!cz_column_same_task(&c->paths[i], &c->paths[j])) continue;
    sum += at(table, j, k);
    n++;
  }
  return sum / (double)n;
}

/* BEST[paths]: the first of the programs that get the most in the path's task. */
static void find_best(size_t *best, const double *table, const cz_column *c) {
  for (size_t i = 0; i < c->n_paths; i++) {
    best[i] = 0;
    for (size_t k = 1; k < programs(); k++)
      if (task_value(table, c, i, k) > task_value(table, c, i, best[i])) best[i] = k;
  }
}

/* The mean over the paths of what BEST gets in their tasks. */
static double mean_of_best(const double *table, const cz_column *c, const size_t *best) {
  double sum = 0;
  for (size_t i = 0; i < c->n_paths; i++) sum += task_value(table, c, i, best[i]);
  return sum / (double)c->n_paths;
}

/* The first program that gets as much as the BEST in every task; programs(): there is none. */
static size_t best_everywhere(const size_t *best, const double *table, const cz_column *c) {
  size_t k = 0;
  for (; k < programs(); k++) {
    bool everywhere = true;
    for (size_t i = 0; i < c->n_paths; i++)
      everywhere &= task_value(table, c, i, k) == task_value(table, c, i, best[i]);
    if (everywhere) break;
  }
  return k;
}

/* What program K gets under the column; where BEST is not null, what that gets. */
static double value_of(const double *table, const cz_column *c, size_t k, const size_t *best) {
  return best ? mean_of_best(table, c, best) : mean_of(table, c, k);
}

/* Adds what program K (or BEST) gets, over the seeds and under each, unless it is not there. */
static cz_status add_baseline(cz_baselines *b, const cz_results *r, const cz_column *c,
                              const char *kind, const double *mean, size_t k, const size_t *best) {
  const size_t seeds = r->plan.n_seeds;
  const double value = value_of(mean, c, k, best);
  if (isnan(value)) return CZ_OK;
  CZ_CHECK(b->n < CZ_BASELINES);
  b->kind[b->n] = kind;
  b->value[b->n] = value;
  CZ_TRY(cz_arena_alloc(r->plan.arena, &b->of_seed[b->n], seeds, sizeof *b->of_seed[b->n]));
  for (size_t s = 0; s < seeds; s++) b->of_seed[b->n][s] = value_of(of_seed(b, c, s), c, k, best);
  b->n++;
  return CZ_OK;
}

/* Sets what each path is compared with: the task's own program, and program K; where BEST is
 * not null, BEST[path] in place of K. */
static void set_programs(cz_baselines *b, const cz_column *c, size_t k, const size_t *best) {
  for (size_t i = 0; i < c->n_paths; i++) {
    const size_t mine = best ? best[i] : k;
    b->of_path[i][1] = mine ? program_name(mine) : b->of_path[i][0];
  }
}

/* Where KIND stands among the baselines. */
static size_t kind_at(const cz_baselines *b, const char *kind) {
  size_t found = 0;
  for (size_t i = 1; i < b->n; i++)
    if (b->kind[i] && !strcmp(b->kind[i], kind)) found = i;
  return found;
}

/* One program that is the strongest in every task, or "strongest", each task's own. */
static cz_status add_strongest(cz_baselines *b, const cz_results *r, const cz_column *c,
                               const double *mean) {
  size_t *best;
  CZ_TRY(cz_alloc(&best, c->n_paths, sizeof *best));
  find_best(best, mean, c);
  const size_t k = best_everywhere(best, mean, c);
  const bool differ = k == programs();
  set_programs(b, c, k, differ ? best : NULL);
  cz_status st = differ ? add_baseline(b, r, c, "strongest", mean, 0, best) : CZ_OK;
  b->strongest = k ? kind_at(b, differ ? "strongest" : program_name(k)) : 0;
  free(best);
  return st;
}

/* The weakest program that rows are compared with: one that all tasks have and whose answer is the
 * best constant one, else the tasks' own. */
static void set_weakest(cz_baselines *b, const cz_column *c) {
  for (size_t k = 1; k < programs(); k++) {
    if (!cz_task_simple[k - 1].constant || !kind_at(b, program_name(k))) continue;
    b->weakest = kind_at(b, program_name(k));
    for (size_t i = 0; i < c->n_paths; i++) b->of_path[i][0] = program_name(k);
  }
}

/* The kind of the tasks' own baselines, "majority" or "copy"; of different ones "simple". */
static const char *own_kind(const cz_baselines *b, const cz_column *c) {
  const char *name = NULL;
  for (size_t i = 0; i < c->n_paths; i++) {
    const char *kind = b->of_path[i][0];
    if (kind) name = !name || !strcmp(name, kind) ? kind : "simple";
  }
  return name;
}

/* Whether a row has the programs of all paths under SEED. */
static bool has(const cz_baselines *b, const cz_column *c, size_t seed) {
  return b->each && !isnan(mean_of(of_seed(b, c, seed), c, 0));
}

/* MEAN: of the seeds that a row has. Whether there is one. */
static bool mean_over_seeds(double *mean, const cz_baselines *b, const cz_column *c, size_t seeds) {
  size_t n = 0;
  for (size_t s = 0; s < seeds; s++) {
    if (!has(b, c, s)) continue;
    n++;
    for (size_t i = 0; i < c->n_paths * programs(); i++)
      mean[i] += (of_seed(b, c, s)[i] - mean[i]) / (double)n; /* equal ones stay what they are */
  }
  return n > 0;
}

/* From what was read of a row's seeds: the tasks' own baseline, then each simple program that all
 * of the tasks have, then the strongest of each task. */
static cz_status settle_row(cz_baselines *b, const cz_results *r, const cz_column *c) {
  double *mean;
  cz_status st = CZ_OK;
  CZ_TRY(cz_alloc(&mean, c->n_paths * programs(), sizeof *mean));
  if (!mean_over_seeds(mean, b, c, r->plan.n_seeds)) goto done;
  CZ_GO(st, add_baseline(b, r, c, own_kind(b, c), mean, 0, NULL), done);
  for (size_t k = 1; k < programs(); k++)
    CZ_GO(st, add_baseline(b, r, c, program_name(k), mean, k, NULL), done);
  CZ_GO(st, add_strongest(b, r, c, mean), done);
  set_weakest(b, c);
done:
  free(mean);
  return st;
}

/* Whether all programs get the same in two cells. */
static bool equal(const double *a, const double *b, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (a[i] != b[i] && !(isnan(a[i]) && isnan(b[i]))) return false;
  return true;
}

/* FIRST: a row and seed that has programs. Whether all that have some have the same. */
static bool all_equal(size_t first[2], const cz_results *r, const cz_baselines *rows,
                      const cz_column *c) {
  const cz_plan *p = &r->plan;
  first[0] = SIZE_MAX;
  for (size_t s = 0; s < p->n_seeds; s++)
    for (size_t row = 0; row < p->n_rows; row++) {
      if (!has(&rows[row], c, s)) continue;
      if (first[0] == SIZE_MAX) first[0] = row, first[1] = s;
      if (!equal(of_seed(&rows[row], c, s), of_seed(&rows[first[0]], c, first[1]),
                 c->n_paths * programs()))
        return false;
    }
  return true;
}

/* Programs that learned the same for every row are those of each, also where it is not done. */
static cz_status settle_shared(cz_baselines *rows, const cz_results *r, const cz_column *c,
                               const size_t first[2]) {
  cz_baselines *one = &rows[first[0]];
  const double *table = of_seed(one, c, first[1]);
  for (size_t s = 0; s < r->plan.n_seeds; s++)
    if (s != first[1]) memcpy(of_seed(one, c, s), table, c->n_paths * programs() * sizeof *table);
  CZ_TRY(settle_row(one, r, c));
  for (size_t row = 0; row < r->plan.n_rows; row++) rows[row] = *one;
  return CZ_OK;
}

static cz_status allocate(cz_baselines *b, const cz_results *r, const cz_column *c) {
  const size_t n = r->plan.n_seeds * c->n_paths * programs();
  CZ_TRY(cz_arena_alloc(r->plan.arena, &b->of_path, c->n_paths, sizeof *b->of_path));
  CZ_TRY(cz_arena_alloc(r->plan.arena, &b->each, n, sizeof *b->each));
  for (size_t i = 0; i < n; i++) b->each[i] = NAN;
  return CZ_OK;
}

/** Reads what programs get under COLUMN beside the scores of STAGES, which are of SEED: each stage
 * has those that learned from its own texts. A column that means scores with something else has
 * none. The plan's arena owns the texts. */
cz_status cz__results_baselines(cz_results *r, const cz__stages *o, size_t column, size_t seed) {
  const cz_column *c = &r->plan.columns[column];
  cz_baselines *b = &r->baselines[column * r->plan.n_rows + o->row];
  if (!cz_column_all_scores(c) || isnan(cz__results_mean(o, c, "baseline"))) return CZ_OK;
  if (!b->each) CZ_TRY(allocate(b, r, c));
  for (size_t i = 0; i < c->n_paths; i++) {
    const json_t *task = cz__results_task(o, &c->paths[i]);
    const char *kind = json_string_value(json_object_get(task, "baseline_kind"));
    for (size_t k = 0; k < programs(); k++)
      of_seed(b, c, seed)[i * programs() + k] = cz__results_value(o, &c->paths[i], program_name(k));
    if (!b->of_path[i][0]) CZ_TRY(keep(&b->of_path[i][0], r, kind));
  }
  return CZ_OK;
}

/** Works out the baselines of every column and row when all stages have been read. */
cz_status cz__results_settle_baselines(cz_results *r) {
  for (size_t i = 0; i < r->plan.n_columns; i++) {
    const cz_column *c = &r->plan.columns[i];
    cz_baselines *rows = &r->baselines[i * r->plan.n_rows];
    size_t first[2];
    r->shared[i] = all_equal(first, r, rows, c);
    if (r->shared[i] && first[0] != SIZE_MAX) CZ_TRY(settle_shared(rows, r, c, first));
    for (size_t row = 0; row < r->plan.n_rows && !r->shared[i]; row++)
      CZ_TRY(settle_row(&rows[row], r, c));
  }
  return CZ_OK;
}

/** What programs get under COLUMN beside ROW. ROW SIZE_MAX: beside every row; none where these
 * differ by row or seed. */
const cz_baselines *cz_results_baselines(const cz_results *r, size_t column, size_t row) {
  static const cz_baselines none;
  if (row == SIZE_MAX && !r->shared[column]) return &none;
  return &r->baselines[column * r->plan.n_rows + (row == SIZE_MAX ? 0 : row)];
}

/** What the weakest program gets there, or with STRONGEST the best of the simple programs, mean
 * over the row's seeds; NaN where there is none. */
double cz_results_baseline(const cz_results *r, size_t column, size_t row, bool strongest) {
  const cz_baselines *b = cz_results_baselines(r, column, row);
  return b->n ? b->value[strongest ? b->strongest : b->weakest] : NAN;
}

/** The kind of that program; null where there is none, or its stage does not say. */
const char *cz_results_baseline_kind(const cz_results *r, size_t column, size_t row,
                                     bool strongest) {
  const cz_baselines *b = cz_results_baselines(r, column, row);
  return b->n ? b->kind[strongest ? b->strongest : b->weakest] : NULL;
}
