/* A set of byte strings with a value each, as a double array (Aoe 1989): one look-up per
 * byte, built once, read by any number of threads. */
#ifndef CZ_TEXT_TRIE_H
#define CZ_TEXT_TRIE_H

#include "base/mem.h"

typedef struct cz__trie_cell {
  uint32_t base;  /* children of this node lie at base + byte */
  uint32_t check; /* parent + 1; 0: free */
  int32_t value;  /* of the key that ends here; -1: none */
} cz__trie_cell;

typedef struct cz__trie {
  cz__trie_cell
      *cells; /* the root is cell 0; 256 free cells behind the last one spare the bounds check */
  size_t n, cap;
} cz__trie;

typedef struct cz__trie_key {
  const char *bytes;
  size_t n;
  int32_t value; /* 0 or more */
} cz__trie_key;

CZ_MUST cz_status cz__trie_build(cz__trie *trie, cz__trie_key *keys, size_t n_keys);
int32_t cz__trie_find(const cz__trie *trie, const char *bytes, size_t n);
int32_t cz__trie_longest(const cz__trie *trie, uint32_t node, const char *bytes, size_t n,
                         size_t *length);
void cz__trie_free(cz__trie *trie);

/* The child of NODE along BYTE, or 0 when there is none. */
static inline uint32_t cz__trie_step(const cz__trie *trie, uint32_t node, unsigned char byte) {
  uint32_t next = trie->cells[node].base + byte;
  return trie->cells[next].check == node + 1 ? next : 0;
}

#endif
