#include "experiment/noise.h"
#include "base/fs.h"
#include "base/log.h"
#include "experiment/predictions.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What a row is compared with besides other rows. */
enum { WEAKEST, STRONGEST, PROGRAMS }; /* as in cz_baselines.of_path */

/* A column's predictions: cell k is (row, seed) = (k / seeds, k % seeds), and behind them the
 * weakest program and the strongest one: two of each cell in its order, or two for all cells where
 * the programs are the same beside every row and under every seed. */
typedef struct column {
  cz_results *r;
  size_t index, cells, all, paths; /* all: cells and programs */
  cz_predictions *read;            /* [cells][paths]; empty where another path has the same file */
  const cz_parts **parts;          /* [all][paths]; null where there are none */
  const uint64_t **cluster;        /* [paths] */
  double *minimum;                 /* [paths] scratch of minimum_column_error */
  bool resample;                   /* some score is no mean over examples */
} column;

/* A combination of cells: sum over cells of coefficient times column value. */
typedef struct contrast {
  double *coefficient; /* [all] */
  size_t seeds;        /* that it is a mean over; 0: there is none */
} contrast;

/* Makes one line of TEXT: a line end and the blanks behind it become one blank. */
static void join_lines(char *text) {
  char *end = text;
  for (const char *at = text; *at; at++) {
    if (*at == '\n') {
      at += strspn(at + 1, " ");
      *end++ = ' ';
    } else {
      *end++ = *at;
    }
  }
  *end = '\0';
}

/* Keeps the last failure's message, on one line and behind the name of the FILE, as the
 * reason why the noise of ROW's examples is not known; the first one stays. */
static cz_status keep_reason(const column *c, size_t row, const char *file) {
  const cz_plan *p = &c->r->plan;
  const char **unknown = &c->r->noise[c->index * p->n_rows + row].unknown;
  char *kept;
  cz_buf text = {0};
  if (*unknown) return CZ_OK;
  cz_status st = cz_buf_addf(&text, "%s: %s", file, cz_error_message());
  if (st == CZ_OK) join_lines(text.data);
  if (st == CZ_OK) st = cz_arena_strdup(p->arena, &kept, text.data);
  if (st == CZ_OK) *unknown = kept;
  cz_buf_free(&text);
  return st;
}

/* The predictions of cell K under the column's path. A damaged file is as good as none: the noise
 * of its examples is then not known, and the report says why. */
static cz_status read_file(cz_predictions *out, const column *c, const char *run, size_t k,
                           const cz_column_path *at) {
  const cz_plan *p = &c->r->plan;
  const size_t row = k / p->n_seeds;
  char folder[4096], file[4096], path[4096], name[300];
  CZ_TRY(cz_plan_folder(folder, sizeof folder, "", cz_plan_at(p, k % p->n_seeds, row, at->stage)));
  snprintf(name, sizeof name, "predictions.%s.jsonl", at->task);
  CZ_TRY(cz_fs_join(file, sizeof file, folder, name));
  CZ_TRY(cz_fs_join(path, sizeof path, run, file));
  cz_status st = cz_predictions_read(out, path, at->task);
  if (st != CZ_ECORRUPT) return st;
  cz_warn("%s: %s; the noise of its examples is left out", path, cz_error_message());
  CZ_TRY(keep_reason(c, row, file));
  cz_error_clear();
  cz_predictions_free(out);
  return CZ_OK;
}

/* Where PROGRAM beside cell K stands. */
static size_t program_cell(const column *c, size_t k, size_t program) {
  return c->cells + (c->r->shared[c->index] ? 0 : k) * PROGRAMS + program;
}

/* Parts of the program that stands for PROGRAM under path J beside cell K. */
static const cz_parts *program_parts(const column *c, const cz_predictions *read, size_t k,
                                     size_t j, const char *metric, size_t program) {
  const cz_baselines *b = cz_results_baselines(c->r, c->index, k / c->r->plan.n_seeds);
  const char *kind = b->of_path ? b->of_path[j][program] : NULL;
  return kind ? cz_predictions_find(read, metric, kind) : NULL;
}

/* Reads cell K's parts of every path; a file serves all paths that name it. */
static cz_status read_cell(column *c, const char *run, size_t k) {
  const cz_column *about = &c->r->plan.columns[c->index];
  for (size_t j = 0; j < c->paths; j++) {
    const cz_plan *p = &c->r->plan;
    const cz_column_path *at = cz_column_path_of(p, &about->paths[j], k / p->n_seeds);
    size_t first = 0;
    if (!at->task) return CZ_OK;
    while (first < j && !cz_column_same_task(&about->paths[first], at)) first++;
    cz_predictions *read = &c->read[k * c->paths + first];
    if (first == j) CZ_TRY(read_file(read, c, run, k, at));
    if (read->n) c->parts[k * c->paths + j] = cz_predictions_find(read, at->metric, NULL);
    for (size_t i = 0; i < PROGRAMS; i++) {
      const cz_parts **program = &c->parts[program_cell(c, k, i) * c->paths + j];
      if (read->n && !*program) *program = program_parts(c, read, k, j, at->metric, i);
    }
    if (read->n && !c->cluster[j]) c->cluster[j] = read->cluster;
  }
  return CZ_OK;
}

/* Whether all cells that have a path were scored on the same examples. */
static bool aligned(const column *c) {
  for (size_t j = 0; j < c->paths; j++) {
    const cz_predictions *first = NULL;
    for (size_t k = 0; k < c->cells; k++) {
      const cz_predictions *p = &c->read[k * c->paths + j];
      if (!p->n) continue;
      if (first && (p->n != first->n || p->examples != first->examples)) return false;
      first = p;
    }
  }
  return true;
}

static bool complete(const column *c, size_t cell) {
  for (size_t j = 0; j < c->paths; j++)
    if (!c->parts[cell * c->paths + j]) return false;
  return true;
}

/* The cell that seed S of ROW is compared with: OTHER's (a row; the number of rows and on: a
 * program beside ROW); SIZE_MAX: nothing. HAS: whether it has a value there. */
static size_t other_cell(bool *has, const column *c, size_t row, size_t other, size_t s) {
  const cz_plan *p = &c->r->plan;
  const cz_baselines *b = cz_results_baselines(c->r, c->index, row);
  const size_t mine = row * p->n_seeds + s, theirs = other * p->n_seeds + s;
  *has = true;
  if (other == SIZE_MAX) return SIZE_MAX;
  if (other < p->n_rows) {
    *has = !isnan(c->r->values[c->index * c->cells + theirs]);
    return theirs;
  }
  const size_t program = other - p->n_rows;
  *has = b->n && !isnan(b->of_seed[program == STRONGEST ? b->strongest : b->weakest][s]);
  return program_cell(c, mine, program);
}

/* The mean of ROW over the seeds that it has, less the same of OTHER, as in other_cell. Without
 * parts of a score that counts, there is none. */
static void contrast_of(contrast *out, const column *c, size_t row, size_t other) {
  const cz_plan *p = &c->r->plan;
  const double *values = c->r->values + c->index * c->cells;
  out->seeds = 0;
  for (size_t k = 0; k < c->all; k++) out->coefficient[k] = 0;
  for (size_t s = 0; s < p->n_seeds; s++) {
    bool has;
    const size_t mine = row * p->n_seeds + s, theirs = other_cell(&has, c, row, other, s);
    if (isnan(values[mine]) || !has) continue;
    if (!complete(c, mine) || (theirs != SIZE_MAX && !complete(c, theirs))) {
      out->seeds = 0;
      return;
    }
    out->coefficient[mine] = 1;
    if (theirs != SIZE_MAX) out->coefficient[theirs] -= 1; /* a shared program: once a seed */
    out->seeds++;
  }
  for (size_t k = 0; k < c->all; k++) out->coefficient[k] /= (double)(out->seeds ? out->seeds : 1);
}

/* Example I's part of path J under the contrast; NaN where it does not count. */
static double part_of(const column *c, const contrast *x, size_t j, size_t i) {
  double sum = 0;
  for (size_t k = 0; k < c->all; k++)
    if (x->coefficient[k] != 0) sum += x->coefficient[k] * c->parts[k * c->paths + j]->x[i];
  return sum;
}

static bool is_share(const column *c, const contrast *x, size_t j) {
  for (size_t k = 0; k < c->all; k++) {
    const cz_parts *p = c->parts[k * c->paths + j];
    if (x->coefficient[k] == 0) continue;
    if (p->kind != CZ_PARTS_MEAN) return false;
    for (size_t i = 0; i < p->n; i++)
      if (!isnan(p->x[i]) && p->x[i] != 0 && p->x[i] != 100) return false;
  }
  return true;
}

static size_t examples_of(const column *c, const contrast *x, size_t j) {
  for (size_t k = 0; k < c->all; k++)
    if (x->coefficient[k] != 0) return c->parts[k * c->paths + j]->n;
  return 0;
}

/* The minimum error of path J, in points: that of a share which is 0 or 1, or of two that
 * agree, is not 0. Other scores have none. */
static double minimum_error(const column *c, const contrast *x, size_t j) {
  double sum = 0, squares = 0;
  size_t counted = 0, n = examples_of(c, x, j);
  bool difference = false;
  if (!is_share(c, x, j)) return 0;
  for (size_t k = 0; k < c->all; k++) difference |= x->coefficient[k] < 0;
  for (size_t i = 0; i < n; i++) {
    double part = part_of(c, x, j, i) / 100;
    if (isnan(part)) continue;
    sum += part;
    squares += part * part;
    counted++;
  }
  return 100 * (difference ? cz_stats_share_difference_error(sum, squares, counted)
                           : cz_stats_share_error(sum, counted));
}

/* The minimum error of the column: those of one task's scores move together, tasks apart. */
static double minimum_column_error(const column *c, const contrast *x) {
  double squares = 0;
  for (size_t j = 0; j < c->paths; j++) c->minimum[j] = minimum_error(c, x, j) / (double)c->paths;
  for (size_t j = 0; j < c->paths; j++) {
    double task = 0;
    bool first = true;
    for (size_t other = 0; other < c->paths; other++) {
      if (c->cluster[other] != c->cluster[j]) continue;
      first &= other >= j;
      task += c->minimum[other];
    }
    if (first) squares += task * task;
  }
  return sqrt(squares);
}

static size_t tasks_of(const column *c) {
  size_t n = 0;
  for (size_t j = 0; j < c->paths; j++) {
    size_t first = 0;
    while (c->cluster[first] != c->cluster[j]) first++;
    n += first == j;
  }
  return n;
}

/* Means over examples: the error of the sum of what each example adds to the column. */
static cz_status closed_form(cz_noise *out, const column *c, const contrast *x) {
  double *part;
  uint64_t *cluster;
  size_t total = 0, at = 0;
  for (size_t j = 0; j < c->paths; j++) total += examples_of(c, x, j);
  CZ_TRY(cz_alloc(&part, total, sizeof *part));
  cz_status st = cz_alloc(&cluster, total, sizeof *cluster);
  for (size_t j = 0; j < c->paths && st == CZ_OK; j++) {
    size_t n = examples_of(c, x, j), begin = at;
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
      double v = part_of(c, x, j, i);
      if (isnan(v)) continue;
      cluster[at] = c->cluster[j][i];
      part[at++] = v;
      sum += v;
    }
    double counted = (double)(at - begin);
    for (size_t i = begin; i < at; i++)
      part[i] = (part[i] - sum / counted) / counted / (double)c->paths;
  }
  if (st == CZ_OK) st = cz_stats_clusters(out, cluster, part, at);
  free(part);
  free(cluster);
  return st;
}

/* Column values of all cells in a replicate: VALUES[all]. */
static cz_status replicate(double *values, const column *c, int32_t *weights, uint32_t number) {
  for (size_t k = 0; k < c->all; k++) values[k] = 0;
  for (size_t j = 0; j < c->paths; j++) {
    bool drawn = j > 0 && c->cluster[j] == c->cluster[j - 1];
    for (size_t k = 0; k < c->all; k++) {
      const cz_parts *p = c->parts[k * c->paths + j];
      double score = NAN;
      if (p && !drawn) cz_bootstrap_weights(weights, c->cluster[j], p->n, number);
      drawn |= p != NULL;
      if (p) CZ_TRY(cz_parts_score(&score, p, weights));
      values[k] += score / (double)c->paths;
    }
  }
  return CZ_OK;
}

/* Running mean and sum of squares of a contrast over the replicates (Welford). */
typedef struct spread {
  double mean, squares, n;
} spread;

static void add_replicate(spread *s, const contrast *x, const double *values, size_t all) {
  double v = 0;
  for (size_t k = 0; k < all; k++)
    if (x->coefficient[k] != 0) v += x->coefficient[k] * values[k];
  if (!x->seeds || isnan(v)) return; /* a draw in which a score is not defined */
  double d = v - s->mean;
  s->mean += d / ++s->n;
  s->squares += d * (v - s->mean);
}

static int by_number(const void *a, const void *b) {
  const uint64_t *x = a, *y = b;
  return (*x > *y) - (*x < *y);
}

/* Different clusters of all tasks. */
static cz_status count_clusters(double *out, const column *c, const contrast *x) {
  uint64_t *all;
  size_t total = 0, at = 0;
  for (size_t j = 0; j < c->paths; j++) total += examples_of(c, x, j);
  CZ_TRY(cz_alloc(&all, total, sizeof *all));
  for (size_t j = 0; j < c->paths; j++)
    for (size_t i = 0, n = examples_of(c, x, j); i < n; i++) all[at++] = c->cluster[j][i];
  qsort(all, total, sizeof *all, by_number);
  *out = 0;
  for (size_t i = 0; i < total; i++) *out += i == 0 || all[i] != all[i - 1];
  free(all);
  return CZ_OK;
}

static cz_status bootstrap(cz_noise *out, const column *c, const contrast *x, size_t contrasts) {
  size_t longest = 0;
  for (size_t k = 0; k < c->all; k++)
    for (size_t j = 0; j < c->paths; j++) {
      const cz_parts *p = c->parts[k * c->paths + j];
      if (p && p->n > longest) longest = p->n;
    }
  double *values;
  int32_t *weights = NULL;
  spread *spreads = NULL;
  cz_status st;
  CZ_TRY(cz_alloc(&values, c->all, sizeof *values));
  CZ_GO(st, cz_alloc(&weights, longest, sizeof *weights), done);
  CZ_GO(st, cz_alloc(&spreads, contrasts, sizeof *spreads), done);
  for (uint32_t b = 0; b < CZ_BOOTSTRAP_REPLICATES; b++) {
    CZ_GO(st, replicate(values, c, weights, b), done);
    for (size_t i = 0; i < contrasts; i++) add_replicate(&spreads[i], &x[i], values, c->all);
  }
  for (size_t i = 0; i < contrasts; i++) {
    double clusters = 0;
    if (!x[i].seeds || 2 * spreads[i].n < CZ_BOOTSTRAP_REPLICATES) continue;
    CZ_GO(st, count_clusters(&clusters, c, &x[i]), done);
    if (clusters > 1)
      out[i] = (cz_noise){sqrt(clusters / (clusters - 1) * spreads[i].squares / (spreads[i].n - 1)),
                          clusters - 1};
  }
done:
  free(spreads);
  free(weights);
  free(values);
  return st;
}

enum { OWN, DIFFERENCE, CONTROL, LEAD, BEST_LEAD, CONTRASTS }; /* of a row */

static void fill_contrasts(contrast *x, const column *c) {
  const cz_plan *p = &c->r->plan;
  for (size_t row = 0; row < p->n_rows; row++) {
    const size_t base = cz_plan_baseline_of(p, row), control = cz_plan_control_of(p, row);
    contrast_of(&x[row * CONTRASTS + OWN], c, row, SIZE_MAX);
    contrast_of(&x[row * CONTRASTS + LEAD], c, row, p->n_rows + WEAKEST);
    contrast_of(&x[row * CONTRASTS + BEST_LEAD], c, row, p->n_rows + STRONGEST);
    contrast_of(&x[row * CONTRASTS + DIFFERENCE], c, row, base);
    contrast_of(&x[row * CONTRASTS + CONTROL], c, row, control);
    if (control == SIZE_MAX) x[row * CONTRASTS + CONTROL].seeds = 0;
    if (base == SIZE_MAX || base == row) x[row * CONTRASTS + DIFFERENCE].seeds = 0;
  }
  for (size_t i = 0; i < p->n_pairs; i++)
    contrast_of(&x[p->n_rows * CONTRASTS + i], c, p->pairs[i].row, p->pairs[i].other);
}

static cz_status errors_of(cz_noise *out, const column *c, const contrast *x, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = (cz_noise){NAN, NAN};
  if (c->resample) CZ_TRY(bootstrap(out, c, x, n));
  for (size_t i = 0; i < n; i++) {
    if (!x[i].seeds) continue;
    if (!c->resample) CZ_TRY(closed_form(&out[i], c, &x[i]));
    out[i].error = fmax(out[i].error, minimum_column_error(c, &x[i])); /* NaN stays out of fmax */
    if (isnan(out[i].freedom))
      out[i].error = NAN;
    else
      out[i].freedom = fmax(1, out[i].freedom + 1 - (double)tasks_of(c));
  }
  return CZ_OK;
}

static cz_status noise_of_column(cz_results *r, column *c) {
  const size_t rows = r->plan.n_rows, pairs = r->plan.n_pairs, n = rows * CONTRASTS + pairs;
  double *coefficients;
  contrast *x = NULL;
  cz_noise *errors = NULL;
  cz_status st;
  CZ_TRY(cz_alloc(&coefficients, n * c->all, sizeof *coefficients));
  CZ_GO(st, cz_alloc(&x, n, sizeof *x), done);
  CZ_GO(st, cz_alloc(&errors, n, sizeof *errors), done);
  for (size_t i = 0; i < n; i++) x[i].coefficient = coefficients + i * c->all;
  fill_contrasts(x, c);
  CZ_GO(st, errors_of(errors, c, x, n), done);
  for (size_t row = 0; row < rows; row++) {
    cz_example_noise *noise = &r->noise[c->index * rows + row];
    noise->own = errors[row * CONTRASTS + OWN];
    noise->difference = errors[row * CONTRASTS + DIFFERENCE];
    noise->control = errors[row * CONTRASTS + CONTROL];
    noise->lead = errors[row * CONTRASTS + LEAD];
    noise->best_lead = errors[row * CONTRASTS + BEST_LEAD];
  }
  for (size_t i = 0; i < pairs; i++)
    r->pair_noise[c->index * pairs + i] = errors[rows * CONTRASTS + i];
done:
  free(errors);
  free(x);
  free(coefficients);
  return st;
}

static void set_unknown(cz_results *r, size_t index, const char *why) {
  for (size_t row = 0; row < r->plan.n_rows; row++)
    r->noise[index * r->plan.n_rows + row].unknown = why;
}

static cz_status read_column(cz_results *r, const char *run, size_t index) {
  column c = {.r = r, .index = index, .cells = r->plan.n_rows * r->plan.n_seeds};
  cz_status st;
  c.paths = r->plan.columns[index].n_paths;
  c.all = c.cells + (r->shared[index] ? 1 : c.cells) * PROGRAMS;
  CZ_GO(st, cz_alloc(&c.read, c.cells * c.paths, sizeof *c.read), done);
  CZ_GO(st, cz_alloc(&c.parts, c.all * c.paths, sizeof *c.parts), done);
  CZ_GO(st, cz_alloc(&c.cluster, c.paths, sizeof *c.cluster), done);
  CZ_GO(st, cz_alloc(&c.minimum, c.paths, sizeof *c.minimum), done);
  for (size_t k = 0; k < c.cells; k++) CZ_GO(st, read_cell(&c, run, k), done);
  for (size_t i = 0; i < c.all * c.paths; i++)
    c.resample |= c.parts[i] && c.parts[i]->kind != CZ_PARTS_MEAN;
  if (aligned(&c)) {
    st = noise_of_column(r, &c);
  } else {
    set_unknown(r, index, "rows were scored on different examples");
    cz_warn("column %s: rows were scored on different examples, whose noise is left out",
            r->plan.columns[index].name);
  }
  if (!cz_column_all_scores(&r->plan.columns[index]))
    set_unknown(r, index, "the column also holds a value that is no score");
done:
  for (size_t i = 0; c.read && i < c.cells * c.paths; i++) cz_predictions_free(&c.read[i]);
  free(c.minimum);
  free(c.cluster);
  free(c.parts);
  free(c.read);
  return st;
}

/** Fills in R->noise from the predictions in the folder RUN, for the values that R has.
 * What is not known (no predictions, or of different examples) is NaN. */
cz_status cz_noise_read(cz_results *r, const char *run) {
  const cz_noise unknown = {NAN, NAN};
  for (size_t i = 0; i < r->plan.n_columns * r->plan.n_rows; i++)
    r->noise[i] = (cz_example_noise){unknown, unknown, unknown, unknown, unknown, NULL};
  for (size_t i = 0; i < r->plan.n_columns * r->plan.n_pairs; i++) r->pair_noise[i] = unknown;
  for (size_t c = 0; c < r->plan.n_columns; c++) CZ_TRY(read_column(r, run, c));
  return CZ_OK;
}
