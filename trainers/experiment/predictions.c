#include "experiment/predictions.h"
#include "base/fs.h"
#include "base/hash.h"
#include "tasks/score.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SCORES = 64 }; /* of one file: metrics times baselines */

/* Calls ADD for each score that the line has, the model's first. */
typedef cz_status (*score_fn)(cz_predictions *p, const char *metric, const char *baseline,
                              const json_t *numbers, size_t record);

static cz_status each_metric(cz_predictions *p, const json_t *scores, const char *baseline,
                             size_t record, score_fn add) {
  const char *metric;
  json_t *numbers;
  json_object_foreach((json_t *)scores, metric, numbers)
      CZ_TRY(add(p, metric, baseline, numbers, record));
  return CZ_OK;
}

static cz_status each_score(cz_predictions *p, const json_t *line, size_t record, score_fn add) {
  const char *baseline;
  json_t *scores;
  CZ_TRY(each_metric(p, json_object_get(line, "scores"), NULL, record, add));
  json_object_foreach(json_object_get(line, "baselines"), baseline, scores)
      CZ_TRY(each_metric(p, scores, baseline, record, add));
  return CZ_OK;
}

static cz_predicted *find(const cz_predictions *p, const char *metric, const char *baseline) {
  for (size_t i = 0; i < p->n_scores; i++) {
    cz_predicted *s = &p->scores[i];
    bool same = s->baseline && baseline ? !strcmp(s->baseline, baseline) : s->baseline == baseline;
    if (same && !strcmp(s->metric, metric)) return s;
  }
  return NULL;
}

/* The first line says which scores there are. */
static cz_status declare(cz_predictions *p, const char *metric, const char *baseline,
                         const json_t *numbers, size_t record) {
  cz_predicted *s = &p->scores[p->n_scores];
  char *name, *of = NULL;
  double *x;
  cz_task_metric which;
  (void)numbers, (void)record;
  if (cz_task_metric_find(&which, metric) != CZ_OK)
    return CZ_FAIL(CZ_ECORRUPT, "%s", cz_error_message());
  if (p->n_scores == SCORES)
    return CZ_FAIL(CZ_ECORRUPT, "there are more than %d scores of an example", SCORES);
  cz_parts_kind kind = cz_task_parts_kind(which);
  CZ_TRY(cz_arena_strdup(p->arena, &name, metric));
  if (baseline) CZ_TRY(cz_arena_strdup(p->arena, &of, baseline));
  CZ_TRY(cz_arena_alloc(p->arena, &x, p->n * cz_parts_width(kind), sizeof *x));
  *s = (cz_predicted){.metric = name, .baseline = of, .parts = {kind, p->n, x}};
  p->n_scores++;
  return CZ_OK;
}

/* Classes that a score would look up must exist. */
static bool sound(cz_parts_kind kind, const double *x) {
  const size_t width = cz_parts_width(kind);
  for (size_t i = 0; i < width; i++)
    if (!isfinite(x[i]) || fabs(x[i]) > 1e15) return kind == CZ_PARTS_MEAN && isnan(x[i]);
  if (kind == CZ_PARTS_F1) return x[0] >= -1 && x[0] < 2 && x[1] >= 0 && x[1] < 2;
  if (kind == CZ_PARTS_MACRO_F1 || kind == CZ_PARTS_MCC)
    return x[2] >= 1 && x[2] <= 1e6 && x[0] >= -1 && x[0] < x[2] && x[1] >= 0 && x[1] < x[2];
  return true;
}

static cz_status fill(cz_predictions *p, const char *metric, const char *baseline,
                      const json_t *numbers, size_t record) {
  cz_predicted *s = find(p, metric, baseline);
  if (!s) return CZ_FAIL(CZ_ECORRUPT, "the first line has no score %s", metric);
  const size_t width = cz_parts_width(s->parts.kind), n = json_array_size(numbers);
  double *x = (double *)s->parts.x + record * width;
  if (n != width && !(n == 0 && width == 1))
    return CZ_FAIL(CZ_ECORRUPT, "%s has %zu numbers, expected %zu", metric, n, width);
  for (size_t i = 0; i < width; i++) x[i] = n ? json_number_value(json_array_get(numbers, i)) : NAN;
  if (!sound(s->parts.kind, x))
    return CZ_FAIL(CZ_ECORRUPT, "the numbers of %s are out of range", metric);
  return CZ_OK;
}

static cz_status take_line(cz_predictions *p, const json_t *line, const char *task, size_t record) {
  const json_t *group = json_object_get(line, "group");
  const char *input = json_string_value(json_object_get(line, "input")),
             *target = json_string_value(json_object_get(line, "target"));
  if (record == 0) CZ_TRY(each_score(p, line, record, declare));
  for (size_t i = 0; i < p->n_scores; i++) { /* what a line leaves out does not count */
    const size_t width = cz_parts_width(p->scores[i].parts.kind);
    for (size_t k = 0; k < width; k++) ((double *)p->scores[i].parts.x)[record * width + k] = NAN;
  }
  CZ_TRY(each_score(p, line, record, fill));
  for (size_t i = 0; i < p->n_scores; i++)
    if (isnan(p->scores[i].parts.x[record * cz_parts_width(p->scores[i].parts.kind)]) &&
        p->scores[i].parts.kind != CZ_PARTS_MEAN)
      return CZ_FAIL(CZ_ECORRUPT, "%s is missing", p->scores[i].metric);
  const int64_t number =
      json_is_integer(group) ? (int64_t)json_integer_value(group) : -1 - (int64_t)record;
  p->cluster[record] = json_is_string(group)
                           ? cz_hash_text(json_string_value(group))
                           : cz_hash64(&number, sizeof number, cz_hash_text(task));
  p->examples = cz_hash64(input, input ? strlen(input) : 0, p->examples);
  p->examples = cz_hash64(target, target ? strlen(target) : 0, p->examples + 1);
  return CZ_OK;
}

static cz_status take_lines(cz_predictions *p, const cz_buf *text, const char *task) {
  size_t record = 0;
  const char *end = text->len ? text->data + text->len : NULL; /* an empty file has no data */
  for (const char *line = text->data; end && line < end; record++) {
    const char *stop = memchr(line, '\n', (size_t)(end - line));
    size_t n = (size_t)((stop ? stop : end) - line);
    json_error_t why;
    json_t *o = json_loadb(line, n, 0, &why);
    cz_status st = o ? take_line(p, o, task, record) : CZ_FAIL(CZ_ECORRUPT, "%s", why.text);
    json_decref(o);
    if (st != CZ_OK) return CZ_NOTE(st, "line %zu", record + 1);
    line += n + 1;
  }
  return CZ_OK;
}

static size_t lines_of(const cz_buf *text) {
  size_t n = text->len && text->data[text->len - 1] != '\n';
  for (size_t i = 0; i < text->len; i++) n += text->data[i] == '\n';
  return n;
}

/** Reads the predictions of TASK at PATH; a file that does not exist, or one without parts
 * of scores, leaves none (n is 0). CZ_ECORRUPT for a damaged one, with the line; the caller knows
 * the file. Free with cz_predictions_free, also after a failure. */
cz_status cz_predictions_read(cz_predictions *p, const char *path, const char *task) {
  cz_buf text = {0};
  cz_status st;
  *p = (cz_predictions){0};
  if (!cz_fs_exists(path)) return CZ_OK;
  CZ_GO(st, cz_arena_create(&p->arena, "predictions"), done);
  CZ_GO(st, cz_fs_read(path, &text), done);
  p->n = lines_of(&text);
  CZ_GO(st, cz_arena_alloc(p->arena, &p->cluster, p->n, sizeof *p->cluster), done);
  CZ_GO(st, cz_arena_alloc(p->arena, &p->scores, SCORES, sizeof *p->scores), done);
  CZ_GO(st, take_lines(p, &text, task), done);
  if (!p->n_scores) p->n = 0;
done:
  cz_buf_free(&text);
  return st;
}

/** Frees what was read; accepts a zero-initialised one. */
void cz_predictions_free(cz_predictions *p) {
  cz_arena_destroy(&p->arena);
  *p = (cz_predictions){0};
}

/** The parts of METRIC, of the model's outputs or, with BASELINE, of that program's; null
 * when there are none. Borrowed. */
const cz_parts *cz_predictions_find(const cz_predictions *p, const char *metric,
                                    const char *baseline) {
  const cz_predicted *s = find(p, metric, baseline);
  return s ? &s->parts : NULL;
}
