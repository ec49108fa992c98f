#include "prompts/records.h"
#include "base/log.h"
#include "base/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* HOW with the columns that the pattern file FILE asks for; borrowed from both. */
static cz_table_layout layout_of(const cz_pattern_file *file, const cz_table_layout *how) {
  cz_table_layout layout = *how;
  layout.columns = file->columns;
  layout.n_columns = file->n_fields;
  layout.label = file->label_column;
  return layout;
}

static cz_status class_of(int32_t *label, const cz_pattern_file *file, const char *text,
                          const char *place) {
  for (size_t i = 0; i < file->n_labels; i++)
    if (!strcmp(text, file->labels[i])) return *label = (int32_t)i, CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%s: the label '%s' is not declared in %s%s", place, text, file->path,
                 cz_suggest(text, file->labels, file->n_labels).text);
}

/** ROW, of a table with FILE's columns, as a record that borrows its texts. CZ_EINVAL with its
 * place for a label that FILE does not declare. */
cz_status cz_record_of(cz_record *record, const cz_pattern_file *file, const cz_table_record *row) {
  *record = (cz_record){.fields = row->fields,
                        .label = -1,
                        .group = row->group,
                        .row = row->number,
                        .line = row->line};
  return row->label ? class_of(&record->label, file, row->label, row->place) : CZ_OK;
}

static cz_status create(cz_records **records, const cz_pattern_file *file, const char *path) {
  char *name;
  cz_status st;
  CZ_TRY(cz_alloc(records, 1, sizeof **records));
  cz_records *r = *records;
  r->n_fields = file->n_fields;
  CZ_GO(st, cz_arena_create(&r->arena, "records"), fail);
  CZ_GO(st, cz_arena_strdup(r->arena, &name, path), fail);
  r->path = name;
  CZ_GO(st, cz_arena_alloc(r->arena, &r->of_label, file->n_labels, sizeof *r->of_label), fail);
  return CZ_OK;
fail:
  cz_records_destroy(records);
  return st;
}

/* A copy of TEXTS [n]; null of null. */
static cz_status copy_texts(const char *const **out, cz_arena *arena, const char *const *texts,
                            size_t n) {
  char *text;
  const char **copy;
  *out = NULL;
  if (!texts) return CZ_OK;
  CZ_TRY(cz_arena_alloc(arena, &copy, n, sizeof *copy));
  for (size_t i = 0; i < n; i++) {
    CZ_TRY(cz_arena_strdup(arena, &text, texts[i]));
    copy[i] = text;
  }
  *out = copy;
  return CZ_OK;
}

/* Appends a copy of RECORD. */
static cz_status add(cz_records *r, const cz_record *record) {
  char *text;
  CZ_TRY(cz_grow(&r->items, &r->cap, r->n + 1, sizeof *r->items));
  cz_record *to = &r->items[r->n];
  *to = *record;
  CZ_TRY(copy_texts(&to->fields, r->arena, record->fields, r->n_fields));
  CZ_TRY(copy_texts(&to->candidates, r->arena, record->candidates, record->n_candidates));
  CZ_TRY(copy_texts(&to->answers, r->arena, record->answers, record->n_answers));
  if (record->group) {
    CZ_TRY(cz_arena_strdup(r->arena, &text, record->group));
    to->group = text;
  }
  r->n++;
  if (record->label < 0)
    r->unlabelled++;
  else if (!record->candidates)
    r->of_label[record->label]++;
  return CZ_OK;
}

static cz_status read_table(cz_records *r, const cz_pattern_file *file, cz_table *table,
                            bool headless) {
  cz_table_record row;
  cz_record record;
  bool more;
  char *why;
  for (;;) {
    CZ_TRY(cz_table_next(table, &row, &more));
    if (!more) break;
    cz_status st = cz_record_of(&record, file, &row);
    if (st == CZ_EINVAL && headless && row.number == 0)
      return CZ_NOTE(st, "the first line is a record, since `columns` names the columns; of a file "
                         "whose first line does, leave `columns` out");
    CZ_TRY(st);
    CZ_TRY(add(r, &record));
  }
  if (r->n == 0) return CZ_FAIL(CZ_EINVAL, "%s: there is no record in it", r->path);
  if (!cz_table_unlabelled(table)) return CZ_OK;
  CZ_TRY(cz_arena_strdup(r->arena, &why, cz_table_unlabelled(table)));
  r->no_label = why;
  return CZ_OK;
}

/* Of a task's official file: what HOW says of columns has no place there. Where a target is
 * generated those with labels are to be trained on, and that are the ones whose target is right. */
static cz_status read_task(cz_records **records, const cz_pattern_file *file, const char *path,
                           const cz_table_layout *how) {
  const cz_task_config none = {0};
  cz_task_set *set;
  const char *const key = how->header                               ? "columns"
                          : how->group                              ? "group_column"
                          : how->backslashes != CZ_BACKSLASHES_KEPT ? "backslashes"
                                                                    : NULL;
  if (key)
    return CZ_FAIL(CZ_EUSAGE, "%s: %s has task: %s, whose official files have no columns", key,
                   file->path, file->task->name);
  const bool positives = file->generates && how->labels == CZ_LABELS_NEEDED;
  CZ_TRY(cz_task_load(&set, file->task, &none, path, positives ? CZ_TASK_TRAIN : CZ_TASK_EVALUATE));
  cz_status st = cz_records_of_task(records, file, set);
  cz_task_set_destroy(&set);
  CZ_TRY(st);
  if (!(*records)->no_label || how->labels != CZ_LABELS_NEEDED) return CZ_OK;
  st = CZ_FAIL(CZ_EINVAL, "%s", (*records)->no_label);
  cz_records_destroy(records);
  return st;
}

/** Reads the whole file at PATH, `.csv`, `.tsv` or `.jsonl`, with labels, header and backslashes as
 * HOW says; its columns are FILE's. Where FILE names a task it is one of that task's official
 * files. CZ_EINVAL with file and line for what is wrong in it (readers/table.h, tasks/task.h), for
 * a label that FILE does not declare, and when it holds no record. The caller destroys the records.
 */
cz_status cz_records_read_as(cz_records **records, const cz_pattern_file *file, const char *path,
                             const cz_table_layout *how) {
  cz_table *table = NULL;
  cz_status st;
  const cz_table_layout layout = layout_of(file, how);
  *records = NULL;
  if (file->task) return read_task(records, file, path, how);
  CZ_TRY(cz_table_open(&table, path, &layout));
  CZ_GO(st, create(records, file, path), done);
  CZ_GO(st, read_table(*records, file, table, how->header != NULL), done);
done:
  cz_table_close(&table);
  if (st != CZ_OK) cz_records_destroy(records);
  return st;
}

static cz_status take_fields(const char **fields, const cz_pattern_file *file,
                             const cz_task_set *set, const cz_task_record *from) {
  const char *names[CZ_PATTERN_FIELDS];
  size_t n = 0;
  for (; n < (size_t)from->n_fields && n < CZ_PATTERN_FIELDS; n++) names[n] = from->fields[n].name;
  for (size_t i = 0; i < file->n_fields; i++) {
    fields[i] = cz_task_field_of(from, file->columns[i]);
    if (!fields[i] && from->lacks)
      return CZ_FAIL(CZ_EINVAL, "%s:%lld: the record has no '%s', which %s wants: %s", set->path,
                     (long long)from->line, file->columns[i], file->path, from->lacks);
    if (!fields[i])
      return CZ_FAIL(CZ_EINVAL, "%s: records of task %s have no field '%s', which %s wants%s",
                     set->path, set->row->name, file->columns[i], file->path,
                     cz_suggest(file->columns[i], names, n).text);
  }
  return CZ_OK;
}

/* Why records of SET, the first of them FROM, number I, have no label. */
static cz_status note_unanswered(cz_records *r, const cz_task_set *set, const cz_task_record *from,
                                 size_t i) {
  char text[4300], *why;
  if (r->no_label) return CZ_OK;
  if (from->line)
    snprintf(text, sizeof text, "%s:%lld: the record has no answer", set->path,
             (long long)from->line);
  else
    snprintf(text, sizeof text, "%s: record %zu has no answer", set->path, i + 1);
  CZ_TRY(cz_arena_strdup(r->arena, &why, set->unlabelled ? set->unlabelled : text));
  r->no_label = why;
  return CZ_OK;
}

/* The candidates of FROM, and the first right one. */
static cz_status take_candidates(cz_record *record, cz_records *r, const cz_task_record *from) {
  record->candidates = from->candidates;
  record->n_candidates = (size_t)from->n_candidates;
  if (!record->n_candidates)
    return CZ_FAIL(CZ_EINVAL, "%s:%lld: the record has no candidate to choose", r->path,
                   (long long)from->line);
  if (from->unknown) return CZ_OK;
  record->answers = from->answers;
  record->n_answers = (size_t)from->n_answers;
  for (size_t a = 0; a < record->n_answers; a++) {
    size_t c = 0;
    while (c < record->n_candidates && strcmp(record->answers[a], record->candidates[c])) c++;
    if (c == record->n_candidates)
      return CZ_FAIL(CZ_EINVAL, "%s:%lld: the answer '%s' is none of the record's %zu candidates%s",
                     r->path, (long long)from->line, record->answers[a], c,
                     cz_suggest(record->answers[a], record->candidates, c).text);
    if (record->label < 0 || (int32_t)c < record->label) record->label = (int32_t)c;
  }
  return CZ_OK;
}

/* The class that FILE gives the label K of SET, told by its text or by how official files spell it.
 */
static cz_status class_of_task(int32_t *label, const cz_pattern_file *file, const cz_task_set *set,
                               int32_t k) {
  for (size_t i = 0; set->spellings && i < file->n_labels; i++)
    if (!strcmp(set->spellings[k], file->labels[i])) return *label = (int32_t)i, CZ_OK;
  return class_of(label, file, set->labels[k], set->path);
}

/** The records of a task's set (the official layouts of tasks/readers), whose fields are found by
 * the columns that FILE names and whose labels by their text, or by how official files spell it; or
 * which have candidates where FILE names the task. CZ_EINVAL when the set lacks either, with file
 * and line for a record without a candidate, and for an answer that is none of them. The caller
 * destroys the records. */
cz_status cz_records_of_task(cz_records **records, const cz_pattern_file *file,
                             const cz_task_set *set) {
  const char *fields[CZ_PATTERN_FIELDS];
  cz_status st;
  CZ_TRY(create(records, file, set->path));
  for (size_t i = 0; i < set->n; i++) {
    const cz_task_record *from = &set->records[i];
    char group[32];
    snprintf(group, sizeof group, "%lld", (long long)from->group);
    cz_record record = {.fields = fields,
                        .label = -1,
                        .row = (int64_t)i,
                        .line = from->line,
                        .group = file->candidates ? group : from->origin};
    CZ_GO(st, take_fields(fields, file, set, from), fail);
    if (file->candidates) CZ_GO(st, take_candidates(&record, *records, from), fail);
    if (from->label >= 0)
      CZ_GO(st, class_of_task(&record.label, file, set, from->label), fail);
    else if (!file->candidates || from->unknown)
      CZ_GO(st, note_unanswered(*records, set, from, i), fail);
    CZ_GO(st, add(*records, &record), fail);
  }
  return CZ_OK;
fail:
  cz_records_destroy(records);
  return st;
}

/** Warns of each declared label that none of the RECORDS has, at its place in the pattern file,
 * where any has one. */
void cz_records_warn_classes(const cz_records *records, const cz_pattern_file *file) {
  if (records->unlabelled == records->n) return;
  for (size_t i = 0; i < file->n_labels; i++) {
    if (records->of_label[i]) continue;
    cz_status told = cz_config_error(file->label_nodes[i], "%s has no example of the label '%s'",
                                     records->path, file->labels[i]);
    if (told != CZ_OK) cz_warn("%s", cz_error_message());
    cz_error_clear();
  }
}

/** Frees records and texts, clears the pointer, accepts null. */
void cz_records_destroy(cz_records **records) {
  if (!*records) return;
  cz_arena_destroy(&(*records)->arena);
  free((*records)->items);
  free(*records);
  *records = NULL;
}
