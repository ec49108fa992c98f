#include "setup.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static char folder[64], names[64][64];
static size_t n_names;

void open_folder(void) {
  snprintf(folder, sizeof folder, "/tmp/cloze-tasks-%ld", (long)getpid());
  assert_ok(cz_fs_make_dirs(folder));
}

void close_folder(void) {
  for (size_t i = 0; i < n_names; i++) unlink(path_of(names[i]));
  rmdir(folder);
}

/* Good until the fourth call after this one. */
const char *path_of(const char *name) {
  static char paths[4][160];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, sizeof *paths, "%s/%s", folder, name);
  return path;
}

static void remember(const char *name) {
  for (size_t i = 0; i < n_names; i++)
    if (!strcmp(names[i], name)) return;
  assert_true(n_names < sizeof names / sizeof *names);
  snprintf(names[n_names++], sizeof *names, "%s", name);
}

/* Without a sync: there are thousands. */
const char *write_bytes(const char *name, const char *bytes, size_t n) {
  const char *path = path_of(name);
  remember(name);
  FILE *f = fopen(path, "wb");
  assert_non_null(f);
  assert_int_equal(fwrite(bytes, 1, n, f), n);
  assert_int_equal(fclose(f), 0);
  return path;
}

const char *write_file(const char *name, const char *content) { return write_bytes(name, content, strlen(content)); }

/* Defaults of the task's keys, changed by key=value words. */
cz_task_config task_config(const char *task, const char *const *words, size_t n) {
  static cz_config *kept[64]; /* own the strings that binding hands out; freed at the end of the program by nobody but the system */
  static size_t n_kept;
  const cz_task_row *row;
  cz_task_config config = {0};
  assert_true(n_kept < 64);
  assert_ok(cz_task_find(&row, task));
  assert_ok(cz_config_from_words(&kept[n_kept], words, n));
  assert_ok(cz_config_bind(cz_config_root(kept[n_kept++]), &row->section, &config, NULL));
  return config;
}

cz_status try_load(cz_task_set **set, const char *task, const cz_task_config *config, const char *path, cz_task_use use) {
  const cz_task_row *row;
  assert_ok(cz_task_find(&row, task));
  return cz_task_load(set, row, config, path, use);
}

cz_task_set *load_as(const char *task, const char *content, int fidelity, cz_task_use use) {
  cz_task_set *set;
  const cz_task_config config = {.fidelity = fidelity};
  assert_ok(try_load(&set, task, &config, write_file("file", content), use));
  return set;
}

cz_task_set *load(const char *task, const char *content) { return load_as(task, content, CZ_FIDELITY_PAPER, CZ_TASK_EVALUATE); }

void assert_record(const cz_task_set *set, size_t i, const char *inputs, const char *targets) {
  assert_true(i < set->n);
  assert_string_equal(set->records[i].inputs, inputs);
  assert_string_equal(set->records[i].targets, targets);
  assert_true(set->records[i].n_answers >= 1);
  assert_string_equal(set->records[i].answers[0], targets);
  assert_non_null(set->records[i].source);
}

/* CONTENT (null: no such file) is refused with a message that holds the file's name and MESSAGE. */
void assert_refused(const char *task, const char *content, const char *message) {
  cz_task_set *set = NULL;
  const cz_task_config config = {0};
  cz_status st = try_load(&set, task, &config, content ? write_file("file", content) : path_of("missing"), CZ_TASK_TRAIN);
  assert_null(set);
  assert_int_equal(st, content ? CZ_EINVAL : CZ_EIO);
  if (!strstr(cz_error_message(), message)) fail_msg("%s: '%s' is not in: %s", task, message, cz_error_message());
  assert_non_null(strstr(cz_error_message(), content ? "file" : "missing"));
}
