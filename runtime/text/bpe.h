/* Byte pair encoding as a model, and its merging of one word. Internal. */
#ifndef CZ_TEXT_BPE_H
#define CZ_TEXT_BPE_H

#include "text/vocab.h"
#include "text/work.h"

/* What two neighbours become. */
typedef struct cz__bpe_merge {
  uint64_t pair; /* the two ids */
  uint32_t rank; /* place in the list of merges: the lowest goes first; CZ__BPE_NONE: no merge */
  int32_t id;
} cz__bpe_merge;

#define CZ__BPE_NONE UINT32_MAX

/* The merges by pair: an open hash table of a power of two slots. Most pairs of a text have no
 * merge, and a byte a slot, in a table that stays in the cache, says so: 0 for an empty slot, else
 * eight bits of the pair's hash. */
typedef struct cz__bpe_merges {
  uint8_t *tags;
  cz__bpe_merge *slots;
  uint64_t mask;
} cz__bpe_merges;

/* A part of a word: a token, and how many bytes of the word it stands for. */
typedef struct cz__bpe_symbol {
  int32_t id;
  uint32_t length; /* 0: merged into the one before it */
  uint32_t previous, next;
} cz__bpe_symbol;

/* Room for the parts of a word of N bytes and for merging them: one part a byte at most, and no
 * more candidates than twice that. */
static inline size_t cz__bpe_space(size_t n) {
  return n * (sizeof(cz__bpe_symbol) + 2 * sizeof(uint64_t));
}

CZ_MUST cz_status cz__bpe_merges_create(cz__bpe_merges *m, cz_arena *arena, size_t n);
bool cz__bpe_merges_set(cz__bpe_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id);
size_t cz__bpe_merge_word(const cz__bpe_merges *m, cz__bpe_symbol *symbols, size_t n);

static inline uint64_t cz__bpe_pair(int32_t left, int32_t right) {
  return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

/* The place of a pair, or the empty one where it would be. */
static inline uint64_t cz__bpe_place(const cz__bpe_merges *m, uint64_t pair, uint8_t *tag) {
  uint64_t h = pair * 0x9e3779b97f4a7c15ULL;
  *tag = (uint8_t)(h >> 56 | 1);
  for (uint64_t at = h >> 24;; at++) {
    uint64_t i = at & m->mask;
    if (m->tags[i] == 0 || (m->tags[i] == *tag && m->slots[i].pair == pair)) return i;
  }
}

/* The merge of a pair; its rank is CZ__BPE_NONE where there is none. */
static inline const cz__bpe_merge *cz__bpe_find(const cz__bpe_merges *m, int32_t left,
                                                int32_t right) {
  static const cz__bpe_merge none = {.rank = CZ__BPE_NONE};
  uint8_t tag;
  uint64_t i = cz__bpe_place(m, cz__bpe_pair(left, right), &tag);
  return m->tags[i] ? &m->slots[i] : &none;
}

CZ_MUST cz_status cz__bpe_read_bytes(void *model, bool *done);

#endif
