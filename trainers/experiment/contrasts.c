/* The contrasts of a plan: pairs of rows whose difference is tested, within each value of the
 * axis; and what the deviation over the seeds of such rows is one of. */
#include "base/nearest.h"
#include "experiment/plan_internal.h"

#include <stdio.h>
#include <string.h>

static cz_status check_row(const cz_plan *p, const cz_config_node *node, const char *name) {
  const char **names;
  CZ_TRY(cz_arena_alloc(p->arena, &names, p->n_rows, sizeof *names));
  for (size_t r = 0; r < p->n_rows; r++) {
    names[r] = p->rows[r].listed;
    if (!strcmp(names[r], name)) return CZ_OK;
  }
  return cz_config_error(node, "contrasts: no row is called '%s'%s", name,
                         cz_suggest(name, names, p->n_rows).text);
}

static cz_status read_contrast(cz_plan *p, const cz_config_node *node, size_t index) {
  const char **pair = p->contrasts[index].rows;
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_SEQUENCE));
  if (cz_config_count(node) != 2)
    return cz_config_error(node, "a contrast is two rows, [ROW, OTHER]: ROW minus OTHER");
  for (size_t i = 0; i < 2; i++) {
    CZ_TRY(cz_config_text(&pair[i], cz_config_at(node, i)));
    CZ_TRY(check_row(p, cz_config_at(node, i), pair[i]));
  }
  if (!strcmp(pair[0], pair[1]))
    return cz_config_error(node, "the row '%s' is compared with itself", pair[0]);
  for (size_t j = 0; j < index; j++)
    for (size_t turned = 0; turned < 2; turned++)
      if (!strcmp(pair[turned], p->contrasts[j].rows[0]) &&
          !strcmp(pair[1 - turned], p->contrasts[j].rows[1]))
        return cz_config_error(node, "the contrast of '%s' and '%s' is there twice%s", pair[0],
                               pair[1], turned ? ", the other way round" : "");
  return CZ_OK;
}

/* The row that is LISTED in the file and stands at POINT, or at no value; SIZE_MAX: none. */
static size_t row_at(const cz_plan *p, const char *listed, size_t point) {
  for (size_t r = 0; r < p->n_rows; r++)
    if (!strcmp(p->rows[r].listed, listed) &&
        (p->rows[r].point == SIZE_MAX || p->rows[r].point == point))
      return r;
  return SIZE_MAX;
}

/* The tests of a contrast: one for each value, or one where both rows stand once. */
static void add_pairs(cz_plan *p, size_t contrast) {
  const char *const *names = p->contrasts[contrast].rows;
  const size_t points = p->axis.node ? p->axis.n : 1;
  for (size_t k = 0; k < points; k++) {
    const size_t row = row_at(p, names[0], k), other = row_at(p, names[1], k);
    if (row == SIZE_MAX || other == SIZE_MAX) continue;
    const bool once = p->rows[row].point == SIZE_MAX && p->rows[other].point == SIZE_MAX;
    p->pairs[p->n_pairs++] = (cz_pair){contrast, row, other, once ? SIZE_MAX : k};
    if (once) return;
  }
}

/** Reads the key `contrasts` of ROOT; the rows are known. CZ_EUSAGE with the place for a row that
 * does not exist, one beside itself, and a pair that is there twice. */
cz_status cz__plan_read_contrasts(cz_plan *p, const cz_config_node *root) {
  const cz_config_node *list = cz_config_get(root, "contrasts");
  if (!list) return CZ_OK;
  CZ_TRY(cz_config_expect(list, CZ_CONFIG_SEQUENCE));
  const size_t n = cz_config_count(list), points = p->axis.node ? p->axis.n : 1;
  CZ_TRY(cz_arena_alloc(p->arena, &p->contrasts, n, sizeof *p->contrasts));
  CZ_TRY(cz_arena_alloc(p->arena, &p->pairs, n * points, sizeof *p->pairs));
  for (; p->n_contrasts < n; p->n_contrasts++) {
    CZ_TRY(read_contrast(p, cz_config_at(list, p->n_contrasts), p->n_contrasts));
    add_pairs(p, p->n_contrasts);
  }
  return CZ_OK;
}

/** What the seeds draw for a stage of this configuration: its T, where the section `examples` draws
 * one by the stage's seed; else weights, order and dropout alone, on the one T of all seeds. */
cz_seeds_draw cz_plan_stage_draws(const cz_config_node *stage) {
  const cz_config_node *e = cz_config_get(stage, "examples");
  if (!e || cz_config_kind_of(e) != CZ_CONFIG_MAPPING) return CZ_SEEDS_PLAIN;
  const char *seed = cz_config_text_or(e, "draw_seed", ""),
             *labelled = cz_config_text_or(e, "labelled", "");
  const cz_config_node *task = cz_config_get(e, "task");
  const bool from = *cz_config_text_or(cz_config_is_nothing(task) ? e : task, "train", "") != '\0';
  if (!from || !strcmp(labelled, "0")) return CZ_SEEDS_PLAIN; /* there is no T */
  const bool all = !*labelled || *labelled == '-',
             in_order = !strcmp(cz_config_text_or(e, "draw", ""), "paper");
  return all || in_order || (*seed && strcmp(seed, "0") != 0) ? CZ_SEEDS_ONE_T : CZ_SEEDS_DRAWS;
}

/** The same of a row: drawn where one of its stages draws T. */
cz_seeds_draw cz_plan_row_draws(const cz_plan *p, size_t row) {
  cz_seeds_draw found = CZ_SEEDS_PLAIN;
  for (size_t i = 0; i < p->n_stages; i++) {
    const cz_plan_stage *s = cz_plan_at(p, 0, row, i);
    const cz_seeds_draw one = s->left_out ? CZ_SEEDS_PLAIN : cz_plan_stage_draws(s->node);
    if (one > found) found = one;
  }
  return found;
}
