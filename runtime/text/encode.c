/* From text to ids: segments, pieces, tokens. A cache per thread remembers what short
 * pieces became, since a few thousand words are most of a text. */
#include "base/utf8.h"
#include "text/internal.h"

#include <stdlib.h>
#include <string.h>

enum {
  KEY_WORDS = 3,
  KEY_BYTES = 8 * KEY_WORDS,
  CACHED_TOKENS = 6,
  CACHE_SLOTS = 1 << 15,
  CACHE_LINE = 64
};

/* One slot of the cache, a line of the processor's own: a piece and its tokens. `n` 0:
 * empty. */
typedef struct slot {
  uint64_t key[KEY_WORDS]; /* the piece's bytes, zero-padded */
  uint8_t length, n;
  uint8_t begins[CACHED_TOKENS], ends[CACHED_TOKENS];
  int32_t ids[CACHED_TOKENS];
} slot;

_Static_assert(sizeof(slot) == CACHE_LINE, "a slot is read with one miss at most");

struct cz_tokenizer_scratch {
  const cz_tokenizer *owner;
  cz__work work;
  void *cache_memory;
  slot *cache; /* in it, aligned */
};

/** Creates the work space that one thread needs to encode with T, which must outlive
 * it. */
cz_status cz_tokenizer_scratch_create(cz_tokenizer_scratch **scratch, const cz_tokenizer *t) {
  cz_tokenizer_scratch *s;
  *scratch = NULL;
  CZ_TRY(cz_alloc(&s, 1, sizeof *s));
  s->owner = t;
  cz_status st = cz_alloc(&s->cache_memory, CACHE_SLOTS + 1, sizeof *s->cache);
  if (st == CZ_OK)
    s->cache = (slot *)((char *)s->cache_memory +
                        (CACHE_LINE - (uintptr_t)s->cache_memory % CACHE_LINE) % CACHE_LINE);
  *scratch = s;
  if (st != CZ_OK) cz_tokenizer_scratch_destroy(scratch);
  return st;
}

/** Frees the work space, clears the pointer, accepts null. */
void cz_tokenizer_scratch_destroy(cz_tokenizer_scratch **scratch) {
  if (!*scratch) return;
  cz__work_free(&(*scratch)->work);
  free((*scratch)->cache_memory);
  free(*scratch);
  *scratch = NULL;
}

/** Frees what an encoding holds and empties it. */
void cz_encoding_free(cz_encoding *e) {
  free(e->ids);
  free(e->offsets);
  *e = (cz_encoding){0};
}

static cz_status reserve(cz_encoding *e, size_t n) {
  if (n <= e->ids_cap && n <= e->offsets_cap) return CZ_OK;
  CZ_TRY(cz_grow(&e->ids, &e->ids_cap, n, sizeof *e->ids));
  return cz_grow(&e->offsets, &e->offsets_cap, n, sizeof *e->offsets);
}

static void add(cz_encoding *e, int32_t id, cz_text_span span) {
  e->ids[e->n] = id;
  e->offsets[e->n++] = span;
}

/* Appends W's current text, cut at the tokens that are looked for after normalisation. */
static cz_status add_normalised(const cz_tokenizer *t, cz__work *w) {
  cz__added_scan scan = {
      .added = &t->added, .set = &t->added.normal, .text = w->text.bytes, .n = w->text.len};
  cz__stretch x;
  bool more;
  for (;;) {
    CZ_TRY(cz__added_next(&scan, &x, &more));
    if (!more) break;
    size_t begin = w->flat.len;
    CZ_TRY(cz__aligned_copy(&w->flat, &w->text, x.begin, x.end));
    CZ_TRY(cz__pieces_add(&w->pieces, (cz__piece){begin, w->flat.len, w->text.spans[x.begin].begin,
                                                  x.token < 0 ? -1 : t->added.tokens[x.token].id}));
  }
  return CZ_OK;
}

/* Cuts TEXT at added tokens and normalises what lies between them. */
static cz_status cut_segments(const cz_tokenizer *t, cz__work *w, const char *text, size_t n) {
  w->pieces.len = w->flat.len = 0;
  w->input_bytes = n;
  cz__added_scan scan = {.added = &t->added, .set = &t->added.raw, .text = text, .n = n};
  cz__stretch x;
  bool more;
  for (;;) {
    CZ_TRY(cz__added_next(&scan, &x, &more));
    if (!more) break;
    w->origin = (uint32_t)x.begin;
    CZ_TRY(cz__aligned_set(&w->text, text + x.begin, x.end - x.begin, w->origin));
    if (x.token < 0) {
      CZ_TRY(cz__parts_run(&t->normalizers, w));
      CZ_TRY(add_normalised(t, w));
    } else {
      size_t begin = w->flat.len;
      CZ_TRY(cz__aligned_copy(&w->flat, &w->text, 0, w->text.len));
      CZ_TRY(cz__pieces_add(
          &w->pieces, (cz__piece){begin, w->flat.len, w->origin, t->added.tokens[x.token].id}));
    }
  }
  return CZ_OK;
}

static slot *find_slot(slot *cache, uint64_t key[KEY_WORDS], const char *s, size_t n) {
  memset(key, 0, KEY_BYTES);
  memcpy(key, s, n);
  uint64_t h = (uint64_t)n;
  for (int i = 0; i < KEY_WORDS; i++) h = (h ^ key[i]) * 0x9e3779b97f4a7c15ULL, h ^= h >> 29;
  return &cache[h % CACHE_SLOTS];
}

static void remember(slot *c, const uint64_t key[KEY_WORDS], size_t n, const cz__tokens *tokens) {
  if (tokens->len == 0 || tokens->len > CACHED_TOKENS) return;
  memcpy(c->key, key, KEY_BYTES);
  c->length = (uint8_t)n;
  c->n = (uint8_t)tokens->len;
  for (size_t i = 0; i < tokens->len; i++) {
    c->ids[i] = tokens->data[i].id;
    c->begins[i] = (uint8_t)tokens->data[i].begin;
    c->ends[i] = (uint8_t)tokens->data[i].end;
  }
}

static cz_text_span join(const cz_text_span *spans, size_t begin, size_t end) {
  return (cz_text_span){spans[begin].begin, spans[end - 1].end};
}

static cz_status add_piece(const cz_tokenizer *t, cz_encoding *out, cz_tokenizer_scratch *scratch,
                           const cz__piece *p) {
  cz__work *w = &scratch->work;
  const char *s = w->flat.bytes + p->begin;
  const cz_text_span *spans = w->flat.spans + p->begin;
  size_t n = p->end - p->begin;
  uint64_t key[KEY_WORDS];
  slot *c = n <= KEY_BYTES ? find_slot(scratch->cache, key, s, n) : NULL;
  if (c && c->n > 0 && c->length == n && memcmp(c->key, key, KEY_BYTES) == 0) {
    CZ_TRY(reserve(out, out->n + c->n));
    for (size_t i = 0; i < c->n; i++) add(out, c->ids[i], join(spans, c->begins[i], c->ends[i]));
    return CZ_OK;
  }
  w->tokens.len = 0;
  CZ_TRY(t->model.row->encode(t->model.data, w, s, n));
  if (c) remember(c, key, n, &w->tokens);
  CZ_TRY(reserve(out, out->n + w->tokens.len));
  for (size_t i = 0; i < w->tokens.len; i++)
    add(out, w->tokens.data[i].id, join(spans, w->tokens.data[i].begin, w->tokens.data[i].end));
  return CZ_OK;
}

static cz_status add_pieces(const cz_tokenizer *t, cz_encoding *out,
                            cz_tokenizer_scratch *scratch) {
  const cz__work *w = &scratch->work;
  for (size_t i = 0; i < w->pieces.len; i++) {
    cz__piece p = w->pieces.data[i];
    if (p.token < 0) {
      CZ_TRY(add_piece(t, out, scratch, &p));
      continue;
    }
    CZ_TRY(reserve(out, out->n + 1));
    add(out, p.token,
        p.begin < p.end ? join(w->flat.spans, p.begin, p.end) : (cz_text_span){p.origin, p.origin});
  }
  return CZ_OK;
}

/** Replaces OUT by the tokens of TEXT, N bytes of UTF-8 in which NUL is a character like
 * any other. ADD_SPECIAL: with what the post-processor puts around a single text (T5:
 * </s> at the end). Offsets are bytes of TEXT. Truncation and padding of the file are
 * not applied. CZ_EINVAL with the byte's place when TEXT is not UTF-8, or when a
 * character is no piece and the model has no unknown token. SCRATCH belongs to T and to
 * one thread. */
cz_status cz_tokenizer_encode(const cz_tokenizer *t, cz_encoding *out, const char *text, size_t n,
                              bool add_special, cz_tokenizer_scratch *scratch) {
  CZ_CHECK(scratch->owner == t);
  out->n = 0;
  if (n > UINT32_MAX / 8)
    return CZ_FAIL(CZ_EINVAL, "a text of %zu bytes is too long to encode at once", n);
  size_t good = cz_utf8_check(text, n);
  if (good < n)
    return CZ_FAIL(CZ_EINVAL, "the text is not UTF-8: byte 0x%02x at offset %zu",
                   (unsigned char)text[good], good);
  CZ_TRY(cut_segments(t, &scratch->work, text, n));
  CZ_TRY(cz__parts_run(&t->pre_tokenizers, &scratch->work));
  for (size_t i = 0; i < t->template.n; i++) {
    const cz__template_item *item = &t->template.items[i];
    if (!item->ids) {
      CZ_TRY(add_pieces(t, out, scratch));
      continue;
    }
    if (!add_special) continue;
    CZ_TRY(reserve(out, out->n + item->n));
    for (size_t j = 0; j < item->n; j++) add(out, item->ids[j], (cz_text_span){0, 0});
  }
  return CZ_OK;
}

/* Characters before byte AT; *AT_BYTE and *AT_CHARACTER are a place passed earlier.
 * Offsets mostly grow, so this is linear in all. */
static uint32_t characters_before(const char *text, size_t n, size_t at, size_t *byte,
                                  uint32_t *character) {
  if (at < *byte) *byte = *character = 0;
  for (; *byte < at && *byte < n; ++*byte)
    *character += ((unsigned char)text[*byte] & 0xc0) != 0x80;
  return *character;
}

/** Turns the offsets of E, an encoding of TEXT, from bytes to characters (code points),
 * as the Python library counts. */
void cz_encoding_to_characters(cz_encoding *e, const char *text, size_t n) {
  size_t byte = 0;
  uint32_t character = 0;
  for (size_t i = 0; i < e->n; i++) {
    cz_text_span *o = &e->offsets[i];
    if (o->end == 0) continue; /* nothing, or a token that was added */
    o->begin = characters_before(text, n, o->begin, &byte, &character);
    o->end = characters_before(text, n, o->end, &byte, &character);
  }
}
