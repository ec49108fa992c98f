#include "recipe/tasks.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char *const mixings[] = {"proportional", "equal", NULL};
static const cz_key_spec mixing_keys[] = {
    CZ_KEY_AS("mixing", cz_mixing, rule, ENUM, .fallback = "proportional", .choices = mixings,
              .help = "rates by number of examples, or equal"),
    CZ_KEY(cz_mixing, limit, REAL, .fallback = "0", .min = 0, .max = INFINITY, .unit = "examples",
           .help = "proportional: sizes above this count as this (K); 0: none"),
    CZ_KEY(cz_mixing, temperature, REAL, .fallback = "1", .min = 1, .max = INFINITY,
           .help = "proportional: rates to the power 1/T"),
};
const cz_section cz_mixing_section =
    CZ_SECTION("tasks", "How tasks share the batches.", mixing_keys);

/** The task that ITEM of a stage's `tasks.list` names; CZ_EUSAGE with the place when it
 * names none. */
cz_status cz_tasklist_row(const cz_task_row **row, const cz_config_node *item) {
  const cz_config_node *n;
  const char *name;
  CZ_TRY(cz_config_expect(item, CZ_CONFIG_MAPPING));
  CZ_TRY(cz_config_need(&n, item, "name"));
  CZ_TRY(cz_config_text(&name, n));
  return CZ_AT(n, cz_task_find(row, name));
}

static cz_status read_entry(cz_task_entry *e, const cz_config_node *node) {
  static const char *const others[] = {"name", "as", NULL};
  const cz_config_node *n;
  e->node = node;
  CZ_TRY(cz_tasklist_row(&e->row, node));
  e->label = e->row->name;
  if ((n = cz_config_get(node, "as"))) CZ_TRY(cz_config_text(&e->label, n));
  if (!*e->label || strpbrk(e->label, "./"))
    return cz_config_error(n,
                           "'%s' can't name a task: it stands in a file's name and in places such "
                           "as NAME.scores.f1, so no point and no slash",
                           e->label);
  return cz_config_bind(node, &e->row->section, &e->config, others);
}

/** Reads the stage's section `tasks`. CZ_EUSAGE with place for an unknown task or key,
 * no task, two of one label, or a label with a point or slash. Free with
 * cz_tasklist_free. */
cz_status cz_tasklist_read(cz_tasklist *list, const cz_recipe *recipe) {
  static const char *const others[] = {"list", NULL};
  const cz_config_node *section, *items;
  *list = (cz_tasklist){0};
  CZ_TRY(cz_config_need(&section, recipe->node, "tasks"));
  CZ_TRY(cz_config_bind(section, &cz_mixing_section, &list->mixing, others));
  CZ_TRY(cz_config_need(&items, section, "list"));
  CZ_TRY(cz_config_expect(items, CZ_CONFIG_SEQUENCE));
  size_t n = cz_config_count(items);
  if (n == 0 || n > CZ_MIX_MAXIMUM)
    return cz_config_error(items, "%zu tasks; 1 to %d can be mixed", n, CZ_MIX_MAXIMUM);
  CZ_TRY(cz_alloc(&list->entries, n, sizeof *list->entries));
  for (size_t i = 0; i < n; i++) {
    CZ_TRY(read_entry(&list->entries[i], cz_config_at(items, i)));
    for (size_t j = 0; j < i; j++)
      if (!strcmp(list->entries[i].label, list->entries[j].label))
        return cz_config_error(list->entries[i].node,
                               "two tasks are called %s; give one of them `as: another name`",
                               list->entries[i].label);
    list->n++;
  }
  return CZ_OK;
}

/** Frees the list. */
void cz_tasklist_free(cz_tasklist *list) {
  free(list->entries);
  *list = (cz_tasklist){0};
}

/** Loads a task's records of SPLIT: train, dev or test. CZ_EUSAGE when the entry names no
 * file for it. */
cz_status cz_tasklist_load(cz_task_set **set, const cz_task_entry *e, const char *split,
                           cz_task_use use) {
  const char *path = !strcmp(split, "train")  ? e->config.train
                     : !strcmp(split, "dev")  ? e->config.dev
                     : !strcmp(split, "test") ? e->config.test
                                              : NULL;
  if (!path || !*path)
    return cz_config_error(e->node, "task %s has no file for split %s", e->label, split);
  return CZ_AT(e->node, cz_task_load(set, e->row, &e->config, path, use));
}

/** What scores and labels the task has, without its records; the caller destroys the set.
 * CZ_EUSAGE with the place of the entry. */
cz_status cz_tasklist_describe(cz_task_set **set, const cz_task_entry *e) {
  return CZ_AT(e->node, cz_task_describe(set, e->row, &e->config));
}
