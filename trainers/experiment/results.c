/* The results of a run as far as they are there: the plan as it was recorded, and what
 * the finished stages wrote. */
#include "experiment/results.h"
#include "base/fs.h"
#include "base/log.h"
#include "experiment/noise.h"
#include "experiment/results_internal.h"
#include "stages/parts.h"
#include "stages/precision.h"
#include "stages/result.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Where to find the stage that an entry of plan.json names. */
static cz_status place_of(cz_plan_stage **out, const cz_plan *p, int64_t seed, int64_t row,
                          const char *stage) {
  *out = NULL;
  for (size_t s = 0; s < p->n_seeds; s++)
    for (size_t i = 0;
         i < p->n_stages && p->seeds[s] == seed && row >= 0 && (size_t)row < p->n_rows; i++) {
      *out = cz_plan_at(p, s, (size_t)row, i);
      if (!strcmp((*out)->name, stage)) return CZ_OK;
    }
  return CZ_FAIL(CZ_ECORRUPT, "seed %lld, row %lld, stage %s is not in experiment.yaml",
                 (long long)seed, (long long)row, stage);
}

static cz_status take_key(cz_plan *p, const json_t *entry) {
  const char *stage = json_string_value(json_object_get(entry, "stage")),
             *key = json_string_value(json_object_get(entry, "key"));
  const json_t *seed = json_object_get(entry, "seed"), *row = json_object_get(entry, "row");
  cz_plan_stage *at;
  if (!stage || !key || !json_is_integer(seed) || !json_is_integer(row) ||
      strlen(key) + 1 != CZ_KEY_TEXT_BYTES || strspn(key, "0123456789abcdef") != strlen(key))
    return CZ_FAIL(CZ_ECORRUPT, "an entry is not {seed, row, stage, key}");
  CZ_TRY(place_of(&at, p, json_integer_value(seed), json_integer_value(row), stage));
  memcpy(at->key, key, CZ_KEY_TEXT_BYTES);
  return CZ_OK;
}

/* The keys as they were when the run began: the data that they cover may be gone or
 * changed since. */
static cz_status recorded_keys(cz_plan *p, const char *path) {
  size_t i, expected = 0;
  for (i = 0; i < p->n_stages; i++) expected += cz_plan_uses(p, i);
  json_t *entry, *list;
  CZ_TRY(cz_json_open(&list, path));
  cz_status st = json_array_size(list) == expected
                     ? CZ_OK
                     : CZ_FAIL(CZ_ECORRUPT, "%s: %zu stages, experiment.yaml has %zu", path,
                               json_array_size(list), expected);
  json_array_foreach(list, i, entry) {
    if (st == CZ_OK && (st = take_key(p, entry)) != CZ_OK) st = CZ_NOTE(st, "%s", path);
  }
  json_decref(list);
  return st == CZ_OK ? cz_plan_index(p) : st;
}

/* The keys of all stages of the plan, as a set. */
static json_t *key_set(const cz_plan *p) {
  json_t *set = json_object();
  for (size_t i = 0; set && i < cz_plan_count(p); i++)
    if (!p->stages[i].left_out && json_object_set_new(set, p->stages[i].key, json_true()))
      return json_decref(set), NULL;
  return set;
}

/** Of the different stages that the plan.json at PATH has, which may be another
 * experiment's: how many P has too, and how many it has not. CZ_ECORRUPT when the file
 * is missing or damaged. */
cz_status cz_results_overlap(size_t *shared, size_t *lost, const cz_plan *p, const char *path) {
  size_t i;
  json_t *entry, *list, *seen = json_object(), *own = key_set(p);
  cz_status st = cz_json_open(&list, path);
  *shared = *lost = 0;
  if (st == CZ_OK && !json_array_size(list))
    st = CZ_FAIL(CZ_ECORRUPT, "%s: no list of stages", path);
  json_array_foreach(list, i, entry) {
    const char *key = json_string_value(json_object_get(entry, "key"));
    if (!key) st = CZ_FAIL(CZ_ECORRUPT, "%s: entry %zu has no key", path, i);
    if (!key || json_object_get(seen, key)) continue;
    json_object_set_new(seen, key, json_true());
    ++*(json_object_get(own, key) ? shared : lost);
  }
  json_decref(list);
  json_decref(seen);
  json_decref(own);
  return st;
}

/* What `a.b.c` leads to below ROOT; null when there is nothing. */
static const json_t *follow(const json_t *root, const char *path) {
  char key[256];
  while (root && *path) {
    size_t length = strcspn(path, ".");
    if (length >= sizeof key) return NULL;
    snprintf(key, sizeof key, "%.*s", (int)length, path);
    root = json_object_get(root, key);
    path += length + (path[length] == '.');
  }
  return root;
}

static cz_status open_stages(cz__stages *o, const cz_plan *p, const char *run, size_t seed,
                             size_t row) {
  char folder[4096];
  *o = (cz__stages){.n = p->n_stages, .plan = p, .row = row};
  CZ_TRY(cz_alloc(&o->result, o->n, sizeof *o->result));
  for (size_t i = 0; i < p->n_stages; i++) {
    if (cz_plan_at(p, seed, row, i)->left_out) continue;
    CZ_TRY(cz_plan_folder(folder, sizeof folder, run, cz_plan_at(p, seed, row, i)));
    if (!cz_result_exists(folder)) continue;
    cz_status st = cz_result_open(&o->result[i], folder);
    if (st != CZ_OK && st != CZ_ECORRUPT) return st;
    if (st == CZ_ECORRUPT) cz_error_clear(); /* as good as missing; count_stages says so */
  }
  return CZ_OK;
}

static void close_stages(cz__stages *o) {
  for (size_t i = 0; o->result && i < o->n; i++) json_decref(o->result[i]);
  free(o->result);
}

/** The task that PATH scores, as an object of its stage's metrics; null where the stage is not
 * done, lacks it, or PATH is no score. Borrowed. */
const json_t *cz__results_task(const cz__stages *o, const cz_column_path *path) {
  path = cz_column_path_of(o->plan, path, o->row);
  return path->task ? follow(json_object_get(o->result[path->stage], "metrics"), path->task) : NULL;
}

/* What stands at a path; of a score, beside it under WHAT: "scores", "undefined", or a program. */
static const json_t *path_value(const cz__stages *o, const cz_column_path *path, const char *what) {
  path = cz_column_path_of(o->plan, path, o->row);
  if (!path->task) return follow(json_object_get(o->result[path->stage], "metrics"), path->key);
  return json_object_get(json_object_get(cz__results_task(o, path), what), path->metric);
}

/* The numbers that a path leads to, through lists to those of all their items. */
typedef struct numbers {
  double sum, low, high;
  size_t n;
  bool list, missing; /* a list was on the way; something was no number */
} numbers;

static void collect(numbers *all, const json_t *root, const char *path) {
  char key[256];
  const json_t *item;
  size_t i;
  while (*path && json_is_object(root)) {
    const size_t length = strcspn(path, ".");
    snprintf(key, sizeof key, "%.*s", (int)length, path);
    root = json_object_get(root, key);
    path += length + (path[length] == '.');
  }
  if (json_is_array(root)) {
    all->list = true;
    json_array_foreach(root, i, item) { collect(all, item, path); }
  } else if (*path || !json_is_number(root)) {
    all->missing = true;
  } else {
    const double x = json_number_value(root);
    all->low = all->n && all->low < x ? all->low : x;
    all->high = all->n && all->high > x ? all->high : x;
    all->sum += x, all->n++;
  }
}

static double taken(const numbers *all, cz_take take) {
  if (!all->n || all->missing) return NAN;
  switch (take) {
  case CZ_TAKE_MEAN: return all->sum / (double)all->n;
  case CZ_TAKE_MIN: return all->low;
  case CZ_TAKE_MAX: return all->high;
  case CZ_TAKE_SPREAD: return all->high - all->low;
  case CZ_TAKE_ONE: break;
  }
  return NAN;
}

/** The number at PATH, `a.b.c`, below ROOT; through a list the mean of those of its items. NaN
 * where one is missing. */
double cz_results_number(const json_t *root, const char *path) {
  numbers all = {0};
  collect(&all, root, path);
  return taken(&all, CZ_TAKE_MEAN);
}

/* Whether METRICS are of a stage with members, or judge a classifier (docs/reports.md 4.4). */
static bool is_few_shot(json_t *metrics) {
  const char *name;
  json_t *value;
  if (json_is_array(json_object_get(metrics, "members"))) return true;
  json_object_foreach(metrics, name, value) {
    if (json_object_get(value, "ece") || json_object_get(value, "shares")) return true;
  }
  return false;
}

/* Keeps the metrics that the report of few-shot classifiers is made of. */
static void keep_few_shot(cz_results *r, const cz__stages *o, size_t seed, size_t row) {
  const cz_plan *p = &r->plan;
  for (size_t i = 0; i < p->n_stages; i++) {
    json_t *metrics = json_object_get(o->result[i], "metrics");
    if (metrics && is_few_shot(metrics))
      r->few_shot[(row * p->n_stages + i) * p->n_seeds + seed] = json_incref(metrics);
  }
}

/* The paths of a column lead through lists where it has `take`, and nowhere else. */
static cz_status check_lists(const cz__stages *o, const cz_column *c) {
  const cz_config_node *value = cz_config_get(c->node, "value");
  for (size_t i = 0; i < c->n_paths; i++) {
    const cz_column_path *path = &c->paths[i];
    const json_t *metrics = json_object_get(o->result[path->stage], "metrics");
    numbers all = {0};
    if (path->task || !metrics) continue;
    collect(&all, metrics, path->key);
    if (all.list && path->take == CZ_TAKE_ONE)
      return cz_config_error(value,
                             "'%s' leads to a list of %zu numbers: the key `take` (mean, min, max "
                             "or spread) is missing",
                             path->text, all.n);
    if (!all.list && all.n && path->take != CZ_TAKE_ONE)
      return cz_config_error(cz_config_get(c->node, "take"), "take: '%s' is one number and no list",
                             path->text);
  }
  return CZ_OK;
}

/** The number at PATH; of a score, what WHAT has: "scores", the model, else a program. NaN where
 * it is not there. */
double cz__results_value(const cz__stages *o, const cz_column_path *path, const char *what) {
  path = cz_column_path_of(o->plan, path, o->row);
  if (path->take != CZ_TAKE_ONE) {
    numbers all = {0};
    collect(&all, json_object_get(o->result[path->stage], "metrics"), path->key);
    return taken(&all, path->take);
  }
  const json_t *value = path_value(o, path, what);
  return json_is_number(value) ? json_number_value(value) : NAN;
}

/** The mean of a column's values; NaN when one of them is not there. */
double cz__results_mean(const cz__stages *o, const cz_column *c, const char *what) {
  double sum = 0, mean = 0, n = (double)c->n_paths;
  for (size_t i = 0; i < c->n_paths; i++) {
    double x = cz__results_value(o, &c->paths[i], what);
    sum += x;
    mean += x / n; /* where the sum is out of range */
  }
  return isinf(sum) ? mean : sum / n;
}

/* Why the score at PATH has no value, where its stage says it: under `undefined`, which stands
 * beside `scores` of a task and beside other values. */
static const char *why_undefined(const cz__stages *o, const cz_column_path *path) {
  path = cz_column_path_of(o->plan, path, o->row);
  if (path->task) return json_string_value(path_value(o, path, "undefined"));
  const char *point = strrchr(path->key, '.');
  char key[512];
  const int n = point ? (int)(point - path->key) : 0;
  snprintf(key, sizeof key, "%.*s%sundefined.%s", n, path->key, point ? "." : "",
           point ? point + 1 : path->key);
  return json_string_value(follow(json_object_get(o->result[path->stage], "metrics"), key));
}

/* Counts a score that exists and has no value: it is not defined for these outputs. */
static cz_status read_undefined(cz_undefined *out, const cz__stages *o, const cz_plan *p,
                                const cz_column *c) {
  const char *why = NULL;
  bool undefined = false;
  for (size_t i = 0; i < c->n_paths; i++) {
    const json_t *value = path_value(o, &c->paths[i], "scores");
    if (!value) return CZ_OK;
    if (!json_is_null(value)) continue;
    undefined = true;
    if (!why) why = why_undefined(o, &c->paths[i]);
  }
  out->seeds += undefined;
  if (!why || out->why) return CZ_OK;
  char *kept;
  CZ_TRY(cz_arena_strdup(p->arena, &kept, why));
  out->why = kept;
  return CZ_OK;
}

/** Whether a score stands under COLUMN, so that its values have test examples behind them. */
bool cz_results_scored(const cz_results *r, size_t column) {
  const cz_column *c = &r->plan.columns[column];
  for (size_t i = 0; i < c->n_paths; i++)
    if (c->paths[i].task) return true;
  return false;
}

/** Whether a row of R has stages that said how many tokens of texts they scored. */
bool cz_results_scores_texts(const cz_results *r) {
  for (size_t i = 0; i < r->plan.n_rows; i++)
    if (r->costs[i].scored > 0) return true;
  return false;
}

static void mean_over(double *mean, double value, double share) {
  *mean += (value - *mean) * share;
}

static double number_or_nan(const json_t *o, const char *key) {
  const json_t *v = json_object_get(o, key);
  return json_is_number(v) ? json_number_value(v) : NAN;
}

static bool has_objective(const cz_stage_kind *kind) {
  for (const cz_stage_part *const *part = kind->parts; *part; part++)
    if (*part == &cz_part_objective) return true;
  return false;
}

/* What the row's stages with an objective read: tokens of text add up, lengths are means over
 * the examples of all of them. */
static cz_row_text text_of(const cz__stages *o, const cz_plan *p) {
  double examples = 0;
  cz_row_text sum = {0};
  for (size_t i = 0; i < p->n_stages; i++) {
    const json_t *metrics = json_object_get(o->result[i], "metrics");
    if (!metrics || !has_objective(cz_plan_at(p, 0, 0, i)->kind)) continue;
    double n = number_or_nan(metrics, "examples");
    examples += n;
    sum.tokens += number_or_nan(metrics, "text_tokens");
    sum.inputs += n * number_or_nan(metrics, "mean_inputs");
    sum.targets += n * number_or_nan(metrics, "mean_targets");
  }
  return (cz_row_text){examples > 0 ? sum.tokens : NAN, sum.inputs / examples,
                       sum.targets / examples};
}

/* Seconds of a stage, with those of the training that it went on from. */
static double seconds_of(const json_t *measured) {
  return json_number_value(json_object_get(measured, "seconds")) +
         json_number_value(json_object_get(measured, "earlier_seconds"));
}

/* What the stages of the axis took together; a loss is one stage's. */
static void add_point(cz_row_point *at, const cz__stages *o, const cz_plan *p, size_t row) {
  cz_row_point sum = {0};
  size_t n = 0;
  for (size_t i = 0; i < p->n_stages; i++) {
    const cz_plan_stage *stage = cz_plan_at(p, 0, row, i);
    if (stage->left_out || !cz_plan_axis_sets(p, stage->name)) continue;
    const json_t *metrics = json_object_get(o->result[i], "metrics"),
                 *measured = json_object_get(o->result[i], "measured");
    if (!metrics || !measured) return;
    sum.tokens += number_or_nan(metrics, "input_tokens") + number_or_nan(metrics, "target_tokens");
    sum.loss = n++ ? NAN : number_or_nan(metrics, "loss");
    sum.seconds += seconds_of(measured);
  }
  if (!n) return;
  const double share = 1 / (double)++at->seeds;
  mean_over(&at->tokens, sum.tokens, share);
  mean_over(&at->loss, sum.loss, share);
  mean_over(&at->seconds, sum.seconds, share);
}

static void add_cost(cz_cost *cost, cz_row_text *text, const cz__stages *o, const cz_plan *p,
                     size_t row) {
  cz_cost one = {0};
  for (size_t i = 0; i < p->n_stages; i++) {
    const json_t *metrics = json_object_get(o->result[i], "metrics"),
                 *measured = json_object_get(o->result[i], "measured");
    if (cz_plan_at(p, 0, row, i)->left_out) continue;
    if (!metrics || !measured) return;
    one.steps += json_number_value(json_object_get(metrics, "steps"));
    one.tokens += json_number_value(json_object_get(metrics, "input_tokens")) +
                  json_number_value(json_object_get(metrics, "target_tokens"));
    one.scored += json_number_value(json_object_get(metrics, "scored_tokens"));
    one.seconds += seconds_of(measured);
  }
  const cz_row_text read = text_of(o, p);
  double share = 1 / (double)++cost->seeds;
  mean_over(&cost->steps, one.steps, share);
  mean_over(&cost->tokens, one.tokens, share);
  mean_over(&cost->scored, one.scored, share);
  mean_over(&cost->seconds, one.seconds, share);
  mean_over(&text->tokens, read.tokens, share);
  mean_over(&text->inputs, read.inputs, share);
  mean_over(&text->targets, read.targets, share);
}

static cz_status read_cell(cz_results *r, const char *run, size_t seed, size_t row) {
  const cz_plan *p = &r->plan;
  cz__stages o;
  cz_status st = open_stages(&o, p, run, seed, row);
  for (size_t c = 0; c < p->n_columns && st == CZ_OK; c++) {
    if ((st = check_lists(&o, &p->columns[c])) != CZ_OK) break;
    r->values[(c * p->n_rows + row) * p->n_seeds + seed] =
        cz__results_mean(&o, &p->columns[c], "scores");
    st = read_undefined(&r->undefined[c * p->n_rows + row], &o, p, &p->columns[c]);
    if (st == CZ_OK) st = cz__results_baselines(r, &o, c, seed);
  }
  if (st == CZ_OK) keep_few_shot(r, &o, seed, row);
  if (st == CZ_OK) add_point(&r->points[row], &o, p, row);
  if (st == CZ_OK) add_cost(&r->costs[row], &r->texts[row], &o, p, row);
  close_stages(&o);
  return st;
}

static cz_status read_paper(cz_results *r) {
  const cz_plan *p = &r->plan;
  for (size_t c = 0; c < p->n_columns; c++)
    for (size_t row = 0; row < p->n_rows; row++) {
      double *at = &r->paper[c * p->n_rows + row];
      const cz_config_node *paper = p->rows[row].paper,
                           *n = paper && p->columns[c].paper
                                    ? cz_config_get(paper, p->columns[c].paper)
                                    : NULL;
      *at = NAN;
      if (n) CZ_TRY(cz_config_real(at, n, -INFINITY, INFINITY));
    }
  return CZ_OK;
}

static void count_precision(cz_results *r, const cz_config_node *stage) {
  const char *name = cz_stage_precision(stage);
  for (size_t i = 0; name && i < CZ_TRAINED; i++) {
    cz_trained *t = &r->trained[i];
    if (!t->stages) t->precision = name;
    if (strcmp(t->precision, name)) continue;
    t->stages++;
    return;
  }
}

/* How many different stages the plan has and how many of them have left a result: their
 * models may have been removed since. */
static cz_status count_stages(cz_results *r, const char *run) {
  const cz_plan *p = &r->plan;
  size_t n = p->n_seeds * p->n_rows * p->n_stages;
  for (size_t i = 0; i < n; i++) {
    char folder[4096];
    json_t *result;
    if (!p->stages[i].first) continue;
    CZ_TRY(cz_plan_folder(folder, sizeof folder, run, &p->stages[i]));
    r->total++;
    if (!cz_result_exists(folder)) continue;
    cz_status st = cz_result_open(&result, folder);
    if (st == CZ_OK) count_precision(r, p->stages[i].node);
    json_decref(result);
    r->done += st == CZ_OK;
    if (st == CZ_OK) continue;
    cz_warn("%s\n  %s/result.json is damaged and left out: run the experiment again with --out %s",
            cz_error_message(), folder, run);
    cz_error_clear();
  }
  return CZ_OK;
}

static cz_status allocate(cz_results *r) {
  cz_plan *p = &r->plan;
  CZ_TRY(cz_arena_alloc(p->arena, &r->values, p->n_columns * p->n_rows * p->n_seeds,
                        sizeof *r->values));
  CZ_TRY(cz_arena_alloc(p->arena, &r->paper, p->n_columns * p->n_rows, sizeof *r->paper));
  CZ_TRY(cz_arena_alloc(p->arena, &r->undefined, p->n_columns * p->n_rows, sizeof *r->undefined));
  CZ_TRY(cz_arena_alloc(p->arena, &r->noise, p->n_columns * p->n_rows, sizeof *r->noise));
  CZ_TRY(cz_arena_alloc(p->arena, &r->pair_noise, p->n_columns * p->n_pairs + 1,
                        sizeof *r->pair_noise));
  CZ_TRY(cz_arena_alloc(p->arena, &r->few_shot, cz_plan_count(p), sizeof *r->few_shot));
  CZ_TRY(cz_arena_alloc(p->arena, &r->texts, p->n_rows, sizeof *r->texts));
  CZ_TRY(cz_arena_alloc(p->arena, &r->points, p->n_rows, sizeof *r->points));
  CZ_TRY(cz_arena_alloc(p->arena, &r->baselines, p->n_columns * p->n_rows, sizeof *r->baselines));
  CZ_TRY(cz_arena_alloc(p->arena, &r->shared, p->n_columns, sizeof *r->shared));
  return cz_arena_alloc(p->arena, &r->costs, p->n_rows, sizeof *r->costs);
}

/* A folder of cloze pet has its run inside. */
static cz_status refuse_folder(const char *run) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, run, "run/experiment.yaml"));
  const bool inside = cz_fs_exists(path);
  return CZ_FAIL(CZ_EUSAGE,
                 "%s is not the folder of a run: there is no experiment.yaml in it%s%s%s", run,
                 inside ? "; did you mean " : "", inside ? run : "", inside ? "/run?" : "");
}

/** Reads the results in the folder RUN, finished or not: what is missing is NaN. The data
 * that the run was made from need not be there. CZ_EUSAGE when RUN is not the folder of
 * a run, CZ_ECORRUPT for a damaged file in it. Close with cz_results_close, also after a
 * failure. */
cz_status cz_results_open(cz_results *r, const char *run) {
  char path[4096];
  *r = (cz_results){0};
  CZ_TRY(cz_fs_join(path, sizeof path, run, "experiment.yaml"));
  if (!cz_fs_exists(path)) return refuse_folder(run);
  CZ_TRY(cz_plan_open(&r->plan, path, NULL, 0, NULL, 0, NULL));
  CZ_TRY(cz_fs_join(path, sizeof path, run, "plan.json"));
  cz_status st = recorded_keys(&r->plan, path);
  if (st != CZ_OK)
    return CZ_NOTE(
        st,
        "run the experiment again with --out %s: what is done stays, and this file is written anew",
        run);
  CZ_TRY(allocate(r));
  CZ_TRY(read_paper(r));
  for (size_t s = 0; s < r->plan.n_seeds; s++)
    for (size_t row = 0; row < r->plan.n_rows; row++) CZ_TRY(read_cell(r, run, s, row));
  for (size_t row = 0; row < r->plan.n_rows; row++)
    if (!r->points[row].seeds) r->points[row] = (cz_row_point){NAN, NAN, NAN, 0};
  CZ_TRY(cz__results_settle_baselines(r));
  CZ_TRY(cz_noise_read(r, run));
  return count_stages(r, run);
}

/** Frees the results. */
void cz_results_close(cz_results *r) {
  for (size_t i = 0; r->few_shot && i < cz_plan_count(&r->plan); i++) json_decref(r->few_shot[i]);
  r->few_shot = NULL;
  cz_plan_close(&r->plan);
}
