/* Checks of a whole experiment before its first stage runs: every stage of every row,
 * files, what starts from what, and what columns ask for. */
#include "base/log.h"
#include "base/nearest.h"
#include "experiment/experiment.h"
#include "stages/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is known of the stages of a row before it runs. */
typedef struct row_facts {
  cz_model_config *models; /* [n_stages] that each builds */
  cz_check_from *from;     /* [n_stages] of the stage that is checked */
} row_facts;

/* A stage that starts from the model of another one must build the same model. */
static cz_status check_start(const cz_check *c, const char *init) {
  char where[160];
  const cz_check_from *from = c->stage.from; /* `init` is the first */
  snprintf(where, sizeof where, "init: $%s", init);
  if (!(from->kind->leaves & CZ_LEAVES_MODEL))
    return CZ_FAIL(CZ_EUSAGE, "%s: a stage of kind %s leaves no model", where, from->kind->name);
  return cz_recipe_same_model(from->model, &c->stage.model, where);
}

static cz_status check_planned(cz_check *c, const cz_plan *p, size_t k, row_facts *facts) {
  const cz_plan_stage *s = &p->stages[k];
  for (size_t i = 0; i < s->n_from; i++) {
    const cz_plan_stage *from = cz_plan_from(p, k, i);
    facts->from[i] =
        (cz_check_from){from->name, from->kind, from->node, &facts->models[s->from[i]]};
  }
  c->stage = (cz_check_stage_facts){
      .name = s->name, .from = facts->from, .n_from = s->n_from, .starts = s->init != NULL};
  cz_status st = cz_check_stage(c, s->node, s->kind);
  facts->models[k % p->n_stages] = c->stage.model;
  return st == CZ_OK && s->init ? check_start(c, s->init) : st;
}

static cz_status check_row(cz_check *c, const cz_plan *p, size_t row, row_facts *facts) {
  cz_check_begin_row(c);
  for (size_t i = 0; i < p->n_stages; i++) {
    size_t k = row * p->n_stages + i; /* of the first seed */
    if (p->stages[k].left_out) continue;
    cz_status st = check_planned(c, p, k, facts);
    if (st != CZ_OK) return CZ_NOTE(st, "row %s, stage %s", p->rows[row].name, p->stages[k].name);
  }
  return CZ_OK;
}

/* The values whose names begin as PATH does. */
static cz_status list_results(cz_buf *out, const cz_check *c, const char *path, size_t head) {
  const char *name;
  json_t *value;
  json_object_foreach(c->results, name, value) {
    if (!strncmp(name, path, head)) CZ_TRY(cz_buf_addf(out, "%s%s", out->len ? ", " : "", name));
  }
  return CZ_OK;
}

/* The value that is spelt most like PATH, or null. */
static cz_status nearest_result(const char **near, const cz_check *c, const char *path) {
  const char **names, *name;
  json_t *value;
  size_t n = 0;
  CZ_TRY(cz_alloc(&names, json_object_size(c->results) + 1, sizeof *names));
  json_object_foreach(c->results, name, value) names[n++] = name;
  *near = cz_nearest(path, names, n);
  free(names);
  return CZ_OK;
}

/* PATH is a value that no row's stages leave: what its task has, what is spelt most like
 * it, or what its stage has. */
static cz_status refuse_path(const cz_check *c, const cz_config_node *node, const char *path) {
  const char *near = NULL;
  size_t head = (size_t)(strrchr(path, '.') - path) + 1; /* STAGE.TASK.scores. */
  cz_buf all = {0};
  CZ_TRY(nearest_result(&near, c, path));
  cz_status st = list_results(&all, c, path, head);
  if (st == CZ_OK && !all.len && !near) st = list_results(&all, c, path, strcspn(path, ".") + 1);
  if (st == CZ_OK && all.len)
    st = cz_config_error(node, "no result has '%s'; there are %s", path, all.data);
  else if (st == CZ_OK)
    st = cz_config_error(node, "no result has '%s'%s", path,
                         cz_suggest(path, &near, near ? 1 : 0).text);
  cz_buf_free(&all);
  return st;
}

/* Whether a value is called PATH where `[]` stands for the items of lists, as in
 * "pet.members[].accuracy". */
static bool leads_through_list(const cz_check *c, const char *path) {
  const char *name, *mark;
  json_t *value;
  json_object_foreach(c->results, name, value) {
    const char *at = path, *from = name;
    if (!strstr(name, "[]")) continue;
    while ((mark = strstr(from, "[]")) && !strncmp(at, from, (size_t)(mark - from)))
      at += mark - from, from = mark + 2;
    if (!strcmp(at, from)) return true;
  }
  return false;
}

/* A value that the stages are known to leave is a list where the column has `take`. */
static cz_status check_take(const cz_check *c, const cz_config_node *node, const cz_column *column,
                            const cz_column_path *path) {
  const bool list = leads_through_list(c, path->text);
  if (!list && !json_object_get(c->results, path->text)) return refuse_path(c, node, path->text);
  if (list && path->take == CZ_TAKE_ONE)
    return cz_config_error(node,
                           "'%s' leads to a list: the key `take` (mean, min, max or spread) "
                           "is missing",
                           path->text);
  if (!list && path->take != CZ_TAKE_ONE)
    return cz_config_error(cz_config_get(column->node, "take"),
                           "take: '%s' is one number and no list", path->text);
  return CZ_OK;
}

/* Each value of each column is left by a stage, in one row at least: rows may have tasks
 * of their own. */
static cz_status check_values(const cz_check *c, const cz_plan *p) {
  for (size_t k = 0; k < p->n_columns; k++) {
    const cz_config_node *value = cz_config_get(p->columns[k].node, "value");
    bool list = cz_config_kind_of(value) == CZ_CONFIG_SEQUENCE;
    const size_t all = p->columns[k].n_paths + p->columns[k].paths->n_else;
    for (size_t i = 0; i < all; i++)
      CZ_TRY(check_take(c, list ? cz_config_at(value, i) : value, &p->columns[k],
                        &p->columns[k].paths[i]));
  }
  return CZ_OK;
}

/* Whether a column of LIST stands beside NAME. */
static bool is_used(const cz_config_node *list, const char *name) {
  for (size_t i = 0; list && i < cz_config_count(list); i++) {
    const cz_config_node *paper = cz_config_get(cz_config_at(list, i), "paper");
    const char *text;
    if (paper && cz_config_text(&text, paper) == CZ_OK && !strcmp(text, name)) return true;
    cz_error_clear();
  }
  return false;
}

/* Warns of a value of the paper that no column of any scale shows. It may be misspelt, or be
 * given for the record only, so this is no error. */
static void warn_of_paper(const cz_plan *p, const cz_config_node *paper, const char *where) {
  const cz_config_node *root = cz_config_root(p->config);
  const char *names[32];
  size_t n = 0;
  for (size_t k = 0; k < p->n_columns && n < 32; k++)
    if (p->columns[k].paper) names[n++] = p->columns[k].paper;
  for (size_t i = 0; paper && n && i < cz_config_count(paper); i++) {
    const char *name = cz_config_key_at(paper, i);
    bool used = is_used(cz_config_get(root, "columns"), name);
    for (size_t s = 0; p->scales && s < cz_config_count(p->scales); s++)
      used |= is_used(cz_config_get(cz_config_at(p->scales, s), "columns"), name);
    if (!used)
      cz_warn("%s: no column is beside the paper's '%s'%s", where, name,
              cz_suggest(name, names, n).text);
  }
}

static void check_papers(const cz_plan *p) {
  char where[256];
  const cz_config_node *root = cz_config_root(p->config);
  if (!p->scales && cz_config_get(root, "scale"))
    return; /* a resolved file: its other scales are gone */
  for (size_t r = 0; r < p->n_rows; r++) {
    snprintf(where, sizeof where, "row %s", p->rows[r].name);
    warn_of_paper(p, p->rows[r].paper, where);
  }
  warn_of_paper(p, cz_config_get(root, "paper_noise"), "paper_noise");
}

/** Checks every stage of every row of the plan, all that differs between seeds being the
 * seed: configurations, files and their contents, models that stages start from,
 * columns. MISSING null: all files must be there; otherwise those that are not are
 * listed there, a line each, and what can be checked without them is. SESSION is
 * where it will run, or null for any number of ranks on any device. The message names row, stage,
 * file, line and value. */
cz_status cz_plan_check(const cz_plan *p, cz_buf *missing, const cz_session *session) {
  cz_check c;
  row_facts facts = {0};
  cz_status st;
  CZ_GO(st, cz_check_open(&c, missing, p->data, session), done);
  CZ_GO(st, cz_alloc(&facts.models, p->n_stages, sizeof *facts.models), done);
  CZ_GO(st, cz_alloc(&facts.from, p->n_stages, sizeof *facts.from), done);
  c.files.made_by = p->data_made_by;
  for (size_t row = 0; row < p->n_rows; row++) CZ_GO(st, check_row(&c, p, row, &facts), done);
  CZ_GO(st, check_values(&c, p), done);
  check_papers(p);
  if (missing && *c.files.hint) st = cz_buf_addf(missing, "(%s)\n", c.files.hint);
done:
  free(facts.models);
  free(facts.from);
  cz_check_close(&c);
  return st;
}
