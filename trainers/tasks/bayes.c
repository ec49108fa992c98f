#include "tasks/bayes.h"
#include "base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Words by their hashes, and how often each occurs in the records of each class. */
struct cz_bayes {
  int32_t classes;
  size_t words, room;      /* in use; slots, a power of two */
  uint64_t *hash;          /* [room] 0: free */
  double *count;           /* [room, classes] */
  double *total, *records; /* [classes] words, records */
};

/** Frees what was learnt and clears *B; null is legal. */
void cz_bayes_destroy(cz_bayes **b) {
  if (!*b) return;
  free((*b)->hash);
  free((*b)->count);
  free((*b)->total);
  free((*b)->records);
  free(*b);
  *b = NULL;
}

/* The slot of the word with this HASH, or the free one where it belongs. */
static size_t slot_of(const cz_bayes *b, uint64_t hash) {
  size_t at = (size_t)hash & (b->room - 1);
  while (b->hash[at] && b->hash[at] != hash) at = (at + 1) & (b->room - 1);
  return at;
}

static cz_status double_room(cz_bayes *b) {
  cz_bayes old = *b;
  b->room = old.room ? 2 * old.room : 1 << 12;
  b->hash = NULL;
  b->count = NULL;
  cz_status st = cz_alloc(&b->hash, b->room, sizeof *b->hash);
  if (st == CZ_OK) st = cz_alloc(&b->count, b->room * (size_t)b->classes, sizeof *b->count);
  for (size_t i = 0; i < old.room && st == CZ_OK; i++) {
    if (!old.hash[i]) continue;
    size_t at = slot_of(b, old.hash[i]), n = (size_t)b->classes;
    b->hash[at] = old.hash[i];
    memcpy(b->count + at * n, old.count + i * n, n * sizeof *b->count);
  }
  free(old.hash);
  free(old.count);
  return st;
}

/** Makes a classifier for CLASSES that has seen nothing; cz_bayes_destroy frees it. */
cz_status cz_bayes_create(cz_bayes **b, int32_t classes) {
  cz_status st;
  CZ_TRY(cz_alloc(b, 1, sizeof **b));
  (*b)->classes = classes;
  CZ_GO(st, cz_alloc(&(*b)->total, (size_t)classes, sizeof *(*b)->total), failed);
  CZ_GO(st, cz_alloc(&(*b)->records, (size_t)classes, sizeof *(*b)->records), failed);
  CZ_GO(st, double_room(*b), failed);
  return CZ_OK;
failed:
  cz_bayes_destroy(b);
  return st;
}

/* The next word of *AT as a hash that is not 0; 0 at the end. */
static uint64_t next_word(const char **at) {
  char word[64];
  size_t n = 0;
  while (**at && !cz_bayes_in_word(**at)) (*at)++;
  for (; cz_bayes_in_word(**at); (*at)++)
    if (n < sizeof word) word[n++] = (char)tolower((unsigned char)**at);
  return n ? cz_hash64(word, n, 1) | 1 : 0;
}

/** Counts the words of FIELDS [n_fields], a record of CLASS. */
cz_status cz_bayes_learn(cz_bayes *b, int32_t class, const char *const *fields, size_t n_fields) {
  CZ_CHECK(class >= 0 && class < b->classes);
  b->records[class]++;
  for (size_t f = 0; f < n_fields; f++) {
    const char *at = fields[f];
    for (uint64_t hash; (hash = next_word(&at));) {
      if (2 * b->words >= b->room) CZ_TRY(double_room(b));
      size_t slot = slot_of(b, hash);
      b->words += !b->hash[slot];
      b->hash[slot] = hash;
      b->count[slot * (size_t)b->classes + (size_t) class]++;
      b->total[class]++;
    }
  }
  return CZ_OK;
}

/* SCORES[c] += log P(w | c) for the word in SLOT. */
static void add_word(double *scores, const cz_bayes *b, size_t slot) {
  for (int32_t c = 0; c < b->classes; c++)
    scores[c] += log((b->count[slot * (size_t)b->classes + (size_t)c] + 1) /
                     (b->total[c] + (double)b->words));
}

/** The class of FIELDS [n_fields]: that with the largest of
 *
 *     SCORES[c] = log P(c) + sum over known words of log P(w | c),
 *     P(w | c)  = (count(w, c) + 1) / (count(c) + V),
 *
 * the first of equal ones. Their softmax is P(c | fields). A class that was never seen has minus
 * infinity; when none was, all are 0. */
int32_t cz_bayes_classify(double *scores, const cz_bayes *b, const char *const *fields,
                          size_t n_fields) {
  double all = 0;
  int32_t best = 0;
  for (int32_t c = 0; c < b->classes; c++) all += b->records[c];
  for (int32_t c = 0; c < b->classes; c++) scores[c] = all > 0 ? log(b->records[c] / all) : 0;
  for (size_t f = 0; f < n_fields; f++) {
    const char *at = fields[f];
    for (uint64_t hash; (hash = next_word(&at));) {
      size_t slot = slot_of(b, hash);
      if (b->hash[slot]) add_word(scores, b, slot);
    }
  }
  for (int32_t c = 1; c < b->classes; c++)
    if (scores[c] > scores[best]) best = c;
  return best;
}
