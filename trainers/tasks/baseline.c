#include "tasks/baseline.h"
#include "base/hash.h"

#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

const cz_simple cz_task_simple[] = {
    {"keyword", cz_task_keyword}, {"naive_bayes", cz_task_naive_bayes}, {NULL, NULL}};

/** Whether the set's records belong to classes that its labels name. */
bool cz_task_classifies(const cz_task_set *set) {
  return set->comparison == CZ_COMPARE_LABEL && set->n_labels > 0;
}

static int by_text(const void *a, const void *b) {
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The most frequent target; of several, the first in the order of the bytes. */
static cz_status majority(const char **out, const cz_task_set *train) {
  const char **sorted;
  CZ_TRY(cz_alloc(&sorted, train->n, sizeof *sorted));
  for (size_t i = 0; i < train->n; i++) sorted[i] = train->records[i].targets;
  qsort(sorted, train->n, sizeof *sorted, by_text);
  size_t maximum = 0;
  for (size_t i = 0, end; i < train->n; i = end) {
    for (end = i; end < train->n && !strcmp(sorted[end], sorted[i]); end++) {
    }
    if (end - i <= maximum) continue;
    maximum = end - i;
    *out = sorted[i];
  }
  free(sorted);
  return CZ_OK;
}

static cz_status lead(const char **out, cz_arena *arena, const char *text, int64_t words) {
  const char *end = text;
  for (int64_t i = 0; i < words && *end; i++) {
    end += strspn(end, " \t\n\r");
    end += strcspn(end, " \t\n\r");
  }
  char *copy;
  CZ_TRY(cz_arena_alloc(arena, &copy, (size_t)(end - text) + 1, 1));
  memcpy(copy, text, (size_t)(end - text));
  *out = copy;
  return CZ_OK;
}

/** What the set's baseline writes for each record of SET, given the training records
 * TRAIN of the same task; the texts live as long as the sets and the arena. */
cz_status cz_task_baseline_outputs(const char **outputs, cz_arena *arena, const cz_task_set *train,
                                   const cz_task_set *set) {
  const char *common = NULL;
  if (set->baseline == CZ_BASELINE_MAJORITY) CZ_TRY(majority(&common, train));
  for (size_t i = 0; i < set->n; i++) {
    outputs[i] = set->baseline == CZ_BASELINE_COPY ? set->records[i].source : common;
    if (set->baseline == CZ_BASELINE_LEAD)
      CZ_TRY(lead(&outputs[i], arena, set->records[i].source, set->lead_words));
  }
  return CZ_OK;
}

/* Letters and digits; every byte beyond ASCII counts as one. */
static bool in_word(char c) { return isalnum((unsigned char)c) || ((unsigned char)c & 0x80); }

/* Where WORD stands in TEXT by itself, in any case; null when nowhere. */
static const char *find_word(const char *text, const char *word) {
  size_t n = strlen(word);
  for (const char *at = text; n && *at; at++)
    if (!strncasecmp(at, word, n) && (at == text || !in_word(at[-1])) && !in_word(at[n])) return at;
  return NULL;
}

/* The label that occurs first in the record's fields; null when none does. */
static const char *first_label(const cz_task_set *set, const cz_task_record *r) {
  for (int32_t f = 0; f < r->n_fields; f++) {
    const char *first = NULL, *label = NULL;
    for (int32_t k = 0; k < set->n_labels; k++) {
      const char *at = find_word(r->fields[f].text, set->labels[k]);
      if (at && (!first || at < first)) first = at, label = set->labels[k];
    }
    if (label) return label;
  }
  return NULL;
}

/** Answers with the label whose text stands first in the record, else with the most frequent
 * label of TRAIN. For classifications. */
cz_status cz_task_keyword(bool *applies, const char **outputs, cz_arena *arena,
                          const cz_task_set *train, const cz_task_set *set) {
  const char *common = NULL;
  (void)arena;
  *applies = cz_task_classifies(set);
  if (!*applies) return CZ_OK;
  CZ_TRY(majority(&common, train));
  for (size_t i = 0; i < set->n; i++) {
    const char *label = first_label(set, &set->records[i]);
    outputs[i] = label ? label : common;
  }
  return CZ_OK;
}

/* Words by their hashes, and how often each occurs in the records of each class. */
typedef struct bayes {
  int32_t classes;
  size_t words, room;      /* in use; slots, a power of two */
  uint64_t *hash;          /* [room] 0: free */
  double *count;           /* [room, classes] */
  double *total, *records; /* [classes] words, records */
} bayes;

static void free_bayes(bayes *b) {
  free(b->hash);
  free(b->count);
  free(b->total);
  free(b->records);
}

/* The slot of the word with this HASH, or the free one where it belongs. */
static size_t slot_of(const bayes *b, uint64_t hash) {
  size_t at = (size_t)hash & (b->room - 1);
  while (b->hash[at] && b->hash[at] != hash) at = (at + 1) & (b->room - 1);
  return at;
}

static cz_status double_room(bayes *b) {
  bayes old = *b;
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

/* The next word of *AT in lower case as a hash that is not 0; 0 at the end. Of longer words
 * the first bytes count. */
static uint64_t next_word(const char **at) {
  char word[64];
  size_t n = 0;
  while (**at && !in_word(**at)) (*at)++;
  for (; in_word(**at); (*at)++)
    if (n < sizeof word) word[n++] = (char)tolower((unsigned char)**at);
  return n ? cz_hash64(word, n, 1) | 1 : 0;
}

static cz_status learn(bayes *b, const cz_task_record *r) {
  b->records[r->label]++;
  for (int32_t f = 0; f < r->n_fields; f++) {
    const char *at = r->fields[f].text;
    for (uint64_t hash; (hash = next_word(&at));) {
      if (2 * b->words >= b->room) CZ_TRY(double_room(b));
      size_t slot = slot_of(b, hash);
      b->words += !b->hash[slot];
      b->hash[slot] = hash;
      b->count[slot * (size_t)b->classes + (size_t)r->label]++;
      b->total[r->label]++;
    }
  }
  return CZ_OK;
}

/* The class with the largest log P(c) + sum over known words of log P(w | c), where
 * P(w | c) = (count(w, c) + 1) / (count(c) + V); the first of equal ones. */
static int32_t classify(const bayes *b, const cz_task_record *r, double *score) {
  double all = 0;
  int32_t best = 0;
  for (int32_t c = 0; c < b->classes; c++) all += b->records[c];
  for (int32_t c = 0; c < b->classes; c++) score[c] = log(b->records[c] / all);
  for (int32_t f = 0; f < r->n_fields; f++) {
    const char *at = r->fields[f].text;
    for (uint64_t hash; (hash = next_word(&at));) {
      size_t slot = slot_of(b, hash);
      if (!b->hash[slot]) continue;
      for (int32_t c = 0; c < b->classes; c++)
        score[c] += log((b->count[slot * (size_t)b->classes + (size_t)c] + 1) /
                        (b->total[c] + (double)b->words));
    }
  }
  for (int32_t c = 1; c < b->classes; c++)
    if (score[c] > score[best]) best = c;
  return best;
}

/** Multinomial naive Bayes over the words of the fields, with one added to each count (Manning,
 * Raghavan, Schuetze 2008, 13.2), trained on TRAIN. For classifications of at most
 * CZ_BAYES_RECORDS training records. */
cz_status cz_task_naive_bayes(bool *applies, const char **outputs, cz_arena *arena,
                              const cz_task_set *train, const cz_task_set *set) {
  bayes b = {.classes = set->n_labels};
  double *score;
  cz_status st;
  *applies = cz_task_classifies(set) && train->n <= CZ_BAYES_RECORDS;
  if (!*applies) return CZ_OK;
  CZ_TRY(cz_arena_alloc(arena, &score, (size_t)b.classes, sizeof *score));
  CZ_GO(st, cz_alloc(&b.total, (size_t)b.classes, sizeof *b.total), done);
  CZ_GO(st, cz_alloc(&b.records, (size_t)b.classes, sizeof *b.records), done);
  CZ_GO(st, double_room(&b), done);
  for (size_t i = 0; i < train->n; i++)
    if (train->records[i].label >= 0) CZ_GO(st, learn(&b, &train->records[i]), done);
  for (size_t i = 0; i < set->n; i++)
    outputs[i] = set->labels[classify(&b, &set->records[i], score)];
done:
  free_bayes(&b);
  return st;
}
