/* What a mask, or several, can be filled with: words of labels, or what a record brings along
 * (docs/pet.md 3.3). */
#include "prompts/prompt.h"

#include <stdio.h>
#include <string.h>

/** Tokens of an answer, which -1 fills up to MASKS: 0 behind a label's last word. */
size_t cz_prompt_answer_length(const int32_t *ids, size_t masks) {
  size_t n = 0;
  while (n < masks && ids[n] >= 0) n++;
  return n;
}

/** How many answers record I of TEXTS has: one a label, its candidates, or its target. */
size_t cz_prompt_answer_count(const cz_prompt_texts *texts, size_t i) {
  const cz_pattern_file *file = texts->prompts->file;
  return texts->spans ? texts->spans[i].n : file->generates ? 1 : file->n_labels;
}

/* The answer of label C of record I, or its candidate number C. */
static const cz_prompt_text *choice_of(const cz_prompt_texts *texts, size_t i, size_t c) {
  const cz_pattern_file *file = texts->prompts->file;
  return file->candidates ? &texts->candidates[texts->spans[i].first + c]
                          : &texts->items[i * file->n_sources + file->choices[c]];
}

/* Masks that ANSWER wants: those of its tokens, and of a target that is generated surplus ones. */
static size_t masks_for(const cz_pattern_file *file, const cz_prompt_text *answer) {
  return answer->n + (file->generates ? CZ_PROMPT_SURPLUS : 0);
}

/* ANSWER wants more masks than there are. */
static cz_status refuse_length(const cz_prompt *prompt, const cz_prompt_texts *texts,
                               const char *place, const cz_prompt_text *answer, size_t c) {
  const cz_pattern_file *file = texts->prompts->file;
  char surplus[32] = "";
  cz_buf text = {0};
  cz_status st = CZ_OK;
  if (file->generates)
    snprintf(surplus, sizeof surplus, " and %d surplus masks", CZ_PROMPT_SURPLUS);
  const char *what = file->candidates  ? "candidate"
                     : file->generates ? "target"
                                       : "answer of the label";
  if (file->task)
    st = cz_tokenizer_decode(texts->prompts->tokenizer, &text, texts->ids + answer->begin,
                             answer->kept, false);
  if (st == CZ_OK) st = cz_buf_add(&text, "", 1);
  if (st == CZ_OK)
    st = CZ_FAIL(CZ_EINVAL,
                 "%s: the %s '%s' has %zu tokens%s, and the pattern '%s' has masks for %d; write "
                 "{mask:%zu}",
                 place, what, file->task ? text.data + strspn(text.data, " ") : file->labels[c],
                 answer->n, surplus, prompt->pattern->text, prompt->pattern->masks,
                 masks_for(file, answer));
  cz_buf_free(&text);
  return st;
}

/* The answer C of record I, its tokens at ROW [masks], which are -1. */
static cz_status take_choice(int32_t *row, const cz_prompt *prompt, const cz_prompt_texts *texts,
                             size_t i, size_t c) {
  char place[512];
  const cz_pattern_file *file = texts->prompts->file;
  const cz_prompt_text *answer = choice_of(texts, i, c);
  cz__prompt_place_text(place, &texts->places[i]);
  if ((answer->empty || !answer->n) && !file->task)
    return CZ_FAIL(CZ_EINVAL,
                   "%s has no answer for the label '%s'; each record must have one for each "
                   "label, as `choices` says",
                   place, file->labels[c]);
  if (!answer->n)
    return CZ_FAIL(CZ_EINVAL, "%s: nothing is left of %s number %zu as tokens", place,
                   file->generates ? "target" : "candidate", c + 1);
  if (masks_for(file, answer) > (size_t)prompt->pattern->masks)
    return refuse_length(prompt, texts, place, answer, c);
  memcpy(row, texts->ids + answer->begin, answer->n * sizeof *row);
  return CZ_OK;
}

static cz_status check_different(const int32_t *out, size_t masks, const cz_prompt_texts *texts,
                                 size_t i, size_t c) {
  const char *const *labels = texts->prompts->file->labels;
  char place[512];
  for (size_t other = 0; other < c; other++)
    if (!memcmp(out + other * masks, out + c * masks, masks * sizeof *out))
      return CZ_FAIL(CZ_EINVAL,
                     "%s: the answers of the labels '%s' and '%s' are the same tokens, so "
                     "neither can be right",
                     cz__prompt_place_text(place, &texts->places[i]), labels[other], labels[c]);
  return CZ_OK;
}

/** Fills OUT [C, n_words, masks], C = cz_prompt_answer_count, with the tokens of the answers of
 * record I of TEXTS under PROMPT, one of PROMPTS with a mask, -1 behind each one's last: the words
 * of labels, or its own. CZ_EINVAL with the row for one that has none, one of more tokens than
 * there are masks, or the same of two labels. Two candidates that are told apart by case alone may
 * be the same to a tokenizer: they have one score. */
cz_status cz_prompt_answers(int32_t *out, const cz_prompts *prompts, const cz_prompt *prompt,
                            const cz_prompt_texts *texts, size_t i) {
  const size_t masks = (size_t)prompt->pattern->masks, labels = cz_prompt_answer_count(texts, i),
               cells = labels * prompt->n_words * masks;
  CZ_CHECK(texts->prompts == prompts && i < texts->n && masks);
  if (!prompt->choices) {
    memcpy(out, prompt->words, cells * sizeof *out);
    return CZ_OK;
  }
  for (size_t k = 0; k < cells; k++) out[k] = -1;
  for (size_t c = 0; c < labels; c++) {
    CZ_TRY(take_choice(out + c * masks, prompt, texts, i, c));
    if (!prompts->file->task) CZ_TRY(check_different(out, masks, texts, i, c));
  }
  return CZ_OK;
}
