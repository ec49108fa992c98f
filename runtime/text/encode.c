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
  uint8_t length, n;       /* of the piece, with the bit BANNED where tokens were banned; tokens */
  uint8_t begins[CACHED_TOKENS], ends[CACHED_TOKENS];
  int32_t ids[CACHED_TOKENS];
} slot;

_Static_assert(sizeof(slot) == CACHE_LINE, "a slot is read with one miss at most");

struct cz_tokenizer_scratch {
  const cz_tokenizer *owner;
  cz__work work;
  cz__segment texts[2];
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
  for (int k = 0; k < 2; k++) cz__segment_free(&(*scratch)->texts[k]);
  free((*scratch)->cache_memory);
  free(*scratch);
  *scratch = NULL;
}

/* What one text becomes, and for which tokenizer. */
typedef struct target {
  const cz_tokenizer *t;
  cz_tokenizer_scratch *scratch;
  cz__segment *out;
  bool text_only;
} target;

static cz_status reserve(const target *g, size_t n) {
  return cz__segment_reserve(g->out, g->out->n + n, g->t->post.n_trims > 0);
}

/* WORD: what the token looks like, N bytes. */
static void add(const target *g, int32_t id, cz_text_span span, const char *word, size_t n) {
  cz__segment *s = g->out;
  if (g->t->post.n_trims > 0) s->blanks[s->n] = cz__blanks_of(word, n);
  s->ids[s->n] = id;
  s->offsets[s->n++] = span;
}

static void add_model_token(const target *g, int32_t id, cz_text_span span) {
  size_t n = 0;
  const char *word =
      g->t->post.n_trims > 0 ? g->t->model.row->piece(g->t->model.data, id, &n) : NULL;
  add(g, id, span, word, n);
}

/* Appends W's current text, cut at the tokens that are looked for after normalisation. */
static cz_status add_normalised(const target *g, cz__work *w) {
  const cz_tokenizer *t = g->t;
  cz__added_scan scan = {.added = &t->added,
                         .set = &t->added.normal,
                         .text = w->text.bytes,
                         .n = w->text.len,
                         .text_only = g->text_only};
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
static cz_status cut_segments(const target *g, cz__work *w, const char *text, size_t n) {
  const cz_tokenizer *t = g->t;
  w->pieces.len = w->flat.len = 0;
  w->input_bytes = n;
  cz__added_scan scan = {
      .added = &t->added, .set = &t->added.raw, .text = text, .n = n, .text_only = g->text_only};
  cz__stretch x;
  bool more;
  for (;;) {
    CZ_TRY(cz__added_next(&scan, &x, &more));
    if (!more) break;
    w->origin = (uint32_t)x.begin;
    CZ_TRY(cz__aligned_set(&w->text, text + x.begin, x.end - x.begin, w->origin));
    if (x.token < 0) {
      CZ_TRY(cz__parts_run(&t->normalizers, w));
      CZ_TRY(add_normalised(g, w));
    } else {
      size_t begin = w->flat.len;
      CZ_TRY(cz__aligned_copy(&w->flat, &w->text, 0, w->text.len));
      CZ_TRY(cz__pieces_add(
          &w->pieces, (cz__piece){begin, w->flat.len, w->origin, t->added.tokens[x.token].id}));
    }
  }
  return CZ_OK;
}

enum { BANNED = 0x80 };

static uint8_t length_of(const cz__work *w, size_t n) {
  return (uint8_t)(w->banned ? n | BANNED : n);
}

static slot *find_slot(slot *cache, uint64_t key[KEY_WORDS], const char *s, size_t n) {
  memset(key, 0, KEY_BYTES);
  memcpy(key, s, n);
  uint64_t h = (uint64_t)n;
  for (int i = 0; i < KEY_WORDS; i++) h = (h ^ key[i]) * 0x9e3779b97f4a7c15ULL, h ^= h >> 29;
  return &cache[h % CACHE_SLOTS];
}

static void remember(slot *c, const uint64_t key[KEY_WORDS], uint8_t length,
                     const cz__tokens *tokens) {
  if (tokens->len == 0 || tokens->len > CACHED_TOKENS) return;
  memcpy(c->key, key, KEY_BYTES);
  c->length = length;
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

static cz_status add_piece(const target *g, const cz__piece *p) {
  const cz__model *m = &g->t->model;
  cz__work *w = &g->scratch->work;
  const char *s = w->flat.bytes + p->begin;
  const cz_text_span *spans = w->flat.spans + p->begin;
  size_t n = p->end - p->begin;
  uint64_t key[KEY_WORDS];
  slot *c = n <= KEY_BYTES ? find_slot(g->scratch->cache, key, s, n) : NULL;
  if (c && c->n > 0 && c->length == length_of(w, n) && memcmp(c->key, key, KEY_BYTES) == 0) {
    CZ_TRY(reserve(g, c->n));
    for (size_t i = 0; i < c->n; i++)
      add_model_token(g, c->ids[i], join(spans, c->begins[i], c->ends[i]));
    return CZ_OK;
  }
  w->tokens.len = 0;
  CZ_TRY(m->row->encode(m->data, w, s, n));
  if (c) remember(c, key, length_of(w, n), &w->tokens);
  CZ_TRY(reserve(g, w->tokens.len));
  for (size_t i = 0; i < w->tokens.len; i++)
    add_model_token(g, w->tokens.data[i].id,
                    join(spans, w->tokens.data[i].begin, w->tokens.data[i].end));
  return CZ_OK;
}

static cz_status add_pieces(const target *g) {
  const cz__work *w = &g->scratch->work;
  for (size_t i = 0; i < w->pieces.len; i++) {
    cz__piece p = w->pieces.data[i];
    if (p.token < 0) {
      CZ_TRY(add_piece(g, &p));
      continue;
    }
    CZ_TRY(reserve(g, 1));
    add(g, p.token,
        p.begin < p.end ? join(w->flat.spans, p.begin, p.end) : (cz_text_span){p.origin, p.origin},
        w->flat.bytes + p.begin, p.end - p.begin);
  }
  return CZ_OK;
}

/* The tokens of one text of N bytes; NAME says in messages which one it is. */
static cz_status encode_text(const target *g, const char *text, size_t n, const char *name) {
  g->out->n = 0;
  if (n > UINT32_MAX / 8)
    return CZ_FAIL(CZ_EINVAL, "%s of %zu bytes is too long to encode at once", name, n);
  size_t good = cz_utf8_check(text, n);
  if (good < n)
    return CZ_FAIL(CZ_EINVAL, "%s is not UTF-8: byte 0x%02x at offset %zu", name,
                   (unsigned char)text[good], good);
  CZ_TRY(cut_segments(g, &g->scratch->work, text, n));
  CZ_TRY(cz__parts_run(&g->t->pre_tokenizers, &g->scratch->work));
  return add_pieces(g);
}

static cz_status encode(const cz_tokenizer *t, cz_encoding *out, const char *const *texts,
                        const size_t *sizes, bool pair, cz_encode_options o,
                        cz_tokenizer_scratch *scratch) {
  static const char *const names[] = {"the text", "the first text", "the second text"};
  CZ_CHECK(scratch->owner == t);
  out->n = 0;
  for (int k = 0; k < 1 + (int)pair; k++) {
    target g = {t, scratch, &scratch->texts[k], o.text_only};
    scratch->work.banned = o.no_special ? t->added.special : NULL;
    CZ_TRY(encode_text(&g, texts[k], sizes[k], names[(int)pair + k]));
  }
  if (o.truncate)
    CZ_TRY(cz__truncation_apply(&t->truncation, scratch->texts, pair,
                                o.add_special ? cz__post_added(&t->post, pair) : 0));
  for (int k = 0; k < 1 + (int)pair; k++) {
    cz__post_trim(&t->post, &scratch->texts[k], k, texts[k], sizes[k], o.add_special);
    if (o.characters) cz__segment_characters(&scratch->texts[k], texts[k], sizes[k]);
  }
  return cz__post_put(&t->post, out, scratch->texts, pair, o.add_special);
}

/** Replaces OUT by the tokens of TEXT, N bytes of UTF-8 in which NUL is a character like
 * any other. Offsets are of TEXT. Padding of the file is not applied, its truncation where
 * OPTIONS say so. CZ_EINVAL with the byte's place when TEXT is not UTF-8, or when a
 * character is no piece and the model has no unknown token. SCRATCH belongs to T and to
 * one thread. */
cz_status cz_tokenizer_encode(const cz_tokenizer *t, cz_encoding *out, const char *text, size_t n,
                              cz_encode_options options, cz_tokenizer_scratch *scratch) {
  return encode(t, out, &text, &n, false, options, scratch);
}

/** The same for two texts, as the post-processor lays out a pair: of BERT `[CLS] A [SEP] B [SEP]`,
 * B and what follows it with type 1. Offsets are those of a token's own text. */
cz_status cz_tokenizer_encode_pair(const cz_tokenizer *t, cz_encoding *out, const char *a,
                                   size_t n_a, const char *b, size_t n_b, cz_encode_options options,
                                   cz_tokenizer_scratch *scratch) {
  return encode(t, out, (const char *const[]){a, b}, (const size_t[]){n_a, n_b}, true, options,
                scratch);
}

/** Replaces OUT by what the post-processor makes of N_A ids, with PAIR and of N_B further ones:
 * special tokens around them, and types. Offsets are 0, 0; out->begin says where each lies. */
cz_status cz_tokenizer_assemble(const cz_tokenizer *t, cz_encoding *out, const int32_t *a,
                                size_t n_a, const int32_t *b, size_t n_b, bool pair) {
  const cz__segment texts[] = {{.ids = (int32_t *)a, .n = n_a}, {.ids = (int32_t *)b, .n = n_b}};
  return cz__post_put(&t->post, out, texts, pair, true);
}

/** How many special tokens the post-processor puts around one text, or with PAIR around two. */
size_t cz_tokenizer_added(const cz_tokenizer *t, bool pair) {
  return cz__post_added(&t->post, pair);
}
