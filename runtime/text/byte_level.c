/* ByteLevel (GPT-2's published code): every byte of a text becomes a character that can be seen,
 * so that a vocabulary of 256 characters knows every text. It is a normalizer, a decoder, and the
 * pre-tokenizer that first cuts the text into words (gpt2_words.c). */
#include "text/byte_level.h"

#include "base/utf8.h"
#include "text/bpe.h"

/* Bytes that are visible in Latin-1 stand for themselves; the others, in order, are U+0100 and
 * up. */
static bool is_visible(uint32_t c) {
  return (c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff);
}

enum { HIDDEN = 68, FIRST_HIDDEN = 0x100 };

/* The hidden bytes below BYTE: 0x00 to 0x20, 0x7f to 0xa0, 0xad. */
static uint32_t hidden_before(uint32_t byte) {
  return byte <= 0x20 ? byte : byte <= 0xa0 ? 0x21 + (byte - 0x7f) : HIDDEN - 1;
}

/** Writes the character of BYTE in UTF-8 and returns its length, 1 or 2. */
size_t cz__byte_level_put(char out[2], unsigned char byte) {
  return cz_utf8_put(out, is_visible(byte) ? byte : FIRST_HIDDEN + hidden_before(byte));
}

/* The byte that the character C stands for, or -1. */
static int byte_of(uint32_t c) {
  if (c < FIRST_HIDDEN) return is_visible(c) ? (int)c : -1;
  c -= FIRST_HIDDEN;
  if (c >= HIDDEN) return -1;
  return (int)(c <= 0x20 ? c : c < HIDDEN - 1 ? 0x7f + (c - 0x21) : 0xad);
}

/** Appends the bytes that the characters of S stand for; with a character that stands for none,
 * nothing, and *WHOLE is false. */
cz_status cz__byte_level_unmap(cz_buf *out, bool *whole, const char *s, size_t n) {
  size_t begin = out->len;
  *whole = true;
  for (size_t i = 0, k; i < n; i += k) {
    int byte = byte_of(cz_utf8_next(s + i, &k));
    if (byte < 0) {
      *whole = false;
      out->len = begin;
      return CZ_OK;
    }
    CZ_TRY(cz_buf_add(out, (char[1]){(char)byte}, 1));
  }
  return CZ_OK;
}

/* Appends the bytes [BEGIN, END) of FROM as characters, each with the alignment of its byte. */
static cz_status map(cz__aligned *out, const cz__aligned *from, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) {
    char c[2];
    size_t k = cz__byte_level_put(c, (unsigned char)from->bytes[i]);
    CZ_TRY(cz__aligned_fill(out, c, k, from->spans[i]));
  }
  return CZ_OK;
}

/** The normalizer. */
cz_status cz__byte_level_normalize(const void *data, cz__work *w) {
  w->spare.len = 0;
  CZ_TRY(map(&w->spare, &w->text, 0, w->text.len));
  CZ_TRY(cz__work_room(w, w->spare.len));
  cz__aligned_swap(&w->text, &w->spare);
  return CZ_OK;
}

typedef struct byte_level {
  bool add_prefix_space, use_regex;
  bool raw; /* bytes stay what they are: the model reads them (cz__byte_level_join) */
} byte_level;

/** Reads a ByteLevel, as a pre-tokenizer or as a decoder. `trim_offsets` is what the same type
 * does as a post-processor. */
cz_status cz__byte_level_parse(void **data, cz_arena *arena, const json_t *o,
                               const cz_json_place *at) {
  byte_level *b;
  bool trim;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("add_prefix_space", "trim_offsets", "use_regex")));
  CZ_TRY(cz_arena_alloc(arena, &b, 1, sizeof *b));
  CZ_TRY(cz_json_get_bool(&b->add_prefix_space, o, at, "add_prefix_space"));
  CZ_TRY(cz_json_get_bool(&trim, o, at, "trim_offsets"));
  b->use_regex = true; /* the format's default */
  if (json_object_get(o, "use_regex")) CZ_TRY(cz_json_get_bool(&b->use_regex, o, at, "use_regex"));
  *data = b;
  return CZ_OK;
}

/* Cuts the bytes [BEGIN, END) of FROM, a piece, into words and appends them as pieces of OUT;
 * where OUT is FROM itself they already lie there. */
static cz_status cut(const byte_level *b, cz__work *w, cz__aligned *out, const cz__aligned *from,
                     size_t begin, size_t end) {
  for (size_t next; begin < end; begin = next) {
    next = b->use_regex ? begin + cz__gpt2_word(from->bytes + begin, end - begin) : end;
    cz__piece piece = {begin, next, from->spans[begin].begin, -1};
    if (out != from) {
      piece.begin = out->len;
      CZ_TRY(b->raw ? cz__aligned_copy(out, from, begin, next) : map(out, from, begin, next));
      piece.end = out->len;
    }
    CZ_TRY(cz__pieces_add(&w->next_pieces, piece));
  }
  return CZ_OK;
}

/* The piece with a space before it, in w->text; the space stands for what the piece's first byte
 * stands for. */
static cz_status prefix(cz__work *w, const cz__piece *p) {
  w->text.len = 0;
  CZ_TRY(cz__aligned_fill(&w->text, " ", 1, w->flat.spans[p->begin]));
  return cz__aligned_copy(&w->text, &w->flat, p->begin, p->end);
}

static cz_status cut_piece(const byte_level *b, cz__work *w, const cz__piece *p) {
  if (p->token >= 0) {
    size_t begin = w->next_flat.len;
    CZ_TRY(cz__aligned_copy(&w->next_flat, &w->flat, p->begin, p->end));
    return cz__pieces_add(&w->next_pieces,
                          (cz__piece){begin, w->next_flat.len, p->origin, p->token});
  }
  if (!b->add_prefix_space || p->begin == p->end || w->flat.bytes[p->begin] == ' ')
    return cut(b, w, &w->next_flat, &w->flat, p->begin, p->end);
  CZ_TRY(prefix(w, p));
  return cut(b, w, &w->next_flat, &w->text, 0, w->text.len);
}

/** The pre-tokenizer: puts a space before each piece that has none, if asked to, cuts it into
 * words, and writes their bytes as characters, unless the model reads bytes. */
cz_status cz__byte_level_split(const void *data, cz__work *w) {
  const byte_level *b = data;
  bool in_place = b->raw && !b->add_prefix_space; /* nothing moves */
  w->next_pieces.len = w->next_flat.len = 0;
  for (size_t i = 0; i < w->pieces.len; i++) {
    cz__piece p = w->pieces.data[i];
    if (!in_place) {
      CZ_TRY(cut_piece(b, w, &p));
    } else if (p.token >= 0) {
      CZ_TRY(cz__pieces_add(&w->next_pieces, p));
    } else {
      CZ_TRY(cut(b, w, &w->flat, &w->flat, p.begin, p.end));
    }
  }
  CZ_TRY(cz__work_room(w, w->next_flat.len));
  if (!in_place) cz__aligned_swap(&w->flat, &w->next_flat);
  cz__work_swap_pieces(w);
  return CZ_OK;
}

/** The decoder: a token of these characters is its bytes, another is itself; together they are
 * one text, in which what is not UTF-8 becomes U+FFFD. */
cz_status cz__byte_level_decode(const void *data, cz__work *w) {
  cz_buf bytes = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < w->words.len && st == CZ_OK; i++) {
    size_t begin = i ? w->words.ends[i - 1] : 0, n = w->words.ends[i] - begin;
    const char *s = w->words.bytes.data + begin;
    bool whole;
    st = cz__byte_level_unmap(&bytes, &whole, s, n);
    if (st == CZ_OK && !whole) st = cz_buf_add(&bytes, s, n);
  }
  cz__words_clear(&w->next_words);
  if (st == CZ_OK) st = cz_utf8_replace(&w->next_words.bytes, bytes.data, bytes.len);
  if (st == CZ_OK) st = cz__words_end(&w->next_words);
  cz_buf_free(&bytes);
  if (st == CZ_OK) cz__work_swap_words(w);
  return st;
}

/** Where the last pre-tokenizer is a ByteLevel and the model is a BPE that can read bytes, the one
 * stops writing characters that the other would only have to read. */
cz_status cz__byte_level_join(cz__parts *pre_tokenizers, cz__model *model) {
  if (pre_tokenizers->len == 0 || model->row != &cz__bpe_model) return CZ_OK;
  cz__part *last = &pre_tokenizers->data[pre_tokenizers->len - 1];
  if (last->row->run != cz__byte_level_split) return CZ_OK;
  return cz__bpe_read_bytes(model->data, &((byte_level *)last->data)->raw);
}
