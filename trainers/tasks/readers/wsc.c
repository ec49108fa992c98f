/* The Winograd tasks (docs/t5.md 7.1): `wsc: ... *it* ...`, and the model names what
 * the pronoun stands for. WSC of SuperGLUE trains on its True records only; evaluation
 * decides True or False by comparing the model's noun with the record's (score.c). DPR is
 * further training data of the same form; WNLI, which is only evaluated, is in wnli.c. */
#include "tasks/readers/wsc.h"
#include "base/log.h"
#include "tasks/format_t5.h"
#include "tasks/readers/fields.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const truth[] = {"False", "True", NULL};
static const char *const spellings[] = {"false", "true"};

static bool at_word(const char *text, const char *at, const char *word) {
  size_t n = strlen(word);
  return (at == text || !isalnum((unsigned char)at[-1])) && !strncasecmp(at, word, n) &&
         !isalnum((unsigned char)at[n]);
}

/* Where word number INDEX (from 0, words end at one white space each) begins, or null. */
static const char *word_at(const char *text, int64_t index) {
  for (; index > 0 && *text; index--) {
    text += strcspn(text, " \t\n");
    if (*text) text++;
  }
  return *text ? text : NULL;
}

/* The pronoun: at its word, or, where the file's count is off, at the nearest
 * occurrence. */
static const char *find_pronoun(const char *text, const char *pronoun, int64_t index) {
  const char *target = word_at(text, index), *best = NULL;
  if (target && at_word(text, target, pronoun)) return target;
  if (!target) target = text + strlen(text);
  for (const char *at = text; *at; at++)
    if (at_word(text, at, pronoun) && (!best || labs(at - target) < labs(best - target))) best = at;
  if (best)
    cz_warn("the pronoun '%s' is not word %lld of: %.60s; the nearest is taken", pronoun,
            (long long)index, text);
  return best;
}

/** Adds a record whose pronoun is the N bytes at AT of TEXT, with NOUN as the answer. Prompts have
 * two fields more: `text`, with the pronoun between stars, and `target`, the noun. */
cz_status cz_wsc_add(cz_task_set *set, const char *text, const char *at, size_t n, const char *noun,
                     int32_t label) {
  cz_task_record record = {.group = (int64_t)set->n, .label = label};
  cz_task_field fields[] = {
      {"before", NULL}, {"pronoun", NULL}, {"after", NULL}, {"text", NULL}, {"target", NULL}};
  CZ_TRY(cz_format_text(set, &fields[0].text, "%.*s", (int)(at - text), text));
  CZ_TRY(cz_format_text(set, &fields[1].text, "%.*s", (int)n, at));
  CZ_TRY(cz_task_own(set, &fields[2].text, at + n));
  CZ_TRY(cz_format_text(set, &fields[3].text, "%s*%s*%s", fields[0].text, fields[1].text,
                        fields[2].text));
  CZ_TRY(cz_task_own(set, &fields[4].text, noun));
  CZ_TRY(cz_task_answers(set, &record, &noun, 1));
  return cz_task_add(set, &record, fields, 5);
}

/** `wsc: ... *it* ...`, the pronoun between stars. */
cz_status cz_wsc_format(cz_task_set *set, cz_task_record *r) {
  r->source = r->answers[0];
  return cz_format_text(set, &r->inputs, "wsc: %s*%s*%s", r->fields[0].text, r->fields[1].text,
                        r->fields[2].text);
}

static cz_status add_object(cz_task_set *set, const json_t *object, const char *place) {
  const char *text, *pronoun, *noun;
  const json_t *target, *index;
  char label_text[64];
  int32_t label;
  CZ_TRY(cz_json_text(&text, object, "text", place));
  CZ_TRY(cz_json_get(&target, object, "target", JSON_OBJECT, place));
  CZ_TRY(cz_json_text(&noun, target, "span1_text", place));
  CZ_TRY(cz_json_text(&pronoun, target, "span2_text", place));
  CZ_TRY(cz_json_get(&index, target, "span2_index", JSON_INTEGER, place));
  CZ_TRY(cz_json_label(set, label_text, sizeof label_text, object, "label", place));
  CZ_TRY(cz_task_label(set, &label, spellings, label_text, place));
  if (set->use == CZ_TASK_TRAIN && label != 1) return CZ_OK;
  const char *at = *pronoun ? find_pronoun(text, pronoun, json_integer_value(index)) : NULL;
  if (!at)
    return CZ_FAIL(CZ_EINVAL, "%s: the pronoun '%s' does not occur in the text", place, pronoun);
  return cz_wsc_add(set, text, at, strlen(pronoun), noun, label);
}

static cz_status read_wsc(cz_task_set *set, const char *path) {
  return cz_json_records(set, path, add_object);
}

/* Four lines a record, then a blank one: sentence, pronoun, two candidates with a comma
 * between, the right one. */
static cz_status add_block(cz_task_set *set, char *const *block, const char *place) {
  const char *at = block[0];
  while (*at && !at_word(block[0], at, block[1])) at++;
  if (!*block[1] || !*at)
    return CZ_FAIL(CZ_EINVAL, "%s: the pronoun '%s' does not occur in the sentence", place,
                   block[1]);
  if (!strstr(block[2], block[3]))
    return CZ_FAIL(CZ_EINVAL, "%s: the answer '%s' is none of the candidates '%s'", place, block[3],
                   block[2]);
  return cz_wsc_add(set, block[0], at, strlen(block[1]), block[3], 1);
}

static cz_status read_dpr(cz_task_set *set, const char *path) {
  cz_lines l;
  char *line, *block[4];
  size_t have = 0;
  cz_status st;
  CZ_GO(st, cz_lines_open(&l, path), done);
  while (cz_lines_next(&l, &line)) {
    size_t n = strlen(line);
    while (n > 0 && isspace((unsigned char)line[n - 1])) line[--n] = '\0';
    line += strspn(line, " \t");
    const cz_field_place place = cz_lines_place(&l, 0);
    if (!*line && have == 0) continue;
    if (!*line)
      CZ_GO(st, CZ_FAIL(CZ_EINVAL, "%s: the record ends after %zu of 4 lines", place.text, have),
            done);
    block[have++] = line;
    if (have < 4) continue;
    CZ_GO(st, add_block(set, block, place.text), done);
    have = 0;
  }
  if (have)
    st = CZ_FAIL(CZ_EINVAL, "%s: the file ends after %zu of 4 lines of a record", path, have);
done:
  cz_lines_close(&l);
  return st;
}

const cz_task_row cz_task_row_wsc = {
    .name = "wsc",
    .help = "what the pronoun between stars stands for (SuperGLUE)",
    .section = CZ_TASK_SECTION("what a pronoun stands for (SuperGLUE)"),
    .labels = truth,
    .metrics = {CZ_METRIC_ACCURACY},
    .comparison = CZ_COMPARE_NOUN,
    .baseline = CZ_BASELINE_COPY,
    .target = "target",
    .read = read_wsc,
    .format = cz_wsc_format,
};

const cz_task_row cz_task_row_dpr = {
    .name = "dpr",
    .help = "definite pronoun resolution, further training data in the form of wsc",
    .section = CZ_TASK_SECTION("what a pronoun stands for (DPR)"),
    .labels = truth,
    .metrics = {CZ_METRIC_ACCURACY},
    .comparison = CZ_COMPARE_NOUN,
    .baseline = CZ_BASELINE_COPY,
    .read = read_dpr,
    .format = cz_wsc_format,
};
