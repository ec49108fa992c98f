/* The rows of a plan: those of the file, its control behind them, each once for every value of
 * the axis. */
#include "base/nearest.h"
#include "experiment/plan_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

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

/* Appends SET, `STAGE.KEY`, to the keys of the axis; NODE is where it stands. */
static cz_status add_key(cz_axis *a, cz_plan *p, const cz_config_node *node, const char *set) {
  const char *point = strchr(set, '.');
  if (!point || point == set || !point[1])
    return cz_config_error(node, "'%s' is not the name of a stage, a point and a key", set);
  for (size_t i = 0; i < a->n_keys; i++)
    if (!strcmp(a->keys[i], set)) return cz_config_error(node, "the axis sets '%s' twice", set);
  if (!(a->n_keys & (a->n_keys - 1))) { /* room for 1, 2, 4, ... */
    const char **more;
    CZ_TRY(cz_arena_alloc(p->arena, &more, a->n_keys ? 2 * a->n_keys : 1, sizeof *more));
    if (a->n_keys) memcpy(more, a->keys, a->n_keys * sizeof *more);
    a->keys = more;
  }
  a->keys[a->n_keys++] = set;
  return CZ_OK;
}

/* Whether NODE, of a stage, has the key at PATH, names with points between. */
static bool has_key(const cz_config_node *node, const char *path) {
  char name[256];
  while (node && *path) {
    const size_t length = strcspn(path, ".");
    if (cz_config_kind_of(node) != CZ_CONFIG_MAPPING || length >= sizeof name) return false;
    snprintf(name, sizeof name, "%.*s", (int)length, path);
    node = cz_config_get(node, name);
    path += length + (path[length] == '.');
  }
  return node != NULL;
}

/* `common.KEY` is of all STAGES whose kind takes KEY's section and that do not set KEY themselves:
 * as `common`, it lies below what a stage says. */
static cz_status add_common(cz_axis *a, cz_plan *p, const cz_config_node *node, const char *path,
                            const cz_config_node *stages) {
  char section[256], text[512];
  const size_t before = a->n_keys;
  snprintf(section, sizeof section, "%.*s", (int)strcspn(path, "."), path);
  for (size_t i = 0; stages && i < cz_config_count(stages); i++) {
    const cz_config_node *stage = cz_config_at(stages, i);
    const cz_stage_kind *kind;
    char *kept;
    if (cz_config_kind_of(stage) != CZ_CONFIG_MAPPING) continue; /* dropped, or refused later */
    if (cz_stage_kind_of(&kind, stage) != CZ_OK) {
      cz_error_clear(); /* resolving the stages refuses it with more words */
      continue;
    }
    if (!cz_stage_takes(kind, section) || has_key(stage, path)) continue;
    snprintf(text, sizeof text, "%.200s.%.300s", cz_config_key_at(stages, i), path);
    CZ_TRY(cz_arena_strdup(p->arena, &kept, text));
    CZ_TRY(add_key(a, p, node, kept));
  }
  if (!stages || a->n_keys > before) return CZ_OK;
  return cz_config_error(node, "axis: no stage of this file takes '%s', or all set it themselves",
                         path);
}

static cz_status add_set(cz_axis *a, cz_plan *p, const cz_config_node *node,
                         const cz_config_node *stages) {
  static const char common[] = "common.";
  const char *set;
  CZ_TRY(cz_config_text(&set, node));
  if (strncmp(set, common, strlen(common))) return add_key(a, p, node, set);
  return add_common(a, p, node, set + strlen(common), stages);
}

/* The key `set`: one key of a stage, or a list; STAGES, null where they are a scale's. */
static cz_status read_set(cz_plan *p, const cz_config_node *set, const cz_config_node *stages) {
  cz_axis *a = &p->axis;
  cz_buf text = {0};
  char *kept;
  const bool list = cz_config_kind_of(set) == CZ_CONFIG_SEQUENCE;
  const size_t n = list ? cz_config_count(set) : 1;
  cz_status st = CZ_OK;
  if (n == 0) return cz_config_error(set, "the axis sets no key");
  for (size_t i = 0; i < n; i++) {
    const cz_config_node *one = list ? cz_config_at(set, i) : set;
    const char *name;
    CZ_GO(st, add_set(a, p, one, stages), done);
    CZ_GO(st, cz_config_text(&name, one), done);
    CZ_GO(st, cz_buf_addf(&text, "%s%s", i ? ", " : "", name), done);
    a->steps =
        !list && a->n_keys == 1 && a->keys[0] == name && !strcmp(strchr(name, '.'), ".train.steps");
  }
  CZ_GO(st, cz_arena_strdup(p->arena, &kept, text.data), done);
  a->set = kept;
done:
  cz_buf_free(&text);
  return st;
}

/** Reads the key `axis` of ROOT; without one, or with an empty one, the plan's has no node.
 * Whether its stages exist is seen when stages are resolved (cz__plan_axis_stages). */
cz_status cz__plan_read_axis(cz_plan *p, const cz_config_node *root) {
  cz_axis *a = &p->axis;
  const cz_config_node *node = cz_config_get(root, "axis"), *n;
  if (cz_config_is_nothing(node)) return CZ_OK;
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_MAPPING));
  CZ_TRY(cz_config_known(node, &cz_axis_keys));
  CZ_TRY(cz_config_need(&n, node, "name"));
  CZ_TRY(cz_config_text(&a->name, n));
  CZ_TRY(cz_config_need(&n, node, "set"));
  CZ_TRY(cz_config_need(&a->list, node, "values"));
  CZ_TRY(read_values(p, a));
  CZ_TRY(read_set(p, n, cz_config_get(root, "stages")));
  a->node = node;
  return a->steps ? check_steps(a) : CZ_OK;
}

/* Whether KEY, STAGE.KEY, is of the stage called NAME. */
static bool is_of(const char *key, const char *name) {
  const size_t length = strcspn(key, ".");
  return strlen(name) == length && !strncmp(key, name, length);
}

/** Whether the axis sets a key of the stage called STAGE. */
bool cz_plan_axis_sets(const cz_plan *p, const char *stage) {
  for (size_t i = 0; p->axis.node && i < p->axis.n_keys; i++)
    if (is_of(p->axis.keys[i], stage)) return true;
  return false;
}

static bool has_stage(const cz_config_node *stages, const char *key) {
  for (size_t i = 0; i < cz_config_count(stages); i++)
    if (is_of(key, cz_config_key_at(stages, i))) return true;
  return false;
}

static cz_status no_stage(const cz_plan *p, const cz_config_node *stages, const char *key) {
  const char **names;
  char name[256];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(key, "."), key);
  CZ_TRY(cz_arena_alloc(p->arena, &names, cz_config_count(stages), sizeof *names));
  for (size_t i = 0; i < cz_config_count(stages); i++) names[i] = cz_config_key_at(stages, i);
  return cz_config_error(cz_config_get(p->axis.node, "set"),
                         "axis: '%s' is no stage of this file%s", name,
                         cz_suggest(name, names, cz_config_count(stages)).text);
}

/** Finds the stages of the axis among STAGES; of several, those that the file or its scale drops
 * are left out. CZ_EUSAGE with the nearest spelling. */
cz_status cz__plan_axis_stages(cz_plan *p, const cz_config_node *stages) {
  cz_axis *a = &p->axis;
  cz_buf names = {0};
  char *kept;
  size_t left = 0, n = cz_config_count(stages);
  cz_status st = CZ_OK;
  for (size_t i = 0; a->node && i < a->n_keys; i++) {
    const char *key = a->keys[i];
    if (!has_stage(a->n_keys > 1 ? p->all_stages : stages, key)) return no_stage(p, stages, key);
    if (has_stage(stages, key)) a->keys[left++] = key;
  }
  if (!a->node) return CZ_OK;
  a->n_keys = left;
  if (!left) return cz_config_error(cz_config_get(a->node, "set"), "axis: its stages are dropped");
  a->stage = n;
  for (size_t i = 0; i < n && st == CZ_OK; i++) {
    const char *name = cz_config_key_at(stages, i);
    if (!cz_plan_axis_sets(p, name)) continue;
    if (a->stage == n) a->stage = i;
    st = cz_buf_addf(&names, "%s%s", names.len ? ", " : "", name);
  }
  if (st == CZ_OK) st = cz_arena_strdup(p->arena, &kept, names.data);
  if (st == CZ_OK) a->stages = kept;
  cz_buf_free(&names);
  return st;
}

/* Whether the row of NODE is without all stages of the axis: then all values are alike to it. */
static cz_status lacks_axis(bool *lacks, const cz_plan *p, const cz_config_node *node) {
  bool has = !p->axis.node;
  for (size_t k = 0; !has && k < p->axis.n_keys; k++) {
    const char *key = p->axis.keys[k];
    CZ_TRY(cz__plan_row_has(&has, node, key, strcspn(key, "."), NULL));
  }
  *lacks = !has || !p->axis.node;
  return CZ_OK;
}

/* The row sets what the axis sets. */
static cz_status check_own_value(const cz_plan *p, const cz_config_node *node) {
  const cz_config_node *set = cz_config_get(node, "set");
  for (size_t i = 0; p->axis.node && set && i < cz_config_count(set); i++)
    for (size_t k = 0; k < p->axis.n_keys; k++)
      if (!strcmp(cz_config_key_at(set, i), p->axis.keys[k]))
        return cz_config_error(cz_config_at(set, i), "the axis sets '%s'", p->axis.keys[k]);
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

/* The number of the value of the axis that TEXT is; its count: none. */
static size_t point_of(const cz_axis *a, const char *text) {
  size_t k = 0;
  while (k < a->n && strcmp(a->values[k], text)) k++;
  return k;
}

/* STANDS [n of the axis]: the values at which the row of NODE stands, by its key `at` or all.
 * LACKS: all are alike to it. */
static cz_status read_at(bool *stands, const cz_plan *p, const cz_config_node *node, bool lacks) {
  const cz_config_node *at = cz_config_get(node, "at");
  const cz_axis *a = &p->axis;
  const char *text;
  for (size_t k = 0; k < a->n; k++) stands[k] = !at;
  if (!at) return CZ_OK;
  CZ_TRY(cz_config_expect(at, CZ_CONFIG_SEQUENCE));
  if (lacks)
    return cz_config_error(at, a->node ? "at: the row is without all stages that the axis sets, "
                                         "and stands once"
                                       : "at: there is no axis");
  if (!cz_config_count(at)) return cz_config_error(at, "at: no value");
  for (size_t i = 0; i < cz_config_count(at); i++) {
    CZ_TRY(cz_config_text(&text, cz_config_at(at, i)));
    const size_t k = point_of(a, text);
    if (k == a->n)
      return cz_config_error(cz_config_at(at, i), "at: '%s' is no value of the axis %s%s", text,
                             a->name, cz_suggest(text, a->values, a->n).text);
    if (stands[k]) return cz_config_error(cz_config_at(at, i), "at: %s is there twice", text);
    stands[k] = true;
  }
  return CZ_OK;
}

/* The keys of NODE are values of the axis where the row STANDS. */
static cz_status check_values(const cz_plan *p, const cz_config_node *node, const bool *stands) {
  for (size_t i = 0; i < cz_config_count(node); i++) {
    const char *value = cz_config_key_at(node, i);
    const size_t k = point_of(&p->axis, value);
    if (k == p->axis.n || !stands[k])
      return cz_config_error(cz_config_at(node, i),
                             "'%s' is no value of the axis at which the row "
                             "stands",
                             value);
  }
  return CZ_OK;
}

/* One of the paper's values: a number, or a number for some of the values where the row STANDS. */
static cz_status check_number(const cz_plan *p, const cz_config_node *node, const bool *stands) {
  double number;
  if (cz_config_kind_of(node) != CZ_CONFIG_MAPPING)
    return cz_config_real(&number, node, -INFINITY, INFINITY);
  CZ_TRY(check_values(p, node, stands));
  for (size_t i = 0; i < cz_config_count(node); i++)
    CZ_TRY(cz_config_real(&number, cz_config_at(node, i), -INFINITY, INFINITY));
  return CZ_OK;
}

static cz_status check_numbers(const cz_plan *p, const cz_config_node *paper, const bool *stands) {
  if (!paper) return CZ_OK;
  CZ_TRY(cz_config_expect(paper, CZ_CONFIG_MAPPING));
  for (size_t i = 0; i < cz_config_count(paper); i++)
    CZ_TRY(check_number(p, cz_config_at(paper, i), stands));
  return CZ_OK;
}

/* PAPER at POINT: of the numbers that it has by value, that of the point or none. */
static cz_status paper_at(const cz_config_node **out, cz_plan *p, const cz_config_node *paper,
                          size_t point) {
  *out = paper;
  for (size_t i = 0; paper && i < cz_config_count(paper); i++) {
    const cz_config_node *values = cz_config_at(paper, i), *number = NULL;
    const char *name = cz_config_key_at(paper, i);
    if (cz_config_kind_of(values) != CZ_CONFIG_MAPPING) continue;
    if (point != SIZE_MAX) number = cz_config_get(values, p->axis.values[point]);
    if (number)
      CZ_TRY(cz_config_with(p->config, out, *out, name, number));
    else
      CZ_TRY(cz_config_without(p->config, out, *out, name));
  }
  return CZ_OK;
}

/* How many of the plan's seeds the row of NODE has at POINT: a number, or one for some of the
 * values where it STANDS; of those that the file LISTS. */
static cz_status read_row_seeds(size_t *out, const cz_plan *p, const cz_config_node *node,
                                const bool *stands, size_t point, size_t lists) {
  const cz_config_node *seeds = cz_config_get(node, "seeds");
  int64_t n;
  *out = p->n_seeds;
  if (seeds && cz_config_kind_of(seeds) == CZ_CONFIG_MAPPING) {
    CZ_TRY(check_values(p, seeds, stands));
    seeds = point == SIZE_MAX ? NULL : cz_config_get(seeds, p->axis.values[point]);
  }
  if (!seeds) return CZ_OK;
  CZ_TRY(cz_config_int(&n, seeds, 1, (double)lists));
  if ((size_t)n < *out) *out = (size_t)n;
  return CZ_OK;
}

/* Rows of one name stand at other values, each behind the one before. */
static cz_status check_name(const cz_plan *p, const cz_plan_row *r, const cz_config_node *node) {
  for (size_t j = 0; j < p->n_rows; j++) {
    const cz_plan_row *o = &p->rows[j];
    const bool same = !strcmp(r->listed, o->listed);
    if (!strcmp(r->name, o->name) || (same && (r->point == SIZE_MAX || o->point == SIZE_MAX)))
      return cz_config_error(node, "two rows are called '%s'", r->name);
    if (same && o->point > r->point)
      return cz_config_error(node,
                             "the row '%s' stands at %s behind %s: values of one row are in the "
                             "order of the axis",
                             r->listed, p->axis.values[r->point], p->axis.values[o->point]);
  }
  return CZ_OK;
}

/* Reads the row of NODE into those that it makes, from the plan's next on; there is room for
 * the axis. The file LISTS so many seeds. */
static cz_status read_row(cz_plan *p, const cz_config_node *node, size_t lists) {
  cz_plan_row r = {.node = node, .point = SIZE_MAX};
  const cz_config_node *n, *paper = cz_config_get(node, "paper");
  bool lacks = false, *stands;
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_MAPPING));
  CZ_TRY(cz_config_known(node, &cz_row_keys));
  CZ_TRY(cz_config_need(&n, node, "name"));
  CZ_TRY(cz_config_text(&r.listed, n));
  CZ_TRY(check_own_value(p, node));
  CZ_TRY(lacks_axis(&lacks, p, node));
  CZ_TRY(cz_arena_alloc(p->arena, &stands, p->axis.n + 1, sizeof *stands));
  CZ_TRY(read_at(stands, p, node, lacks));
  if (lacks) memset(stands, 0, p->axis.n);
  CZ_TRY(check_numbers(p, paper, stands));
  for (size_t k = 0; k < (lacks ? 1 : p->axis.n); k++) {
    if (!lacks && !stands[k]) continue;
    r.point = lacks ? SIZE_MAX : k;
    CZ_TRY(row_name(p, &r));
    CZ_TRY(paper_at(&r.paper, p, paper, r.point));
    CZ_TRY(read_row_seeds(&r.n_seeds, p, node, stands, r.point, lists));
    CZ_TRY(check_name(p, &r, n));
    p->rows[p->n_rows++] = r;
  }
  return CZ_OK;
}

/** Reads the keys `rows` and `control` of ROOT; the axis is known. CZ_EUSAGE with the place. */
cz_status cz__plan_read_rows(cz_plan *p, const cz_config_node *root) {
  const cz_config_node *list, *control = cz_config_get(root, "control");
  CZ_TRY(cz_config_need(&list, root, "rows"));
  CZ_TRY(cz_config_expect(list, CZ_CONFIG_SEQUENCE));
  const size_t n = cz_config_count(list), points = p->axis.node ? p->axis.n : 1,
               lists = cz_config_count(cz_config_get(root, "seeds"));
  if (n == 0) return cz_config_error(list, "no rows");
  CZ_TRY(cz_arena_alloc(p->arena, &p->rows, (n + 1) * points, sizeof *p->rows));
  for (size_t i = 0; i < n; i++) CZ_TRY(read_row(p, cz_config_at(list, i), lists));
  p->control = p->n_rows;
  return cz_config_is_nothing(control) ? CZ_OK : read_row(p, control, lists);
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
    if (cz_config_is_nothing(cz_config_at(stages, i)))
      CZ_TRY(cz_config_without(p->config, &left, left, cz_config_key_at(stages, i)));
  return left == stages ? CZ_OK : cz_config_with(p->config, root, *root, "stages", left);
}
