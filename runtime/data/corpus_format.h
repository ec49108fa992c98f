/* What writer and reader of a corpus file share. Private to this folder.
 *
 * The root group has the attributes format, version, kind ("documents"), tokenizer_hash,
 * vocabulary and sources (a JSON list). There are three data sets: tokens (uint16 when
 * every id fits, else int32; one document behind the other), offsets (uint64, one more
 * than documents: where each begins and the last ends) and hashes (uint64,
 * base/checksum.h of each chunk's number and tokens, so that a chunk can be checked when
 * it is read). offsets and hashes carry their own checksum as attribute "hash". All are
 * cut into chunks of 64 Ki elements, shorter lists into one, under a fletcher32 checksum
 * and are not compressed (docs/design.md 8): reading then takes no processor time from
 * training. */
#ifndef CZ_DATA_CORPUS_FORMAT_H
#define CZ_DATA_CORPUS_FORMAT_H

#include "base/checksum.h"
#include "tensor/h5_file.h"

#define CZ__CORPUS_FORMAT "cloze-corpus"
#define CZ__CORPUS_HASH   "hash" /* attribute of offsets and hashes */
enum { CZ__CORPUS_VERSION = 1, CZ__CHUNK = 64 << 10 /* elements */ };

/** The checksum of a list of numbers: N bytes, as they lie in the file. */
static inline uint64_t cz__corpus_list_hash(const void *bytes, size_t n) {
  cz_checksum c = {0};
  cz_checksum_add(&c, bytes, n);
  return cz_checksum_value(&c);
}

/** The checksum of chunk NUMBER, N bytes of tokens as they lie in the file. */
static inline uint64_t cz__corpus_chunk_hash(uint64_t number, const void *tokens, size_t n) {
  cz_checksum c = {0};
  cz_checksum_add(&c, &number, sizeof number);
  cz_checksum_add(&c, tokens, n);
  return cz_checksum_value(&c);
}

#endif
