/* Reading corpora written by corpus.h, any document at any time, through a cache of
 * checked chunks.
 *
 * Opening checks format, version, the tokenizer's hash and all offsets, which stay in
 * memory; a chunk of tokens is checked (fletcher32, its 64-bit hash, ids below the
 * vocabulary) whenever it is read from the file. So opening a large corpus is quick, and
 * a damaged chunk is found before a token of it is used. One thread at a time may use a
 * reader. */
#ifndef CZ_DATA_READER_H
#define CZ_DATA_READER_H

#include "data/corpus.h"

typedef struct cz_reader cz_reader;

typedef struct cz_reader_info { /* what the file says of itself */
  cz_corpus_vocabulary vocabulary;
  int64_t documents, tokens;
  const char *sources; /* JSON list of {"name", "bytes", "hash"}; borrowed from the reader */
} cz_reader_info;

/* Documents are numbered from 0 in the order in which they were written; lengths and
 * places are in tokens. Reading on is fast and so is going back a little; a jump costs
 * one chunk. */
CZ_MUST cz_status cz_reader_open(cz_reader **r, const char *path, const uint64_t *tokenizer_hash);
const cz_reader_info *cz_reader_about(const cz_reader *r);
int64_t cz_reader_length(const cz_reader *r, int64_t document);
CZ_MUST cz_status cz_reader_append(cz_reader *r, cz_ids *out, int64_t document, int64_t begin,
                                   int64_t n);
CZ_MUST cz_status cz_reader_verify(cz_reader *r);
void cz_reader_close(cz_reader **r);

#endif
