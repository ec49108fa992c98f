/* Texts of a stage that begin with a dollar sign. `$data/x` is a file below the experiment's
 * data folder. `$STAGE` and `$STAGE/x` are the folder of an earlier stage of the same row and
 * seed, and a file in it; `init: $STAGE` is the model in that folder. */
#include "base/fs.h"
#include "base/nearest.h"
#include "experiment/plan_internal.h"

#include <stdio.h>
#include <string.h>

/* What becomes of a scalar: TEXT null leaves it as it is. BYTES has room for the new text. */
typedef struct rewrite {
  cz_status (*scalar)(struct rewrite *r, const cz_config_node *node, const char *old);
  cz_plan *plan;
  const char *text;
  char bytes[4096];
  const char *data;             /* data folder */
  const cz_config_node *stages; /* of the file */
  size_t index;                 /* of the stage that is rewritten */
  cz_plan_stage *stage;
  size_t at;       /* of the stage in the plan */
  const char *run; /* the run's folder */
} rewrite;

/* Rewrites all scalars below NODE. Nodes without a change are shared. */
static cz_status rewrite_scalars(rewrite *r, const cz_config_node **out,
                                 const cz_config_node *node) {
  const char *old;
  *out = node;
  if (cz_config_kind_of(node) == CZ_CONFIG_SCALAR) {
    if (cz_config_text(&old, node) != CZ_OK || *old != '$') return cz_error_clear(), CZ_OK;
    r->text = NULL;
    CZ_TRY(r->scalar(r, node, old));
    return r->text ? cz_config_retext(r->plan->config, out, node, r->text) : CZ_OK;
  }
  for (size_t i = 0; i < cz_config_count(node); i++) {
    const cz_config_node *child = cz_config_at(node, i), *changed;
    char number[32];
    CZ_TRY(rewrite_scalars(r, &changed, child));
    if (changed == child) continue;
    snprintf(number, sizeof number, "%zu", i);
    const char *key = cz_config_key_at(node, i);
    CZ_TRY(cz_config_with(r->plan->config, out, *out, key ? key : number, changed));
  }
  return CZ_OK;
}

static cz_status data_path(rewrite *r, const cz_config_node *node, const char *old) {
  if (strncmp(old, "$data/", 6)) return CZ_OK;
  if (!r->data) return cz_config_error(node, "'%s' needs the key `data`", old);
  r->text = r->bytes;
  return cz_fs_join(r->bytes, sizeof r->bytes, r->data, old + 6);
}

/** Replaces `$data/x` everywhere below NODE by a path below DATA, which may be null when there
 * is no such text. */
cz_status cz__plan_data(cz_plan *p, const cz_config_node *node, const char *data,
                        const cz_config_node **out) {
  rewrite r = {.scalar = data_path, .plan = p, .data = data};
  return rewrite_scalars(&r, out, node);
}

/* The number of the stage that OLD, `$NAME` or `$NAME/rest`, names; LIMIT when none before it
 * has that name. */
static size_t stage_named(const cz_config_node *stages, size_t limit, const char *old) {
  size_t length = strcspn(old + 1, "/"), i = 0;
  for (; i < limit; i++) {
    const char *name = cz_config_key_at(stages, i);
    if (!strncmp(name, old + 1, length) && !name[length]) break;
  }
  return i;
}

/* Notes that the stage names the stage number FROM. */
static cz_status add_from(cz_plan *p, cz_plan_stage *s, size_t from) {
  for (size_t i = 0; i < s->n_from; i++)
    if (s->from[i] == from) return CZ_OK;
  if (!(s->n_from & (s->n_from - 1))) { /* room for 1, 2, 4, ...: the arena keeps the old lists */
    size_t *more, room = s->n_from ? 2 * s->n_from : 1;
    CZ_TRY(cz_arena_alloc(p->arena, &more, room, sizeof *more));
    if (s->n_from) memcpy(more, s->from, s->n_from * sizeof *more);
    s->from = more;
  }
  s->from[s->n_from++] = from;
  return CZ_OK;
}

/* The nearest spelling of OLD, `$NAME/rest`, among the COUNT first stages; or null. */
static cz_status nearest(const char **near, cz_plan *p, const cz_config_node *stages, size_t count,
                         const char *old) {
  const char **names;
  char name[256];
  snprintf(name, sizeof name, "%.*s", (int)strcspn(old + 1, "/"), old + 1);
  CZ_TRY(cz_arena_alloc(p->arena, &names, count + 1, sizeof *names));
  for (size_t i = 0; i < count; i++) names[i] = cz_config_key_at(stages, i);
  *near = cz_nearest(name, names, count);
  return CZ_OK;
}

/* A text outside `init` that names an earlier stage. One that names no stage and is spelt like
 * none is a text as any other. */
static cz_status take_reference(rewrite *r, const cz_config_node *node, const char *old) {
  const char *near;
  size_t found = stage_named(r->stages, r->index, old);
  if (found < r->index) return add_from(r->plan, r->stage, found);
  size_t all = cz_config_count(r->stages);
  bool later = stage_named(r->stages, all, old) < all;
  CZ_TRY(nearest(&near, r->plan, r->stages, r->index, old));
  if (!later && !near) return CZ_OK;
  return cz_config_error(node, "'%s' is no stage before this one%s%s", old,
                         near ? "; did you mean $" : "", near ? near : "");
}

/* `init: $pretrain` becomes the name of that stage, which must come before. */
static cz_status read_init(cz_plan *p, cz_plan_stage *s, const cz_config_node *stages,
                           size_t index) {
  const cz_config_node *n = cz_config_get(s->node, "init");
  const char *text, *near;
  if (!n) return CZ_OK;
  CZ_TRY(cz_config_text(&text, n));
  if (text[0] != '$') {
    for (size_t i = 0; i < index; i++)
      if (!strcmp(text, cz_config_key_at(stages, i)) && !cz_fs_exists(text))
        return cz_config_error(
            n, "there is no folder '%s', but a stage of this name; did you mean $%s?", text, text);
    return CZ_OK;
  }
  size_t found = stage_named(stages, index, text);
  if (found < index && !strchr(text, '/')) {
    s->init = cz_config_key_at(stages, found);
    s->init_node = n;
    CZ_TRY(add_from(p, s, found));
    return cz_config_without(p->config, &s->node, s->node, "init");
  }
  CZ_TRY(nearest(&near, p, stages, index, text));
  return cz_config_error(n, "'%s' is no stage before this one; %s%s", text,
                         near ? "did you mean $" : "a folder needs no dollar sign",
                         near ? near : "");
}

/** Reads which stages S, number INDEX of STAGES, names: `init` first. CZ_EUSAGE with the place
 * for one that does not come before, with the nearest spelling. */
cz_status cz__plan_references(cz_plan *p, cz_plan_stage *s, const cz_config_node *stages,
                              size_t index) {
  const cz_config_node *same;
  rewrite r = {.scalar = take_reference, .plan = p, .stages = stages, .index = index, .stage = s};
  CZ_TRY(read_init(p, s, stages, index));
  return rewrite_scalars(&r, &same, s->node);
}

/* Which of the stages that R's stage names OLD is; n_from when it is none. */
static size_t which_from(const rewrite *r, const char *old) {
  size_t length = strcspn(old + 1, "/"), i = 0;
  for (; i < r->stage->n_from; i++) {
    const char *name = cz_plan_from(r->plan, r->at, i)->name;
    if (!strncmp(name, old + 1, length) && !name[length]) break;
  }
  return i;
}

static cz_status no_file(rewrite *r, const cz_config_node *node, const char *old) {
  (void)node;
  if (which_from(r, old) < r->stage->n_from) r->text = "";
  return CZ_OK;
}

/** The configuration of S with only the files that exist before the run: what an earlier stage
 * leaves is an empty text. */
cz_status cz__plan_own_files(cz_plan *p, const cz_config_node **out, const cz_plan_stage *s) {
  rewrite r = {
      .scalar = no_file, .plan = p, .stage = (cz_plan_stage *)s, .at = (size_t)(s - p->stages)};
  *out = s->node;
  return s->n_from ? rewrite_scalars(&r, out, s->node) : CZ_OK;
}

static cz_status stage_path(rewrite *r, const cz_config_node *node, const char *old) {
  char folder[3072];
  const char *rest = strchr(old, '/');
  size_t i = which_from(r, old);
  (void)node;
  if (i == r->stage->n_from) return CZ_OK;
  CZ_TRY(cz_plan_folder(folder, sizeof folder, r->run, cz_plan_from(r->plan, r->at, i)));
  r->text = r->bytes;
  while (rest && *rest == '/') rest++;
  int n = snprintf(r->bytes, sizeof r->bytes, "%s%s%s", folder, rest ? "/" : "", rest ? rest : "");
  return n < (int)sizeof r->bytes ? CZ_OK
                                  : CZ_FAIL(CZ_EINVAL, "path too long: %s/%s", folder, rest);
}

/* `init`, which was taken out of the configuration, as the folder of that stage's model. */
static cz_status with_init(rewrite *r, const cz_config_node **node) {
  char folder[3072], path[4096];
  const cz_config_node *init;
  if (!r->stage->init) return CZ_OK;
  CZ_TRY(cz_plan_folder(folder, sizeof folder, r->run, cz_plan_from(r->plan, r->at, 0)));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "model"));
  CZ_TRY(cz_config_retext(r->plan->config, &init, r->stage->init_node, path));
  return cz_config_with(r->plan->config, node, *node, "init", init);
}

/** The configuration of the stage number K of all as it runs in the folder RUN: the stages that
 * it names are folders. */
cz_status cz_plan_run_node(cz_plan *p, const cz_config_node **out, const char *run, size_t k) {
  rewrite r = {.scalar = stage_path, .plan = p, .stage = &p->stages[k], .at = k, .run = run};
  *out = p->stages[k].node;
  if (!p->stages[k].n_from) return CZ_OK;
  CZ_TRY(rewrite_scalars(&r, out, p->stages[k].node));
  return with_init(&r, out);
}
