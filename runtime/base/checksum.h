/* A 64-bit checksum of bytes that come in pieces: what a file stores beside its data and
 * compares on reading.
 *
 * HDF5's Fletcher-32 takes a 16-bit word 0000 for FFFF, since both are 0 modulo 65535,
 * and so misses a cleared page and many single errors. Here each step is a bijection of
 * the state for a fixed word and of the word for a fixed state: a change inside one
 * aligned 8-byte word is always seen, any other with probability 1 - 2^-64. It does not
 * resist an adversary. The same bytes have the same checksum on every machine, however
 * they are cut into pieces. */
#ifndef CZ_BASE_CHECKSUM_H
#define CZ_BASE_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Zero-initialised: of no bytes. */
typedef struct cz_checksum {
  uint64_t state, bytes;
  unsigned char tail[8]; /* the last bytes % 8, which are no whole word yet */
} cz_checksum;

void cz_checksum_add(cz_checksum *c, const void *bytes, size_t n);
uint64_t cz_checksum_value(const cz_checksum *c);

#endif
