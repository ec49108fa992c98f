/* From an experiment file to its plan: each stage of each row and seed resolved, with its
 * key. */
#include "base/fs.h"
#include "base/hash.h"
#include "base/nearest.h"
#include "experiment/plan_internal.h"
#include "stages/go_on.h"
#include "stages/precision.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/** How many stages there are over all seeds and rows, shared ones counted each time. */
size_t cz_plan_count(const cz_plan *p) { return p->n_seeds * p->n_rows * p->n_stages; }

/** The planned stage of a seed, row and stage number. */
cz_plan_stage *cz_plan_at(const cz_plan *p, size_t seed, size_t row, size_t stage) {
  return &p->stages[(seed * p->n_rows + row) * p->n_stages + stage];
}

/** The I-th of the stages that the stage number K of all names: of the same row and seed, and
 * before it. */
cz_plan_stage *cz_plan_from(const cz_plan *p, size_t k, size_t i) {
  return &p->stages[k - k % p->n_stages + p->stages[k].from[i]];
}

/** The folder of a stage below the run's folder. */
cz_status cz_plan_folder(char *out, size_t n, const char *run, const cz_plan_stage *s) {
  char name[128];
  snprintf(name, sizeof name, "stages/%s-%s", s->kind->name, s->key);
  return cz_fs_join(out, n, run, name);
}

/* Adds kind and key of S to SEEN; *NEW when they were not in it. */
static cz_status see(json_t *seen, bool *new_one, const cz_plan_stage *s) {
  char name[128];
  snprintf(name, sizeof name, "%s-%s", s->kind->name, s->key);
  *new_one = !json_object_get(seen, name);
  return *new_one && json_object_set_new(seen, name, json_true())
             ? CZ_FAIL(CZ_ENOMEM, "no memory for the keys of stages")
             : CZ_OK;
}

/** How many rows and seeds have the stage of this number. */
size_t cz_plan_uses(const cz_plan *p, size_t stage) {
  size_t n = 0;
  for (size_t k = stage; k < cz_plan_count(p); k += p->n_stages) n += !p->stages[k].left_out;
  return n;
}

/** Finds out which stages are the first with their kind and key: those behind them share
 * their folder. To be called when keys have changed. */
cz_status cz_plan_index(cz_plan *p) {
  json_t *seen = json_object();
  cz_status st = CZ_OK;
  for (size_t k = 0; k < cz_plan_count(p) && st == CZ_OK; k++)
    if (!p->stages[k].left_out) st = see(seen, &p->stages[k].first, &p->stages[k]);
  json_decref(seen);
  return st;
}

/** How many different stages of this number there are over rows and seeds. */
cz_status cz_plan_distinct(size_t *n, const cz_plan *p, size_t stage) {
  json_t *seen = json_object();
  cz_status st = CZ_OK;
  bool new_one;
  *n = 0;
  for (size_t k = stage; k < cz_plan_count(p) && st == CZ_OK; k += p->n_stages) {
    if (p->stages[k].left_out) continue;
    st = see(seen, &new_one, &p->stages[k]);
    *n += st == CZ_OK && new_one;
  }
  json_decref(seen);
  return st;
}

/* Lays the stage's own keys over those of `common` that its kind knows. */
static cz_status with_common(cz_plan *p, const cz_config_node *root, const cz_stage_kind *kind,
                             const cz_config_node **stage) {
  const cz_config_node *common = cz_config_get(root, "common"), *under = common;
  if (!common) return CZ_OK;
  for (size_t i = 0; i < cz_config_count(common); i++)
    if (!cz_stage_takes(kind, cz_config_key_at(common, i)))
      CZ_TRY(cz_config_without(p->config, &under, under, cz_config_key_at(common, i)));
  return cz_config_merge(p->config, stage, under, *stage);
}

/* Applies the settings of ROW that begin with "STAGE.". */
static cz_status with_row(cz_plan *p, const cz_plan_row *row, const char *stage_name,
                          const cz_config_node **stage) {
  const cz_config_node *set = cz_config_get(row->node, "set");
  size_t length = strlen(stage_name);
  for (size_t i = 0; set && i < cz_config_count(set); i++) {
    const char *key = cz_config_key_at(set, i);
    if (!strncmp(key, stage_name, length) && key[length] == '.')
      CZ_TRY(cz_config_with(p->config, stage, *stage, key + length + 1, cz_config_at(set, i)));
  }
  return CZ_OK;
}

/* Applies the value of the axis at which ROW stands to the keys that are of this stage. */
static cz_status with_axis(cz_plan *p, const cz_plan_row *row, const char *stage_name,
                           const cz_config_node **stage) {
  const cz_axis *a = &p->axis;
  const size_t length = strlen(stage_name);
  for (size_t i = 0; a->node && row->point != SIZE_MAX && i < a->n_keys; i++)
    if (!strncmp(a->keys[i], stage_name, length) && a->keys[i][length] == '.')
      CZ_TRY(cz_config_with(p->config, stage, *stage, a->keys[i] + length + 1,
                            cz_config_at(a->list, row->point)));
  return CZ_OK;
}

/* Every setting of a row must name a stage of the file; a dropped one may be the base's. */
static cz_status check_settings(const cz_plan_row *row, const cz_config_node *stages) {
  const cz_config_node *set = cz_config_get(row->node, "set");
  for (size_t i = 0; set && i < cz_config_count(set); i++) {
    const char *key = cz_config_key_at(set, i);
    bool found = false;
    for (size_t s = 0; s < cz_config_count(stages); s++) {
      const char *name = cz_config_key_at(stages, s);
      found |= !strncmp(key, name, strlen(name)) && key[strlen(name)] == '.';
    }
    if (!found)
      return cz_config_error(cz_config_at(set, i),
                             "'%s' does not begin with the name of a stage and a point; a setting "
                             "is one key, like {%s.seed: 1}",
                             key, cz_config_key_at(stages, 0));
  }
  return CZ_OK;
}

/* A stage that a row does without is neither set nor named in it. */
static cz_status check_left_out(cz_plan *p, const cz_plan_row *row, size_t k) {
  const cz_plan_stage *s = &p->stages[k];
  const cz_config_node *set = cz_config_get(row->node, "set");
  size_t length = strlen(s->name);
  for (size_t i = 0; s->left_out && set && i < cz_config_count(set); i++) {
    const char *key = cz_config_key_at(set, i);
    if (!strncmp(key, s->name, length) && key[length] == '.')
      return cz_config_error(cz_config_at(set, i), "'%s' sets a stage that the row is without",
                             key);
  }
  for (size_t i = 0; !s->left_out && i < s->n_from; i++) {
    const char *from = cz_plan_from(p, k, i)->name;
    if (cz_plan_from(p, k, i)->left_out)
      return cz_config_error(row->node,
                             "the row is without the stage '%s', and %s names it; set: {%s.init: "
                             "''} would draw its weights from the seed",
                             from, s->name, s->name);
  }
  return CZ_OK;
}

/* A stage without a kind may be another's name misspelt in a scale or an override. */
static cz_status no_kind(const cz_plan *p, const cz_config_node *stages, size_t index) {
  const cz_config_node *stage = cz_config_at(stages, index), *n;
  const char **names, *name = cz_config_key_at(stages, index);
  size_t count = 0;
  CZ_TRY(cz_arena_alloc(p->arena, &names, cz_config_count(stages), sizeof *names));
  for (size_t i = 0; i < cz_config_count(stages); i++)
    if (i != index) names[count++] = cz_config_key_at(stages, i);
  const char *near = cz_nearest(name, names, count);
  if (near)
    return cz_config_error(stage, "stage '%s' has no kind; did you mean the stage '%s'?", name,
                           near);
  return cz_config_need(&n, stage, "kind");
}

/* An experiment keeps its stages by their configuration, precision included: another precision is
 * another stage, and none goes on from it. */
static cz_status check_precision(const cz_plan_stage *s) {
  if (!cz_stage_changes_precision(s->node)) return CZ_OK;
  return cz_config_error(
      cz_config_get(cz_config_get(s->node, "train"), "began_in"),
      "a stage of an experiment cannot go on in another precision, since its "
      "folder is found by its configuration; a copy of that folder can: `cloze %s "
      "COPY/config.yaml --out COPY` with train.precision and train.began_in",
      s->kind->name);
}

static cz_status resolve_stage(cz_plan *p, const cz_config_node *root, const cz_config_node *stages,
                               size_t seed, size_t row, size_t index) {
  cz_plan_stage *s = cz_plan_at(p, seed, row, index);
  char word[64];
  bool has = false;
  s->name = cz_config_key_at(stages, index);
  s->node = cz_config_at(stages, index);
  CZ_TRY(cz_config_expect(s->node, CZ_CONFIG_MAPPING));
  if (!cz_config_get(s->node, "kind")) return no_kind(p, stages, index);
  CZ_TRY(cz_stage_kind_of(&s->kind, s->node));
  CZ_TRY(cz__plan_row_has(&has, p->rows[row].node, s->name, strlen(s->name), p->all_stages));
  s->left_out = !has;
  CZ_TRY(with_common(p, root, s->kind, &s->node));
  CZ_TRY(with_row(p, &p->rows[row], s->name, &s->node));
  CZ_TRY(with_axis(p, &p->rows[row], s->name, &s->node));
  snprintf(word, sizeof word, "seed=%lld", (long long)p->seeds[seed]);
  CZ_TRY(cz_config_with_word(p->config, &s->node, s->node, word));
  CZ_TRY(cz__plan_data(p, s->node, p->data, &s->node));
  CZ_TRY(cz_stage_known(s->kind, s->node));
  CZ_TRY(check_precision(s));
  CZ_TRY(cz__plan_references(p, s, stages, index));
  return check_left_out(p, &p->rows[row], (size_t)(s - p->stages));
}

/* Adds to *HASH the contents of the files that exist before the run, and to RECORD their hashes. */
static cz_status hash_files(uint64_t *hash, json_t *record, cz_plan *p, const cz_plan_stage *s,
                            cz_inputs *inputs) {
  const cz_config_node *own;
  if (!inputs) return CZ_OK;
  CZ_TRY(cz__plan_own_files(p, &own, s));
  return cz_inputs_hash(inputs, hash, record, s->kind->parts, own, own);
}

/** Appends to CHANGED a line for each file that stage S of P reads and that is not any more what
 * the plan that was recorded in FOLDER was made of. INPUTS: files whose hashes are known. */
cz_status cz_plan_changed_files(cz_buf *changed, cz_plan *p, const cz_plan_stage *s,
                                cz_inputs *inputs, const char *folder) {
  json_t *now = json_object();
  uint64_t hash = 0;
  cz_status st = hash_files(&hash, now, p, s, inputs);
  if (st == CZ_OK) st = cz_inputs_compare(changed, now, folder);
  json_decref(now);
  return st;
}

/** Gives each stage its key: the hash of its configuration, of the keys of the stages that it
 * names and, unless INPUTS is null, of the contents of its files. */
cz_status cz__plan_make_keys(cz_plan *p, cz_inputs *inputs) {
  size_t n = cz_plan_count(p);
  uint64_t hash;
  for (size_t k = 0; k < n; k++) {
    cz_plan_stage *s = &p->stages[k];
    if (s->left_out) continue;
    CZ_TRY(cz_config_hash(&hash, s->node));
    for (size_t i = 0; i < s->n_from; i++)
      hash = cz_hash64(cz_plan_from(p, k, i)->key, CZ_KEY_TEXT_BYTES - 1, hash);
    CZ_TRY(hash_files(&hash, p->files, p, s, inputs));
    snprintf(s->key, sizeof s->key, "%016" PRIx64, hash);
  }
  return cz_plan_index(p);
}

/* Finds for each stage of the axis the one that trains for the value before, where this one can
 * go on from it. Both are of the same row of the file, and of the same seed. */
static cz_status find_shorter(cz_plan *p) {
  CZ_CHECK(p->n_stages > 0 && p->n_rows > 0);
  for (size_t k = 0; k < cz_plan_count(p); k++) {
    const size_t row = k / p->n_stages % p->n_rows, before = k - p->n_stages;
    bool can = false;
    p->stages[k].shorter = SIZE_MAX;
    if (!p->axis.steps || k % p->n_stages != p->axis.stage || p->stages[k].left_out ||
        p->rows[row].point == SIZE_MAX || !row || p->rows[row - 1].node != p->rows[row].node)
      continue;
    CZ_TRY(cz_stage_can_go_on(&can, p->config, p->stages[k].kind, p->stages[k].node,
                              p->stages[before].node));
    if (can) p->stages[k].shorter = before;
  }
  return CZ_OK;
}

/* Rows may have fewer seeds than the plan. */
static void leave_out_seeds(cz_plan *p) {
  for (size_t s = 0; s < p->n_seeds; s++)
    for (size_t r = 0; r < p->n_rows; r++)
      for (size_t i = 0; i < p->n_stages; i++)
        cz_plan_at(p, s, r, i)->left_out |= s >= p->rows[r].n_seeds;
}

/** Resolves every stage of every row and seed of the experiment ROOT. */
cz_status cz__plan_resolve(cz_plan *p, const cz_config_node *root) {
  const cz_config_node *stages;
  CZ_TRY(cz_config_need(&stages, root, "stages"));
  CZ_TRY(cz_config_expect(stages, CZ_CONFIG_MAPPING));
  p->n_stages = cz_config_count(stages);
  if (p->n_stages == 0) return cz_config_error(stages, "no stages");
  CZ_TRY(cz__plan_axis_stages(p, stages));
  CZ_TRY(cz_arena_alloc(p->arena, &p->stages, cz_plan_count(p), sizeof *p->stages));
  for (size_t r = 0; r < p->n_rows; r++) CZ_TRY(check_settings(&p->rows[r], p->all_stages));
  for (size_t s = 0; s < p->n_seeds; s++)
    for (size_t r = 0; r < p->n_rows; r++)
      for (size_t i = 0; i < p->n_stages; i++) {
        cz_status st = resolve_stage(p, root, stages, s, r, i);
        if (st != CZ_OK)
          return CZ_NOTE(st, "row %s, stage %s", p->rows[r].name, cz_config_key_at(stages, i));
      }
  leave_out_seeds(p);
  return find_shorter(p);
}
