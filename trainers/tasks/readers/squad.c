/* SQuAD 1.1: a question about a context, answered with words of it. One record per
 * question; the first answer is what is written, all of them count.
 *
 * The released code puts a space on either side of every punctuation mark, in
 * questions, contexts and answers, and collapses white space; the paper's example is
 * not padded. `paper` and `corrected` leave the text alone but for white space, which
 * is collapsed. */
#include "base/utf8.h"
#include "objectives/objective.h"
#include "tasks/format_t5.h"
#include "tasks/readers/fields.h"
#include "text/unicode.h"

#include <stdio.h>
#include <string.h>

static bool is_mark_to_pad(uint32_t c) {
  if (c == '_' || cz_unicode_is_numeric(c) || cz_unicode_is_mark(c)) return false;
  return cz_unicode_is_punctuation(c) || !cz_unicode_is_word(c);
}

/* White space becomes single spaces, none at the ends; with PAD every punctuation mark
 * stands alone. */
static cz_status tidy(cz_task_set *set, const char **out, const char *text, bool pad) {
  cz_buf b = {0};
  cz_status st = cz_buf_add(&b, "", 0);
  bool gap = false;
  for (size_t n; *text && st == CZ_OK; text += n) {
    uint32_t c = cz_utf8_next(text, &n);
    bool space = c == ' ' || (c >= 9 && c <= 13), alone = pad && !space && is_mark_to_pad(c);
    if (!space) {
      if ((gap || alone) && b.len && b.data[b.len - 1] != ' ') st = cz_buf_add(&b, " ", 1);
      if (st == CZ_OK) st = cz_buf_add(&b, text, n);
    }
    gap = space || alone;
  }
  if (st == CZ_OK) st = cz_format_text(set, out, "%s", b.data);
  cz_buf_free(&b);
  return st;
}

static cz_status read_answers(cz_task_set *set, cz_task_record *record, const json_t *question,
                              const char *place) {
  const json_t *list = json_object_get(question, "answers"); /* missing in hidden test sets */
  size_t n = json_array_size(list);
  const char **texts;
  CZ_TRY(cz_arena_alloc(set->arena, &texts, n, sizeof *texts));
  for (size_t i = 0; i < n; i++)
    CZ_TRY(cz_json_text(&texts[i], json_array_get(list, i), "text", place));
  return cz_task_answers(set, record, texts, n);
}

static cz_status add_question(cz_task_set *set, const json_t *question, const char *context,
                              int64_t group, const char *place) {
  cz_task_record record = {.label = -1, .group = group};
  cz_task_field fields[] = {{"question", NULL}, {"context", context}};
  const char *text;
  CZ_TRY(cz_json_text(&text, question, "question", place));
  CZ_TRY(cz_task_own(set, &fields[0].text, text));
  CZ_TRY(read_answers(set, &record, question, place));
  return cz_task_add(set, &record, fields, 2);
}

static cz_status format(cz_task_set *set, cz_task_record *record) {
  static const char before[] = " context: ";
  const bool pad = set->config.fidelity == CZ_FIDELITY_CODE;
  const char *question, *context, **answers;
  size_t n = (size_t)record->n_answers;
  CZ_TRY(tidy(set, &question, cz_task_field_of(record, "question"), pad));
  CZ_TRY(tidy(set, &context, cz_task_field_of(record, "context"), pad));
  CZ_TRY(cz_format_text(set, &record->inputs, "question: %s%s%s", question, before, context));
  record->source = record->inputs + strlen("question: ") + strlen(question) + sizeof before - 1;
  CZ_TRY(cz_arena_alloc(set->arena, &answers, n, sizeof *answers));
  for (size_t i = 0; i < n; i++) CZ_TRY(tidy(set, &answers[i], record->answers[i], pad));
  return cz_format_answers(set, record, answers, n);
}

static cz_status add_paragraph(cz_task_set *set, const json_t *paragraph, const char *place) {
  const int64_t group = (int64_t)set->n;
  const char *raw, *context;
  const json_t *questions;
  CZ_TRY(cz_json_text(&raw, paragraph, "context", place));
  CZ_TRY(cz_json_get(&questions, paragraph, "qas", JSON_ARRAY, place));
  CZ_TRY(cz_task_own(set, &context, raw));
  for (size_t q = 0; q < json_array_size(questions); q++) {
    char where[4300];
    snprintf(where, sizeof where, "%s, question %zu", place, q + 1);
    CZ_TRY(add_question(set, json_array_get(questions, q), context, group, where));
  }
  return CZ_OK;
}

static cz_status add_articles(cz_task_set *set, const json_t *root, const char *path) {
  const json_t *articles, *paragraphs;
  CZ_TRY(cz_json_get(&articles, root, "data", JSON_ARRAY, path));
  for (size_t a = 0; a < json_array_size(articles); a++) {
    char where[560];
    snprintf(where, sizeof where, "%s: article %zu", path, a + 1);
    CZ_TRY(cz_json_get(&paragraphs, json_array_get(articles, a), "paragraphs", JSON_ARRAY, where));
    for (size_t p = 0; p < json_array_size(paragraphs); p++) {
      snprintf(where, sizeof where, "%s: article %zu, paragraph %zu", path, a + 1, p + 1);
      CZ_TRY(add_paragraph(set, json_array_get(paragraphs, p), where));
    }
  }
  return CZ_OK;
}

static cz_status read_file(cz_task_set *set, const char *path) {
  cz_lines l;
  json_error_t why;
  json_t *root = NULL;
  cz_status st;
  CZ_GO(st, cz_lines_open(&l, path), done);
  root = json_loadb(l.walk.at, (size_t)(l.walk.end - l.walk.at), JSON_REJECT_DUPLICATES, &why);
  if (!root)
    CZ_GO(st, CZ_FAIL(CZ_EINVAL, "%s:%d:%d: %s", path, why.line, why.column, why.text), done);
  CZ_GO(st, add_articles(set, root, path), done);
done:
  json_decref(root);
  cz_lines_close(&l);
  return st;
}

const cz_task_row cz_task_row_squad = {
    .name = "squad",
    .help = "a question about a paragraph, answered with words of it (SQuAD 1.1)",
    .section = CZ_TASK_SECTION("questions about paragraphs (SQuAD 1.1)"),
    .metrics = {CZ_METRIC_SQUAD_EM, CZ_METRIC_SQUAD_F1},
    .comparison = CZ_COMPARE_TEXT,
    .baseline = CZ_BASELINE_LEAD,
    .lead_words = 3,
    .read = read_file,
    .format = format,
};
