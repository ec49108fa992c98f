/* Outputs of simple programs for a task, which a model has to beat. All but `largest_class` look at
 * no answer of the records that are scored.
 *
 * A task names one of majority, copy and lead as its baseline. A classification is also
 * answered by `keyword`, which looks for the labels' own words in the text, and by
 * `naive_bayes`, which counts words in the training file where that is small. Where the training
 * records are a few of each label, as the few-shot ones are, their majority says nothing of how
 * often a label is right: there `largest_class` is the largest score of a constant answer. */
#ifndef CZ_TASKS_BASELINE_H
#define CZ_TASKS_BASELINE_H

#include "tasks/task.h"

/* Of more training records than this no naive Bayes is made. */
enum { CZ_BAYES_RECORDS = 100000 };

/* The answers of one program. FAILS to apply: *APPLIES is false. */
typedef cz_status (*cz_simple_fn)(bool *applies, const char **outputs, cz_arena *arena,
                                  const cz_task_set *train, const cz_task_set *set);

typedef struct cz_simple {
  const char *name;
  bool (*answers)(const cz_task_set *set); /* whether it is one for tasks such as SET's */
  cz_simple_fn outputs;
  bool constant; /* one answer for all records, found among those that are scored */
} cz_simple;

/* The programs for classifications besides the task's own baseline; a null name ends
 * them. */
extern const cz_simple cz_task_simple[];

const cz_simple *cz_task_simple_find(const char *name);
bool cz_task_classifies(const cz_task_set *set);
CZ_MUST cz_status cz_task_baseline_outputs(const char **outputs, cz_arena *arena,
                                           const cz_task_set *train, const cz_task_set *set);
CZ_MUST cz_status cz_task_largest_class(bool *applies, const char **outputs, cz_arena *arena,
                                        const cz_task_set *train, const cz_task_set *set);
CZ_MUST cz_status cz_task_keyword(bool *applies, const char **outputs, cz_arena *arena,
                                  const cz_task_set *train, const cz_task_set *set);
CZ_MUST cz_status cz_task_naive_bayes(bool *applies, const char **outputs, cz_arena *arena,
                                      const cz_task_set *train, const cz_task_set *set);

#endif
