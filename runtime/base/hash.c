#include "base/hash.h"

#include <string.h>

static uint64_t mix64(uint64_t x) { /* the finaliser of MurmurHash3 (Appleby 2011) */
  x ^= x >> 33;
  x *= 0xff51afd7ed558ccdULL;
  x ^= x >> 33;
  x *= 0xc4ceb9fe1a85ec53ULL;
  return x ^ (x >> 33);
}

/** A 64-bit hash of N bytes, read as little-endian words. SEED makes independent hashes
 * of the same bytes. */
uint64_t cz_hash64(const void *bytes, size_t n, uint64_t seed) {
  const unsigned char *p = bytes;
  uint64_t h = mix64(seed ^ (0x9e3779b97f4a7c15ULL * (n + 1)));
  for (size_t i = 0; i < n; i += 8) {
    uint64_t w = 0;
    for (size_t j = 0; j < 8 && i + j < n; j++) w |= (uint64_t)p[i + j] << (8 * j);
    h = mix64(h ^ mix64(w + 0x9e3779b97f4a7c15ULL)) * 5 + 0x52dce729;
  }
  return mix64(h);
}

/** cz_hash64 of a NUL-terminated text, seed 0. */
uint64_t cz_hash_text(const char *text) { return cz_hash64(text, strlen(text), 0); }
