#include "tasks/readers/uniform.h"
#include "base/log.h"
#include "base/number.h"
#include "objectives/objective.h"
#include "tasks/format_t5.h"

#include <math.h>
#include <string.h>

static size_t field_count(const cz_uniform *u) {
  size_t n = 0;
  while (n < CZ_UNIFORM_FIELDS && u->fields[n].shown) n++;
  return n;
}

static cz_status read_score(cz_task_record *record, const char *text, const char *place) {
  record->unknown = !*text;
  if (!*text) return CZ_OK;
  if (cz_parse_real(text, &record->number) != CZ_OK)
    return CZ_FAIL(CZ_EINVAL, "%s: expected a score, found '%s'", place, text);
  if (record->number < 0 || record->number > 5)
    return CZ_FAIL(CZ_EINVAL, "%s: score %s is not between 0 and 5", place, text);
  return CZ_OK;
}

static cz_status add_record(cz_task_set *set, const char *const *texts, const char *label,
                            const char *place) {
  const cz_uniform *u = set->row->layout;
  cz_task_record record = {.label = -1, .group = (int64_t)set->n};
  cz_task_field fields[CZ_UNIFORM_FIELDS];
  size_t n = 0;
  if (u->add) return u->add(set, texts, label, place);
  for (size_t i = 0; i < field_count(u); i++) {
    if (!texts[i]) continue;
    fields[n].name = u->fields[i].column;
    CZ_TRY(cz_task_own(set, &fields[n++].text, texts[i]));
  }
  CZ_TRY(u->number ? read_score(&record, label, place)
                   : cz_task_label(set, &record.label, u->spellings, label, place));
  return cz_task_add(set, &record, fields, n);
}

/** `<prefix> <field>: <text> <field>: <text>`. A score becomes text as STS-B's targets do:
 * rounded to the nearest 0.2, with one decimal (halves to even in float32, as TensorFlow
 * does). */
cz_status cz_uniform_format(cz_task_set *set, cz_task_record *record) {
  const cz_uniform *u = set->row->layout;
  const char *target;
  cz_buf b = {0};
  cz_status st = cz_buf_addf(&b, "%s", u->prefix);
  for (size_t i = 0; i < field_count(u) && st == CZ_OK; i++) {
    const char *text = cz_task_field_of(record, u->fields[i].column);
    bool shown = !u->fields[i].paper_only || set->config.fidelity == CZ_FIDELITY_PAPER;
    if (text && shown) st = cz_buf_addf(&b, " %s: %s", u->fields[i].shown, text);
  }
  if (st == CZ_OK) st = cz_format_text(set, &record->inputs, "%s", b.data);
  cz_buf_free(&b);
  CZ_TRY(st);
  if (!u->number || record->unknown) return CZ_OK;
  CZ_TRY(cz_format_text(set, &target, "%.1f", (double)(rintf((float)record->number * 5) / 5)));
  return cz_format_answers(set, record, &target, 1);
}

/** The labels of fidelity `paper`, where they differ, and how files spell them. */
cz_status cz_uniform_describe(cz_task_set *set) {
  const cz_uniform *u = set->row->layout;
  set->spellings = u->spellings;
  if (u->paper_labels && set->config.fidelity == CZ_FIDELITY_PAPER) set->labels = u->paper_labels;
  return CZ_OK;
}

/* Which columns of a TSV file hold the fields and the label. */
typedef struct columns {
  size_t field[CZ_UNIFORM_FIELDS], label, count;
  bool labelled;
} columns;

static cz_status find_columns(columns *c, cz_task_set *set, const cz_fields *header,
                              const cz_lines *l) {
  const cz_uniform *u = set->row->layout;
  c->count = header->n;
  for (size_t i = 0; i < field_count(u); i++)
    if (!cz_fields_find(&c->field[i], header, u->fields[i].other))
      CZ_TRY(cz_fields_column(&c->field[i], header, l, u->fields[i].column));
  c->labelled = cz_fields_find(&c->label, header, u->label) ||
                cz_fields_find(&c->label, header, u->other_label);
  if (c->labelled) return CZ_OK;
  return cz_format_text(set, &set->unlabelled,
                        "%s: the header has no column '%s', so no record has "
                        "an answer; is this a test file?",
                        cz_lines_place(l, 0).text, u->label);
}

/* A file without a header: its first line is a record. Test files of the same task have a
 * header, whose last name is that of the text. */
static bool is_header(const cz_uniform *u, const cz_fields *first) {
  return !u->headerless || !strcmp(first->text[first->n - 1], u->fields[0].column);
}

static cz_fields named_columns(const char *const *names) {
  cz_fields f = {0};
  for (; names[f.n]; f.n++) f.text[f.n] = (char *)names[f.n]; /* read only */
  return f;
}

static cz_status add_line(cz_task_set *set, const columns *c, const cz_fields *f, const cz_lines *l,
                          size_t *skipped) {
  const cz_uniform *u = set->row->layout;
  if (f->n < c->count && u->skip_short) {
    (*skipped)++;
    return CZ_OK;
  }
  if (f->n != c->count)
    return CZ_FAIL(CZ_EINVAL, "%s: %zu fields, expected %zu",
                   cz_lines_place(l, f->column[f->n < c->count ? f->n - 1 : c->count]).text, f->n,
                   c->count);
  const char *texts[CZ_UNIFORM_FIELDS] = {0};
  for (size_t i = 0; i < field_count(u); i++) texts[i] = f->text[c->field[i]];
  const cz_field_place place = cz_lines_place(l, c->labelled ? f->column[c->label] : 0);
  if (c->labelled && !*f->text[c->label])
    return CZ_FAIL(CZ_EINVAL, "%s: the label is empty", place.text);
  return add_record(set, texts, c->labelled ? f->text[c->label] : "", place.text);
}

/** Reads a GLUE file: tab-separated, no quoting, a header unless the format says
 * otherwise. */
cz_status cz_read_uniform_tsv(cz_task_set *set, const char *path) {
  const cz_uniform *u = set->row->layout;
  cz_lines l;
  cz_fields f;
  columns c = {0};
  char *line;
  size_t skipped = 0;
  cz_status st;
  CZ_GO(st, cz_lines_open(&l, path), done);
  while (cz_lines_next_record(&l, &line)) {
    CZ_GO(st, cz_fields_split(&f, &l, line), done);
    if (c.count == 0) {
      const bool header = is_header(u, &f);
      const cz_fields names = header ? f : named_columns(u->headerless);
      CZ_GO(st, find_columns(&c, set, &names, &l), done);
      if (header) continue;
    }
    CZ_GO(st, add_line(set, &c, &f, &l, &skipped), done);
  }
  if (skipped) cz_warn("%s: %zu damaged lines with too few fields are left out", path, skipped);
done:
  cz_lines_close(&l);
  return st;
}

static cz_status add_object(cz_task_set *set, const json_t *object, const char *place) {
  const cz_uniform *u = set->row->layout;
  const char *texts[CZ_UNIFORM_FIELDS] = {0};
  char label[64];
  for (size_t i = 0; i < field_count(u); i++)
    if (!u->fields[i].paper_only || json_object_get(object, u->fields[i].column))
      CZ_TRY(cz_json_text(&texts[i], object, u->fields[i].column, place));
  CZ_TRY(cz_json_label(set, label, sizeof label, object, u->label, place));
  return add_record(set, texts, label, place);
}

/** Reads a SuperGLUE file: one JSON object a line. */
cz_status cz_read_uniform_json(cz_task_set *set, const char *path) {
  return cz_json_records(set, path, add_object);
}
