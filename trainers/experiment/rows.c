/* The rows of a plan: those of the file, its control behind them, each once for every value of
 * the axis. */
#include "base/nearest.h"
#include "experiment/plan_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static cz_status check_numbers(const cz_config_node *paper) {
  double number;
  if (!paper) return CZ_OK;
  CZ_TRY(cz_config_expect(paper, CZ_CONFIG_MAPPING));
  for (size_t i = 0; i < cz_config_count(paper); i++)
    CZ_TRY(cz_config_real(&number, cz_config_at(paper, i), -INFINITY, INFINITY));
  return CZ_OK;
}

/* The values of the axis: single ones, each once. */
static cz_status read_values(cz_plan *p, cz_axis *a) {
  CZ_TRY(cz_config_expect(a->list, CZ_CONFIG_SEQUENCE));
  a->n = cz_config_count(a->list);
  if (a->n == 0) return cz_config_error(a->list, "no values");
  CZ_TRY(cz_arena_alloc(p->arena, &a->values, a->n, sizeof *a->values));
  for (size_t i = 0; i < a->n; i++) {
    CZ_TRY(cz_config_text(&a->values[i], cz_config_at(a->list, i)));
    for (size_t j = 0; j < i; j++)
      if (!strcmp(a->values[i], a->values[j]))
        return cz_config_error(cz_config_at(a->list, i), "the value %s is there twice",
                               a->values[i]);
  }
  return CZ_OK;
}

/* Lengths of a training rise, so that each can go on from the one before. */
static cz_status check_steps(const cz_axis *a) {
  int64_t before = 0, steps;
  for (size_t i = 0; i < a->n; i++, before = steps) {
    CZ_TRY(cz_config_int(&steps, cz_config_at(a->list, i), 1, 1e12));
    if (steps <= before)
      return cz_config_error(cz_config_at(a->list, i), "steps must rise: %lld is not above %lld",
                             (long long)steps, (long long)before);
  }
  return CZ_OK;
}

/* Whether a key is not there, empty or null: what a file leaves of its base's. */
static bool is_nothing(const cz_config_node *node) {
  const char *text;
  if (!node) return true;
  if (cz_config_kind_of(node) != CZ_CONFIG_SCALAR) return false;
  if (cz_config_text(&text, node) != CZ_OK) return cz_error_clear(), true; /* null */
  return !*text;
}

/** Reads the key `axis` of ROOT; without one, or with an empty one, the plan's has no node.
 * Whether its stage exists is seen when stages are resolved (cz__plan_axis_stage). */
cz_status cz__plan_read_axis(cz_plan *p, const cz_config_node *root) {
  static const char steps[] = ".train.steps";
  cz_axis *a = &p->axis;
  const cz_config_node *node = cz_config_get(root, "axis"), *n;
  if (is_nothing(node)) return CZ_OK;
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_MAPPING));
  CZ_TRY(cz_config_known(node, &cz_axis_keys));
  CZ_TRY(cz_config_need(&n, node, "name"));
  CZ_TRY(cz_config_text(&a->name, n));
  CZ_TRY(cz_config_need(&n, node, "set"));
  CZ_TRY(cz_config_text(&a->set, n));
  CZ_TRY(cz_config_need(&a->list, node, "values"));
  CZ_TRY(read_values(p, a));
  a->node = node;
  const char *point = strchr(a->set, '.');
  if (!point || point == a->set || !point[1])
    return cz_config_error(n, "'%s' is not the name of a stage, a point and a key", a->set);
  a->steps = !strcmp(point, steps);
  return a->steps ? check_steps(a) : CZ_OK;
}

/** Finds the stage of the axis among STAGES. CZ_EUSAGE with the nearest spelling. */
cz_status cz__plan_axis_stage(cz_plan *p, const cz_config_node *stages) {
  cz_axis *a = &p->axis;
  const char **names;
  char name[256];
  const size_t n = cz_config_count(stages);
  if (!a->node) return CZ_OK;
  snprintf(name, sizeof name, "%.*s", (int)strcspn(a->set, "."), a->set);
  CZ_TRY(cz_arena_alloc(p->arena, &names, n, sizeof *names));
  for (a->stage = 0; a->stage < n; a->stage++) {
    names[a->stage] = cz_config_key_at(stages, a->stage);
    if (!strcmp(names[a->stage], name)) return CZ_OK;
  }
  return cz_config_error(cz_config_get(a->node, "set"), "axis: '%s' is no stage of this file%s",
                         name, cz_suggest(name, names, n).text);
}

/* Whether the row of NODE is without the stage of the axis: then all values are alike to it. */
static cz_status lacks_axis(bool *lacks, const cz_plan *p, const cz_config_node *node) {
  const cz_config_node *list = cz_config_get(node, "without");
  const char *text;
  size_t length = p->axis.node ? strcspn(p->axis.set, ".") : 0;
  *lacks = !p->axis.node;
  if (!list || !p->axis.node) return CZ_OK;
  CZ_TRY(cz_config_expect(list, CZ_CONFIG_SEQUENCE));
  for (size_t i = 0; i < cz_config_count(list); i++) {
    CZ_TRY(cz_config_text(&text, cz_config_at(list, i)));
    *lacks |= strlen(text) == length && !strncmp(text, p->axis.set, length);
  }
  return CZ_OK;
}

/* The row sets what the axis sets. */
static cz_status check_own_value(const cz_plan *p, const cz_config_node *node) {
  const cz_config_node *set = cz_config_get(node, "set");
  for (size_t i = 0; p->axis.node && set && i < cz_config_count(set); i++)
    if (!strcmp(cz_config_key_at(set, i), p->axis.set))
      return cz_config_error(cz_config_at(set, i), "the axis sets '%s'", p->axis.set);
  return CZ_OK;
}

static cz_status row_name(cz_plan *p, cz_plan_row *r) {
  char text[512], *kept;
  if (r->point == SIZE_MAX) return r->name = r->listed, CZ_OK;
  snprintf(text, sizeof text, "%.300s@%.150s", r->listed, p->axis.values[r->point]);
  CZ_TRY(cz_arena_strdup(p->arena, &kept, text));
  r->name = kept;
  return CZ_OK;
}

/* Reads the row of NODE into those that it makes, from the plan's next on; there is room for
 * the axis. */
static cz_status read_row(cz_plan *p, const cz_config_node *node) {
  cz_plan_row r = {.node = node, .point = SIZE_MAX};
  const cz_config_node *n;
  const size_t known = p->n_rows;
  bool lacks;
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_MAPPING));
  CZ_TRY(cz_config_known(node, &cz_row_keys));
  CZ_TRY(cz_config_need(&n, node, "name"));
  CZ_TRY(cz_config_text(&r.listed, n));
  r.paper = cz_config_get(node, "paper");
  CZ_TRY(check_numbers(r.paper));
  CZ_TRY(check_own_value(p, node));
  CZ_TRY(lacks_axis(&lacks, p, node));
  for (size_t k = 0; k < (lacks ? 1 : p->axis.n); k++) {
    r.point = lacks ? SIZE_MAX : k;
    CZ_TRY(row_name(p, &r));
    for (size_t j = 0; j < known; j++)
      if (!strcmp(r.name, p->rows[j].name) || !strcmp(r.listed, p->rows[j].listed))
        return cz_config_error(n, "two rows are called '%s'", r.name);
    p->rows[p->n_rows++] = r;
  }
  return CZ_OK;
}

/** Reads the keys `rows` and `control` of ROOT; the axis is known. CZ_EUSAGE with the place. */
cz_status cz__plan_read_rows(cz_plan *p, const cz_config_node *root) {
  const cz_config_node *list, *control = cz_config_get(root, "control");
  CZ_TRY(cz_config_need(&list, root, "rows"));
  CZ_TRY(cz_config_expect(list, CZ_CONFIG_SEQUENCE));
  const size_t n = cz_config_count(list), points = p->axis.node ? p->axis.n : 1;
  if (n == 0) return cz_config_error(list, "no rows");
  CZ_TRY(cz_arena_alloc(p->arena, &p->rows, (n + 1) * points, sizeof *p->rows));
  for (size_t i = 0; i < n; i++) CZ_TRY(read_row(p, cz_config_at(list, i)));
  p->control = p->n_rows;
  return is_nothing(control) ? CZ_OK : read_row(p, control);
}

/* The row that is LISTED in the file and has the point of ROW, or none; SIZE_MAX: there is no
 * such row. */
static size_t beside(const cz_plan *p, size_t row, const char *listed) {
  for (size_t r = 0; listed && r < p->n_rows; r++)
    if (!strcmp(p->rows[r].listed, listed) &&
        (p->rows[r].point == SIZE_MAX || p->rows[r].point == p->rows[row].point))
      return r;
  return SIZE_MAX;
}

/** The baseline row that ROW is compared with, at the same value of the axis; SIZE_MAX: there is
 * none. */
size_t cz_plan_baseline_of(const cz_plan *p, size_t row) { return beside(p, row, p->baseline); }

/** The control that ROW is compared with, at the same value of the axis; SIZE_MAX: there is none,
 * or ROW is it. */
size_t cz_plan_control_of(const cz_plan *p, size_t row) {
  if (row >= p->control || p->control == p->n_rows) return SIZE_MAX;
  return beside(p, row, p->rows[p->control].listed);
}

/** Whether ROW is no control and stands at POINT of the axis; SIZE_MAX, the last one. All rows of
 * a plan without an axis do. */
bool cz_plan_row_is(const cz_plan *p, size_t row, size_t point) {
  if (row >= p->control) return false;
  const size_t wanted = point == SIZE_MAX && p->axis.node ? p->axis.n - 1 : point;
  return !p->axis.node || p->rows[row].point == wanted || p->rows[row].point == SIZE_MAX;
}

/** Leaves out of *ROOT the stages that are empty: a file or a scale drops a stage of its base by
 * `STAGE: null`. P->all_stages keeps all of them, since the base's rows may still set the dropped
 * ones. */
cz_status cz__plan_drop_stages(cz_plan *p, const cz_config_node **root) {
  const cz_config_node *stages = cz_config_get(*root, "stages"), *left = stages;
  p->all_stages = stages;
  if (!stages || cz_config_kind_of(stages) != CZ_CONFIG_MAPPING) return CZ_OK;
  for (size_t i = 0; i < cz_config_count(stages); i++)
    if (is_nothing(cz_config_at(stages, i)))
      CZ_TRY(cz_config_without(p->config, &left, left, cz_config_key_at(stages, i)));
  return left == stages ? CZ_OK : cz_config_with(p->config, root, *root, "stages", left);
}
