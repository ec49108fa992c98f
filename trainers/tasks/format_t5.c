#include "tasks/format_t5.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/** Formats a text that the set owns. */
cz_status cz_format_text(cz_task_set *set, const char **out, const char *format, ...) {
  va_list args, second;
  va_start(args, format);
  va_copy(second, args);
  int n = vsnprintf(NULL, 0, format, args);
  va_end(args);
  char *text = NULL;
  cz_status st = n < 0 ? CZ_FAIL(CZ_EINVAL, "bad format %s", format)
                       : cz_arena_alloc(set->arena, &text, (size_t)n + 1, 1);
  if (st == CZ_OK) vsnprintf(text, (size_t)n + 1, format, second);
  va_end(second);
  *out = text;
  return st;
}

/** Gives RECORD a list of N answers, whose texts the set must own already. */
cz_status cz_format_answers(cz_task_set *set, cz_task_record *record, const char *const *answers,
                            size_t n) {
  const char **copy;
  CZ_TRY(cz_arena_alloc(set->arena, &copy, n, sizeof *copy));
  if (n) memcpy(copy, answers, n * sizeof *copy);
  record->answers = copy;
  record->n_answers = (int32_t)n;
  return CZ_OK;
}

/** Gives RECORD, as a reader has left it, its text-to-text form: inputs and source by the
 * task's format; the target is the first answer, which for a class is its label's text, and
 * "<unk>" where the file has no answer. */
cz_status cz_format_t5(cz_task_set *set, cz_task_record *r) {
  static const char *const unknown = "<unk>";
  CZ_TRY(set->row->format(set, r));
  if (!r->source) r->source = r->inputs;
  bool class = set->comparison == CZ_COMPARE_LABEL && r->label >= 0;
  if (r->n_answers == 0) {
    r->unknown = !class;
    CZ_TRY(cz_format_answers(set, r, class ? &set->labels[r->label] : &unknown, 1));
  }
  r->targets = r->answers[0];
  return CZ_OK;
}
