#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

/* A node still to be given children: the keys [low, high) share its first `depth`
 * bytes. */
typedef struct task {
  uint32_t node;
  size_t low, high, depth;
} task;

typedef struct builder {
  cz__trie *trie;
  const cz__trie_key *keys;
  task *tasks;
  size_t n_tasks, tasks_cap, first_free;
} builder;

static int by_bytes(const void *pa, const void *pb) {
  const cz__trie_key *a = pa, *b = pb;
  size_t n = a->n < b->n ? a->n : b->n;
  int order = n ? memcmp(a->bytes, b->bytes, n) : 0;
  if (order) return order;
  if (a->n != b->n) return a->n < b->n ? -1 : 1;
  return (a->value > b->value) - (a->value < b->value);
}

static cz_status reserve(cz__trie *trie, size_t n) {
  if (n > UINT32_MAX / 2) return CZ_FAIL(CZ_EINVAL, "too many tokens: a trie of %zu nodes", n);
  CZ_TRY(cz_grow(&trie->cells, &trie->cap, n, sizeof *trie->cells));
  for (; trie->n < n; trie->n++) trie->cells[trie->n] = (cz__trie_cell){0, 0, -1};
  return CZ_OK;
}

/* The first place where all labels fall on free cells. Looking is bounded: a crowded
 * region is left behind, so that building stays linear. */
static cz_status find_base(builder *b, uint32_t *base, const unsigned char *labels,
                           size_t n_labels) {
  enum { TRIES = 256 };
  cz__trie *trie = b->trie;
  while (b->first_free < trie->n && trie->cells[b->first_free].check) b->first_free++;
  size_t at = b->first_free > labels[0] ? b->first_free : (size_t)labels[0] + 1;
  for (int tried = 1;; at++, tried++) {
    CZ_TRY(reserve(trie, at + 512));
    if (tried == TRIES) b->first_free = at;
    if (trie->cells[at].check) continue;
    size_t start = at - labels[0], j = 1;
    while (j < n_labels && !trie->cells[start + labels[j]].check) j++;
    if (j == n_labels) {
      *base = (uint32_t)start;
      return CZ_OK;
    }
  }
}

static cz_status add_task(builder *b, uint32_t node, size_t low, size_t high, size_t depth) {
  CZ_TRY(cz_grow(&b->tasks, &b->tasks_cap, b->n_tasks + 1, sizeof *b->tasks));
  b->tasks[b->n_tasks++] = (task){node, low, high, depth};
  return CZ_OK;
}

static cz_status place_children(builder *b, task t) {
  cz__trie *trie = b->trie;
  const cz__trie_key *keys = b->keys;
  while (t.low < t.high && keys[t.low].n == t.depth)
    trie->cells[t.node].value = keys[t.low++].value; /* of equal keys the last one counts */
  if (t.low == t.high) return CZ_OK;
  unsigned char labels[256];
  size_t starts[257], n = 0;
  for (size_t i = t.low; i < t.high; i++) {
    unsigned char c = (unsigned char)keys[i].bytes[t.depth];
    if (n > 0 && labels[n - 1] == c) continue;
    labels[n] = c;
    starts[n++] = i;
  }
  starts[n] = t.high;
  uint32_t base = 0;
  CZ_TRY(find_base(b, &base, labels, n));
  trie->cells[t.node].base = base;
  for (size_t j = 0; j < n; j++) trie->cells[base + labels[j]].check = t.node + 1;
  for (size_t j = 0; j < n; j++)
    CZ_TRY(add_task(b, base + labels[j], starts[j], starts[j + 1], t.depth + 1));
  return CZ_OK;
}

/** Builds the trie of KEYS, which are sorted in place and need not outlive it. Of equal
 * keys the one with the greatest value counts. */
cz_status cz__trie_build(cz__trie *trie, cz__trie_key *keys, size_t n_keys) {
  *trie = (cz__trie){0};
  builder b = {.trie = trie, .keys = keys, .first_free = 1};
  if (n_keys > 1) qsort(keys, n_keys, sizeof *keys, by_bytes);
  cz_status st;
  CZ_GO(st, reserve(trie, 512), done);
  trie->cells[0].check = UINT32_MAX; /* taken, and nobody's child */
  CZ_GO(st, add_task(&b, 0, 0, n_keys, 0), done);
  for (size_t i = 0; i < b.n_tasks; i++) CZ_GO(st, place_children(&b, b.tasks[i]), done);
done:
  free(b.tasks);
  if (st != CZ_OK) cz__trie_free(trie);
  return st;
}

/** The value of the key that is exactly BYTES, or -1. */
int32_t cz__trie_find(const cz__trie *trie, const char *bytes, size_t n) {
  if (!trie->cells) return -1;
  uint32_t node = 0;
  for (size_t i = 0; i < n; i++)
    if (!(node = cz__trie_step(trie, node, (unsigned char)bytes[i]))) return -1;
  return trie->cells[node].value;
}

/** The value of the longest key that goes on from NODE (0: begins) with bytes of BYTES, and how
 * many of them; -1 when there is none. One byte at least is taken. */
int32_t cz__trie_longest(const cz__trie *trie, uint32_t node, const char *bytes, size_t n,
                         size_t *length) {
  int32_t value = -1;
  for (size_t i = 0; i < n && (node = cz__trie_step(trie, node, (unsigned char)bytes[i])); i++) {
    if (trie->cells[node].value < 0) continue;
    value = trie->cells[node].value;
    *length = i + 1;
  }
  return value;
}

/** Frees the cells and empties the trie. */
void cz__trie_free(cz__trie *trie) {
  free(trie->cells);
  *trie = (cz__trie){0};
}
