/* The tasks of a stage: its section `tasks: {mixing: ..., list: [{name: debian_section,
 * train: FILE, dev: FILE, test: FILE}, ...]}`. */
#ifndef CZ_RECIPE_TASKS_H
#define CZ_RECIPE_TASKS_H

#include "data/source.h"
#include "recipe/recipe.h"
#include "tasks/task.h"

/* One item of the list. `as` lets a task stand twice in a mixture, with other files or
 * another fidelity, and tells their results apart. */
typedef struct cz_task_entry {
  const cz_config_node *node; /* for complaints */
  const char *label;          /* what results call it: the task's name, or the entry's `as` */
  const cz_task_row *row;
  cz_task_config config;
} cz_task_entry;

extern const cz_section cz_mixing_section;

typedef struct cz_tasklist {
  cz_mixing mixing;
  cz_task_entry *entries;
  int n;
} cz_tasklist;

/* read binds the section and touches no file; load reads the file of a split; describe
 * makes an empty set that knows labels and scores, for checks that run before the files
 * exist. */
CZ_MUST cz_status cz_tasklist_row(const cz_task_row **row, const cz_config_node *item);
CZ_MUST cz_status cz_tasklist_read(cz_tasklist *list, const cz_recipe *recipe);
void cz_tasklist_free(cz_tasklist *list);
CZ_MUST cz_status cz_tasklist_load(cz_task_set **set, const cz_task_entry *entry, const char *split,
                                   cz_task_use use);
CZ_MUST cz_status cz_tasklist_describe(cz_task_set **set, const cz_task_entry *entry);

#endif
