#include "setup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Defaults of the task's keys, changed by key=value words. */
cz_task_config task_config(const char *task, const char *const *words, size_t n) {
  static cz_config *kept[64]; /* own the strings that binding hands out; freed at the end of the
                                 program by nobody but the system */
  static size_t n_kept;
  const cz_task_row *row;
  cz_task_config config = {0};
  assert_true(n_kept < 64);
  OK(cz_task_find(&row, task));
  OK(cz_config_from_words(&kept[n_kept], words, n));
  OK(cz_config_bind(cz_config_root(kept[n_kept++]), &row->section, &config, NULL));
  return config;
}

cz_status try_load(cz_task_set **set, const char *task, const cz_task_config *config,
                   const char *path, cz_task_use use) {
  const cz_task_row *row;
  OK(cz_task_find(&row, task));
  return cz_task_load(set, row, config, path, use);
}

cz_task_set *load_as(const char *task, const char *content, int fidelity, cz_task_use use) {
  cz_task_set *set;
  const cz_task_config config = {.fidelity = fidelity};
  OK(try_load(&set, task, &config, write_text("file", content), use));
  return set;
}

cz_task_set *load(const char *task, const char *content) {
  return load_as(task, content, CZ_FIDELITY_PAPER, CZ_TASK_EVALUATE);
}

void assert_record(const cz_task_set *set, size_t i, const char *inputs, const char *targets) {
  assert_true(i < set->n);
  assert_string_equal(set->records[i].inputs, inputs);
  assert_string_equal(set->records[i].targets, targets);
  assert_true(set->records[i].n_answers >= 1);
  assert_string_equal(set->records[i].answers[0], targets);
  assert_non_null(set->records[i].source);
}

/* CONTENT (null: no such file) is refused with a message that holds the file's name and
 * MESSAGE. */
void assert_refused(const char *task, const char *content, const char *message) {
  cz_task_set *set = NULL;
  const cz_task_config config = {0};
  cz_status st = try_load(&set, task, &config,
                          content ? write_text("file", content) : under("missing"), CZ_TASK_TRAIN);
  assert_null(set);
  assert_int_equal(st, content ? CZ_EINVAL : CZ_EIO);
  if (!strstr(cz_error_message(), message))
    fail_msg("%s: '%s' is not in: %s", task, message, cz_error_message());
  assert_non_null(strstr(cz_error_message(), content ? "file" : "missing"));
}
