#include "few_shot/examples.h"
#include "recipe/tasks.h"

#include <string.h>

static const cz_key_spec keys_of_examples[] = {
    CZ_KEY(cz_examples_keys, pattern, TEXT,
           .help = "pattern file: fields, labels, words and patterns (docs/pet.md 3)"),
    CZ_KEY(cz_examples_keys, labels, TEXT, .fallback = "",
           .help = "labels, comma-separated, of a pattern file that names none"),
    CZ_KEY(cz_examples_keys, train, TEXT, .fallback = "",
           .help = "labelled texts (.csv, .tsv, .jsonl), which T is drawn from"),
    CZ_KEY(cz_examples_keys, unlabelled_file, TEXT, .fallback = "",
           .help = "unlabelled texts, which D is drawn from; empty: what T leaves of `train`"),
    CZ_KEY(cz_examples_keys, test, TEXT, .fallback = "",
           .help = "texts to classify, with labels or without"),
    CZ_KEY_OTHER("task", TREE, .fallback = "", .holds = "mapping, an item of tasks.list",
                 .help = "a task whose official files its own reader reads (cloze list tasks): "
                         "{name: NAME, train: FILE, test: FILE} in place of `train` and `test`; "
                         "`unlabelled_file` and `tests` are of its layout too"),
    CZ_KEY_OTHER("tests", TREE, .fallback = "", .holds = "mapping of files",
                 .help = "test files besides, {NAME: FILE}, which the same models answer; what a "
                         "result has of `test` under `student`, it has of such a one under "
                         "`student_NAME`; members and what is held out are judged on `test`"),
    CZ_KEY(cz_examples_keys, columns, TEXT, .fallback = "",
           .help = "names of all columns, comma-separated, of .csv and .tsv files whose first line "
                   "is a record already; empty: the first line names them"),
    CZ_KEY(cz_examples_keys, group_column, TEXT, .fallback = "",
           .help =
               "column of the test files that says what a text comes from (author, package): "
               "texts of one group were not drawn apart, and a report draws groups; empty: each "
               "text was drawn by itself"),
    CZ_KEY(cz_examples_keys, backslashes, ENUM, .fallback = "keep", .choices = cz_backslashes_names,
           .help = "in texts of .csv and .tsv files: text; each a space, as PET reads AG's News; "
                   "\\n a space and so is any other, as it reads Yelp and Yahoo"),
    CZ_KEY(cz_examples_keys, labelled, INT, .fallback = "-1", .min = -1, .max = 1e9,
           .unit = "texts", .help = "size of T, all labels together; 0: zero-shot, -1: all"),
    CZ_KEY(cz_examples_keys, chosen, INT, .fallback = "0", .min = 0, .max = 1e9, .unit = "texts",
           .help = "of D with the labels that its file has, which T has besides those of "
                   "`labelled`: the first that chosen_by would have labelled next"),
    CZ_KEY(cz_examples_keys, chosen_by, TEXT, .fallback = "",
           .help = "classify stage, `$STAGE`, with the same T but for `chosen` and the same D, "
                   "whose members choose by where they disagree, or the folder of one"),
    CZ_KEY(cz_examples_keys, draw, ENUM, .fallback = "balanced", .choices = cz_draw_names,
           .help = "T: as many of each label by the seed; the first of each label in file order, "
                   "T inside D; or any by the seed"),
    CZ_KEY(cz_examples_keys, draw_seed, INT, .fallback = "0", .min = 0, .max = 4503599627370496.0,
           .help = "of the draws of T and D; 0: the stage's seed, so that each seed of an "
                   "experiment is another T; any other number: all seeds have one T, and what "
                   "deviates are repetitions on it, as in the paper's tables"),
    CZ_KEY(cz_examples_keys, unlabelled, INT, .fallback = "-1", .min = -1, .max = 1e9,
           .unit = "texts", .help = "size of D, or of each label's part of it; -1: all"),
    CZ_KEY(cz_examples_keys, unlabelled_draw, ENUM, .fallback = "random",
           .choices = cz_unlabelled_names,
           .help = "D: all that is left, the first of each label in file order, or any by the "
                   "seed"),
    CZ_KEY_AS("test_examples", cz_examples_keys, tested, INT, .fallback = "-1", .min = -1,
              .max = 1e9, .unit = "texts",
              .help = "texts of `test`, spread evenly over the file; -1: all"),
    CZ_KEY(cz_examples_keys, max_length, INT, .fallback = "256", .min = 4, .max = 1 << 16,
           .unit = "tokens", .help = "longest input, pattern and special tokens included"),
};
const cz_section cz_examples_section = CZ_SECTION(
    "examples", "A few labelled texts, unlabelled ones, and a test set.", keys_of_examples);

static cz_status check_tests(const cz_examples_keys *keys) {
  const cz_config_node *tests = keys->tests;
  const char *path;
  CZ_TRY(cz_config_expect(tests, CZ_CONFIG_MAPPING));
  if (!*keys->test)
    return cz_config_error(tests,
                           "tests: they are judged beside the file `test`, which is missing");
  for (size_t i = 0; i < cz_config_count(tests); i++) {
    const char *name = cz_config_key_at(tests, i);
    if (!*name || name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                    "_-")])
      return cz_config_error(cz_config_at(tests, i),
                             "tests: '%s' is no name of letters, digits, _ and -", name);
    CZ_TRY(cz_config_text(&path, cz_config_at(tests, i)));
    if (!*path) return cz_config_error(cz_config_at(tests, i), "the name of a file is missing");
  }
  return CZ_OK;
}

/* What is said of tables beside a task, whose reader knows its files. */
static cz_status check_beside_task(const cz_examples_keys *keys, const cz_config_node *node) {
  const char *const files[] = {"train", "test"}, *const layout[] = {"columns", "group_column"};
  const char *name = keys->task->name;
  for (size_t i = 0; i < 2; i++)
    if (*cz_config_text_or(node, files[i], ""))
      return cz_config_error(cz_config_get(node, files[i]),
                             "%s: beside `task`, whose files are read by the reader of task %s: "
                             "this one belongs into task.%s",
                             files[i], name, files[i]);
  for (size_t i = 0; i < 2; i++)
    if (*cz_config_text_or(node, layout[i], ""))
      return cz_config_error(cz_config_get(node, layout[i]),
                             "%s: beside `task`: the reader of task %s knows its files' columns",
                             layout[i], name);
  if (keys->backslashes != CZ_BACKSLASHES_KEPT)
    return cz_config_error(cz_config_get(node, "backslashes"),
                           "backslashes: beside `task`: the reader of task %s knows its files",
                           name);
  if (*keys->task_config.dev)
    return cz_config_error(cz_config_get(keys->task_node, "dev"),
                           "dev: T is drawn from `train`, and `test` is judged, whichever of task "
                           "%s's files that is",
                           name);
  return CZ_OK;
}

/* The task, whose records have classes, and its files in the place of tables. */
static cz_status bind_task(cz_examples_keys *keys, const cz_config_node *node) {
  static const char *const others[] = {"name", NULL};
  cz_task_set *set = NULL;
  CZ_TRY(cz_tasklist_row(&keys->task, keys->task_node));
  CZ_TRY(cz_config_bind(keys->task_node, &keys->task->section, &keys->task_config, others));
  CZ_TRY(check_beside_task(keys, node));
  CZ_TRY(CZ_AT(keys->task_node, cz_task_describe(&set, keys->task, &keys->task_config)));
  const bool classes = set->n_labels > 0;
  cz_task_set_destroy(&set);
  if (!classes)
    return cz_config_error(cz_config_get(keys->task_node, "name"),
                           "records of task %s have no classes, which label words stand for",
                           keys->task->name);
  keys->train = keys->task_config.train;
  keys->test = keys->task_config.test;
  return CZ_OK;
}

/** Binds NODE, the section `examples`, which may be null. CZ_EUSAGE with the place. */
cz_status cz_examples_bind(cz_examples_keys *keys, const cz_config_node *node) {
  const cz_config_node *tests = cz_config_get(node, "tests"), *task = cz_config_get(node, "task"),
                       *file = cz_config_get(node, "unlabeled");
  if (file) /* the nearest spelling is the key beside it */
    return cz_config_error(file,
                           "unlabeled: the file of unlabelled texts is `unlabelled_file`, and "
                           "`unlabelled` is how many of them D has");
  CZ_TRY(cz_config_bind(node, &cz_examples_section, keys, NULL));
  keys->task = NULL;
  keys->task_node = cz_config_is_nothing(task) ? NULL : task;
  if (keys->task_node) CZ_TRY(bind_task(keys, node));
  keys->tests = cz_config_is_nothing(tests) ? NULL : tests;
  return keys->tests ? check_tests(keys) : CZ_OK;
}

/** How many files the test set has: `test`, then `tests`. */
size_t cz_examples_test_count(const cz_examples_keys *keys) {
  return !*keys->test ? 0 : 1 + (keys->tests ? cz_config_count(keys->tests) : 0);
}

/** The name that one of them has, null: of `test`. */
const char *cz_examples_test_name(const cz_examples_keys *keys, size_t part) {
  return part ? cz_config_key_at(keys->tests, part - 1) : NULL;
}

/** Its path. */
const char *cz_examples_test_path(const cz_examples_keys *keys, size_t part) {
  const char *path = keys->test;
  if (part && cz_config_text(&path, cz_config_at(keys->tests, part - 1)) != CZ_OK)
    cz_error_clear(); /* binding has refused it */
  return path;
}
