/* What the tests of CZ_LAYOUT_TOKENS share: sets of prepared examples, and batches as copies
 * that outlive their stream. */
#ifndef CZ_TESTS_DATA_TOKENS_SETUP_H
#define CZ_TESTS_DATA_TOKENS_SETUP_H

#include "data/prepared.h"
#include "setup.h"

/* A set of N examples of 1 to LONGEST tokens; all tokens of example i are FIRST + i, so that
 * a token tells whose it is. LABELLED: the first token is a row of class i % 3. */
void make_set(cz_prepared *set, int32_t n, int64_t longest, int32_t first, bool labelled);

/* Adds an example from lists of ids that end with END. */
enum { END = -7 };
void add_example(cz_prepared *set, const int32_t *inputs, const int32_t *types,
                 const int32_t *labels, const int32_t *rows, int32_t klass);

/* The examples' numbers of up to MAXIMUM batches of a stream from FROM on: of batch i those of
 * shard s are numbers[i][s][0 .. n[i][s]). */
enum { BATCHES = 64, SHARDS = 4, EACH = 16 };
typedef struct seen {
  int n_batches;
  int64_t n[BATCHES][SHARDS], numbers[BATCHES][SHARDS][EACH], firsts[BATCHES][SHARDS][EACH];
  uint64_t hash[BATCHES];
  cz_cursor after[BATCHES];
} seen;

void follow_tokens(seen *s, const cz_source *source, const cz_batch_plan *plan,
                   const cz_cursor *from, int maximum);
cz_batch_plan plan_of(int64_t examples, int64_t shards, int64_t longest);

#endif
