/* Whether two texts are the same, by a hash of what is left of them in lower case and with every
 * run of white space as one space: a text that was copied, wrapped or cased anew is the same text.
 * Two that differ have one hash with probability 2^-64. */
#ifndef CZ_ENSEMBLE_TEXTS_H
#define CZ_ENSEMBLE_TEXTS_H

#include "base/mem.h"

#include <stdbool.h>

/* A set of hashes. Zero-initialised is empty. */
typedef struct cz_hash_set {
  uint64_t *slots; /* 0: free */
  size_t n, room;  /* in use; slots, a power of two */
  bool zero;       /* the hash 0 is in the set */
} cz_hash_set;

CZ_MUST cz_status cz_text_hash(uint64_t *hash, const char *const *fields, size_t n_fields);
CZ_MUST cz_status cz_hash_set_add(cz_hash_set *s, bool *added, uint64_t hash);
CZ_MUST cz_status cz_hash_set_add_all(cz_hash_set *s, const uint64_t *hashes, size_t n);
bool cz_hash_set_has(const cz_hash_set *s, uint64_t hash);
void cz_hash_set_free(cz_hash_set *s);

#endif
