/* Warnings of data that stands on both sides: a file that a model is trained on and scored on, by
 * the same task, by another stage of the experiment, or as held-out text. Such a score says how
 * much was remembered. It may be wanted, as when a small run is tried, so it is no error. */
#ifndef CZ_STAGES_OVERLAP_H
#define CZ_STAGES_OVERLAP_H

#include "recipe/tasks.h"
#include "stages/check.h"

CZ_MUST cz_status cz_overlap_files(bool *same, const char *a, const char *b);
CZ_MUST cz_status cz_overlap_task(cz_check *c, const cz_task_entry *entry, const char *split);
CZ_MUST cz_status cz_overlap_corpora(cz_check *c, const cz_config_node *corpus,
                                     const cz_config_node *held_out);

#endif
