#include "tasks/task.h"
#include "base/nearest.h"
#include "base/stop.h"
#include "objectives/objective.h"
#include "tasks/format_t5.h"
#include "tasks/readers/fields.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CZ_TASK(name) extern const cz_task_row cz_task_row_##name;
#include "tasks/tasks.def"
#undef CZ_TASK

const cz_task_row *const cz_task_rows[] = {
#define CZ_TASK(name) &cz_task_row_##name,
#include "tasks/tasks.def"
#undef CZ_TASK
};

const size_t cz_task_count = sizeof cz_task_rows / sizeof *cz_task_rows;

const char *const cz_task_metric_names[] = {"none",
#define CZ_METRIC(id, name, ...) #name,
#include "tasks/metrics.def"
#undef CZ_METRIC
                                            NULL};

const cz_task_takes cz_task_metric_takes[CZ_METRICS] = {
#define CZ_METRIC(id, name, parts, takes, ...) [CZ_METRIC_##id] = CZ_TAKES_##takes,
#include "tasks/metrics.def"
#undef CZ_METRIC
};

const char *const cz_task_baseline_names[] = {"majority", "copy", "lead", NULL};

const cz_key_spec cz_task_file_keys[CZ_TASK_FILE_KEYS] = {
    CZ_TASK_FILES,
    CZ_KEY(cz_task_config, fidelity, ENUM, .fallback = "paper", .choices = cz_fidelity_names,
           .help = "what to do where the paper and its released code disagree: targets of copa, "
                   "the place in wic, mark-up in multirc, blanks around marks in squad"),
};

/** The row called NAME. CZ_EUSAGE with the nearest spelling, or all names. */
cz_status cz_task_find(const cz_task_row **row, const char *name) {
  enum { MAXIMUM = 128 };
  const char *names[MAXIMUM];
  CZ_CHECK(cz_task_count <= MAXIMUM);
  size_t i;
  for (i = 0; i < cz_task_count; i++) names[i] = cz_task_rows[i]->name;
  CZ_TRY(cz_find_name(&i, "task", name, names, cz_task_count));
  *row = cz_task_rows[i];
  return CZ_OK;
}

/** Name of the file number SIDE, from 0, that PATH stands for in a task of ROW: PATH
 * itself, or PATH.en and PATH.de of parallel text; empty after the last. ROW null: PATH
 * is no task's. CZ_EINVAL when the name does not fit N bytes. */
cz_status cz_task_file(char *out, size_t n, const cz_task_row *row, const char *path, int side) {
  bool parallel = row && row->sides[0];
  *out = '\0';
  if (side > 0 && (!parallel || !row->sides[side])) return CZ_OK;
  int length =
      parallel ? snprintf(out, n, "%s.%s", path, row->sides[side]) : snprintf(out, n, "%s", path);
  return length >= 0 && (size_t)length < n ? CZ_OK : CZ_FAIL(CZ_EINVAL, "path too long: %s", path);
}

/* The task and the scores that its results have; those of tsv and csv depend on its
 * keys. */
static cz_status add_task(cz_buf *out, const cz_task_row *row, bool markdown) {
  CZ_TRY(cz_buf_addf(out, markdown ? "- `%s`: %s" : "  %-18s %s", row->name, row->help));
  for (int k = 0; k < CZ_TASK_METRICS && row->metrics[k] != CZ_METRIC_NONE; k++)
    CZ_TRY(
        cz_buf_addf(out, "%s%s", k ? ", " : "; scores: ", cz_task_metric_names[row->metrics[k]]));
  return cz_buf_addf(out, "\n");
}

static cz_status add_own_scores(cz_buf *out, bool markdown) {
  CZ_TRY(cz_buf_addf(out, markdown ? "\nScores of `tsv` and `csv`:" : "  scores of tsv and csv:"));
  for (int k = 1; k < CZ_METRICS; k++)
    if (cz_task_metric_is_own((cz_task_metric)k))
      CZ_TRY(cz_buf_addf(out, " %s", cz_task_metric_names[k]));
  return cz_buf_addf(out, "\n");
}

/** Appends the list of tasks with their scores, the keys of one whose format is fixed,
 * and those of one that a user describes; MARKDOWN for documents. */
cz_status cz_task_help(cz_buf *out, bool markdown) {
  static const cz_section fixed =
      CZ_TASK_SECTION("files of a known task; an item of tasks.list with its `name`");
  CZ_TRY(cz_buf_addf(out, markdown ? "### tasks\n\n"
                                   : "tasks: names that an item of tasks.list can have\n"));
  for (size_t i = 0; i < cz_task_count; i++) CZ_TRY(add_task(out, cz_task_rows[i], markdown));
  CZ_TRY(add_own_scores(out, markdown));
  if (markdown) CZ_TRY(cz_buf_addf(out, "\n"));
  CZ_TRY(markdown ? cz_config_markdown(out, &fixed) : cz_config_help(out, &fixed));
  const cz_section *own = &cz_task_row_csv.section;
  return markdown ? cz_config_markdown(out, own) : cz_config_help(out, own);
}

/** The text of the field called NAME, or null when the record has none. */
const char *cz_task_field_of(const cz_task_record *r, const char *name) {
  for (int32_t i = 0; i < r->n_fields; i++)
    if (!strcmp(r->fields[i].name, name)) return r->fields[i].text;
  return NULL;
}

static int32_t count_labels(const char *const *labels) {
  int32_t n = 0;
  while (labels && labels[n]) n++;
  return n;
}

/* Whether the records A and B are scored together. */
static bool together(const cz_task_set *s, size_t a, size_t b) {
  for (int k = 0; k < CZ_TASK_METRICS; k++)
    if (s->metrics[k] == CZ_METRIC_GROUP_EM) return s->records[a].group == s->records[b].group;
  return a == b;
}

/** Keeps some MAXIMUM of the records (0: all), spread evenly over the file, which may be
 * sorted. Those that one score takes together stay together or go together, so their
 * number may be a little off. */
void cz_task_subsample(cz_task_set *set, size_t maximum) {
  size_t groups = 0, kept = 0, taken = 0;
  if (maximum == 0 || set->n == 0 || set->n <= maximum) return;
  for (size_t i = 0; i < set->n; i++) groups += i == 0 || !together(set, i - 1, i);
  size_t quota = maximum * groups / set->n;
  if (quota == 0) quota = 1;
  for (size_t i = 0, at = 0, end; i < set->n; i = end, at++) {
    for (end = i + 1; end < set->n && together(set, i, end); end++) {
    }
    if (taken == quota || at != taken * groups / quota) continue;
    taken++;
    for (size_t k = i; k < end; k++) set->records[kept++] = set->records[k];
  }
  set->n = kept;
}

/** A set without records: what labels, scores and comparison ROW has under CONFIG, whose
 * strings are borrowed. CZ_EUSAGE when they don't fit together. The caller destroys the
 * set. */
cz_status cz_task_describe(cz_task_set **set, const cz_task_row *row,
                           const cz_task_config *config) {
  cz_task_set *s;
  CZ_TRY(cz_alloc(set, 1, sizeof **set));
  s = *set;
  *s = (cz_task_set){.row = row,
                     .config = *config,
                     .labels = row->labels,
                     .n_labels = count_labels(row->labels),
                     .comparison = row->comparison,
                     .baseline = row->baseline,
                     .lead_words = row->lead_words};
  memcpy(s->metrics, row->metrics, sizeof s->metrics);
  cz_status st = cz_arena_create(&s->arena, row->name);
  if (st == CZ_OK && row->describe) st = row->describe(s);
  if (st != CZ_OK) cz_task_set_destroy(set);
  return st;
}

/** Reads the file at PATH as records of ROW; all texts and PATH are copied, the strings
 * of CONFIG are borrowed. TRAIN leaves out records that only an evaluation wants, and
 * gives one record per answer where the task trains on each. CZ_EINVAL with file, line
 * and column when the file is not what the task's layout says, or holds no record. The
 * caller destroys the set. */
cz_status cz_task_load(cz_task_set **set, const cz_task_row *row, const cz_task_config *config,
                       const char *path, cz_task_use use) {
  char *name;
  cz_status st;
  CZ_TRY(cz_task_describe(set, row, config));
  cz_task_set *s = *set;
  s->use = use;
  CZ_GO(st, cz_arena_strdup(s->arena, &name, path), fail);
  s->path = name;
  CZ_GO(st, row->read(s, s->path), fail);
  if (s->n == 0)
    CZ_GO(st, CZ_FAIL(CZ_EINVAL, "%s: no record of task %s in it", path, row->name), fail);
  for (size_t i = 0; i < s->n; i++) {
    CZ_GO(st, cz_stop_check(s->path), fail);
    CZ_GO(st, cz_format_t5(s, &s->records[i]), fail);
  }
  return CZ_OK;
fail:
  cz_task_set_destroy(set);
  return st;
}

/** Frees the set and its texts, clears the pointer, accepts null. */
void cz_task_set_destroy(cz_task_set **set) {
  if (!*set) return;
  cz_arena_destroy(&(*set)->arena);
  free((*set)->records);
  free(*set);
  *set = NULL;
}
