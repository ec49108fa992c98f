#include "experiment/report/curves.h"
#include "base/fs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_POINTS = 400 }; /* of a curve on the page; of longer ones every n-th is shown */

typedef struct points {
  double *step, *loss;
  size_t n, cap, cap_loss;
} points;

static cz_status add_line(points *p, const char *line, size_t n) {
  json_error_t why;
  json_t *o = json_loadb(line, n, 0, &why);
  const json_t *step = json_object_get(o, "step"), *loss = json_object_get(o, "smooth_loss");
  cz_status st = CZ_OK;
  if (json_is_integer(step) &&
      json_is_number(loss)) { /* the last line of a killed run may be cut; a loss may be null */
    st = cz_grow(&p->step, &p->cap, p->n + 1, sizeof *p->step);
    if (st == CZ_OK) st = cz_grow(&p->loss, &p->cap_loss, p->n + 1, sizeof *p->loss);
    if (st == CZ_OK)
      p->step[p->n] = (double)json_integer_value(step), p->loss[p->n++] = json_number_value(loss);
  }
  json_decref(o);
  return st;
}

static cz_status read_points(points *p, const cz_plan_stage *stage, const char *run) {
  char folder[4096], path[4096];
  cz_buf text = {0};
  cz_status st = CZ_OK;
  CZ_TRY(cz_plan_folder(folder, sizeof folder, run, stage));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "metrics.jsonl"));
  if (!cz_fs_exists(path)) return CZ_OK;
  CZ_TRY(cz_fs_read(path, &text));
  const char *end = text.len ? text.data + text.len : NULL; /* an empty file has no data */
  for (const char *line = text.data; end && line < end && st == CZ_OK;) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    size_t n = stop ? (size_t)(stop - line) : (size_t)(end - line);
    st = add_line(p, line, n);
    line += n + 1;
  }
  cz_buf_free(&text);
  return st;
}

/* Adds one seed to the running mean and sum of squares (Welford), over the points that
 * all have. */
static void add_seed(cz_curve *c, const points *p, size_t every) {
  double k = (double)++c->seeds;
  for (size_t i = 0; i < c->n; i++) {
    double loss = p->loss[i * every], d = loss - c->mean[i];
    c->step[i] = p->step[i * every];
    c->mean[i] += d / k;
    c->deviation[i] += d * (loss - c->mean[i]);
  }
}

static cz_status combine(cz_curve *c, const points *p, size_t n_seeds) {
  size_t shortest = 0;
  for (size_t s = 0; s < n_seeds; s++)
    if (p[s].n && (shortest == 0 || p[s].n < shortest)) shortest = p[s].n;
  if (shortest == 0) return CZ_OK;
  size_t every = (shortest + MAX_POINTS - 1) / MAX_POINTS;
  c->n = (shortest + every - 1) / every;
  CZ_TRY(cz_alloc(&c->step, 3 * c->n, sizeof *c->step));
  c->mean = c->step + c->n;
  c->deviation = c->mean + c->n;
  for (size_t s = 0; s < n_seeds; s++)
    if (p[s].n) add_seed(c, &p[s], every);
  for (size_t i = 0; i < c->n; i++)
    c->deviation[i] = c->seeds > 1 ? sqrt(c->deviation[i] / (double)(c->seeds - 1)) : NAN;
  return CZ_OK;
}

/** Reads the smoothed loss of a stage of ROW from the metrics of the run's folder; n is 0
 * when there are none. Free with cz_curve_free. */
cz_status cz_curve_read(cz_curve *c, const cz_plan *plan, const char *run, size_t row,
                        size_t stage) {
  points *p;
  cz_status st = CZ_OK;
  *c = (cz_curve){0};
  CZ_TRY(cz_alloc(&p, plan->n_seeds, sizeof *p));
  for (size_t s = 0; s < plan->n_seeds && st == CZ_OK; s++)
    if (!cz_plan_at(plan, s, row, stage)->left_out)
      st = read_points(&p[s], cz_plan_at(plan, s, row, stage), run);
  if (st == CZ_OK) st = combine(c, p, plan->n_seeds);
  for (size_t s = 0; s < plan->n_seeds; s++) {
    free(p[s].step);
    free(p[s].loss);
  }
  free(p);
  return st;
}

/** Frees the points. */
void cz_curve_free(cz_curve *c) {
  free(c->step);
  *c = (cz_curve){0};
}
