/* From ids to text. */
#include "text/internal.h"

/* The string that stands for an id while decoding, or null: an added token that is looked
 * for in normalised text is decoded as it looks there. */
static const char *word_of(const cz_tokenizer *t, int32_t id, size_t *n) {
  int32_t i = id >= 0 && id < t->added.size ? t->added.by_id[id] : -1;
  if (i < 0) return cz_tokenizer_token(t, id, n);
  *n = t->added.tokens[i].normal_n;
  return t->added.tokens[i].normal;
}

static bool is_special(const cz_tokenizer *t, const char *word, size_t n) {
  int32_t i = cz__trie_find(&t->added.contents, word, n);
  return i >= 0 && t->added.tokens[i].special;
}

static cz_status add_words(const cz_tokenizer *t, cz__work *w, const int32_t *ids, size_t n,
                           bool skip_special) {
  for (size_t i = 0; i < n; i++) {
    size_t word_n = 0;
    const char *word = word_of(t, ids[i], &word_n);
    if (!word || (skip_special && is_special(t, word, word_n))) continue;
    if (t->decoders.len == 0 && w->words.len > 0)
      CZ_TRY(cz_buf_add(&w->words.bytes, " ", 1)); /* the library's way without a decoder */
    CZ_TRY(cz_buf_add(&w->words.bytes, word, word_n));
    CZ_TRY(cz__words_end(&w->words));
  }
  return CZ_OK;
}

/** Appends the text of N ids to OUT. SKIP_SPECIAL: without special tokens. Ids that the
 * tokenizer does not have (a model's padded vocabulary) yield nothing, as in the Hugging
 * Face library. */
cz_status cz_tokenizer_decode(const cz_tokenizer *t, cz_buf *out, const int32_t *ids, size_t n,
                              bool skip_special) {
  cz__work w = {0};
  cz_status st;
  CZ_GO(st, add_words(t, &w, ids, n, skip_special), done);
  w.input_bytes = w.words.bytes.len;
  CZ_GO(st, cz__parts_run(&t->decoders, &w), done);
  CZ_GO(st, cz_buf_add(out, w.words.bytes.data, w.words.bytes.len), done);
done:
  cz__work_free(&w);
  return st;
}
