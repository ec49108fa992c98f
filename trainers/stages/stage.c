#include "stages/precision.h"
#include "stages/stage.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/nearest.h"
#include "checkpoint/checkpoint.h"
#include "few_shot/claims.h"
#include "stages/go_on.h"
#include "stages/jobs.h"
#include "stages/result.h"
#include "stages/space.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Whether FOLDER has the file NAME. */
static bool holds(const char *folder, const char *name) {
  char path[4096];
  bool fits = cz_fs_join(path, sizeof path, folder, name) == CZ_OK;
  return fits && cz_fs_exists(path);
}

/** Refuses, with CZ_EUSAGE, a FOLDER that holds files but nothing that a run of its kind
 * leaves there: the file OWN, or a lock. OTHER is a file that only another kind of run
 * leaves. So nobody's files are written over. */
cz_status cz_stage_folder(const char *folder, const char *own, const char *other) {
  size_t entries;
  CZ_TRY(cz_fs_count_entries(&entries, folder));
  if (!entries || (!holds(folder, other) && (holds(folder, own) || holds(folder, "lock"))))
    return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "%s holds other files and no run; name a new folder", folder);
}

/** True when the stage in FOLDER has left a result that can be read and has not changed since. */
bool cz_stage_has_result(const char *folder) {
  json_t *root;
  if (cz_result_open(&root, folder) != CZ_OK) return cz_error_clear(), false;
  json_decref(root);
  return true;
}

/** True when the stage of KIND in FOLDER has finished: its result is there and, when its
 * kind leaves one, its model. */
bool cz_stage_done(const cz_stage_kind *kind, const char *folder) {
  bool model =
      holds(folder, "model/config.json") && (holds(folder, "model/model.safetensors") ||
                                             holds(folder, "model/model.safetensors.index.json"));
  return (model || !(kind->leaves & CZ_LEAVES_MODEL)) && cz_stage_has_result(folder);
}

static cz_status write_config(const cz_config_node *node, const char *folder) {
  char path[4096];
  cz_buf text = {0};
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "config.yaml"));
  cz_status st = cz_config_emit(&text, node);
  if (st == CZ_OK) st = cz_fs_write_atomic(path, text.data, text.len);
  cz_buf_free(&text);
  return st;
}

/* Puts the texts of PLANNED that begin with a dollar sign into THERE, a configuration that ran:
 * folders of earlier stages move together with this one, and its key covers what they hold. */
static cz_status forget_folders(cz_config *config, const cz_config_node **there,
                                const cz_config_node *planned) {
  const char *text;
  if (cz_config_kind_of(planned) == CZ_CONFIG_SCALAR) {
    if (cz_config_text(&text, planned) != CZ_OK) return cz_error_clear(), CZ_OK;
    return *text == '$' && cz_config_kind_of(*there) == CZ_CONFIG_SCALAR
               ? cz_config_retext(config, there, *there, text)
               : CZ_OK;
  }
  if (cz_config_kind_of(*there) != cz_config_kind_of(planned)) return CZ_OK;
  for (size_t i = 0; i < cz_config_count(planned); i++) {
    const char *key = cz_config_key_at(planned, i);
    const cz_config_node *old = key                           ? cz_config_get(*there, key)
                                : i < cz_config_count(*there) ? cz_config_at(*there, i)
                                                              : NULL,
                         *child = old;
    char number[32];
    if (!old) continue;
    snprintf(number, sizeof number, "%zu", i);
    CZ_TRY(forget_folders(config, &child, cz_config_at(planned, i)));
    if (child != old) CZ_TRY(cz_config_with(config, there, *there, key ? key : number, child));
  }
  return CZ_OK;
}

/* How to go on with the run that FOLDER was made from, THERE, in NODE's precision, when that is all
 * that they differ in; else nothing. */
static cz_status say_how_to_go_on(cz_buf *out, cz_config *config, const cz_config_node *there,
                                  const cz_config_node *node, const char *folder) {
  const char *before = cz_stage_precision(there), *now = cz_stage_precision(node);
  const cz_config_node *old, *new;
  cz_buf rest = {0};
  cz_status st = CZ_OK;
  if (!before || !now || !strcmp(before, now) || holds(folder, "result.json")) return CZ_OK;
  CZ_GO(st, cz_stage_without_precision(config, &old, there), done);
  CZ_GO(st, cz_stage_without_precision(config, &new, node), done);
  CZ_GO(st, cz_config_compare(&rest, old, new), done);
  if (!rest.len)
    st = cz_buf_addf(out, "; to go on with it in %s add train.began_in=%s", now, before);
done:
  cz_buf_free(&rest);
  return st;
}

/* DIFFERENCES: lines. */
static cz_status refuse(const char *folder, const char *differences, cz_config *config,
                        const cz_config_node *there, const cz_config_node *node) {
  cz_buf how = {0};
  cz_status st = say_how_to_go_on(&how, config, there, node, folder);
  if (st == CZ_OK)
    st = CZ_FAIL(CZ_EUSAGE,
                 "%s: this folder holds another run:\n%sto go on with that run, ask for what it "
                 "has%s; for a new one choose another --out or remove this folder",
                 folder, differences, how.data ? how.data : "");
  cz_buf_free(&how);
  return st;
}

/* As cz_stage_same; PLANNED: NODE is a stage of a plan, with names of earlier stages instead of
 * their folders, and without `init`. What is finished goes on in no other precision. */
static cz_status same(const cz_config_node *node, const json_t *record, const char *folder,
                      const char *name, bool planned) {
  char path[4096];
  cz_config *there = NULL;
  const cz_config_node *root;
  cz_buf text = {0};
  cz_status st;
  CZ_GO(st, cz_fs_join(path, sizeof path, folder, name), done);
  CZ_GO(st, cz_config_open(&there, path), done);
  root = cz_config_root(there);
  if (planned && cz_config_get(root, "init") && !cz_config_get(node, "init"))
    CZ_GO(st, cz_config_without(there, &root, root, "init"), done);
  if (planned) CZ_GO(st, forget_folders(there, &root, node), done);
  if (cz_stage_changes_precision(node) && !holds(folder, "result.json")) {
    CZ_GO(st, cz_stage_without_precision(there, &root, root), done);
    CZ_GO(st, cz_stage_without_precision(there, &node, node), done);
  }
  CZ_GO(st, cz_config_compare(&text, root, node), done);
  CZ_GO(st, cz_inputs_compare(&text, record, folder), done);
  if (text.len) st = refuse(folder, text.data, there, root, node);
done:
  cz_buf_free(&text);
  cz_config_destroy(&there);
  return st;
}

/** Refuses, with CZ_EUSAGE that names each value and file, a FOLDER whose file NAME holds
 * another configuration than NODE, or whose inputs.json other contents than RECORD. */
cz_status cz_stage_same(const cz_config_node *node, const json_t *record, const char *folder,
                        const char *name) {
  return same(node, record, folder, name, false);
}

/* What a stage's call works on. */
typedef struct work {
  const cz_stage_kind *kind;
  const cz_config_node *node, *identity; /* identity: as in cz_stage_run */
  const char *folder;
  uint64_t hash; /* of identity and of what the files hold */
  json_t *record;
} work;

/** Whether something was computed in FOLDER: of the stage itself, or of a member of it. */
bool cz_stage_begun(const char *folder) {
  return holds(folder, "result.json") || cz_checkpoint_exists(folder) || cz_members_begun(folder);
}

/* A folder in which something was computed belongs to its configuration and files:
 * others mean two runs in one folder. Before that, a configuration that was wrong may
 * be mended. */
static cz_status check_owner(const work *w) {
  if (!holds(w->folder, "config.yaml") || !cz_stage_begun(w->folder)) return CZ_OK;
  return same(w->identity, w->record, w->folder, "config.yaml", w->identity != w->node);
}

/* What the stage left in model/, file by file, so that a stage that starts from it can tell. */
static cz_status hash_model(cz_session *s, const cz_stage_kind *kind, const char *folder,
                            json_t *model) {
  char path[4096];
  if (!(kind->leaves & CZ_LEAVES_MODEL)) return CZ_OK;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "model"));
  return cz_inputs_model(&s->inputs, model, path);
}

static cz_status write_result(cz_session *s, const cz_stage_kind *kind,
                              const cz_stage_output *out) {
  char hex[32];
  json_t *root = NULL, *model = json_object();
  cz_status st;
  CZ_GO(st, hash_model(s, kind, out->folder, model), done);
  snprintf(hex, sizeof hex, "%016" PRIx64, out->config_hash);
  root = json_pack("{s:s, s:s, s:O, s:O}", "kind", kind->name, "config_hash", hex, "metrics",
                   out->metrics, "measured", out->measured);
  if (!root) CZ_GO(st, CZ_FAIL(CZ_ENOMEM, "%s: no memory for its result", out->folder), done);
  if (json_object_size(model)) CZ_GO(st, cz_json_set(root, "model", json_incref(model)), done);
  st = cz_result_write(root, out->folder);
done:
  json_decref(root);
  json_decref(model);
  return st;
}

/* Rank 0 writes. What builds a model and leaves it trains it, and saves checkpoints on the way. */
static cz_status check_space(const cz_session *s, const work *w, const cz_recipe *recipe) {
  bool writes = cz_session_writes(s) && (w->kind->leaves & CZ_LEAVES_MODEL) &&
                cz_stage_takes(w->kind, cz_part_model.key.name);
  return writes ? cz_space_check(recipe, w->folder) : CZ_OK;
}

/* Opens what the kind's recipe has, calls the kind, and notes how long it took. */
static cz_status run_kind(cz_session *s, const work *w, cz_stage_output *out) {
  cz_recipe recipe;
  double began = cz_seconds();
  cz_status st;
  CZ_GO(st, cz_stage_bind(&recipe, w->kind, w->node, s->device), done);
  if (recipe.tokenizer_path) CZ_GO(st, cz_recipe_open_tokenizer(&recipe), done);
  CZ_GO(st, cz_comm_agree(s->comm, check_space(s, w, &recipe)), done);
  CZ_GO(st, w->kind->run(s, &recipe, out), done);
  CZ_GO(st, cz_json_set_real(out->measured, "seconds", cz_seconds() - began), done);
  CZ_GO(st, cz_stage_earlier(out->measured, w->folder), done);
  CZ_GO(st, cz_json_set_text(out->measured, "processor", s->device->processor), done);
  st = cz_json_set_int(out->measured, "ranks", s->comm->size);
done:
  cz_recipe_close(&recipe);
  return st;
}

/* Warns when the model that the stage starts from is not what its own stage left. */
static cz_status check_start(cz_session *s, const work *w) {
  const cz_config_node *init = cz_config_get(w->node, "init");
  const char *folder;
  if (!init) return CZ_OK;
  CZ_TRY(cz_config_text(&folder, init));
  return *folder ? cz_inputs_check_model(&s->inputs, folder) : CZ_OK;
}

/* A stage that is done again because its result was changed says so. */
static void warn_of_damage(const work *w) {
  json_t *root;
  if (!cz_result_exists(w->folder)) return;
  if (cz_result_open(&root, w->folder) != CZ_OK) {
    cz_warn("%s; the stage is done again", cz_error_message());
    cz_error_clear();
  }
  json_decref(root);
}

/* What rank 0 does before the stage begins. */
static cz_status prepare(cz_session *s, const work *w) {
  char log_path[4096];
  warn_of_damage(w);
  if (s->other.kind[0]) cz_device_warn_of_kind(s->device, s->other.folder, s->other.kind);
  CZ_TRY(check_owner(w));
  CZ_TRY(check_start(s, w));
  CZ_TRY(write_config(w->node, w->folder));
  CZ_TRY(cz_inputs_write(w->record, w->folder));
  CZ_TRY(cz_fs_join(log_path, sizeof log_path, w->folder, "log.txt"));
  CZ_TRY(cz_log_open(log_path));
  cz_log("%s: on device %s, %s", w->kind->name, s->device->name, s->device->processor);
  return CZ_OK;
}

/* Ranks leave a stage together: none goes on before rank 0 has written. */
static cz_status run_locked(cz_session *s, const work *w) {
  cz_stage_output out = {w->folder, w->hash, json_object(), json_object()};
  cz_status st;
  CZ_GO(st, cz_comm_agree(s->comm, s->comm->rank == 0 ? prepare(s, w) : CZ_OK), done);
  CZ_GO(st, run_kind(s, w, &out), done);
  if (s->comm->rank == 0) CZ_GO(st, write_result(s, w->kind, &out), done);
done:
  st = cz_comm_agree(s->comm, st);
  cz_log_close();
  json_decref(out.metrics);
  json_decref(out.measured);
  return st;
}

/* A finished stage that was computed on another kind of processor: what builds on it is warned of
 * when it runs. */
static void note_kind(cz_session *s, const work *w) {
  json_t *root;
  if (cz_result_open(&root, w->folder) != CZ_OK) cz_error_clear();
  const char *kind =
      json_string_value(json_object_get(json_object_get(root, "measured"), "processor"));
  if (kind && strcmp(kind, s->device->processor) && !s->other.kind[0]) {
    snprintf(s->other.kind, sizeof s->other.kind, "%s", kind);
    snprintf(s->other.folder, sizeof s->other.folder, "%s", w->folder);
  }
  json_decref(root);
}

static cz_status run_in(cz_session *s, const work *w) {
  char lock_path[4096];
  int lock = -1;
  CZ_TRY(cz_fs_make_dirs(w->folder));
  CZ_TRY(cz_comm_barrier(s->comm));
  if (cz_stage_done(w->kind, w->folder)) return note_kind(s, w), check_owner(w);
  if (s->comm->rank == 0) {
    CZ_TRY(cz_fs_join(lock_path, sizeof lock_path, w->folder, "lock"));
    CZ_TRY(cz_fs_lock(lock_path, &lock));
  }
  cz_status st = run_locked(s, w);
  cz_fs_unlock(&lock);
  return st;
}

/** The hash to which a stage's checkpoint belongs: of IDENTITY (cz_stage_run) and of what the files
 * that NODE names hold, and the members in folders that IDENTITY names, which are added to RECORD.
 */
cz_status cz_stage_checkpoint_hash(uint64_t *hash, json_t *record, cz_session *s,
                                   const cz_stage_kind *kind, const cz_config_node *node,
                                   const cz_config_node *identity) {
  CZ_TRY(cz_stage_config_hash(hash, identity));
  return cz_inputs_hash(&s->inputs, hash, record, kind->parts, node, identity);
}

/** Runs the stage that NODE (its resolved configuration, key `kind` included) describes
 * in FOLDER, or returns at once when it is done there. FOLDER and its checkpoint belong
 * to IDENTITY: NODE itself, or the stage of a plan, which names earlier stages instead of
 * their folders, since those move together with FOLDER; what they hold counts in any case.
 * CZ_EBUSY when another process works in FOLDER, CZ_EUSAGE when FOLDER holds another
 * configuration's run, or one of files that have changed. Collective. */
cz_status cz_stage_run(cz_session *s, const cz_config_node *node, const cz_config_node *identity,
                       const char *folder) {
  work w = {.node = node, .identity = identity, .folder = folder};
  CZ_TRY(cz_stage_kind_of(&w.kind, node));
  CZ_TRY(cz_stage_known(w.kind, node));
  w.record = json_object();
  cz_status st = cz_stage_checkpoint_hash(&w.hash, w.record, s, w.kind, node, identity);
  st = cz_comm_agree(s->comm, st);
  if (st == CZ_OK) st = run_in(s, &w);
  json_decref(w.record);
  return st;
}

/* Computes members of W, in whose folder another process writes the rest. */
static cz_status compute_members(cz_session *s, const work *w) {
  cz_stage_output out = {w->folder, w->hash, json_object(), json_object()};
  s->joins = true;
  cz_log_quiet(true);
  cz_status st = run_kind(s, w, &out);
  cz_log_quiet(false);
  s->joins = false;
  json_decref(out.metrics);
  json_decref(out.measured);
  return st;
}

/** Computes members of the stage that NODE describes, which another process runs in FOLDER and asks
 * for with WORD (cz_jobs_join). Leaves nothing else there. Ends when that process does, which is
 * also what says that it was stopped. */
cz_status cz_stage_join(cz_session *s, const cz_config_node *node, const char *folder,
                        const char *word) {
  work w = {.node = node, .identity = node, .folder = folder};
  CZ_TRY(cz_jobs_join(&w.hash, word));
  CZ_TRY(cz_stage_kind_of(&w.kind, node));
  CZ_TRY(cz_stage_known(w.kind, node));
  cz_status st = compute_members(s, &w);
  return st == CZ_EINTERRUPT ? cz_error_clear(), CZ_OK : st;
}

/** As cz_stage_join, by a process that knows what cz_stage_run was called with: members of a stage
 * that another process of the same run holds. */
cz_status cz_stage_help_with(cz_session *s, const cz_config_node *node,
                             const cz_config_node *identity, const char *folder) {
  work w = {.node = node, .identity = identity, .folder = folder};
  CZ_TRY(cz_stage_kind_of(&w.kind, node));
  w.record = json_object();
  cz_status st = cz_stage_checkpoint_hash(&w.hash, w.record, s, w.kind, node, identity);
  if (st == CZ_OK) st = compute_members(s, &w);
  json_decref(w.record);
  return st;
}
