/* Byte pair encoding (Sennrich et al. 2016, arXiv:1508.07909) as the Hugging Face library runs it:
 * a word's characters are its first parts, bpe_merge.c merges them.
 *
 * Behind the pre-tokenizer ByteLevel every byte of a text is a character of its own
 * (byte_level.c). Writing these characters down only to read them again would cost most of the
 * time, so a model of such a vocabulary can be told to read the bytes themselves
 * (cz__bpe_read_bytes): the parts, their merges and their lengths stay the same, counted
 * in bytes of the text. */
#include "text/bpe.h"

#include "base/utf8.h"
#include "text/byte_level.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A text that may be missing or null. */
typedef struct text {
  const char *bytes;
  size_t n;
} text;

typedef struct bpe {
  cz__vocab vocab;
  cz__bpe_merges merges;
  text unk, prefix, suffix; /* copies in the arena */
  int32_t unk_id;           /* -1: no unknown token, or it is not in the vocabulary */
  bool fuse_unk, byte_fallback, ignore_merges;
  int32_t fallback[256]; /* ids of <0x00> .. <0xFF>, or -1 */
  bool reads_bytes;
  int32_t bytes[256]; /* with reads_bytes: the id of a byte's character, or -1 */
  cz__trie raw;       /* with reads_bytes and ignore_merges: the tokens as bytes of texts */
} bpe;

static cz_status optional_bool(bool *out, const json_t *o, const cz_json_place *at,
                               const char *key) {
  return json_object_get(o, key) ? cz_json_get_bool(out, o, at, key) : CZ_OK;
}

static cz_status optional_text(text *out, cz_arena *arena, const json_t *o, const cz_json_place *at,
                               const char *key) {
  const json_t *v = json_object_get(o, key);
  const char *s;
  char *copy;
  if (!v || json_is_null(v)) return CZ_OK;
  CZ_TRY(cz_json_get_bytes(&s, &out->n, o, at, key));
  CZ_TRY(cz__copy_bytes(&copy, arena, s, out->n));
  out->bytes = copy;
  return CZ_OK;
}

/* The two pieces of one merge, "a b" or ["a", "b"]. */
static bool pieces_of(const json_t *item, text *left, text *right) {
  if (json_is_array(item)) {
    const json_t *a = json_array_get(item, 0), *b = json_array_get(item, 1);
    if (json_array_size(item) != 2 || !json_is_string(a) || !json_is_string(b)) return false;
    *left = (text){json_string_value(a), json_string_length(a)};
    *right = (text){json_string_value(b), json_string_length(b)};
    return true;
  }
  if (!json_is_string(item)) return false;
  const char *s = json_string_value(item), *end = s + json_string_length(item);
  const char *space = memchr(s, ' ', (size_t)(end - s));
  if (!space || memchr(space + 1, ' ', (size_t)(end - space - 1))) return false;
  *left = (text){s, (size_t)(space - s)};
  *right = (text){space + 1, (size_t)(end - space - 1)};
  return true;
}

static cz_status known(int32_t *id, const bpe *b, const char *s, size_t n,
                       const cz_json_place *at) {
  *id = cz__trie_find(&b->vocab.trie, s, n);
  return *id >= 0 ? CZ_OK
                  : cz_json_fail(at, NULL, "the piece '%.*s' is not in the vocabulary",
                                 (int)(n < 200 ? n : 200), s);
}

/* A part that follows another has the prefix; what the two become has not its second one. */
static cz_status add_merge(bpe *b, cz_buf *whole, const json_t *item, uint32_t rank,
                           const cz_json_place *at) {
  text left, right;
  int32_t left_id, right_id, id;
  if (!pieces_of(item, &left, &right))
    return cz_json_expected(at, NULL, item, "two pieces: \"a b\" or [\"a\", \"b\"]");
  CZ_TRY(known(&left_id, b, left.bytes, left.n, at));
  CZ_TRY(known(&right_id, b, right.bytes, right.n, at));
  if (right.n < b->prefix.n)
    return cz_json_fail(at, NULL, "'%s' is shorter than the continuing_subword_prefix '%s'",
                        right.bytes, b->prefix.bytes);
  whole->len = 0;
  CZ_TRY(cz_buf_add(whole, left.bytes, left.n));
  CZ_TRY(cz_buf_add(whole, right.bytes + b->prefix.n, right.n - b->prefix.n));
  CZ_TRY(known(&id, b, whole->data, whole->len, at));
  (void)cz__bpe_merges_set(&b->merges, left_id, right_id, rank, id);
  return CZ_OK;
}

/* In a list of "a b" a line that begins like the first of merges.txt has no rank. */
static cz_status parse_merges(bpe *b, cz_arena *arena, const json_t *o, const cz_json_place *at) {
  const json_t *list;
  CZ_TRY(cz_json_get_array(&list, o, at, "merges"));
  size_t n = json_array_size(list);
  if (n > INT32_MAX / 2) return cz_json_fail(at, "merges", "%zu merges are too many", n);
  CZ_TRY(cz__bpe_merges_create(&b->merges, arena, n));
  cz_json_place here = cz_json_place_key(at, "merges");
  cz_buf whole = {0};
  cz_status st = CZ_OK;
  uint32_t rank = 0;
  for (size_t i = 0; i < n && st == CZ_OK; i++) {
    const json_t *item = json_array_get(list, i);
    if (json_is_string(item) && strncmp(json_string_value(item), "#version", 8) == 0) continue;
    cz_json_place place = cz_json_place_item(&here, i);
    st = add_merge(b, &whole, item, rank++, &place);
  }
  cz_buf_free(&whole);
  return st;
}

/* Dropout leaves merges out by chance: an encoding that differs from call to call. */
static cz_status refuse_dropout(const json_t *o, const cz_json_place *at) {
  const json_t *v = json_object_get(o, "dropout");
  if (!v || json_is_null(v) || (json_is_number(v) && json_number_value(v) == 0)) return CZ_OK;
  return cz_json_expected(at, "dropout", v,
                          "null: with dropout the same text is encoded by chance");
}

static cz_status parse_options(bpe *b, cz_arena *arena, const json_t *o, const cz_json_place *at) {
  CZ_TRY(refuse_dropout(o, at));
  CZ_TRY(optional_text(&b->unk, arena, o, at, "unk_token"));
  CZ_TRY(optional_text(&b->prefix, arena, o, at, "continuing_subword_prefix"));
  CZ_TRY(optional_text(&b->suffix, arena, o, at, "end_of_word_suffix"));
  CZ_TRY(optional_bool(&b->fuse_unk, o, at, "fuse_unk"));
  CZ_TRY(optional_bool(&b->byte_fallback, o, at, "byte_fallback"));
  CZ_TRY(optional_bool(&b->ignore_merges, o, at, "ignore_merges"));
  if (b->byte_fallback && (b->prefix.n > 0 || b->suffix.n > 0))
    return cz_json_fail(at, "byte_fallback",
                        "together with a continuing_subword_prefix or an end_of_word_suffix it is "
                        "not supported: the bytes of these would stand for no text");
  return CZ_OK;
}

static cz_status parse(cz__model *m, cz_arena *arena, const json_t *o, const cz_json_place *at) {
  bpe *b;
  CZ_TRY(cz_json_only(o, at,
                      CZ__KEYS("dropout", "unk_token", "continuing_subword_prefix",
                               "end_of_word_suffix", "fuse_unk", "byte_fallback", "ignore_merges",
                               "vocab", "merges")));
  CZ_TRY(cz_arena_alloc(arena, &b, 1, sizeof *b));
  m->data = b;
  CZ_TRY(parse_options(b, arena, o, at));
  CZ_TRY(cz__vocab_parse(&b->vocab, arena, o, at));
  CZ_TRY(parse_merges(b, arena, o, at));
  b->unk_id = b->unk.bytes ? cz__trie_find(&b->vocab.trie, b->unk.bytes, b->unk.n) : -1;
  for (int i = 0; i < 256; i++) {
    char name[8];
    b->fallback[i] =
        cz__trie_find(&b->vocab.trie, name, (size_t)snprintf(name, sizeof name, "<0x%02X>", i));
  }
  m->size = b->vocab.size;
  m->unk = b->unk_id;
  return CZ_OK;
}

/* The parts of a word while they are found. */
typedef struct split {
  const bpe *b;
  cz__bpe_symbol *symbols;
  size_t n;
  uint32_t unknown; /* bytes of an unknown part that is still open; 0: none */
} split;

static void add_symbol(split *p, int32_t id, uint32_t length) {
  p->symbols[p->n++] = (cz__bpe_symbol){.id = id, .length = length};
}

static void end_unknown(split *p) {
  if (p->unknown > 0) add_symbol(p, p->b->unk_id, p->unknown);
  p->unknown = 0;
}

/* Whether the character could be written in bytes. An unknown part before it stays open, as in
 * the Hugging Face library, and comes behind. */
static bool add_fallback(split *p, const char *s, size_t n) {
  if (!p->b->byte_fallback) return false;
  for (size_t i = 0; i < n; i++)
    if (p->b->fallback[(unsigned char)s[i]] < 0) return false;
  for (size_t i = 0; i < n; i++) add_symbol(p, p->b->fallback[(unsigned char)s[i]], 1);
  return true;
}

/* A character without a token: unknown, or, where there is no unknown token, nothing, and the
 * parts behind it move up. */
static cz_status add_unknown(split *p, const char *s, size_t n) {
  const bpe *b = p->b;
  if (!b->unk.bytes) return CZ_OK;
  if (b->unk_id < 0)
    return CZ_FAIL(CZ_EINVAL,
                   "the tokenizer's unk_token '%s' is not in its vocabulary, nor is '%.*s'",
                   b->unk.bytes, (int)n, s);
  if (!b->fuse_unk) end_unknown(p);
  p->unknown += (uint32_t)n;
  return CZ_OK;
}

/* The token of the character at S: with the prefix unless it is the FIRST, with the suffix if it
 * is the LAST. */
static int32_t character_id(const bpe *b, const char *s, size_t n, bool first, bool last) {
  const cz__trie *trie = &b->vocab.trie;
  const text parts[3] = {{b->prefix.bytes, first ? 0 : b->prefix.n},
                         {s, n},
                         {b->suffix.bytes, last ? b->suffix.n : 0}};
  uint32_t node = 0;
  for (int k = 0; k < 3; k++)
    for (size_t i = 0; i < parts[k].n; i++)
      if (!(node = cz__trie_step(trie, node, (unsigned char)parts[k].bytes[i]))) return -1;
  return trie->cells[node].value;
}

static cz_status split_characters(split *p, const char *s, size_t n) {
  for (size_t at = 0, k; at < n; at += k) {
    k = cz_utf8_length((unsigned char)s[at]);
    int32_t id = character_id(p->b, s + at, k, at == 0, at + k == n);
    if (id >= 0) {
      end_unknown(p);
      add_symbol(p, id, (uint32_t)k);
    } else if (!add_fallback(p, s + at, k)) {
      CZ_TRY(add_unknown(p, s + at, k));
    }
  }
  end_unknown(p);
  return CZ_OK;
}

static cz_status split_bytes(split *p, const char *s, size_t n) {
  for (size_t i = 0; i < n; i++) {
    int32_t id = p->b->bytes[(unsigned char)s[i]];
    if (id >= 0) {
      end_unknown(p);
      add_symbol(p, id, 1);
    } else {
      CZ_TRY(add_unknown(p, s + i, 1));
    }
  }
  end_unknown(p);
  return CZ_OK;
}

static cz_status encode(const void *data, cz__work *w, const char *s, size_t n) {
  const bpe *b = data;
  if (b->ignore_merges) {
    int32_t id = cz__trie_find(b->reads_bytes ? &b->raw : &b->vocab.trie, s, n);
    if (id >= 0 && !(w->banned && w->banned[id]))
      return cz__tokens_add(&w->tokens, id, 0, (uint32_t)n);
  }
  CZ_TRY(cz_grow(&w->model_space, &w->model_space_cap, cz__bpe_space(n), 1));
  split p = {.b = b, .symbols = w->model_space};
  CZ_TRY(b->reads_bytes ? split_bytes(&p, s, n) : split_characters(&p, s, n));
  size_t parts = cz__bpe_merge_word(&b->merges, p.symbols, p.n);
  uint32_t at = 0;
  for (size_t i = 0; i < parts; i++) {
    CZ_TRY(cz__tokens_add(&w->tokens, p.symbols[i].id, at, at + p.symbols[i].length));
    at += p.symbols[i].length;
  }
  return CZ_OK;
}

/* The tokens as the bytes that they stand for; one with another character in it stands for no
 * text. */
static cz_status build_raw(bpe *b) {
  cz__trie_key *keys;
  cz_buf bytes = {0};
  size_t n = 0, total = 0;
  for (int32_t i = 0; i < b->vocab.size; i++) total += b->vocab.lengths[i];
  CZ_TRY(cz_alloc(&keys, (size_t)b->vocab.size, sizeof *keys));
  cz_status st = cz_alloc(&bytes.data, total + 1, 1); /* it never grows: the keys point into it */
  bytes.cap = total + 1;
  for (int32_t i = 0; i < b->vocab.size && st == CZ_OK; i++) {
    size_t begin = bytes.len;
    bool whole;
    st = cz__byte_level_unmap(&bytes, &whole, b->vocab.pieces[i], b->vocab.lengths[i]);
    if (whole) keys[n++] = (cz__trie_key){bytes.data + begin, bytes.len - begin, i};
  }
  if (st == CZ_OK) st = cz__trie_build(&b->raw, keys, n);
  cz_buf_free(&bytes);
  free(keys);
  return st;
}

/** Makes MODEL, a BPE, take bytes of texts for their characters of ByteLevel; *DONE says whether
 * it does. It does not where that could yield other tokens or other lengths: with a prefix, a
 * suffix or byte fallback, or where a byte's character would be left out. */
cz_status cz__bpe_read_bytes(void *model, bool *done) {
  bpe *b = model;
  *done = b->prefix.n == 0 && b->suffix.n == 0 && !b->byte_fallback;
  for (int i = 0; i < 256; i++) {
    char c[2];
    size_t n = cz__byte_level_put(c, (unsigned char)i);
    b->bytes[i] = cz__trie_find(&b->vocab.trie, c, n);
    *done &= b->bytes[i] >= 0 || b->unk_id >= 0;
  }
  b->reads_bytes = *done;
  return *done && b->ignore_merges ? build_raw(b) : CZ_OK;
}

static int32_t id_of(const void *data, const char *s, size_t n) {
  return cz__trie_find(&((const bpe *)data)->vocab.trie, s, n);
}

static const char *piece_of(const void *data, int32_t id, size_t *n) {
  const bpe *b = data;
  *n = b->vocab.lengths[id];
  return b->vocab.pieces[id];
}

static void release(void *data) {
  bpe *b = data;
  if (!b) return;
  cz__vocab_release(&b->vocab);
  cz__trie_free(&b->raw);
}

const cz__model_row cz__bpe_model = {"BPE", parse, encode, id_of, piece_of, release};
