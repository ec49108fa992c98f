/* What a mask, or several, can be filled with: words of labels, or what a record brings along
 * (docs/pet.md 3.3). */
#include "prompts/prompt.h"

#include <string.h>

/** Tokens of an answer, which -1 fills up to MASKS: 0 behind a label's last word. */
size_t cz_prompt_answer_length(const int32_t *ids, size_t masks) {
  size_t n = 0;
  while (n < masks && ids[n] >= 0) n++;
  return n;
}

/* The answer of label C of record I, its tokens at ROW [masks], which are -1. */
static cz_status take_choice(int32_t *row, const cz_prompt *prompt, const cz_prompt_texts *texts,
                             size_t i, size_t c) {
  const cz_pattern_file *file = texts->prompts->file;
  const cz_prompt_text *answer = &texts->items[i * file->n_sources + file->choices[c]];
  const char *label = file->labels[c];
  char place[512];
  cz__prompt_place_text(place, &texts->places[i]);
  if (answer->empty || !answer->n)
    return CZ_FAIL(CZ_EINVAL,
                   "%s has no answer for the label '%s'; each record must have one for each "
                   "label, as `choices` says",
                   place, label);
  if (answer->n > (size_t)prompt->pattern->masks)
    return CZ_FAIL(CZ_EINVAL,
                   "%s: the answer of the label '%s' has %zu tokens, and the pattern '%s' has "
                   "masks for %d; write {mask:%zu}",
                   place, label, answer->n, prompt->pattern->text, prompt->pattern->masks,
                   answer->n);
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

/** Fills OUT [C, n_words, masks] with the tokens of the answers of record I of TEXTS under PROMPT,
 * one of PROMPTS with a mask, -1 behind each one's last: the words of labels, or its own. CZ_EINVAL
 * with the row for one that has none, one of more tokens than there are masks, or the same twice.
 */
cz_status cz_prompt_answers(int32_t *out, const cz_prompts *prompts, const cz_prompt *prompt,
                            const cz_prompt_texts *texts, size_t i) {
  const size_t masks = (size_t)prompt->pattern->masks, labels = prompts->file->n_labels,
               cells = labels * prompt->n_words * masks;
  CZ_CHECK(texts->prompts == prompts && i < texts->n && masks);
  if (!prompt->choices) {
    memcpy(out, prompt->words, cells * sizeof *out);
    return CZ_OK;
  }
  for (size_t k = 0; k < cells; k++) out[k] = -1;
  for (size_t c = 0; c < labels; c++) {
    CZ_TRY(take_choice(out + c * masks, prompt, texts, i, c));
    CZ_TRY(check_different(out, masks, texts, i, c));
  }
  return CZ_OK;
}
