/* What outputs are worth on a task. */
#ifndef CZ_TASKS_SCORE_H
#define CZ_TASKS_SCORE_H

#include "metrics/bootstrap.h"
#include "tasks/task.h"

CZ_MUST cz_status cz_task_metric_find(cz_task_metric *metric, const char *name);
void cz_task_metric_range(double range[2], const char *name);
CZ_MUST cz_status cz_task_answered(const cz_task_set *set);
CZ_MUST cz_status cz_task_score(double *scores, const cz_task_set *set, const char *const *outputs);
CZ_MUST cz_status cz_task_undefined(const char **why, cz_task_metric metric, const cz_task_set *set,
                                    const char *const *outputs);

/* Numbers that a record has of a score, at most: its part of it (metrics/bootstrap.h). */
enum { CZ_TASK_PARTS = 10 };
cz_parts_kind cz_task_parts_kind(cz_task_metric metric);
CZ_MUST cz_status cz_task_parts(double *parts, cz_task_metric metric, const cz_task_set *set,
                                const char *const *outputs);

#endif
