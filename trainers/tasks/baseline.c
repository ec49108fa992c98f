#include "tasks/baseline.h"
#include "tasks/bayes.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

/** Whether the set's records belong to classes that its labels name. */
bool cz_task_classifies(const cz_task_set *set) {
  return set->comparison == CZ_COMPARE_LABEL && set->n_labels > 0;
}

/* Whether what such a set is trained on may be drawn by label. */
static bool drawn_by_label(const cz_task_set *set) {
  return cz_task_classifies(set) && set->row->drawn_by_label;
}

const cz_simple cz_task_simple[] = {
    {"largest_class", drawn_by_label, cz_task_largest_class, .constant = true},
    {"keyword", cz_task_classifies, cz_task_keyword, .constant = false},
    {"naive_bayes", cz_task_classifies, cz_task_naive_bayes, .constant = false},
    {.name = NULL}};

/** The program called NAME besides the tasks' own baselines; null: there is none. */
const cz_simple *cz_task_simple_find(const char *name) {
  for (const cz_simple *s = cz_task_simple; s->name; s++)
    if (!strcmp(s->name, name)) return s;
  return NULL;
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

/* Where WORD stands in TEXT by itself, in any case; null when nowhere. */
static const char *find_word(const char *text, const char *word) {
  size_t n = strlen(word);
  for (const char *at = text; n && *at; at++)
    if (!strncasecmp(at, word, n) && (at == text || !cz_bayes_in_word(at[-1])) &&
        !cz_bayes_in_word(at[n]))
      return at;
  return NULL;
}

/** Answers with the most frequent label of SET itself, of several the first in the order of the
 * bytes: no constant answer gets more. Nobody knows it beforehand, but who does not beat it has not
 * shown to have learned anything. For classifications whose training records are drawn by label. */
cz_status cz_task_largest_class(bool *applies, const char **outputs, cz_arena *arena,
                                const cz_task_set *train, const cz_task_set *set) {
  const char *largest = NULL;
  (void)arena, (void)train;
  *applies = drawn_by_label(set);
  if (!*applies) return CZ_OK;
  CZ_TRY(majority(&largest, set));
  for (size_t i = 0; i < set->n; i++) outputs[i] = largest;
  return CZ_OK;
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

/* The texts of R's fields, in OUT, which has room for them. */
static const char *const *texts_of(const char **out, const cz_task_record *r) {
  for (int32_t f = 0; f < r->n_fields; f++) out[f] = r->fields[f].text;
  return out;
}

static size_t most_fields(const cz_task_set *set) {
  int32_t most = 0;
  for (size_t i = 0; i < set->n; i++)
    if (set->records[i].n_fields > most) most = set->records[i].n_fields;
  return (size_t)most;
}

/** Naive Bayes over the words of the fields (bayes.h), trained on TRAIN. For classifications of at
 * most CZ_BAYES_RECORDS training records. */
cz_status cz_task_naive_bayes(bool *applies, const char **outputs, cz_arena *arena,
                              const cz_task_set *train, const cz_task_set *set) {
  cz_bayes *b = NULL;
  double *scores;
  const char **fields;
  cz_status st;
  *applies = cz_task_classifies(set) && train->n <= CZ_BAYES_RECORDS;
  if (!*applies) return CZ_OK;
  CZ_TRY(cz_arena_alloc(arena, &scores, (size_t)set->n_labels, sizeof *scores));
  CZ_TRY(cz_arena_alloc(arena, &fields, most_fields(train) + most_fields(set), sizeof *fields));
  CZ_GO(st, cz_bayes_create(&b, set->n_labels), done);
  for (size_t i = 0; i < train->n; i++) {
    const cz_task_record *r = &train->records[i];
    if (r->label >= 0)
      CZ_GO(st, cz_bayes_learn(b, r->label, texts_of(fields, r), (size_t)r->n_fields), done);
  }
  for (size_t i = 0; i < set->n; i++) {
    const cz_task_record *r = &set->records[i];
    outputs[i] =
        set->labels[cz_bayes_classify(scores, b, texts_of(fields, r), (size_t)r->n_fields)];
  }
done:
  cz_bayes_destroy(&b);
  return st;
}
