/* Texts of a few-shot set as records of a task, so that its classifications are scored, compared
 * with simple programs and written down as those of every task are. */
#ifndef CZ_FEW_SHOT_TASK_VIEW_H
#define CZ_FEW_SHOT_TASK_VIEW_H

#include "few_shot/examples.h"
#include "tasks/task.h"

const cz_task_row *cz_task_view_row(bool candidates);
CZ_MUST cz_status cz_task_view(cz_task_set **set, const cz_examples *e, const cz_text_set *texts);

#endif
