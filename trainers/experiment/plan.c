/* From an experiment file to its plan: each stage of each row and seed resolved, with its
 * key. */
#include "experiment/experiment.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/nearest.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/** The planned stage of a seed, row and stage number. */
cz_plan_stage *cz_plan_at(const cz_plan *p, size_t seed, size_t row, size_t stage) {
  return &p->stages[(seed * p->n_rows + row) * p->n_stages + stage];
}

/** The folder of a stage below the run's folder. */
cz_status cz_plan_folder(char *out, size_t n, const char *run, const cz_plan_stage *s) {
  char name[128];
  snprintf(name, sizeof name, "stages/%s-%s", s->kind->name, s->key);
  return cz_fs_join(out, n, run, name);
}

/** Whether the stage number K of all is the first with its kind and key: those behind it
 * share its folder. */
bool cz_plan_first(const cz_plan *p, size_t k) {
  for (size_t i = 0; i < k; i++)
    if (!strcmp(p->stages[i].key, p->stages[k].key) && p->stages[i].kind == p->stages[k].kind)
      return false;
  return true;
}

static cz_status optional_text(const char **out, const cz_config_node *node, const char *key) {
  const cz_config_node *n = cz_config_get(node, key);
  return n ? cz_config_text(out, n) : CZ_OK;
}

static cz_status read_seeds(cz_plan *p, const cz_config_node *root, int64_t wanted) {
  const cz_config_node *list;
  CZ_TRY(cz_config_need(&list, root, "seeds"));
  CZ_TRY(cz_config_expect(list, CZ_CONFIG_SEQUENCE));
  size_t n = cz_config_count(list);
  p->n_seeds = wanted > 0 ? (size_t)wanted : n;
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

static cz_status check_numbers(const cz_config_node *paper) {
  double number;
  if (!paper) return CZ_OK;
  CZ_TRY(cz_config_expect(paper, CZ_CONFIG_MAPPING));
  for (size_t i = 0; i < cz_config_count(paper); i++)
    CZ_TRY(cz_config_real(&number, cz_config_at(paper, i), -INFINITY, INFINITY));
  return CZ_OK;
}

static cz_status read_rows(cz_plan *p, const cz_config_node *root) {
  const cz_config_node *list, *n;
  CZ_TRY(cz_config_need(&list, root, "rows"));
  CZ_TRY(cz_config_expect(list, CZ_CONFIG_SEQUENCE));
  p->n_rows = cz_config_count(list);
  if (p->n_rows == 0) return cz_config_error(list, "no rows");
  CZ_TRY(cz_arena_alloc(p->arena, &p->rows, p->n_rows, sizeof *p->rows));
  for (size_t i = 0; i < p->n_rows; i++) {
    cz_plan_row *r = &p->rows[i];
    r->node = cz_config_at(list, i);
    CZ_TRY(cz_config_expect(r->node, CZ_CONFIG_MAPPING));
    CZ_TRY(cz_config_known(r->node, &cz_row_keys));
    CZ_TRY(cz_config_need(&n, r->node, "name"));
    CZ_TRY(cz_config_text(&r->name, n));
    r->paper = cz_config_get(r->node, "paper");
    CZ_TRY(check_numbers(r->paper));
    for (size_t j = 0; j < i; j++)
      if (!strcmp(r->name, p->rows[j].name))
        return cz_config_error(n, "two rows are called '%s'", r->name);
  }
  return CZ_OK;
}

/* `value`: one path, or a list whose mean is the column. Each begins with the name of a
 * stage. */
static cz_status read_paths(cz_plan *p, cz_column *c, const cz_config_node *value,
                            const cz_config_node *stages) {
  bool list = cz_config_kind_of(value) == CZ_CONFIG_SEQUENCE;
  c->n_paths = list ? cz_config_count(value) : 1;
  if (c->n_paths == 0) return cz_config_error(value, "no value");
  CZ_TRY(cz_arena_alloc(p->arena, &c->paths, c->n_paths, sizeof *c->paths));
  for (size_t i = 0; i < c->n_paths; i++) {
    const cz_config_node *n = list ? cz_config_at(value, i) : value;
    char stage[128];
    CZ_TRY(cz_config_text(&c->paths[i], n));
    size_t length = strcspn(c->paths[i], ".");
    snprintf(stage, sizeof stage, "%.*s", (int)length, c->paths[i]);
    if (!c->paths[i][length] || !cz_config_get(stages, stage))
      return cz_config_error(n, "'%s' does not begin with the name of a stage and a point",
                             c->paths[i]);
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

/* Every setting of a row must name a stage of the file. */
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
                             "'%s' does not begin with the name of a stage and a point", key);
  }
  return CZ_OK;
}

/* Replaces `$data/x` everywhere below NODE by the data folder. */
static cz_status resolve_paths(cz_plan *p, const cz_config_node *node, const char *data,
                               const cz_config_node **out) {
  *out = node;
  const char *text;
  char path[4096];
  if (cz_config_kind_of(node) == CZ_CONFIG_SCALAR) {
    if (cz_config_text(&text, node) != CZ_OK || strncmp(text, "$data/", 6))
      return cz_error_clear(), CZ_OK;
    if (!data) return cz_config_error(node, "'%s' needs the key `data`", text);
    CZ_TRY(cz_fs_join(path, sizeof path, data, text + 6));
    return cz_config_retext(p->config, out, node, path);
  }
  for (size_t i = 0; i < cz_config_count(node); i++) {
    const cz_config_node *child = cz_config_at(node, i), *resolved;
    char at[32];
    CZ_TRY(resolve_paths(p, child, data, &resolved));
    if (resolved == child) continue;
    snprintf(at, sizeof at, "%zu", i);
    CZ_TRY(cz_config_with(
        p->config, out, *out,
        cz_config_kind_of(node) == CZ_CONFIG_MAPPING ? cz_config_key_at(node, i) : at, resolved));
  }
  return CZ_OK;
}

/* `init: $pretrain` becomes the name of that stage, which must come before. */
static cz_status read_init(cz_plan *p, cz_plan_stage *s, const cz_config_node *stages,
                           size_t index) {
  const cz_config_node *n = cz_config_get(s->node, "init");
  const char *text;
  if (!n) return CZ_OK;
  CZ_TRY(cz_config_text(&text, n));
  if (text[0] != '$') {
    for (size_t i = 0; i < index; i++)
      if (!strcmp(text, cz_config_key_at(stages, i)) && !cz_fs_exists(text))
        return cz_config_error(
            n, "there is no folder '%s', but a stage of this name; did you mean $%s?", text, text);
    return CZ_OK;
  }
  for (size_t i = 0; i < index; i++)
    if (!strcmp(text + 1, cz_config_key_at(stages, i))) s->init = cz_config_key_at(stages, i);
  if (s->init) return cz_config_without(p->config, &s->node, s->node, "init");
  const char *names[64];
  size_t count = index < 64 ? index : 64;
  for (size_t i = 0; i < count; i++) names[i] = cz_config_key_at(stages, i);
  const char *near = cz_nearest(text + 1, names, count);
  return cz_config_error(n, "'%s' is no stage before this one; %s%s", text,
                         near ? "did you mean $" : "a folder needs no dollar sign",
                         near ? near : "");
}

/* A stage without a kind may be another's name misspelt in a scale or an override. */
static cz_status find_kind(const cz_stage_kind **kind, const cz_config_node *stages, size_t index) {
  enum { MOST = 64 };
  const cz_config_node *stage = cz_config_at(stages, index), *n = cz_config_get(stage, "kind");
  const char *names[MOST], *name = cz_config_key_at(stages, index), *text;
  size_t count = 0;
  for (size_t i = 0; i < cz_config_count(stages) && count < MOST; i++)
    if (i != index) names[count++] = cz_config_key_at(stages, i);
  const char *near = cz_nearest(name, names, count);
  if (!n && near)
    return cz_config_error(stage, "stage '%s' has no kind; did you mean the stage '%s'?", name,
                           near);
  CZ_TRY(cz_config_need(&n, stage, "kind"));
  CZ_TRY(cz_config_text(&text, n));
  return CZ_AT(n, cz_stage_kind_find(kind, text));
}

static cz_status resolve_stage(cz_plan *p, const cz_config_node *root, const cz_config_node *stages,
                               size_t seed, size_t row, size_t index) {
  cz_plan_stage *s = cz_plan_at(p, seed, row, index);
  char word[64];
  s->name = cz_config_key_at(stages, index);
  s->node = cz_config_at(stages, index);
  CZ_TRY(cz_config_expect(s->node, CZ_CONFIG_MAPPING));
  CZ_TRY(find_kind(&s->kind, stages, index));
  CZ_TRY(with_common(p, root, s->kind, &s->node));
  CZ_TRY(with_row(p, &p->rows[row], s->name, &s->node));
  snprintf(word, sizeof word, "seed=%lld", (long long)p->seeds[seed]);
  CZ_TRY(cz_config_with_word(p->config, &s->node, s->node, word));
  CZ_TRY(resolve_paths(p, s->node, p->data, &s->node));
  CZ_TRY(cz_stage_known(s->kind, s->node));
  return read_init(p, s, stages, index);
}

/** The stage that the stage number INDEX of this seed and row starts from; null when it
 * starts from none of the plan. */
const cz_plan_stage *cz_plan_init(const cz_plan *p, size_t seed, size_t row, size_t index) {
  const char *init = cz_plan_at(p, seed, row, index)->init;
  for (size_t i = 0; i < index && init; i++)
    if (!strcmp(cz_plan_at(p, seed, row, i)->name, init)) return cz_plan_at(p, seed, row, i);
  return NULL;
}

/* A stage's key covers its configuration, the key of the stage it starts from and, unless
 * INPUTS is null, the contents of its files. */
static cz_status make_keys(cz_plan *p, cz_inputs *inputs) {
  size_t n = p->n_seeds * p->n_rows * p->n_stages;
  uint64_t hash;
  for (size_t k = 0; k < n; k++) {
    cz_plan_stage *s = &p->stages[k];
    const cz_plan_stage *from =
        cz_plan_init(p, k / p->n_stages / p->n_rows, k / p->n_stages % p->n_rows, k % p->n_stages);
    CZ_TRY(cz_config_hash(&hash, s->node));
    if (from) hash = cz_hash64(from->key, CZ_KEY_TEXT_BYTES - 1, hash);
    if (inputs) CZ_TRY(cz_inputs_hash(inputs, &hash, p->files, s->kind->parts, s->node));
    snprintf(s->key, sizeof s->key, "%016" PRIx64, hash);
  }
  return CZ_OK;
}

static cz_status resolve(cz_plan *p, const cz_config_node *root) {
  const cz_config_node *stages;
  CZ_TRY(cz_config_need(&stages, root, "stages"));
  CZ_TRY(cz_config_expect(stages, CZ_CONFIG_MAPPING));
  p->n_stages = cz_config_count(stages);
  if (p->n_stages == 0) return cz_config_error(stages, "no stages");
  CZ_TRY(cz_arena_alloc(p->arena, &p->stages, p->n_seeds * p->n_rows * p->n_stages,
                        sizeof *p->stages));
  for (size_t r = 0; r < p->n_rows; r++) CZ_TRY(check_settings(&p->rows[r], stages));
  for (size_t s = 0; s < p->n_seeds; s++)
    for (size_t r = 0; r < p->n_rows; r++)
      for (size_t i = 0; i < p->n_stages; i++) {
        cz_status st = resolve_stage(p, root, stages, s, r, i);
        if (st != CZ_OK)
          return CZ_NOTE(st, "row %s, stage %s", p->rows[r].name, cz_config_key_at(stages, i));
      }
  return CZ_OK;
}

static cz_status check_baseline(const cz_plan *p, const cz_config_node *root) {
  if (!p->baseline) return CZ_OK;
  for (size_t r = 0; r < p->n_rows; r++)
    if (!strcmp(p->baseline, p->rows[r].name)) return CZ_OK;
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
 * of the files that stages name, and everything is checked first (cz_plan_check); null
 * is for looking only. CZ_EUSAGE with file and line for anything that is not as it
 * should be. Close with cz_plan_close, also after a failure. */
cz_status cz_plan_open(cz_plan *p, const char *path, const char *scale, int64_t seeds,
                       char *const *words, size_t n_words, cz_session *session) {
  *p = (cz_plan){0};
  CZ_TRY(cz_arena_create(&p->arena, "plan"));
  if (!(p->files = json_object())) return CZ_FAIL(CZ_ENOMEM, "no memory for a plan");
  CZ_TRY(cz_config_open(&p->config, path));
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
  CZ_TRY(read_rows(p, root));
  CZ_TRY(check_baseline(p, root));
  if (p->scales && !cz_config_get(root, "stages")) return need_scale(p);
  CZ_TRY(resolve(p, root));
  CZ_TRY(read_columns(p, root));
  if (session) CZ_TRY(cz_plan_check(p, NULL, session->comm));
  return make_keys(p, session ? &session->inputs : NULL);
}

/** Frees the plan. */
void cz_plan_close(cz_plan *p) {
  json_decref(p->files);
  p->files = NULL;
  cz_config_destroy(&p->config);
  cz_arena_destroy(&p->arena);
}
