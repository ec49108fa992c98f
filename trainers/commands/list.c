/* `cloze list`: what there is to name in a configuration. */
#include "commands/commands.h"
#include "base/args.h"
#include "base/fs.h"
#include "device/device.h"
#include "experiment/report/table.h"
#include "json/json.h"
#include "objectives/objective.h"
#include "recipe/recipe.h"
#include "tasks/task.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char cz_list_usage[] =
    "cloze list [experiments | models | objectives | tasks | devices] [--in DIR] [--json]\n"
    "What there is: experiment files below DIR (default experiments), models, objectives, tasks, "
    "devices; all of it without a word.\n";

typedef struct request {
  const char *folder;
  json_t *found; /* {topic: [{name, help}, ...]} */
} request;

/* Names of files are bytes: what is not UTF-8 in them is shown as \xHH. */
static cz_status add(json_t *list, const char *name, const char *help) {
  json_t *item = json_object();
  cz_status st = cz_json_set_text(item, "name", name);
  if (st == CZ_OK) st = cz_json_set_text(item, "help", help);
  if (st == CZ_OK) return cz_json_add(list, item);
  json_decref(item);
  return st;
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

/* A file that has rows is an experiment; others are bases. */
static cz_status read_title(cz_config **config, const char **title, bool *experiment,
                            const char *path) {
  CZ_TRY(cz_config_open(config, path));
  const cz_config_node *root = cz_config_root(*config), *n = cz_config_get(root, "title");
  *experiment = cz_config_get(root, "rows") != NULL;
  return n ? cz_config_text(title, n) : CZ_OK;
}

/* A file that cannot be read is listed with the reason, and the listing goes on. A table shows the
 * reason's first line, which has the place; the lines of the file that follow would break it. */
static cz_status add_file(json_t *list, const char *path) {
  cz_config *config = NULL;
  const char *title = "";
  bool experiment = false;
  cz_buf reason = {0};
  cz_status st = read_title(&config, &title, &experiment, path);
  if (st != CZ_OK) {
    st = cz_buf_addf(&reason, "%s", cz_error_message());
    cz_error_clear();
    if (st == CZ_OK) st = add(list, path, reason.data);
  } else if (experiment) {
    st = add(list, path, title);
  }
  cz_buf_free(&reason);
  cz_config_destroy(&config);
  return st;
}

static cz_status add_experiments(json_t *list, const char *folder) {
  struct dirent **names;
  char path[4096];
  cz_status st = CZ_OK;
  int n = scandir(folder, &names, visible, by_name);
  if (n < 0)
    return CZ_FAIL(CZ_EUSAGE, "%s: %s; --in DIR names the folder of experiment files", folder,
                   strerror(errno));
  for (int i = 0; i < n; i++) {
    const char *dot = strrchr(names[i]->d_name, '.');
    if (st == CZ_OK) st = cz_fs_join(path, sizeof path, folder, names[i]->d_name);
    if (st == CZ_OK && cz_fs_is_dir(path) && strcmp(names[i]->d_name, "results"))
      st = add_experiments(list, path);
    else if (st == CZ_OK && dot && !strcmp(dot, ".yaml"))
      st = add_file(list, path);
    free(names[i]);
  }
  free(names);
  return st;
}

static cz_status list_experiments(const request *r, json_t *list) {
  return add_experiments(list, r->folder);
}

static cz_status list_models(const request *r, json_t *list) {
  const char *names[128];
  char help[160];
  size_t n = cz_model_names(names, 128);
  for (size_t i = 0; i < n && i < 128; i++) {
    cz_model_config c;
    int64_t count;
    CZ_TRY(cz_model_config_named(&c, names[i]));
    CZ_TRY(cz_model_count(&count, &c));
    snprintf(
        help, sizeof help,
        "%.1f M parameters: %s%lld blocks, width %lld, feed-forward %lld, %lld heads of %lld; %s",
        1e-6 * (double)count, c.family->architecture == CZ_ENCODER_DECODER ? "2 x " : "",
        (long long)c.n_layers, (long long)c.d_model, (long long)c.d_ff, (long long)c.n_heads,
        (long long)c.d_kv, c.family->help);
    CZ_TRY(add(list, names[i], help));
  }
  return CZ_OK;
}

static cz_status list_objectives(const request *r, json_t *list) {
  for (size_t i = 0; i < cz_objective_count; i++)
    CZ_TRY(add(list, cz_objective_rows[i]->name, cz_objective_rows[i]->help));
  return CZ_OK;
}

static cz_status list_tasks(const request *r, json_t *list) {
  for (size_t i = 0; i < cz_task_count; i++)
    CZ_TRY(add(list, cz_task_rows[i]->name, cz_task_rows[i]->help));
  return CZ_OK;
}

/* The devices, and for those of the host on what kind of processor they compute here. */
static cz_status list_devices(const request *r, json_t *list) {
  const cz_device_row *row;
  char help[128 + CZ_PROCESSOR_BYTES];
  for (size_t i = 0; (row = cz_device_at(i)); i++) {
    bool says = row->host && !row->guard;
    snprintf(help, sizeof help, "%s%s%s", row->help, says ? "; " : "",
             says ? cz_device_processor_kind(row->real) : "");
    CZ_TRY(add(list, row->name, help));
  }
  return CZ_OK;
}

static const struct topic {
  const char *name;
  cz_status (*fill)(const request *r, json_t *list);
} topics[] = {{"experiments", list_experiments},
              {"models", list_models},
              {"objectives", list_objectives},
              {"tasks", list_tasks},
              {"devices", list_devices}};
enum { N_TOPICS = sizeof topics / sizeof *topics };

static cz_status collect(request *r, const char *word) {
  bool found = !word;
  for (int i = 0; i < N_TOPICS; i++) {
    if (word && strcmp(word, topics[i].name)) continue;
    json_t *list = json_array();
    found = true;
    json_object_set_new(r->found, topics[i].name, list);
    CZ_TRY(topics[i].fill(r, list));
  }
  return found ? CZ_OK
               : CZ_FAIL(
                     CZ_EUSAGE,
                     "list: there are experiments, models, objectives, tasks and devices, no '%s'",
                     word);
}

static cz_status print_topics(cz_buf *out, const request *r) {
  const char *topic;
  json_t *list, *item;
  size_t i;
  json_object_foreach(r->found, topic, list) {
    cz_grid g = {.columns = 2};
    cz_status st = cz_grid_add(&g, "%s", topic);
    if (st == CZ_OK) st = cz_grid_add(&g, " ");
    json_array_foreach(list, i, item) {
      if (st == CZ_OK) st = cz_grid_add(&g, "%s", json_string_value(json_object_get(item, "name")));
      const char *help = json_string_value(json_object_get(item, "help"));
      if (st == CZ_OK) st = cz_grid_add(&g, "%.*s", (int)strcspn(help, "\n"), help);
    }
    if (st == CZ_OK) st = cz_grid_print(out, &g, 3, false);
    cz_grid_free(&g);
    CZ_TRY(st);
  }
  return CZ_OK;
}

/** The command `cloze list`; its usage says what it prints. */
cz_status cz_command_list(int argc, char **argv) {
  request r = {.folder = "experiments"};
  bool json = false;
  const cz_option options[] = {{"--in", &r.folder, NULL}, {"--json", NULL, &json}};
  cz_buf text = {0};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 0, 1, cz_list_usage));
  r.found = json_object();
  cz_status st = collect(&r, argc > 1 ? argv[1] : NULL);
  if (st == CZ_OK) st = json ? cz_print_json(&text, json_incref(r.found)) : print_topics(&text, &r);
  if (st == CZ_OK) fputs(text.data, stdout);
  json_decref(r.found);
  cz_buf_free(&text);
  return st;
}
