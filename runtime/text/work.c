#include "text/work.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

/** Frees everything in W and empties it. */
void cz__work_free(cz__work *w) {
  cz__aligned *texts[] = {&w->text, &w->spare, &w->flat, &w->next_flat};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) cz__aligned_free(texts[i]);
  cz__words *lists[] = {&w->words, &w->next_words};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    cz_buf_free(&lists[i]->bytes);
    free(lists[i]->ends);
  }
  free(w->pieces.data);
  free(w->next_pieces.data);
  free(w->changes.data);
  free(w->matches.data);
  free(w->tokens.data);
  free(w->model_space);
  pcre2_match_data_free(w->regex_space);
  pcre2_match_context_free(w->regex_context);
  *w = (cz__work){0};
}

/** Refuses a text that rules have made far longer than the input: each of a few rules can
 * multiply its length. BYTES: of the text so far. CZ_EINVAL. */
cz_status cz__work_room(const cz__work *w, size_t bytes) {
  size_t limit = ((size_t)1 << 20) + 64 * w->input_bytes;
  if (bytes <= limit) return CZ_OK;
  return CZ_FAIL(
      CZ_EINVAL,
      "the tokenizer's rules make more than %zu bytes of a text of %zu; no vocabulary is "
      "meant for that",
      limit, w->input_bytes);
}

/** Ends the word whose bytes were appended since the last one. */
cz_status cz__words_end(cz__words *s) {
  CZ_TRY(cz_grow(&s->ends, &s->cap, s->len + 1, sizeof *s->ends));
  CZ_TRY(cz_buf_add(&s->bytes, "", 0)); /* empty words lie somewhere too: null has no offsets */
  s->ends[s->len++] = s->bytes.len;
  return CZ_OK;
}

/** Empties the list and keeps its room. */
void cz__words_clear(cz__words *s) { s->len = s->bytes.len = 0; }

/** Makes the list that was just written the current one. */
void cz__work_swap_words(cz__work *w) {
  cz__words t = w->words;
  w->words = w->next_words;
  w->next_words = t;
}

/** Makes the pieces that were just written the current ones. */
void cz__work_swap_pieces(cz__work *w) {
  cz__pieces t = w->pieces;
  w->pieces = w->next_pieces;
  w->next_pieces = t;
}

/** Rewrites every word. */
cz_status cz__words_each(cz__work *w, cz__word_fn rewrite, const void *data) {
  cz__words_clear(&w->next_words);
  for (size_t i = 0; i < w->words.len; i++) {
    size_t begin = i ? w->words.ends[i - 1] : 0;
    CZ_TRY(rewrite(data, w, w->words.bytes.data + begin, w->words.ends[i] - begin, i));
  }
  cz__work_swap_words(w);
  return CZ_OK;
}
