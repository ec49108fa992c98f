#include "stages/scoring.h"
#include "base/fs.h"
#include "base/log.h"
#include "metrics/jsonl.h"
#include "stages/stage.h"
#include "tasks/baseline.h"
#include "tasks/score.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ANSWERS = 8 }; /* the model, the task's baseline, the simple programs */

/* What the model or a simple program wrote for each record, and what it is worth. */
typedef struct answer {
  const char *name; /* null: the model */
  const char *const *outputs;
  double scores[CZ_TASK_METRICS];
  double *parts; /* [metrics][records][CZ_TASK_PARTS] */
} answer;

typedef struct scoring {
  const cz_scored *task;
  cz_arena *arena;
  answer answers[ANSWERS]; /* the model first, then the task's own baseline */
  int n;
} scoring;

static const cz_task_metric *metrics_of(const scoring *s) { return s->task->set->metrics; }

static int count_metrics(const scoring *s) {
  int n = 0;
  while (n < CZ_TASK_METRICS && metrics_of(s)[n] != CZ_METRIC_NONE) n++;
  return n;
}

/* Scores OUTPUTS, as a whole and record by record. */
static cz_status add_answer(scoring *s, const char *name, const char *const *outputs) {
  const cz_task_set *set = s->task->set;
  const size_t stride = set->n * CZ_TASK_PARTS;
  CZ_CHECK(s->n < ANSWERS);
  answer *a = &s->answers[s->n++];
  *a = (answer){.name = name, .outputs = outputs};
  CZ_TRY(cz_task_score(a->scores, set, outputs));
  CZ_TRY(cz_arena_alloc(s->arena, &a->parts, CZ_TASK_METRICS * stride, sizeof *a->parts));
  for (int k = 0; k < count_metrics(s); k++)
    CZ_TRY(cz_task_parts(a->parts + (size_t)k * stride, metrics_of(s)[k], set, outputs));
  return CZ_OK;
}

/* The answers of the model, of the task's baseline, and of the programs that apply. */
static cz_status collect(scoring *s) {
  const cz_task_set *set = s->task->set, *train = s->task->train;
  const char **outputs;
  CZ_TRY(add_answer(s, NULL, s->task->outputs));
  CZ_TRY(cz_arena_alloc(s->arena, &outputs, set->n, sizeof *outputs));
  CZ_TRY(cz_task_baseline_outputs(outputs, s->arena, train, set));
  CZ_TRY(add_answer(s, cz_task_baseline_names[set->baseline], outputs));
  for (const cz_simple *p = cz_task_simple; p->name; p++) {
    bool applies;
    CZ_TRY(cz_arena_alloc(s->arena, &outputs, set->n, sizeof *outputs));
    CZ_TRY(p->outputs(&applies, outputs, s->arena, train, set));
    if (applies) CZ_TRY(add_answer(s, p->name, outputs));
  }
  return CZ_OK;
}

/* {METRIC: [numbers], ...} of record I; no numbers where it does not count. */
static cz_status add_parts(cz_buf *out, const scoring *s, const answer *a, size_t i) {
  CZ_TRY(cz_buf_addf(out, "{"));
  for (int k = 0; k < count_metrics(s); k++) {
    cz_task_metric metric = metrics_of(s)[k];
    const double *x = a->parts + ((size_t)k * s->task->set->n + i) * CZ_TASK_PARTS;
    CZ_TRY(cz_buf_addf(out, "%s\"%s\": [", k ? ", " : "", cz_task_metric_names[metric]));
    for (size_t m = 0; m < cz_parts_width(cz_task_parts_kind(metric)) && !isnan(x[0]); m++)
      CZ_TRY(cz_buf_addf(out, "%s%.17g", m ? ", " : "", x[m]));
    CZ_TRY(cz_buf_addf(out, "]"));
  }
  return cz_buf_addf(out, "}");
}

static cz_status end_line(cz_buf *out, const scoring *s, size_t i) {
  return cz_buf_addf(out, "%s}\n", s->task->more_json ? s->task->more_json[i] : "");
}

/* One line: texts, the group that the record belongs to, its part of each score, and the
 * same of each simple program. */
static cz_status add_prediction(cz_buf *out, const scoring *s, size_t i) {
  const cz_task_record *record = &s->task->set->records[i];
  const char *const keys[] = {
      "{\"input\": ", ", \"target\": ", ", \"output\": ", ", \"baseline\": "};
  const char *const values[] = {record->inputs, record->targets, s->answers[0].outputs[i],
                                s->answers[1].outputs[i]};
  for (int k = 0; k < 4; k++) {
    CZ_TRY(cz_buf_addf(out, "%s", keys[k]));
    CZ_TRY(cz_jsonl_quote(out, values[k]));
  }
  CZ_TRY(cz_buf_addf(out, ", \"group\": "));
  CZ_TRY(record->origin ? cz_jsonl_quote(out, record->origin)
                        : cz_buf_addf(out, "%lld", (long long)record->group));
  CZ_TRY(cz_buf_addf(out, ", \"scores\": "));
  CZ_TRY(add_parts(out, s, &s->answers[0], i));
  CZ_TRY(cz_buf_addf(out, ", \"baselines\": {"));
  for (int k = 1; k < s->n; k++) {
    CZ_TRY(cz_buf_addf(out, "%s\"%s\": ", k > 1 ? ", " : "", s->answers[k].name));
    CZ_TRY(add_parts(out, s, &s->answers[k], i));
  }
  CZ_TRY(cz_buf_addf(out, "}, \"cut\": %s", s->task->cut[i] ? "true" : "false"));
  return end_line(out, s, i);
}

/* One line of a record that is not scored: its answer, where there is one, is looked at alone. */
static cz_status add_unscored(cz_buf *out, const scoring *s, size_t i) {
  const cz_task_record *record = &s->task->set->records[i];
  CZ_TRY(cz_buf_addf(out, "{\"input\": "));
  CZ_TRY(cz_jsonl_quote(out, record->inputs));
  CZ_TRY(cz_buf_addf(out, ", \"target\": "));
  CZ_TRY(record->unknown ? cz_buf_addf(out, "null") : cz_jsonl_quote(out, record->targets));
  CZ_TRY(cz_buf_addf(out, ", \"output\": "));
  CZ_TRY(cz_jsonl_quote(out, s->task->outputs[i]));
  return end_line(out, s, i);
}

/* Every output beside its input and answer, so that a score can be looked into, and so
 * that a report knows how far other examples would move it; a line a record, by ADD. */
static cz_status write_predictions(const scoring *s, const char *folder,
                                   cz_status (*add)(cz_buf *out, const scoring *s, size_t i)) {
  char path[4096];
  cz_buf text = {0};
  cz_status st = CZ_OK;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "predictions."));
  size_t used = strlen(path);
  snprintf(path + used, sizeof path - used, "%s.jsonl", s->task->label);
  for (size_t i = 0; i < s->task->set->n && st == CZ_OK; i++) st = add(&text, s, i);
  if (st == CZ_OK) st = cz_fs_write_atomic(path, text.data, text.len);
  cz_buf_free(&text);
  return st;
}

/* Adds the object VALUE, which is taken over, to INTO. */
static cz_status put(json_t *into, const char *key, json_t *value) {
  return json_object_set_new(into, key, value)
             ? CZ_FAIL(CZ_ENOMEM, "no memory for the scores of %s", key)
             : CZ_OK;
}

static cz_status put_scores(json_t *task, const char *key, const scoring *s, const answer *a) {
  json_t *own = json_object();
  CZ_TRY(put(task, key, own));
  for (int k = 0; k < count_metrics(s); k++)
    CZ_TRY(cz_json_set_real(own, cz_task_metric_names[metrics_of(s)[k]], a->scores[k]));
  return CZ_OK;
}

/* Why scores of the model have no value: {METRIC: reason}; nothing when all have one. */
static cz_status put_undefined(json_t *task, const scoring *s) {
  json_t *reasons = NULL;
  for (int k = 0; k < count_metrics(s); k++) {
    const char *why;
    if (!isnan(s->answers[0].scores[k])) continue;
    CZ_TRY(cz_task_undefined(&why, metrics_of(s)[k], s->task->set, s->answers[0].outputs));
    if (!why) why = "the predictions differ by less than float64 can tell";
    if (!reasons) CZ_TRY(put(task, "undefined", reasons = json_object()));
    CZ_TRY(put(reasons, cz_task_metric_names[metrics_of(s)[k]], json_string(why)));
    cz_warn("evaluate: %s: %s is not defined: %s", s->task->label,
            cz_task_metric_names[metrics_of(s)[k]], why);
  }
  return CZ_OK;
}

static cz_status put_task(json_t *metrics, const scoring *s) {
  const cz_scored *t = s->task;
  json_t *task = json_object();
  CZ_TRY(put(metrics, t->label, task));
  CZ_TRY(put_scores(task, "scores", s, &s->answers[0]));
  CZ_TRY(put_scores(task, "baseline", s, &s->answers[1]));
  CZ_TRY(put(task, "baseline_kind", json_string(s->answers[1].name)));
  CZ_TRY(put(task, "examples", json_integer((json_int_t)t->set->n)));
  CZ_TRY(put(task, "cut", json_integer((json_int_t)t->inputs_cut)));
  CZ_TRY(put(task, "outputs_cut", json_integer((json_int_t)t->outputs_cut)));
  for (int k = 2; k < s->n; k++) CZ_TRY(put_scores(task, s->answers[k].name, s, &s->answers[k]));
  return put_undefined(task, s);
}

/* The first score of the model beside those of the programs. */
static cz_status log_scores(const scoring *s) {
  cz_buf programs = {0};
  cz_status st = CZ_OK;
  for (int k = 1; k < s->n && st == CZ_OK; k++)
    st = cz_buf_addf(&programs, "%s%s %.2f", k > 1 ? ", " : "", s->answers[k].name,
                     s->answers[k].scores[0]);
  if (st == CZ_OK)
    cz_log("evaluate: %-20s %-10s %7.2f   baselines: %s   %zu examples", s->task->label,
           cz_task_metric_names[metrics_of(s)[0]], s->answers[0].scores[0], programs.data,
           s->task->set->n);
  cz_buf_free(&programs);
  return st;
}

/** Scores TASK's outputs and those of the simple programs; writes predictions.TASK.jsonl in
 * FOLDER and adds the task's object to METRICS: `scores`, `baseline` with its kind, one
 * object for each further program, what was cut, and why a score is not defined. */
cz_status cz_scoring_write(json_t *metrics, const char *folder, const cz_scored *task) {
  scoring s = {.task = task};
  cz_status st;
  CZ_TRY(cz_arena_create(&s.arena, "scoring"));
  CZ_GO(st, collect(&s), done);
  CZ_GO(st, write_predictions(&s, folder, add_prediction), done);
  CZ_GO(st, put_task(metrics, &s), done);
  st = log_scores(&s);
done:
  cz_arena_destroy(&s.arena);
  return st;
}

/** Writes predictions.TASK.jsonl of a task whose records have not all an answer, and are not
 * scored: {"input", "target", "output"}, the target null where it is not known. */
cz_status cz_scoring_write_unscored(const char *folder, const cz_scored *task) {
  return write_predictions(&(scoring){.task = task}, folder, add_unscored);
}
