/* The WordPiece model (Wu et al. 2016, arXiv:1609.08144) as BERT applies it: the longest piece
 * that a word begins with, then of the rest the longest that continues a word, written with a
 * prefix; a word that can't be cut so is unknown as a whole. And WordLevel, whose words are
 * pieces or unknown. */
#include "base/utf8.h"
#include "text/vocab.h"

#include <string.h>

typedef struct wordpiece {
  cz__vocab vocab;
  char *unk_token;
  int32_t unk;        /* its id; -1: it is no piece */
  uint32_t inside;    /* node of the trie behind the prefix; 0 with `never`: nothing is there */
  bool never;         /* no piece begins with the prefix */
  int64_t max_length; /* of a word, in characters */
} wordpiece;

static cz_status parse_unk(wordpiece *p, cz_arena *arena, const json_t *o,
                           const cz_json_place *at) {
  const char *unk;
  size_t n;
  CZ_TRY(cz_json_get_bytes(&unk, &n, o, at, "unk_token"));
  p->unk = cz__trie_find(&p->vocab.trie, unk, n);
  return cz__copy_bytes(&p->unk_token, arena, unk, n);
}

static void find_inside(wordpiece *p, const char *prefix, size_t n) {
  p->inside = 0;
  for (size_t i = 0; i < n && !p->never; i++) {
    p->inside = cz__trie_step(&p->vocab.trie, p->inside, (unsigned char)prefix[i]);
    p->never = p->inside == 0;
  }
}

static cz_status begin(wordpiece **p, cz__model *m, cz_arena *arena, const json_t *o,
                       const cz_json_place *at) {
  CZ_TRY(cz_arena_alloc(arena, p, 1, sizeof **p));
  m->data = *p;
  CZ_TRY(cz__vocab_parse(&(*p)->vocab, arena, o, at));
  CZ_TRY(parse_unk(*p, arena, o, at));
  m->size = (*p)->vocab.size;
  m->unk = (*p)->unk;
  return CZ_OK;
}

static cz_status parse_wordpiece(cz__model *m, cz_arena *arena, const json_t *o,
                                 const cz_json_place *at) {
  wordpiece *p;
  const char *prefix;
  size_t n;
  CZ_TRY(cz_json_only(
      o, at,
      CZ__KEYS("unk_token", "continuing_subword_prefix", "max_input_chars_per_word", "vocab")));
  CZ_TRY(begin(&p, m, arena, o, at));
  CZ_TRY(cz_json_get_bytes(&prefix, &n, o, at, "continuing_subword_prefix"));
  find_inside(p, prefix, n);
  return cz__json_count(&p->max_length, o, at, "max_input_chars_per_word");
}

static cz_status parse_wordlevel(cz__model *m, cz_arena *arena, const json_t *o,
                                 const cz_json_place *at) {
  wordpiece *p;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("unk_token", "vocab")));
  return begin(&p, m, arena, o, at);
}

static cz_status add_unknown(const wordpiece *p, cz__work *w, const char *s, size_t n) {
  if (p->unk >= 0) return cz__tokens_add(&w->tokens, p->unk, 0, (uint32_t)n);
  return CZ_FAIL(
      CZ_EINVAL,
      "'%.*s' is unknown to the tokenizer, whose unk_token '%s' is not in its vocabulary",
      n > 100 ? 100 : (int)n, s, p->unk_token);
}

static bool too_long(const wordpiece *p, const char *s, size_t n) {
  if (n <= (size_t)p->max_length) return false;
  size_t characters = 0;
  for (size_t i = 0; i < n; i++) characters += ((unsigned char)s[i] & 0xc0) != 0x80;
  return characters > (size_t)p->max_length;
}

static cz_status encode_wordpiece(const void *data, cz__work *w, const char *s, size_t n) {
  const wordpiece *p = data;
  size_t first = w->tokens.len, length = 0;
  if (too_long(p, s, n)) return add_unknown(p, w, s, n);
  for (size_t at = 0; at < n; at += length) {
    int32_t id = at > 0 && p->never ? -1
                                    : cz__trie_longest(&p->vocab.trie, at > 0 ? p->inside : 0,
                                                       s + at, n - at, &length);
    if (id < 0 || (w->banned && w->banned[id])) {
      w->tokens.len = first;
      return add_unknown(p, w, s, n);
    }
    CZ_TRY(cz__tokens_add(&w->tokens, id, (uint32_t)at, (uint32_t)(at + length)));
  }
  return CZ_OK;
}

static cz_status encode_wordlevel(const void *data, cz__work *w, const char *s, size_t n) {
  const wordpiece *p = data;
  int32_t id = cz__trie_find(&p->vocab.trie, s, n);
  if (id >= 0 && w->banned && w->banned[id]) id = -1;
  return id < 0 ? add_unknown(p, w, s, n) : cz__tokens_add(&w->tokens, id, 0, (uint32_t)n);
}

static int32_t id_of(const void *data, const char *s, size_t n) {
  return cz__trie_find(&((const wordpiece *)data)->vocab.trie, s, n);
}

static const char *piece_of(const void *data, int32_t id, size_t *n) {
  const cz__vocab *v = &((const wordpiece *)data)->vocab;
  *n = v->lengths[id];
  return v->pieces[id];
}

static void release(void *data) {
  if (data) cz__vocab_release(&((wordpiece *)data)->vocab);
}

const cz__model_row cz__wordpiece_model = {"WordPiece", parse_wordpiece, encode_wordpiece,
                                           id_of,       piece_of,        release};
const cz__model_row cz__wordlevel_model = {"WordLevel", parse_wordlevel, encode_wordlevel,
                                           id_of,       piece_of,        release};
