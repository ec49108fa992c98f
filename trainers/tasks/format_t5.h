/* T5's text-to-text form of a record (docs/t5.md 7): what the model reads, and what it
 * must write. A format sees a record of named fields and never a file, so the same
 * records serve other forms.
 *
 * A task's `format` makes inputs and source; what answers look like as text, labels
 * included, is the same for all tasks and done here. */
#ifndef CZ_TASKS_FORMAT_T5_H
#define CZ_TASKS_FORMAT_T5_H

#include "tasks/task.h"

CZ_MUST cz_status cz_format_t5(cz_task_set *set, cz_task_record *record);
CZ_MUST cz_status cz_format_text(cz_task_set *set, const char **out, const char *format, ...)
    CZ_PRINTF(3, 4);
CZ_MUST cz_status cz_format_answers(cz_task_set *set, cz_task_record *record,
                                    const char *const *answers, size_t n);

#endif
