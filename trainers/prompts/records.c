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

/* Appends a copy of RECORD. */
static cz_status add(cz_records *r, const cz_record *record) {
  char *text;
  const char **fields;
  CZ_TRY(cz_grow(&r->items, &r->cap, r->n + 1, sizeof *r->items));
  CZ_TRY(cz_arena_alloc(r->arena, &fields, r->n_fields, sizeof *fields));
  for (size_t i = 0; i < r->n_fields; i++) {
    CZ_TRY(cz_arena_strdup(r->arena, &text, record->fields[i]));
    fields[i] = text;
  }
  r->items[r->n] = *record;
  if (record->group) {
    CZ_TRY(cz_arena_strdup(r->arena, &text, record->group));
    r->items[r->n].group = text;
  }
  r->items[r->n++].fields = fields;
  if (record->label >= 0)
    r->of_label[record->label]++;
  else
    r->unlabelled++;
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

/** Reads the whole file at PATH, `.csv`, `.tsv` or `.jsonl`, with labels, header and backslashes as
 * HOW says; its columns are FILE's. CZ_EINVAL with file and line for what is wrong in it
 * (readers/table.h), for a label that FILE does not declare, and when it holds no record. The
 * caller destroys the records. */
cz_status cz_records_read_as(cz_records **records, const cz_pattern_file *file, const char *path,
                             const cz_table_layout *how) {
  cz_table *table = NULL;
  cz_status st;
  const cz_table_layout layout = layout_of(file, how);
  *records = NULL;
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
    if (!fields[i])
      return CZ_FAIL(CZ_EINVAL, "%s: records of task %s have no field '%s', which %s wants%s",
                     set->path, set->row->name, file->columns[i], file->path,
                     cz_suggest(file->columns[i], names, n).text);
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

/* Why records of SET, the first of them number I, have no label. */
static cz_status say_unlabelled(cz_records *r, const cz_task_set *set, size_t i) {
  char text[4300], *why;
  snprintf(text, sizeof text, "%s: record %zu has no answer", set->path, i + 1);
  CZ_TRY(cz_arena_strdup(r->arena, &why, set->unlabelled ? set->unlabelled : text));
  r->no_label = why;
  return CZ_OK;
}

/** The records of a task's set (the official layouts of tasks/readers), whose fields are found by
 * the columns that FILE names and whose labels by their text, or by how official files spell it.
 * CZ_EINVAL when the set lacks either. The caller destroys the records. */
cz_status cz_records_of_task(cz_records **records, const cz_pattern_file *file,
                             const cz_task_set *set) {
  const char *fields[CZ_PATTERN_FIELDS];
  cz_status st;
  CZ_TRY(create(records, file, set->path));
  for (size_t i = 0; i < set->n; i++) {
    const cz_task_record *from = &set->records[i];
    cz_record record = {.fields = fields, .label = -1, .group = from->origin, .row = (int64_t)i};
    CZ_GO(st, take_fields(fields, file, set, from), fail);
    if (from->label >= 0)
      CZ_GO(st, class_of_task(&record.label, file, set, from->label), fail);
    else if (!(*records)->no_label)
      CZ_GO(st, say_unlabelled(*records, set, i), fail);
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
