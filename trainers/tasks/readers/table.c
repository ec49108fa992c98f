#include "tasks/readers/table.h"
#include "base/line_stream.h"
#include "base/nearest.h"
#include "tasks/readers/csv_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LABEL_BYTES = 1 << 10, GROUP_BYTES = 1 << 10 };

const char *const cz_backslashes_names[] = {"keep", "spaces", "line_ends", NULL};

typedef enum table_kind { CSV, TSV, JSONL } table_kind;

struct cz_table {
  cz_arena *arena;
  cz_table_layout layout;
  table_kind kind;
  cz_line_stream stream;
  cz_lines at;  /* path and number of the line last read, for places; no text */
  int64_t line; /* where the record last read began */
  cz_field_place place;
  cz_csv_rows rows;
  size_t *columns, label, group, width; /* of CSV and TSV, from 0 */
  bool labelled;                        /* there is a column of labels, and the caller wants it */
  json_t *object;
  const char **fields; /* of the record last read */
  char label_text[LABEL_BYTES], group_text[GROUP_BYTES];
  int64_t number;
  char *unlabelled;
};

static cz_status kind_of(table_kind *kind, const char *path) {
  static const char *const names[] = {"csv", "tsv", "jsonl"};
  const char *dot = strrchr(path, '.');
  *kind = JSONL;
  if (!strcmp(path, "-")) return CZ_OK;
  for (int i = 0; dot && !strchr(dot, '/') && i < 3; i++)
    if (!strcasecmp(dot + 1, names[i])) return *kind = (table_kind)i, CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "%s: expected a file called .csv, .tsv or .jsonl", path);
}

/* The next line that holds a record or a part of one. */
static cz_status next_line(cz_table *t, char **line, bool *more) {
  size_t n;
  do {
    cz_status st = cz_line_stream_next(&t->stream, line, &n, more);
    t->at.number = t->stream.number;
    if (st != CZ_OK && t->kind == CSV) CZ_TRY(cz_csv_rows_drop(&t->rows));
    CZ_TRY(st);
  } while (*more && t->kind != CSV && cz_line_is_blank(*line, n));
  t->place = cz_lines_place(&t->at, 0);
  t->line = (int64_t)t->at.number;
  return CZ_OK;
}

/* The fields of the next record of a CSV or TSV file, the header's line included. */
static cz_status next_fields(cz_table *t, cz_fields *f, bool *more) {
  char *line;
  for (bool whole = false; !whole;) {
    CZ_TRY(next_line(t, &line, more));
    if (!*more) return t->kind == CSV ? cz_csv_rows_end(&t->rows, &t->at) : CZ_OK;
    if (t->kind == TSV) return cz_fields_split(f, &t->at, line);
    CZ_TRY(cz_csv_rows_feed(&t->rows, f, &whole, &t->at, line));
  }
  const cz_lines began = {.path = t->at.path, .number = t->rows.row_line};
  t->place = cz_lines_place(&began, 0);
  t->line = (int64_t)began.number;
  return CZ_OK;
}

/* One column of the header. A file without one has a record in its place. */
static cz_status find_column(const cz_table *t, size_t *column, const cz_fields *header,
                             const char *name) {
  cz_status st = cz_fields_unique(column, header, name, t->kind == CSV ? "csv" : "tsv",
                                  t->place.text, "; columns are told apart by their names");
  bool exists = false;
  for (size_t i = 0; i < header->n; i++) exists |= !strcmp(header->text[i], name);
  if (st == CZ_OK || exists) return st;
  return CZ_FAIL(st,
                 "%s (the first line of the file must name its columns; --columns of a command, or "
                 "the key examples.columns of an experiment's stage, may do so instead)",
                 cz_error_message());
}

/* Labels that may be missing: remembers why there are none. */
static cz_status note_unlabelled(cz_table *t, const char *why) {
  return t->unlabelled ? CZ_OK : cz_arena_strdup(t->arena, &t->unlabelled, why);
}

/* ST is why a record, or all, have no label: the caller's to know where none is needed. */
static cz_status may_lack_label(cz_table *t, cz_status st) {
  if (t->layout.labels == CZ_LABELS_NEEDED) return st;
  CZ_TRY(note_unlabelled(t, cz_error_message()));
  cz_error_clear();
  return CZ_OK;
}

/* A name of the layout among the columns that the caller gives. */
static cz_status find_given(size_t *column, const cz_table *t, const char *name) {
  const cz_table_layout *l = &t->layout;
  size_t found = 0;
  for (size_t i = 0; i < l->n_header; i++)
    if (!strcmp(l->header[i], name)) *column = i, found++;
  if (found == 1) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "columns: %s called '%s'%s", found ? "several are" : "none is", name,
                 found ? "" : cz_suggest(name, l->header, l->n_header).text);
}

/* The columns as the caller names them: the first line is a record. */
static cz_status take_header(cz_table *t) {
  t->width = t->layout.n_header;
  for (size_t i = 0; i < t->layout.n_columns; i++)
    CZ_TRY(find_given(&t->columns[i], t, t->layout.columns[i]));
  if (t->layout.group) CZ_TRY(find_given(&t->group, t, t->layout.group));
  if (t->layout.labels == CZ_LABELS_NONE) return CZ_OK;
  const cz_table_layout *l = &t->layout;
  for (size_t i = 0; i < l->n_header; i++) t->labelled |= !strcmp(l->header[i], l->label);
  if (t->labelled || l->labels == CZ_LABELS_NEEDED) {
    t->labelled = true;
    return find_given(&t->label, t, l->label);
  }
  char why[512];
  snprintf(why, sizeof why, "%s: none of the columns that were given is called '%.300s'",
           t->at.path, l->label);
  return note_unlabelled(t, why);
}

/* The column of labels, where HEADER has it. Test texts often have none, which is no mistake. */
static cz_status find_labels(cz_table *t, const cz_fields *header) {
  const char *name = t->layout.label;
  char why[1024];
  bool exists = false;
  for (size_t i = 0; i < header->n; i++) exists |= !strcmp(header->text[i], name);
  if (!exists && t->layout.labels == CZ_LABELS_IF_THERE) {
    const char *near = cz_nearest(name, (const char *const *)header->text, header->n);
    snprintf(why, sizeof why, "%s has no column '%.300s'%s%.300s%s", t->at.path, name,
             near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
    return note_unlabelled(t, why);
  }
  cz_status st = find_column(t, &t->label, header, name);
  t->labelled = st == CZ_OK;
  return st == CZ_EINVAL ? may_lack_label(t, st) : st;
}

static cz_status read_header(cz_table *t) {
  cz_fields header;
  bool more;
  CZ_TRY(next_fields(t, &header, &more));
  if (!more) return CZ_FAIL(CZ_EINVAL, "%s: the file is empty", t->at.path);
  t->width = header.n;
  for (size_t i = 0; i < t->layout.n_columns; i++)
    CZ_TRY(find_column(t, &t->columns[i], &header, t->layout.columns[i]));
  if (t->layout.group) CZ_TRY(find_column(t, &t->group, &header, t->layout.group));
  if (t->layout.labels == CZ_LABELS_NONE) return CZ_OK;
  return find_labels(t, &header);
}

/** Takes into LAYOUT what a user says of files whose first line is a record already: COLUMNS, the
 * names of all columns with commas between, owned by ARENA, and BACKSLASHES, one of
 * cz_backslashes_names. Either may be null: nothing is changed. CZ_EUSAGE for no name at all, and
 * for another word. */
cz_status cz_table_layout_take(cz_table_layout *layout, cz_arena *arena, const char *columns,
                               const char *backslashes) {
  size_t how = 0, names = 0;
  char **header = NULL;
  while (cz_backslashes_names[names]) names++;
  if (backslashes) {
    CZ_TRY(cz_find_name(&how, "kind of --backslashes", backslashes, cz_backslashes_names, names));
    layout->backslashes = (cz_backslashes)how;
  }
  if (!columns) return CZ_OK;
  CZ_TRY(cz_words(&header, &layout->n_header, arena, columns));
  if (!layout->n_header)
    return CZ_FAIL(CZ_EUSAGE, "--columns: expected the names of all columns, comma-separated");
  layout->header = (const char *const *)header;
  return CZ_OK;
}

/** Opens the file at PATH, "-" for standard input, by what its name ends in; PATH and LAYOUT's
 * strings are borrowed. CZ_EUSAGE for another ending, or when the layout's
 * own header lacks a column or has it twice; CZ_EINVAL with the line when the file is empty or its
 * header lacks a column (with the nearest name) or names one twice. The caller closes the
 * table. */
cz_status cz_table_open(cz_table **t, const char *path, const cz_table_layout *layout) {
  table_kind kind;
  *t = NULL;
  CZ_TRY(kind_of(&kind, path));
  CZ_TRY(cz_alloc(t, 1, sizeof **t));
  cz_table *x = *t;
  *x = (cz_table){.layout = *layout, .kind = kind, .number = -1};
  x->labelled = kind == JSONL && layout->labels != CZ_LABELS_NONE;
  cz_status st;
  CZ_GO(st, cz_arena_create(&x->arena, path), fail);
  CZ_GO(st, cz_arena_alloc(x->arena, &x->columns, layout->n_columns, sizeof *x->columns), fail);
  CZ_GO(st, cz_arena_alloc(x->arena, &x->fields, layout->n_columns, sizeof *x->fields), fail);
  CZ_GO(st, cz_line_stream_open(&x->stream, path), fail);
  x->at.path = x->stream.name;
  x->place = cz_lines_place(&x->at, 0);
  CZ_GO(st, cz_csv_rows_open(&x->rows), fail);
  if (kind != JSONL) CZ_GO(st, layout->header ? take_header(x) : read_header(x), fail);
  return CZ_OK;
fail:
  cz_table_close(t);
  return st;
}

static cz_status take_label(cz_table *t, cz_table_record *record, const char *text) {
  record->label = *text ? text : NULL;
  if (*text) return CZ_OK;
  return may_lack_label(t, CZ_FAIL(CZ_EINVAL, "%s: the label (column '%s') is empty", t->place.text,
                                   t->layout.label));
}

static cz_status take_group(const cz_table *t, cz_table_record *record, const char *text) {
  record->group = text;
  if (*text) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%s: the group (column '%s') is empty", t->place.text, t->layout.group);
}

/* Whether the record is the line that names the columns, in a file that was said to have none. */
static cz_status refuse_header(const cz_table *t, const cz_fields *f) {
  bool same = !t->labelled || !strcasecmp(f->text[t->label], t->layout.label);
  for (size_t i = 0; same && i < t->layout.n_columns; i++)
    same = !strcasecmp(f->text[t->columns[i]], t->layout.columns[i]);
  if (!same) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL,
                 "%s: the first line names the columns, which `columns` does already; leave "
                 "`columns` out, or the line",
                 t->place.text);
}

static void change_backslashes(char *text, cz_backslashes how) {
  char *out = text;
  if (how == CZ_BACKSLASHES_KEPT) return;
  for (; *text; text++) {
    const bool found = *text == '\\';
    *out = *text;
    if (found) *out = ' ';
    out++;
    text += found && how == CZ_BACKSLASHES_LINE_ENDS && text[1] == 'n';
  }
  *out = '\0';
}

static cz_status next_row(cz_table *t, cz_table_record *record, bool *more) {
  cz_fields f;
  CZ_TRY(next_fields(t, &f, more));
  if (!*more) return CZ_OK;
  if (f.n != t->width)
    return CZ_FAIL(CZ_EINVAL, "%s: %zu fields, %s %zu", t->place.text, f.n,
                   t->layout.header ? "`columns` has" : "the first line has", t->width);
  if (t->layout.header && record->number == 0) CZ_TRY(refuse_header(t, &f));
  for (size_t i = 0; i < t->layout.n_columns; i++) {
    change_backslashes(f.text[t->columns[i]], t->layout.backslashes);
    t->fields[i] = f.text[t->columns[i]];
  }
  if (t->layout.group) CZ_TRY(take_group(t, record, f.text[t->group]));
  return t->labelled ? take_label(t, record, f.text[t->label]) : CZ_OK;
}

/* KEY is no member of the object: the nearest that is. */
static cz_status refuse_member(const cz_table *t, const char *key) {
  const char *names[CZ_FIELDS], *name;
  size_t n = 0;
  json_t *value;
  json_object_foreach(t->object, name, value) if (n < CZ_FIELDS) names[n++] = name;
  return CZ_FAIL(CZ_EINVAL, "%s: \"%s\" is missing%s", t->place.text, key,
                 cz_suggest(key, names, n).text);
}

static cz_status member_label(cz_table *t, cz_table_record *record) {
  const json_t *item = json_object_get(t->object, t->layout.label);
  if (item && !json_is_null(item)) {
    CZ_TRY(cz_json_label_text(t->label_text, sizeof t->label_text, item, t->layout.label,
                              t->place.text));
    return take_label(t, record, t->label_text);
  }
  return may_lack_label(t, refuse_member(t, t->layout.label));
}

static cz_status member_group(cz_table *t, cz_table_record *record) {
  const json_t *item = json_object_get(t->object, t->layout.group);
  if (!item) return refuse_member(t, t->layout.group);
  CZ_TRY(cz_json_label_text(t->group_text, sizeof t->group_text, item, t->layout.group,
                            t->place.text));
  return take_group(t, record, t->group_text);
}

static cz_status next_object(cz_table *t, cz_table_record *record, bool *more) {
  char *line;
  json_decref(t->object);
  t->object = NULL;
  CZ_TRY(next_line(t, &line, more));
  if (!*more) return CZ_OK;
  CZ_TRY(cz_json_line(&t->object, &t->at, line));
  for (size_t i = 0; i < t->layout.n_columns; i++) {
    const char *key = t->layout.columns[i];
    if (!json_object_get(t->object, key)) return refuse_member(t, key);
    CZ_TRY(cz_json_text(&t->fields[i], t->object, key, t->place.text));
  }
  if (t->layout.group) CZ_TRY(member_group(t, record));
  return t->labelled ? member_label(t, record) : CZ_OK;
}

static cz_status refuse_empty(const cz_table *t) {
  for (size_t i = 0; i < t->layout.n_columns; i++)
    if (!cz_line_is_blank(t->fields[i], strlen(t->fields[i]))) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL, "%s: there is no text in '%s'%s", t->place.text, t->layout.columns[0],
                 t->layout.n_columns > 1 ? " nor in the other fields" : "");
}

/** The next record; *MORE is false after the last. CZ_EINVAL with file, line and, where it is one
 * byte's fault, column: a record that is not as the header or JSON has it, that lacks a label that
 * is needed or its group, or whose fields are all blank. RECORD has its number then too, and the
 * next call goes on behind it; after any other code it does not. */
cz_status cz_table_next(cz_table *t, cz_table_record *record, bool *more) {
  *record = (cz_table_record){.number = t->number + 1, .fields = t->fields, .place = t->place.text};
  cz_status st = t->kind == JSONL ? next_object(t, record, more) : next_row(t, record, more);
  if (st == CZ_OK && !*more) return CZ_OK;
  t->number++;
  record->line = t->line;
  *more = true;
  CZ_TRY(st);
  return refuse_empty(t);
}

/** Whether a line can be had without waiting for more input. */
bool cz_table_has_line(const cz_table *t) { return cz_line_stream_has_line(&t->stream); }

/** Why records had no label so far: which column or member is missing, with its place; null where
 * none lacked it. Good until the table is closed. */
const char *cz_table_unlabelled(const cz_table *t) { return t->unlabelled; }

/** Closes the file, clears the pointer, accepts null. */
void cz_table_close(cz_table **t) {
  if (!*t) return;
  json_decref((*t)->object);
  cz_csv_rows_close(&(*t)->rows);
  cz_line_stream_close(&(*t)->stream);
  cz_arena_destroy(&(*t)->arena);
  free(*t);
  *t = NULL;
}
