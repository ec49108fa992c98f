#include "few_shot/task_view.h"

/* A classification by texts alone. */
static const cz_task_row of_labels = {.name = "few_shot",
                                      .help = "texts of a pattern file",
                                      .metrics = {CZ_METRIC_ACCURACY, CZ_METRIC_MACRO_F1},
                                      .comparison = CZ_COMPARE_LABEL,
                                      .baseline = CZ_BASELINE_MAJORITY,
                                      .drawn_by_label = true};

/* Which candidate is right, by what the official scorer of ReCoRD compares: texts. */
static const cz_task_row of_candidates = {.name = "few_shot",
                                          .help = "questions with candidates",
                                          .metrics = {CZ_METRIC_SQUAD_EM, CZ_METRIC_SQUAD_F1},
                                          .comparison = CZ_COMPARE_TEXT,
                                          .baseline = CZ_BASELINE_LEAD,
                                          .lead_words = 2};

/** What the records of a view are a task of, and so the scores that they get: CANDIDATES of their
 * own, or labels. */
const cz_task_row *cz_task_view_row(bool candidates) {
  return candidates ? &of_candidates : &of_labels;
}

/* The fields of a record, one after another. */
static cz_status join(const char **out, cz_arena *arena, const cz_record *record, size_t n) {
  cz_buf text = {0};
  char *kept = NULL;
  cz_status st = CZ_OK;
  for (size_t i = 0; i < n && st == CZ_OK; i++)
    st = cz_buf_addf(&text, "%s%s", i ? " " : "", record->fields[i]);
  if (st == CZ_OK) st = cz_arena_strdup(arena, &kept, text.data);
  *out = kept;
  cz_buf_free(&text);
  return st;
}

/* The fields of RECORD under the names of their columns, which the simple programs read. */
static cz_status name_fields(cz_task_record *r, cz_arena *arena, const cz_pattern_file *file,
                             const cz_record *record) {
  cz_task_field *fields;
  CZ_TRY(cz_arena_alloc(arena, &fields, file->n_fields, sizeof *fields));
  for (size_t i = 0; i < file->n_fields; i++)
    fields[i] = (cz_task_field){.name = file->columns[i], .text = record->fields[i]};
  r->fields = fields;
  r->n_fields = (int32_t)file->n_fields;
  return CZ_OK;
}

/** TEXTS, of E, as records with the names of its labels, or with the candidates that are right. E
 * must outlive the set, which the caller destroys. */
cz_status cz_task_view(cz_task_set **set, const cz_examples *e, const cz_text_set *texts) {
  const cz_task_config none = {0};
  cz_status st;
  CZ_TRY(cz_task_describe(set, cz_task_view_row(e->file->candidates), &none));
  cz_task_set *s = *set;
  s->path = texts->path;
  s->labels = e->file->labels;
  s->n_labels = (int32_t)e->file->n_labels;
  CZ_GO(st, cz_grow(&s->records, &s->cap, texts->n, sizeof *s->records), fail);
  for (size_t i = 0; i < texts->n; i++) {
    cz_task_record *r = &s->records[i];
    *r = (cz_task_record){.label = texts->labels[i],
                          .group = (int64_t)i,
                          .origin = texts->records[i]->group,
                          .targets = ""};
    CZ_GO(st, name_fields(r, s->arena, e->file, texts->records[i]), fail);
    CZ_GO(st, join(&r->inputs, s->arena, texts->records[i], e->file->n_fields), fail);
    r->source = r->inputs;
    r->unknown = r->label < 0;
    if (r->unknown) continue;
    r->answers = e->file->candidates ? texts->records[i]->answers : &e->file->labels[r->label];
    r->n_answers = e->file->candidates ? (int32_t)texts->records[i]->n_answers : 1;
    r->targets = r->answers[0];
  }
  s->n = texts->n;
  return CZ_OK;
fail:
  cz_task_set_destroy(set);
  return st;
}
