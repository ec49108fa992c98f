/* Opening an experiment file: seeds and columns are read here, rows in rows.c, stages in
 * plan.c. */
#include "base/nearest.h"
#include "experiment/plan_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static cz_status optional_text(const char **out, const cz_config_node *node, const char *key) {
  const cz_config_node *n = cz_config_get(node, key);
  return n ? cz_config_text(out, n) : CZ_OK;
}

static cz_status read_seeds(cz_plan *p, const cz_config_node *root, int64_t requested) {
  const cz_config_node *list;
  CZ_TRY(cz_config_need(&list, root, "seeds"));
  CZ_TRY(cz_config_expect(list, CZ_CONFIG_SEQUENCE));
  size_t n = cz_config_count(list);
  p->n_seeds = requested > 0 ? (size_t)requested : n;
  if (p->n_seeds == 0) return cz_config_error(list, "no seeds");
  CZ_TRY(cz_arena_alloc(p->arena, &p->seeds, p->n_seeds, sizeof *p->seeds));
  for (size_t i = 0; i < p->n_seeds; i++) {
    for (size_t j = 0; j < i; j++)
      p->seeds[i] = p->seeds[j] > p->seeds[i] ? p->seeds[j] : p->seeds[i];
    p->seeds[i]++; /* more seeds than listed: go on counting from the largest */
    if (i < n) CZ_TRY(cz_config_int(&p->seeds[i], cz_config_at(list, i), 0, 4503599627370496.0));
    for (size_t j = 0; j < i; j++)
      if (p->seeds[i] == p->seeds[j])
        return cz_config_error(list, "seed %lld is there twice", (long long)p->seeds[i]);
  }
  return CZ_OK;
}

static cz_status read_path(cz_plan *p, cz_column_path *out, const cz_config_node *node,
                           const cz_config_node *stages) {
  static const char middle[] = ".scores.";
  char *task;
  *out = (cz_column_path){0};
  CZ_TRY(cz_config_text(&out->text, node));
  const size_t length = strcspn(out->text, "."), n = cz_config_count(stages);
  for (; out->stage < n; out->stage++) {
    const char *name = cz_config_key_at(stages, out->stage);
    if (strlen(name) == length && !strncmp(out->text, name, length)) break;
  }
  if (!out->text[length] || out->stage == n)
    return cz_config_error(node, "'%s' does not begin with the name of a stage and a point",
                           out->text);
  out->key = out->text + length + 1;
  const char *at = strstr(out->key, middle);
  if (!at) return CZ_OK;
  CZ_TRY(cz_arena_strdup(p->arena, &task, out->key));
  task[at - out->key] = '\0';
  out->task = task;
  out->metric = at + strlen(middle);
  return CZ_OK;
}

/** Whether A and B are scores of the same task of the same stage. */
bool cz_column_same_task(const cz_column_path *a, const cz_column_path *b) {
  return a->task && b->task && a->stage == b->stage && !strcmp(a->task, b->task);
}

/** Whether COLUMN is a mean of scores alone. */
bool cz_column_all_scores(const cz_column *c) {
  for (size_t i = 0; i < c->n_paths; i++)
    if (!c->paths[i].task) return false;
  return true;
}

/* `value`: one path, or a list whose mean is the column. */
static cz_status read_paths(cz_plan *p, cz_column *c, const cz_config_node *value,
                            const cz_config_node *stages) {
  bool list = cz_config_kind_of(value) == CZ_CONFIG_SEQUENCE;
  c->n_paths = list ? cz_config_count(value) : 1;
  if (c->n_paths == 0) return cz_config_error(value, "no value");
  CZ_TRY(cz_arena_alloc(p->arena, &c->paths, c->n_paths, sizeof *c->paths));
  for (size_t i = 0; i < c->n_paths; i++)
    CZ_TRY(read_path(p, &c->paths[i], list ? cz_config_at(value, i) : value, stages));
  return CZ_OK;
}

const char *const cz_take_names[] = {"mean", "min", "max", "spread", "first", NULL};
enum { FIRST = 4 /* of the names; the others are cz_take's */ };

/** What stands for PATH in row number ROW: PATH itself, or with `take: first` the first of its
 * alternatives whose stage the row has. */
const cz_column_path *cz_column_path_of(const cz_plan *plan, const cz_column_path *path,
                                        size_t row) {
  for (size_t i = 0; i <= path->n_else; i++)
    if (!cz_plan_at(plan, 0, row, path[i].stage)->left_out) return &path[i];
  return path;
}

/* `take`: the same of all paths. */
static cz_status read_take(cz_column *c, const cz_config_node *node) {
  const cz_config_node *n = cz_config_get(node, "take");
  const char *text;
  size_t which;
  if (!n) return CZ_OK;
  CZ_TRY(cz_config_text(&text, n));
  CZ_TRY(CZ_AT(n, cz_find_name(&which, "take", text, cz_take_names, FIRST + 1)));
  if (which == FIRST) {
    c->paths->n_else = c->n_paths - 1;
    c->n_paths = 1;
    return CZ_OK;
  }
  for (size_t i = 0; i < c->n_paths; i++) {
    if (c->paths[i].task)
      return cz_config_error(n, "take: the score '%s' is one number and no list", c->paths[i].text);
    c->paths[i].take = (cz_take)(which + 1);
  }
  return CZ_OK;
}

/* A column of the paper that no row has is a slip of the pen. */
static cz_status check_paper(const cz_plan *p, const cz_config_node *column, const char *paper) {
  for (size_t r = 0; r < p->n_rows; r++)
    if (p->rows[r].paper && cz_config_get(p->rows[r].paper, paper)) return CZ_OK;
  const char *names[64];
  size_t n = 0;
  const cz_config_node *row = p->rows[0].paper;
  for (size_t i = 0; row && i < cz_config_count(row) && n < 64; i++)
    names[n++] = cz_config_key_at(row, i);
  return cz_config_error(cz_config_get(column, "paper"), "no row's `paper` has a '%s'%s", paper,
                         cz_suggest(paper, names, n).text);
}

static cz_status read_column(cz_plan *p, const cz_config_node *root, const cz_config_node *node,
                             cz_column *c) {
  const cz_config_node *n, *noise = cz_config_get(root, "paper_noise");
  c->node = node;
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_MAPPING));
  CZ_TRY(cz_config_known(node, &cz_column_keys));
  CZ_TRY(cz_config_need(&n, node, "name"));
  CZ_TRY(cz_config_text(&c->name, n));
  CZ_TRY(cz_config_need(&n, node, "value"));
  CZ_TRY(read_paths(p, c, n, cz_config_get(root, "stages")));
  CZ_TRY(read_take(c, node));
  CZ_TRY(optional_text(&c->paper, node, "paper"));
  CZ_TRY(optional_text(&c->unit, node, "unit"));
  CZ_TRY(optional_text(&c->note, node, "note"));
  c->paper_noise = NAN;
  if (!c->paper) return CZ_OK;
  CZ_TRY(check_paper(p, node, c->paper));
  n = noise ? cz_config_get(noise, c->paper) : NULL;
  return n ? cz_config_real(&c->paper_noise, n, 0, INFINITY) : CZ_OK;
}

static cz_status read_columns(cz_plan *p, const cz_config_node *root) {
  const cz_config_node *list;
  CZ_TRY(cz_config_need(&list, root, "columns"));
  CZ_TRY(cz_config_expect(list, CZ_CONFIG_SEQUENCE));
  p->n_columns = cz_config_count(list);
  CZ_TRY(cz_arena_alloc(p->arena, &p->columns, p->n_columns, sizeof *p->columns));
  for (size_t i = 0; i < p->n_columns; i++) {
    CZ_TRY(read_column(p, root, cz_config_at(list, i), &p->columns[i]));
    for (size_t j = 0; j < i; j++)
      if (!strcmp(p->columns[i].name, p->columns[j].name))
        return cz_config_error(cz_config_at(list, i), "two columns are called '%s'",
                               p->columns[i].name);
  }
  return CZ_OK;
}

static cz_status check_baseline(const cz_plan *p, const cz_config_node *root) {
  if (!p->baseline) return CZ_OK;
  for (size_t r = 0; r < p->n_rows; r++)
    if (!strcmp(p->rows[r].listed, p->baseline)) return CZ_OK;
  return cz_config_error(cz_config_get(root, "baseline"), "no row is called '%s'", p->baseline);
}

/* A file whose scales have the stages, opened without one. */
static cz_status need_scale(const cz_plan *p) {
  cz_buf names = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < cz_config_count(p->scales) && st == CZ_OK; i++)
    st = cz_buf_addf(&names, " %s", cz_config_key_at(p->scales, i));
  if (st == CZ_OK)
    st = cz_config_error(p->scales, "the stages are in the scales: choose one with --scale:%s",
                         names.data ? names.data : "");
  cz_buf_free(&names);
  return st;
}

/* Whether one of WORDS is `KEY=...`: what the file says of its own data is not so of data
 * that an override names. */
static bool is_replaced(const char *key, char *const *words, size_t n_words) {
  size_t length = strlen(key);
  for (size_t i = 0; i < n_words; i++)
    if (!strncmp(words[i], key, length) && words[i][length] == '=') return true;
  return false;
}

/** Opens an experiment file with its scale (null: the one that its key `scale` names, if
 * any) and overrides (WORDS, `a.b=c`), SEEDS above 0 replacing how many seeds there are,
 * and resolves every stage of every row and seed. With SESSION keys cover the contents
 * of the files that stages name, and everything is checked first (cz_plan_check) unless another
 * process of the run has done so; null is for looking only. CZ_EUSAGE with file and line for
 * anything that is not as it should be. Close with cz_plan_close, also after a failure. TEXT: the
 * experiment, of which PATH is the name in messages; null: the file at PATH has it. */
cz_status cz_plan_open_text(cz_plan *p, const char *path, const char *text, const char *scale,
                            int64_t seeds, char *const *words, size_t n_words,
                            cz_session *session) {
  *p = (cz_plan){0};
  CZ_TRY(cz_arena_create(&p->arena, "plan"));
  if (!(p->files = json_object())) return CZ_FAIL(CZ_ENOMEM, "no memory for a plan");
  CZ_TRY(text ? cz_config_parse(&p->config, path, text, strlen(text))
              : cz_config_open(&p->config, path));
  p->scales = cz_config_get(cz_config_root(p->config), "scales");
  CZ_TRY(cz_config_scale(p->config, scale));
  for (size_t i = 0; i < n_words; i++) CZ_TRY(cz_config_set(p->config, words[i]));
  const cz_config_node *root = cz_config_root(p->config);
  CZ_TRY(cz_config_expect(root, CZ_CONFIG_MAPPING));
  CZ_TRY(cz_config_known(root, &cz_experiment_keys));
  CZ_TRY(optional_text(&p->title, root, "title"));
  CZ_TRY(optional_text(&p->source, root, "source"));
  CZ_TRY(optional_text(&p->baseline, root, "baseline"));
  CZ_TRY(optional_text(&p->data, root, "data"));
  if (!is_replaced("data", words, n_words) || is_replaced("data_made_by", words, n_words))
    CZ_TRY(optional_text(&p->data_made_by, root, "data_made_by"));
  CZ_TRY(read_seeds(p, root, seeds));
  CZ_TRY(cz__plan_read_axis(p, root));
  CZ_TRY(cz__plan_read_rows(p, root));
  CZ_TRY(check_baseline(p, root));
  CZ_TRY(cz__plan_read_contrasts(p, root));
  if (p->scales && !cz_config_get(root, "stages")) return need_scale(p);
  CZ_TRY(cz__plan_drop_stages(p, &root));
  CZ_TRY(cz__plan_check_common(root));
  CZ_TRY(cz__plan_resolve(p, root));
  CZ_TRY(cz__plan_check_words(p, root, words, n_words));
  CZ_TRY(read_columns(p, root));
  if (session && !session->works) CZ_TRY(cz_plan_check(p, NULL, session));
  return cz__plan_make_keys(p, session ? &session->inputs : NULL);
}

/** cz_plan_open_text of the file at PATH. */
cz_status cz_plan_open(cz_plan *p, const char *path, const char *scale, int64_t seeds,
                       char *const *words, size_t n_words, cz_session *session) {
  return cz_plan_open_text(p, path, NULL, scale, seeds, words, n_words, session);
}

/** Frees the plan. */
void cz_plan_close(cz_plan *p) {
  json_decref(p->files);
  p->files = NULL;
  cz_config_destroy(&p->config);
  cz_arena_destroy(&p->arena);
}
