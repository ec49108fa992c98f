/* What the tests of corpora, sources and batches share: draws, and corpora of known
 * tokens. */
#ifndef CZ_TESTS_DATA_SETUP_H
#define CZ_TESTS_DATA_SETUP_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "data/batch.h"
#include "device/random.h"

uint64_t file_hash(const char *path);
int count_files(void);
int64_t draw(cz_stream *s, int64_t low, int64_t high);

/* Documents whose tokens count up from 0 over the whole corpus, so that a token tells its
 * place. */
void write_counting(const char *path, const int64_t *lengths, int64_t n);
cz_reader *open_documents(const char *path);

/* An objective that hands the piece on as targets, and the piece's index as the only
 * input. */
cz_status keep_piece(const void *self, const cz_piece *piece, cz_example *out);
void free_example(cz_example *e);

#endif
