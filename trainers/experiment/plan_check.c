/* Checks of a whole experiment before its first stage runs: every stage of every row,
 * files, what starts from what, and what columns ask for. */
#include "stages/check.h"
#include "base/log.h"
#include "base/nearest.h"
#include "experiment/experiment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cz_status start_from(const cz_model_config *there, const cz_model_config *wanted,
                            const char *stage) {
  char where[160];
  snprintf(where, sizeof where, "init: $%s", stage);
  return cz_recipe_same_model(there, wanted, where);
}

/* The stages of a row; a stage that starts from another one must build the same model. */
static cz_status check_row(cz_check *c, const cz_plan *p, size_t row, cz_model_config *models) {
  for (size_t i = 0; i < p->n_stages; i++) {
    const cz_plan_stage *s = cz_plan_at(p, 0, row, i), *from = cz_plan_init(p, 0, row, i);
    c->stage_name = s->name;
    c->starts = from != NULL;
    cz_status st = cz_check_stage(c, s->node, s->kind);
    models[i] = c->model;
    if (st == CZ_OK && from)
      st = start_from(&models[from - cz_plan_at(p, 0, row, 0)], &c->model, from->name);
    if (st != CZ_OK) return CZ_NOTE(st, "row %s, stage %s", p->rows[row].name, s->name);
  }
  return CZ_OK;
}

/* The values whose names begin as PATH does. */
static cz_status list_results(cz_buf *out, const cz_check *c, const char *path, size_t head) {
  for (size_t i = 0; i < c->n_results; i++)
    if (!strncmp(c->results[i], path, head))
      CZ_TRY(cz_buf_addf(out, "%s%s", out->len ? ", " : "", c->results[i]));
  return CZ_OK;
}

/* PATH is a value that no row's stages leave: what its task has, what is spelt most like
 * it, or what its stage has. */
static cz_status refuse_path(const cz_check *c, const cz_config_node *node, const char *path) {
  const char *near = cz_nearest(path, c->results, c->n_results);
  size_t head = (size_t)(strrchr(path, '.') - path) + 1; /* STAGE.TASK.scores. */
  cz_buf all = {0};
  cz_status st = list_results(&all, c, path, head);
  if (st == CZ_OK && !all.len && !near) st = list_results(&all, c, path, strcspn(path, ".") + 1);
  if (st == CZ_OK && all.len)
    st = cz_config_error(node, "no result has '%s'; there are %s", path, all.data);
  else if (st == CZ_OK)
    st = cz_config_error(node, "no result has '%s'%s", path,
                         cz_suggest(path, c->results, c->n_results).text);
  cz_buf_free(&all);
  return st;
}

/* Each value of each column is left by a stage, in one row at least: rows may have tasks
 * of their own. */
static cz_status check_values(const cz_check *c, const cz_plan *p) {
  for (size_t k = 0; k < p->n_columns; k++) {
    const cz_config_node *value = cz_config_get(p->columns[k].node, "value");
    for (size_t i = 0; i < p->columns[k].n_paths; i++) {
      size_t at = 0;
      while (at < c->n_results && strcmp(c->results[at], p->columns[k].paths[i])) at++;
      const cz_config_node *n =
          cz_config_kind_of(value) == CZ_CONFIG_SEQUENCE ? cz_config_at(value, i) : value;
      if (at == c->n_results) CZ_TRY(refuse_path(c, n, p->columns[k].paths[i]));
    }
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

/* A value of the paper that no column of any scale stands beside may be misspelt; it may
 * also just be there. */
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
 * listed there, a line each, and what can be checked without them is. COMM is who will
 * train, or null for any number of ranks. The message names row, stage, file, line and
 * value. */
cz_status cz_plan_check(const cz_plan *p, cz_buf *missing, const cz_comm *comm) {
  cz_check c;
  cz_model_config *models = NULL;
  cz_status st;
  CZ_GO(st, cz_check_open(&c, missing, p->data, comm), done);
  CZ_GO(st, cz_alloc(&models, p->n_stages, sizeof *models), done);
  c.made_by = p->data_made_by;
  for (size_t row = 0; row < p->n_rows; row++) CZ_GO(st, check_row(&c, p, row, models), done);
  CZ_GO(st, check_values(&c, p), done);
  check_papers(p);
  if (missing && *c.hint) st = cz_buf_addf(missing, "(%s)\n", c.hint);
done:
  free(models);
  cz_check_close(&c);
  return st;
}
