/* ReCoRD (SuperGLUE): which entity of a passage fills the blank of a query. Training has
 * a record for every answer of a query, evaluation one per query that takes any of its
 * answers. Highlights become sentences; entities and answers are listed once, in the
 * order of their code points, as TFDS does.
 *
 * For prompts (docs/pet.md 3.3) a record has more fields: the query on either side of its blank,
 * `before` and `after`, and `text`, the passage with highlights as items of a list, as PET's code
 * has it. Its candidates are the entities. */
#include "base/utf8.h"
#include "tasks/format_t5.h"
#include "tasks/readers/fields.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char MARK[] = "\n@highlight\n", ITEM[] = "@highlight\n", BLANK[] = "@placeholder";

/* A highlight after . ? ! " or ' follows after a space; elsewhere the sentence before it
 * is closed first. */
static cz_status flatten(cz_buf *out, const char *text) {
  for (const char *mark; (mark = strstr(text, MARK)); text = mark + sizeof MARK - 1) {
    bool closed = mark > text && strchr(".?!\"'", mark[-1]);
    CZ_TRY(cz_buf_add(out, text, (size_t)(mark - text)));
    CZ_TRY(cz_buf_addf(out, closed ? " " : ". "));
  }
  return cz_buf_addf(out, "%s", text);
}

typedef struct names { /* distinct texts, sorted; owned by the set */
  const char **text;
  size_t n;
} names;

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void sort_distinct(names *x) {
  size_t kept = 0;
  if (x->n) qsort(x->text, x->n, sizeof *x->text, by_text);
  for (size_t i = 0; i < x->n; i++)
    if (i == 0 || strcmp(x->text[i], x->text[i - 1])) x->text[kept++] = x->text[i];
  x->n = kept;
}

/* The text of characters FIRST to LAST, both included, as the file counts them. */
static cz_status slice(cz_task_set *set, const char **out, const char *text, int64_t first,
                       int64_t last, const char *place) {
  size_t n = strlen(text), at = 0, begin = 0;
  for (int64_t c = 0; c <= last && at < n; c++) {
    if (c == first) begin = at;
    at += cz_utf8_length((unsigned char)text[at]);
    if (c == last && first >= 0 && first <= last)
      return cz_format_text(set, out, "%.*s", (int)(at - begin), text + begin);
  }
  return CZ_FAIL(CZ_EINVAL, "%s: entity from character %lld to %lld lies outside the passage",
                 place, (long long)first, (long long)last);
}

static cz_status read_entities(cz_task_set *set, names *out, const json_t *passage,
                               const char *text, const char *place) {
  const json_t *list, *first, *last;
  CZ_TRY(cz_json_get(&list, passage, "entities", JSON_ARRAY, place));
  out->n = json_array_size(list);
  CZ_TRY(cz_arena_alloc(set->arena, &out->text, out->n, sizeof *out->text));
  for (size_t i = 0; i < out->n; i++) {
    CZ_TRY(cz_json_get(&first, json_array_get(list, i), "start", JSON_INTEGER, place));
    CZ_TRY(cz_json_get(&last, json_array_get(list, i), "end", JSON_INTEGER, place));
    CZ_TRY(slice(set, &out->text[i], text, json_integer_value(first), json_integer_value(last),
                 place));
  }
  sort_distinct(out);
  return CZ_OK;
}

static cz_status read_answers(cz_task_set *set, names *out, const json_t *query,
                              const char *place) {
  const json_t *list = json_object_get(query, "answers"); /* missing in test files */
  out->n = json_array_size(list);
  CZ_TRY(cz_arena_alloc(set->arena, &out->text, out->n, sizeof *out->text));
  for (size_t i = 0; i < out->n; i++)
    CZ_TRY(cz_json_text(&out->text[i], json_array_get(list, i), "text", place));
  sort_distinct(out);
  return CZ_OK;
}

/* What the queries of a passage have in common; owned by the set. */
typedef struct story {
  const char *text, *listed, *items; /* as it is; its entities with commas; see above */
  names entities;
  int64_t group;
} story;

/* BEFORE and AFTER the blank of QUERY, which has one; or why it has not. */
static cz_status split_query(cz_task_set *set, cz_task_field *before, cz_task_field *after,
                             const char **lacks, const char *query) {
  size_t blanks = 0;
  for (const char *at = query; (at = strstr(at, BLANK)); at += sizeof BLANK - 1) blanks++;
  if (blanks != 1)
    return cz_format_text(set, lacks, "its query has %s %zu times, expected once", BLANK, blanks);
  const char *blank = strstr(query, BLANK);
  CZ_TRY(cz_format_text(set, &before->text, "%.*s", (int)(blank - query), query));
  return cz_task_own(set, &after->text, blank + sizeof BLANK - 1);
}

static cz_status add_query(cz_task_set *set, const json_t *query, const story *p,
                           const char *place) {
  cz_task_record record = {.label = -1,
                           .group = p->group,
                           .candidates = p->entities.text,
                           .n_candidates = (int32_t)p->entities.n};
  cz_task_field fields[] = {{"query", NULL},    {"entities", p->listed}, {"passage", p->text},
                            {"text", p->items}, {"before", NULL},        {"after", NULL}};
  const char *text;
  names answers;
  CZ_TRY(cz_json_text(&text, query, "query", place));
  CZ_TRY(cz_task_own(set, &fields[0].text, text));
  CZ_TRY(split_query(set, &fields[4], &fields[5], &record.lacks, text));
  CZ_TRY(read_answers(set, &answers, query, place));
  bool train = set->use == CZ_TASK_TRAIN;
  size_t copies = train ? answers.n : 1, share = train ? 1 : answers.n;
  for (size_t i = 0; i < copies; i++) {
    CZ_TRY(cz_task_answers(set, &record, answers.text + i, share));
    CZ_TRY(cz_task_add(set, &record, fields, record.lacks ? 4 : 6));
  }
  return CZ_OK;
}

static cz_status format(cz_task_set *set, cz_task_record *record) {
  cz_buf b = {0};
  size_t passage = 0;
  cz_status st = cz_buf_addf(&b, "record query: %s entities: %s passage: ", record->fields[0].text,
                             record->fields[1].text);
  passage = b.len;
  if (st == CZ_OK) st = flatten(&b, record->fields[2].text);
  if (st == CZ_OK) st = cz_format_text(set, &record->inputs, "%s", b.data);
  cz_buf_free(&b);
  CZ_TRY(st);
  record->source = record->inputs + passage;
  return CZ_OK;
}

/* The entities as one text, with commas between. */
static cz_status join(cz_task_set *set, const char **out, const names *x) {
  cz_buf b = {0};
  cz_status st = cz_buf_add(&b, "", 0);
  for (size_t i = 0; i < x->n && st == CZ_OK; i++)
    st = cz_buf_addf(&b, "%s%s", i ? ", " : "", x->text[i]);
  if (st == CZ_OK) st = cz_task_own(set, out, b.data);
  cz_buf_free(&b);
  return st;
}

/* The passage with each mark of a highlight as the sign of an item. */
static cz_status list_items(cz_task_set *set, const char **out, const char *text) {
  cz_buf b = {0};
  cz_status st = CZ_OK;
  for (const char *mark; st == CZ_OK && (mark = strstr(text, ITEM)); text = mark + sizeof ITEM - 1)
    st = cz_buf_addf(&b, "%.*s- ", (int)(mark - text), text);
  if (st == CZ_OK) st = cz_buf_addf(&b, "%s", text);
  if (st == CZ_OK) st = cz_task_own(set, out, b.data);
  cz_buf_free(&b);
  return st;
}

static cz_status add_passage(cz_task_set *set, const json_t *object, const char *place) {
  const json_t *json, *queries;
  const char *raw;
  story p = {.group = (int64_t)set->n};
  CZ_TRY(cz_json_get(&json, object, "passage", JSON_OBJECT, place));
  CZ_TRY(cz_json_text(&raw, json, "text", place));
  CZ_TRY(cz_task_own(set, &p.text, raw));
  CZ_TRY(cz_json_get(&queries, object, "qas", JSON_ARRAY, place));
  CZ_TRY(read_entities(set, &p.entities, json, p.text, place));
  CZ_TRY(join(set, &p.listed, &p.entities));
  CZ_TRY(list_items(set, &p.items, p.text));
  for (size_t q = 0; q < json_array_size(queries); q++) {
    char where[4300];
    snprintf(where, sizeof where, "%s: query %zu", place, q + 1);
    CZ_TRY(add_query(set, json_array_get(queries, q), &p, where));
  }
  return CZ_OK;
}

static cz_status read_file(cz_task_set *set, const char *path) {
  return cz_json_records(set, path, add_passage);
}

const cz_task_row cz_task_row_record = {
    .name = "record",
    .help = "which entity of the passage fills the blank (SuperGLUE)",
    .section = CZ_TASK_SECTION("which entity of the passage fills the blank (SuperGLUE)"),
    .metrics = {CZ_METRIC_SQUAD_F1, CZ_METRIC_SQUAD_EM},
    .comparison = CZ_COMPARE_TEXT,
    .baseline = CZ_BASELINE_LEAD,
    .lead_words = 2,
    .candidates = true,
    .read = read_file,
    .format = format,
};
