/* What the tests of corpora, sources and batches share: a seed that CZ_TEST_SEED replays, a folder for files, corpora of known tokens. */
#ifndef CZ_TESTS_DATA_SETUP_H
#define CZ_TESTS_DATA_SETUP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/batch.h"
#include "device/random.h"

#define assert_ok(expr) assert_string_equal((expr) == CZ_OK ? "" : cz_error_message(), "")

/* EXPR fails with CODE and a message that holds TEXT. */
#define assert_fails(expr, code, text)                                                                                                               \
  do {                                                                                                                                               \
    assert_int_equal((expr), (code));                                                                                                                \
    if (!strstr(cz_error_message(), (text))) fail_msg("message '%s' lacks '%s'", cz_error_message(), (text));                                        \
  } while (0)

extern uint64_t seed;

int make_folder(void **state);
int drop_folder(void **state);
const char *path_of(const char *name);
void write_bytes(const char *path, const void *bytes, size_t n);
void write_text(const char *path, const char *text);
uint64_t file_hash(const char *path);
int count_files(void);
int64_t draw(cz_stream *s, int64_t low, int64_t high);

/* Documents whose tokens count up from 0 over the whole corpus, so that a token tells its place. */
void write_counting(const char *path, const int64_t *lengths, int64_t n);
cz_reader *open_documents(const char *path);

/* An objective that hands the piece on as targets, and the piece's index as the only input. */
cz_status keep_piece(const void *self, const cz_piece *piece, cz_example *out);
void free_example(cz_example *e);

#endif
