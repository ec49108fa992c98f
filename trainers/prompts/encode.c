#include "prompts/encode.h"
#include "base/utf8.h"
#include "text/unicode.h"

#include <string.h>

/** Whether ID is one of the tokens that tell a model where a text begins, ends or asks. */
bool cz__prompt_is_special(const cz_tokenizer_facts *f, int32_t id) {
  return id >= 0 && id != f->unk &&
         (id == f->mask || id == f->cls || id == f->sep || id == f->pad || id == f->bos ||
          id == f->eos);
}

/* Replaces E by the ids of TEXT, in which a spelling of a special token is text. Merges of BPE that
 * make one all the same are refused: a second mask would be scored. */
static cz_status encode(const cz_tokenizer *t, cz_encoding *e, const char *text, size_t n,
                        cz_tokenizer_scratch *scratch) {
  static const cz_encode_options text_alone = {.text_only = true, .no_special = true};
  const cz_tokenizer_facts *f = cz_tokenizer_get_facts(t);
  CZ_TRY(cz_tokenizer_encode(t, e, text, n, text_alone, scratch));
  for (size_t i = 0; i < e->n; i++) {
    if (!cz__prompt_is_special(f, e->ids[i])) continue;
    size_t length = 0;
    const char *token = cz_tokenizer_token(t, e->ids[i], &length);
    return CZ_FAIL(CZ_EINVAL, "the tokenizer makes its special token '%.*s' of a text", (int)length,
                   token);
  }
  return CZ_OK;
}

static bool ends_with(const int32_t *ids, size_t n, const cz_encoding *e) {
  return e->n <= n && (e->n == 0 || !memcmp(ids + n - e->n, e->ids, e->n * sizeof *ids));
}

/** Whether a text that begins a piece must get a space in front to be tokenised as the same text
 * behind another word: so with byte-level BPE, whose words inside a text begin with a space; not
 * with WordPiece, which knows no spaces, nor where the tokenizer puts one itself (SentencePiece).
 * Found by trial with a few words, so no name of a tokenizer is known here. */
cz_status cz__prompt_needs_space(bool *needed, const cz_tokenizer *t, cz_encoding *e,
                                 cz_tokenizer_scratch *scratch) {
  static const struct {
    const char *inside, *alone, *spaced;
  } trials[] = {{"a the", "the", " the"}, {"a .", ".", " ."}, {". a", "a", " a"}};
  *needed = false;
  for (size_t i = 0; i < sizeof trials / sizeof *trials; i++) {
    int32_t inside[64];
    CZ_TRY(encode(t, e, trials[i].inside, strlen(trials[i].inside), scratch));
    size_t n = e->n < 64 ? e->n : 64;
    memcpy(inside, e->ids, n * sizeof *inside);
    CZ_TRY(encode(t, e, trials[i].alone, strlen(trials[i].alone), scratch));
    if (ends_with(inside, n, e)) continue;
    CZ_TRY(encode(t, e, trials[i].spaced, strlen(trials[i].spaced), scratch));
    if (ends_with(inside, n, e)) *needed = true;
  }
  return CZ_OK;
}

/** Replaces OUT by the ids of TEXT, as a piece of a pattern: no special token is found in it, and
 * it gets the space that P's tokenizer wants in front, unless it begins with one. TEXT is
 * changed. */
cz_status cz__prompt_encode(const cz_prompts *p, cz_encoding *out, cz_buf *text,
                            cz_tokenizer_scratch *scratch) {
  size_t k;
  bool spaced = text->len == 0 || cz_unicode_is_space(cz_utf8_next(text->data, &k));
  if (p->leading_space && !spaced) {
    CZ_TRY(cz_buf_add(text, " ", 1));
    memmove(text->data + 1, text->data, text->len - 1);
    text->data[0] = ' ';
  }
  return encode(p->tokenizer, out, text->len ? text->data : "", text->len, scratch);
}

static bool is_ascii_punctuation(unsigned char c) {
  return c < 0x80 && cz_unicode_is_punctuation(c);
}

/* TEXT with CHANGES. */
static cz_status add_field(cz_buf *out, const char *text, unsigned changes) {
  size_t n = strlen(text), k = 0;
  uint32_t lower[2];
  if (changes & CZ_STRIP_PUNCTUATION)
    while (n > 0 && is_ascii_punctuation((unsigned char)text[n - 1])) n--;
  if (n > 0 && (changes & CZ_LOWER_FIRST)) {
    size_t letters = cz_unicode_lower(cz_utf8_next(text, &k), lower);
    for (size_t i = 0; i < letters; i++) {
      char bytes[4];
      CZ_TRY(cz_buf_add(out, bytes, cz_utf8_put(bytes, lower[i])));
    }
  }
  return cz_buf_add(out, text + k, n - k);
}

/** Replaces OUT by the text of SOURCE for a record with these FIELDS. */
cz_status cz__prompt_source_text(cz_buf *out, const cz_pattern_source *source,
                                 const char *const *fields) {
  out->len = 0;
  for (size_t i = 0; i < source->n; i++) {
    const cz_pattern_part *part = &source->parts[i];
    CZ_TRY(part->text ? cz_buf_add(out, part->text, strlen(part->text))
                      : add_field(out, fields[part->field], part->changes));
  }
  return CZ_OK;
}
