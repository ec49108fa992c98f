/* A 64-bit hash for keys and identity: the same bits on every machine, in every version.
 *
 * Folders of results, seeds of random draws and checks of stored bytes depend on it, so
 * it may never change. It does not resist an adversary who looks for two texts with one
 * hash. */
#ifndef CZ_BASE_HASH_H
#define CZ_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t cz_hash64(const void *bytes, size_t n, uint64_t seed);
uint64_t cz_hash_text(const char *text);

#endif
