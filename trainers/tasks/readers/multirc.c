/* MultiRC (SuperGLUE): several answers to a question about a passage, each right or
 * wrong; one record per answer, scored together by question.
 *
 * `paper` leaves the passage's mark-up in, as in the example of appendix D; the released
 * code turns <br> into a space and takes <b> and </b> out. */
#include "objectives/objective.h"
#include "tasks/format_t5.h"
#include "tasks/readers/fields.h"

#include <stdio.h>
#include <string.h>

static const char *const truth[] = {"False", "True", NULL};
static const char *const spellings[] = {"0", "1"};

static cz_status remove_markup(cz_buf *out, const char *text) {
  static const struct {
    const char *tag, *becomes;
  } tags[] = {{"<br>", " "}, {"<b>", ""}, {"</b>", ""}};
  while (*text) {
    size_t skip = 0;
    for (size_t i = 0; i < sizeof tags / sizeof *tags && !skip; i++) {
      if (strncmp(text, tags[i].tag, strlen(tags[i].tag))) continue;
      CZ_TRY(cz_buf_addf(out, "%s", tags[i].becomes));
      skip = strlen(tags[i].tag);
    }
    if (!skip) CZ_TRY(cz_buf_add(out, text, 1));
    text += skip ? skip : 1;
  }
  return CZ_OK;
}

/* LIKE has the record's group and origin. */
static cz_status add_answer(cz_task_set *set, const char *passage, const char *question,
                            const json_t *answer, const cz_task_record *like, const char *place) {
  cz_task_field fields[] = {{"question", question}, {"answer", NULL}, {"paragraph", passage}};
  cz_task_record record = *like;
  const char *text;
  char label_text[64];
  CZ_TRY(cz_json_text(&text, answer, "text", place));
  CZ_TRY(cz_task_own(set, &fields[1].text, text));
  CZ_TRY(cz_json_label(set, label_text, sizeof label_text, answer, "label", place));
  CZ_TRY(cz_task_label(set, &record.label, spellings, label_text, place));
  return cz_task_add(set, &record, fields, 3);
}

static cz_status format(cz_task_set *set, cz_task_record *record) {
  cz_buf clean = {0};
  CZ_TRY(cz_format_text(set, &record->inputs, "multirc question: %s answer: %s paragraph: %s",
                        record->fields[0].text, record->fields[1].text, record->fields[2].text));
  if (set->config.fidelity == CZ_FIDELITY_PAPER) return CZ_OK;
  cz_status st = remove_markup(&clean, record->inputs);
  if (st == CZ_OK) st = cz_format_text(set, &record->inputs, "%s", clean.data);
  cz_buf_free(&clean);
  return st;
}

static cz_status add_passage(cz_task_set *set, const json_t *object, const char *place) {
  const json_t *passage, *questions, *answers;
  const char *raw, *text, *question;
  CZ_TRY(cz_json_get(&passage, object, "passage", JSON_OBJECT, place));
  CZ_TRY(cz_json_text(&raw, passage, "text", place));
  CZ_TRY(cz_task_own(set, &text, raw));
  CZ_TRY(cz_json_get(&questions, passage, "questions", JSON_ARRAY, place));
  cz_task_record like = {0};
  CZ_TRY(cz_format_text(set, &like.origin, "multirc passage of record %zu", set->n));
  for (size_t q = 0; q < json_array_size(questions); q++) {
    like.group = (int64_t)set->n;
    const json_t *item = json_array_get(questions, q);
    char where[4300];
    snprintf(where, sizeof where, "%s: question %zu", place, q + 1);
    CZ_TRY(cz_json_text(&raw, item, "question", where));
    CZ_TRY(cz_task_own(set, &question, raw));
    CZ_TRY(cz_json_get(&answers, item, "answers", JSON_ARRAY, where));
    for (size_t a = 0; a < json_array_size(answers); a++)
      CZ_TRY(add_answer(set, text, question, json_array_get(answers, a), &like, where));
  }
  return CZ_OK;
}

static cz_status describe(cz_task_set *set) {
  set->spellings = spellings;
  return CZ_OK;
}

static cz_status read_file(cz_task_set *set, const char *path) {
  return cz_json_records(set, path, add_passage);
}

const cz_task_row cz_task_row_multirc = {
    .name = "multirc",
    .help = "which answers to a question about a passage are right (SuperGLUE)",
    .section = CZ_TASK_SECTION("answers to questions about passages (SuperGLUE)"),
    .labels = truth,
    .describe = describe,
    .metrics = {CZ_METRIC_F1, CZ_METRIC_GROUP_EM},
    .read = read_file,
    .format = format,
};
