/* BertPreTokenizer: words between blanks, each punctuation character by itself. */
#include "base/utf8.h"
#include "text/bert.h"
#include "text/unicode.h"

enum { TABLE_SIZE = 0x10000 };
enum { WORD, BLANK, POINT };

typedef struct splitter {
  uint8_t table[TABLE_SIZE]; /* of the characters below TABLE_SIZE */
} splitter;

static uint8_t look(uint32_t c) {
  if (cz_unicode_is_space(c)) return BLANK;
  return cz_unicode_is_punctuation(c) ? POINT : WORD;
}

/** Reads a BertPreTokenizer, which has no fields. */
cz_status cz__bert_split_parse(void **data, cz_arena *arena, const json_t *o,
                               const cz_json_place *at) {
  splitter *s;
  CZ_TRY(cz_json_only(o, at, (const char *const[]){"type"}, 1));
  CZ_TRY(cz_arena_alloc(arena, &s, 1, sizeof *s));
  for (uint32_t c = 0; c < TABLE_SIZE; c++) s->table[c] = look(c);
  *data = s;
  return CZ_OK;
}

static cz_status add(cz__work *w, size_t begin, size_t end) {
  if (begin == end) return CZ_OK;
  return cz__pieces_add(&w->next_pieces, (cz__piece){begin, end, w->flat.spans[begin].begin, -1});
}

static cz_status cut(const splitter *s, cz__work *w, size_t begin, size_t end) {
  const char *bytes = w->flat.bytes;
  for (size_t i = begin, k; i < end; i += k) {
    uint32_t c = cz_utf8_next(bytes + i, &k);
    uint8_t kind = c < TABLE_SIZE ? s->table[c] : look(c);
    if (kind == WORD) continue;
    CZ_TRY(add(w, begin, i));
    if (kind == POINT) CZ_TRY(add(w, i, i + k));
    begin = i + k;
  }
  return add(w, begin, end);
}

/** The pre-tokenizer. */
cz_status cz__bert_split_run(const void *data, cz__work *w) {
  w->next_pieces.len = 0;
  for (size_t i = 0; i < w->pieces.len; i++) {
    cz__piece p = w->pieces.data[i];
    if (p.token >= 0) {
      CZ_TRY(cz__pieces_add(&w->next_pieces, p));
    } else {
      CZ_TRY(cut(data, w, p.begin, p.end));
    }
  }
  cz__work_swap_pieces(w);
  return CZ_OK;
}
