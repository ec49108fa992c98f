/* The one form of all Winograd tasks: `wsc: text with *it* between stars` and a noun. */
#ifndef CZ_TASKS_READERS_WSC_H
#define CZ_TASKS_READERS_WSC_H

#include "tasks/task.h"

CZ_MUST cz_status cz_wsc_add(cz_task_set *set, const char *text, const char *at, size_t n,
                             const char *noun, int32_t label);

CZ_MUST cz_status cz_wsc_format(cz_task_set *set, cz_task_record *record);

#endif
