/* What the task tests share: small files in a folder of their own, sets loaded from them,
 * and one-line checks. */
#ifndef CZ_TESTS_TASKS_SETUP_H
#define CZ_TESTS_TASKS_SETUP_H

#include <stddef.h>

#include "common/common.h"
#include "base/fs.h"
#include "objectives/objective.h"
#include "tasks/task.h"

cz_task_config task_config(const char *task, const char *const *words, size_t n);
cz_status try_load(cz_task_set **set, const char *task, const cz_task_config *config,
                   const char *path, cz_task_use use);
cz_task_set *load(const char *task, const char *content);
cz_task_set *load_as(const char *task, const char *content, int fidelity, cz_task_use use);
void assert_record(const cz_task_set *set, size_t i, const char *inputs, const char *targets);
void assert_refused(const char *task, const char *content, const char *message);

int run_reader_tests(void);
int run_custom_tests(void);
int run_score_tests(void);

#endif
