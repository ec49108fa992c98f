#include "base/checksum.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "words are read as they lie in memory");

/* The round of xxHash's 64-bit variant (Collet 2012) with its primes. */
static uint64_t next(uint64_t state, uint64_t word) {
  state += word * 0xc2b2ae3d27d4eb4fULL;
  return (state << 31 | state >> 33) * 0x9e3779b185ebca87ULL;
}

static uint64_t word_at(const unsigned char *p) {
  uint64_t word;
  memcpy(&word, p, sizeof word);
  return word;
}

/** Adds N bytes behind those before. */
void cz_checksum_add(cz_checksum *c, const void *bytes, size_t n) {
  const unsigned char *p = bytes;
  size_t filled = c->bytes % 8;
  if (!n) return; /* BYTES may be null */
  c->bytes += n;
  if (filled) {
    size_t k = n < 8 - filled ? n : 8 - filled;
    memcpy(c->tail + filled, p, k);
    p += k;
    n -= k;
    if (filled + k < 8) return;
    c->state = next(c->state, word_at(c->tail));
  }
  uint64_t state = c->state;
  for (; n >= 8; p += 8, n -= 8) state = next(state, word_at(p));
  c->state = state;
  if (n) memcpy(c->tail, p, n);
}

/** The checksum of all bytes so far; more may be added. */
uint64_t cz_checksum_value(const cz_checksum *c) {
  unsigned char last[8] = {0};
  uint64_t h = c->state;
  if (c->bytes % 8) memcpy(last, c->tail, c->bytes % 8);
  h = next(next(h, word_at(last)), c->bytes); /* the length tells zeros behind the end apart */
  h ^= h >> 33; /* the finaliser of MurmurHash3 (Appleby 2011): every bit reaches every other */
  h *= 0xff51afd7ed558ccdULL;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ULL;
  return h ^ h >> 33;
}
