/* Merging the parts of a word, as byte pair encoding does (Sennrich et al. 2016,
 * arXiv:1508.07909, algorithm 1): of all neighbours that have a merge the pair of lowest
 * rank becomes one part, the leftmost of equal ones first, until no pair has a merge. */
#include "text/bpe.h"

#include <string.h>

/* Words are short: up to here the lowest rank is found by looking at all of them, which a
 * heap would do no faster. */
enum { SCANNED = 32 };

#define NOBODY UINT32_MAX

/** Makes an empty table for N merges in the arena, at most half full. */
cz_status cz__bpe_merges_create(cz__bpe_merges *m, cz_arena *arena, size_t n) {
  size_t size = 4;
  while (size < 2 * n) size *= 2;
  CZ_TRY(cz_arena_alloc(arena, &m->tags, size, 1));
  CZ_TRY(cz_arena_alloc(arena, &m->slots, size, sizeof *m->slots));
  m->mask = size - 1;
  return CZ_OK;
}

/** Sets the merge of a pair; of one that is given twice the later rank counts, as in the Hugging
 * Face library. Returns whether the pair was new. The table takes as many as it was made for. */
bool cz__bpe_merges_set(cz__bpe_merges *m, int32_t left, int32_t right, uint32_t rank, int32_t id) {
  uint8_t tag;
  uint64_t pair = cz__bpe_pair(left, right), i = cz__bpe_place(m, pair, &tag);
  bool new = m->tags[i] == 0;
  m->tags[i] = tag;
  m->slots[i] = (cz__bpe_merge){pair, rank, id};
  return new;
}

/* The parts lie side by side; ranks[i] is that of the pair (i, i + 1). */
static size_t merge_scanned(const cz__bpe_merges *m, cz__bpe_symbol *symbols, size_t n) {
  uint32_t ranks[SCANNED];
  int32_t ids[SCANNED];
  for (size_t i = 0; i + 1 < n; i++) {
    const cz__bpe_merge *x = cz__bpe_find(m, symbols[i].id, symbols[i + 1].id);
    ranks[i] = x->rank;
    ids[i] = x->id;
  }
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; i++)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == CZ__BPE_NONE) break;
    symbols[best].id = ids[best];
    symbols[best].length += symbols[best + 1].length;
    n--;
    for (size_t i = best + 1; i < n; i++) {
      symbols[i] = symbols[i + 1];
      ranks[i - 1] = ranks[i];
      ids[i - 1] = ids[i];
    }
    for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
      const cz__bpe_merge *x = cz__bpe_find(m, symbols[i].id, symbols[i + 1].id);
      ranks[i] = x->rank;
      ids[i] = x->id;
    }
  }
  return n;
}

/* A candidate is rank << 32 | place of its left part: the smallest goes first. */
typedef struct heap {
  uint64_t *items;
  size_t n;
} heap;

static void push(heap *h, uint64_t x) {
  size_t i = h->n++;
  for (size_t parent; i > 0 && h->items[parent = (i - 1) / 2] > x; i = parent)
    h->items[i] = h->items[parent];
  h->items[i] = x;
}

static uint64_t pop(heap *h) {
  uint64_t top = h->items[0], x = h->items[--h->n];
  size_t i = 0;
  for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
    if (child + 1 < h->n && h->items[child + 1] < h->items[child]) child++;
    if (h->items[child] >= x) break;
    h->items[i] = h->items[child];
  }
  if (h->n > 0) h->items[i] = x;
  return top;
}

static void offer(heap *h, const cz__bpe_merges *m, const cz__bpe_symbol *symbols, uint32_t left) {
  if (left == NOBODY || symbols[left].next == NOBODY) return;
  uint32_t rank = cz__bpe_find(m, symbols[left].id, symbols[symbols[left].next].id)->rank;
  if (rank != CZ__BPE_NONE) push(h, (uint64_t)rank << 32 | left);
}

/* A candidate whose parts have changed since it was offered is of another rank now, or its left
 * part is gone; whatever changed was offered anew. */
static void merge_candidate(heap *h, const cz__bpe_merges *m, cz__bpe_symbol *symbols,
                            uint64_t candidate) {
  uint32_t left = (uint32_t)candidate, right;
  cz__bpe_symbol *a = &symbols[left];
  if (a->length == 0 || (right = a->next) == NOBODY) return;
  const cz__bpe_merge *x = cz__bpe_find(m, a->id, symbols[right].id);
  if (x->rank != candidate >> 32) return;
  a->id = x->id;
  a->length += symbols[right].length;
  a->next = symbols[right].next;
  symbols[right].length = 0;
  if (a->next != NOBODY) symbols[a->next].previous = left;
  offer(h, m, symbols, a->previous);
  offer(h, m, symbols, left);
}

static size_t merge_by_heap(const cz__bpe_merges *m, cz__bpe_symbol *symbols, size_t n) {
  heap h = {.items = (uint64_t *)(symbols + n)};
  for (uint32_t i = 0; i < n; i++) {
    symbols[i].previous = i > 0 ? i - 1 : NOBODY;
    symbols[i].next = i + 1 < n ? i + 1 : NOBODY;
  }
  for (uint32_t i = 0; i < n; i++) offer(&h, m, symbols, i);
  while (h.n > 0) merge_candidate(&h, m, symbols, pop(&h));
  size_t kept = 0;
  for (size_t i = 0; i < n; i++)
    if (symbols[i].length > 0) symbols[kept++] = symbols[i];
  return kept;
}

/** Merges the N parts of a word in place and returns how many are left. Their lengths are not 0.
 * Behind the N SYMBOLS lies room for 2 N numbers (cz__bpe_space): a part is offered with its right
 * neighbour once at the start, and each merge takes one candidate out and puts two in. Time grows
 * as N log N. */
size_t cz__bpe_merge_word(const cz__bpe_merges *m, cz__bpe_symbol *symbols, size_t n) {
  return n <= SCANNED ? merge_scanned(m, symbols, n) : merge_by_heap(m, symbols, n);
}
