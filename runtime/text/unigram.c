/* The Unigram model (Kudo 2018, arXiv:1804.10959): of all ways to cut a piece into known
 * ones, the one with the greatest sum of log probabilities.
 *
 * The search, its ties and its sums are those of the Hugging Face library: float64, left
 * to right, shorter candidates first, a later one wins only if strictly better; a
 * character that is no piece costs 10 less than the worst piece; neighbouring unknowns
 * become one token. */
#include "base/utf8.h"
#include "text/parts.h"
#include "text/trie.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct unigram {
  cz__trie trie;
  const char **pieces; /* by id */
  size_t *lengths;
  double *scores;
  int32_t size, unk;
  double unk_score;
  bool byte_fallback;
  int32_t bytes[256]; /* ids of <0x00> .. <0xFF>, or -1 */
} unigram;

/* The best way to write the text up to some byte. */
typedef struct node {
  double score;
  int32_t id;
  uint32_t from; /* where its last piece begins */
} node;

enum { UNREACHED = -1 };
static const double UNKNOWN_PENALTY = 10.0;

/* A decimal number as Rust's serde_json reads it: all digits as one integer, then one
 * multiplication or division by a power of ten. The result may differ from the nearest
 * double in the last bit, and scores must be equal to the library's for sums and ties to
 * be. */
static double serde_real(double nearest) {
  char text[40];
  for (int digits = 1; digits <= 17; digits++) {
    snprintf(text, sizeof text, "%.*e", digits - 1, nearest);
    if (strtod(text, NULL) == nearest) break;
  }
  char *e = strchr(text, 'e');
  int exponent = e ? (int)strtol(e + 1, NULL, 10) : 0;
  uint64_t significand = 0;
  bool fraction = false;
  for (const char *p = text; e && p < e; p++) {
    fraction |= *p == '.';
    if (*p < '0' || *p > '9') continue;
    significand = significand * 10 + (uint64_t)(*p - '0');
    exponent -= fraction;
  }
  if (!e || abs(exponent) > 22)
    return nearest; /* beyond what powers of ten are exact for; no trained score is there */
  double power = 1;
  for (int i = 0; i < abs(exponent); i++) power *= 10;
  double value = exponent < 0 ? (double)significand / power : (double)significand * power;
  return nearest < 0 ? -value : value;
}

static cz_status parse_piece(unigram *u, cz_arena *arena, const json_t *item, size_t i,
                             const cz_json_place *list) {
  const json_t *text = json_array_get(item, 0), *score = json_array_get(item, 1);
  if (json_array_size(item) != 2 || !json_is_string(text) || !json_is_number(score)) {
    cz_json_place p = cz_json_place_item(list, i);
    return cz_json_fail(&p, NULL, "expected [piece, score]");
  }
  char *copy;
  u->lengths[i] = json_string_length(text);
  CZ_TRY(cz__copy_bytes(&copy, arena, json_string_value(text), u->lengths[i]));
  u->pieces[i] = copy;
  u->scores[i] = json_is_integer(score) ? (double)json_integer_value(score)
                                        : serde_real(json_real_value(score));
  return CZ_OK;
}

static cz_status build_trie(unigram *u) {
  cz__trie_key *keys;
  CZ_TRY(cz_alloc(&keys, (size_t)u->size, sizeof *keys));
  for (int32_t i = 0; i < u->size; i++) keys[i] = (cz__trie_key){u->pieces[i], u->lengths[i], i};
  cz_status st = cz__trie_build(&u->trie, keys, (size_t)u->size);
  free(keys);
  return st;
}

static cz_status parse_vocab(unigram *u, cz_arena *arena, const json_t *o,
                             const cz_json_place *at) {
  const json_t *vocab;
  CZ_TRY(cz_json_get_array(&vocab, o, at, "vocab"));
  size_t n = json_array_size(vocab);
  if (n == 0 || n > INT32_MAX / 2) return cz_json_fail(at, "vocab", "%zu pieces", n);
  u->size = (int32_t)n;
  CZ_TRY(cz_arena_alloc(arena, &u->pieces, n, sizeof *u->pieces));
  CZ_TRY(cz_arena_alloc(arena, &u->lengths, n, sizeof *u->lengths));
  CZ_TRY(cz_arena_alloc(arena, &u->scores, n, sizeof *u->scores));
  cz_json_place list = cz_json_place_key(at, "vocab");
  double worst = INFINITY;
  for (size_t i = 0; i < n; i++) {
    CZ_TRY(parse_piece(u, arena, json_array_get(vocab, i), i, &list));
    if (u->scores[i] < worst) worst = u->scores[i];
  }
  u->unk_score = worst - UNKNOWN_PENALTY;
  return build_trie(u);
}

static cz_status parse(cz__model *m, cz_arena *arena, const json_t *o, const cz_json_place *at) {
  unigram *u;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("unk_id", "vocab", "byte_fallback")));
  CZ_TRY(cz_arena_alloc(arena, &u, 1, sizeof *u));
  m->data = u;
  CZ_TRY(parse_vocab(u, arena, o, at));
  u->unk = -1;
  if (json_object_get(o, "unk_id") && !json_is_null(json_object_get(o, "unk_id"))) {
    int64_t unk;
    CZ_TRY(cz__json_count(&unk, o, at, "unk_id"));
    if (unk >= u->size)
      return cz_json_fail(at, "unk_id", "%lld, but the last piece is %d", (long long)unk,
                          (int)u->size - 1);
    u->unk = (int32_t)unk;
  }
  if (json_object_get(o, "byte_fallback"))
    CZ_TRY(cz_json_get_bool(&u->byte_fallback, o, at, "byte_fallback"));
  for (int i = 0; i < 256; i++) {
    char name[8];
    u->bytes[i] = cz__trie_find(&u->trie, name, (size_t)snprintf(name, sizeof name, "<0x%02X>", i));
  }
  m->size = u->size;
  m->unk = u->unk;
  return CZ_OK;
}

static void offer(node *target, double score, int32_t id, uint32_t from) {
  if (target->id != UNREACHED && !(score > target->score)) return;
  *target = (node){score, id, from};
}

/* All pieces that begin at AT; returns whether one of them is the single character
 * there. */
static bool offer_pieces(const unigram *u, const cz__work *w, node *nodes, const char *s, size_t n,
                         size_t at, size_t character) {
  bool single = false;
  uint32_t cell = 0;
  double base = nodes[at].score;
  for (size_t end = at; end < n;) {
    cell = cz__trie_step(&u->trie, cell, (unsigned char)s[end++]);
    if (cell == 0) break;
    int32_t id = u->trie.cells[cell].value;
    if (id < 0 || (w->banned && w->banned[id])) continue;
    offer(&nodes[end], base + u->scores[id], id, (uint32_t)at);
    single |= end - at == character;
  }
  return single;
}

static cz_status forward(const unigram *u, const cz__work *w, node *nodes, const char *s,
                         size_t n) {
  for (size_t i = 0; i <= n; i++) nodes[i] = (node){0, UNREACHED, 0};
  for (size_t at = 0, k; at < n; at += k) {
    k = cz_utf8_length((unsigned char)s[at]);
    if (offer_pieces(u, w, nodes, s, n, at, k)) continue;
    node *target = &nodes[at + k];
    double score = nodes[at].score + u->unk_score;
    if (u->unk < 0 && (target->id == UNREACHED || score > target->score))
      return CZ_FAIL(CZ_EINVAL, "the tokenizer has no unknown token and no piece for '%.*s'",
                     (int)k, s + at);
    offer(target, score, u->unk, (uint32_t)at);
  }
  return CZ_OK;
}

/* A stretch that is no piece of the best path: perhaps a piece all the same, else bytes,
 * else unknown. */
static cz_status add_unknown(const unigram *u, cz__work *w, const char *s, uint32_t begin,
                             uint32_t end) {
  cz__tokens *out = &w->tokens;
  int32_t id = cz__trie_find(&u->trie, s + begin, end - begin);
  if (id >= 0 && !(w->banned && w->banned[id])) return cz__tokens_add(out, id, begin, end);
  bool bytes = u->byte_fallback;
  for (uint32_t i = begin; i < end && bytes; i++) bytes = u->bytes[(unsigned char)s[i]] >= 0;
  if (!bytes) return cz__tokens_add(out, u->unk, begin, end);
  for (uint32_t i = begin; i < end; i++)
    CZ_TRY(cz__tokens_add(out, u->bytes[(unsigned char)s[i]], begin, end));
  return CZ_OK;
}

static cz_status encode(const void *data, cz__work *w, const char *s, size_t n) {
  const unigram *u = data;
  size_t needed = (n + 1) * (sizeof(node) + sizeof(uint32_t));
  CZ_TRY(cz_grow(&w->model_space, &w->model_space_cap, needed, 1));
  node *nodes = w->model_space;
  uint32_t *ends = (uint32_t *)(nodes + n + 1);
  CZ_TRY(forward(u, w, nodes, s, n));
  size_t n_ends = 0;
  for (uint32_t at = (uint32_t)n; at > 0; at = nodes[at].from) ends[n_ends++] = at;
  while (n_ends > 0) {
    uint32_t end = ends[--n_ends], begin = nodes[end].from;
    if (nodes[end].id != u->unk) {
      CZ_TRY(cz__tokens_add(&w->tokens, nodes[end].id, begin, end));
      continue;
    }
    while (n_ends > 0 && nodes[ends[n_ends - 1]].id == u->unk) end = ends[--n_ends];
    CZ_TRY(add_unknown(u, w, s, begin, end));
  }
  return CZ_OK;
}

static int32_t id_of(const void *data, const char *s, size_t n) {
  return cz__trie_find(&((const unigram *)data)->trie, s, n);
}

static const char *piece_of(const void *data, int32_t id, size_t *n) {
  const unigram *u = data;
  *n = u->lengths[id];
  return u->pieces[id];
}

static void release(void *data) {
  if (data) cz__trie_free(&((unigram *)data)->trie);
}

const cz__model_row cz__unigram_model = {"Unigram", parse, encode, id_of, piece_of, release};
