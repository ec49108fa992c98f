#include "stages/go_on.h"
#include "base/fs.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "stages/result.h"
#include "training/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char steps_key[] = "train.steps";

/* The number of steps of a stage; 0 where it has none. */
static cz_status steps_of(int64_t *steps, const cz_config_node *node) {
  const cz_config_node *train = cz_config_get(node, "train"),
                       *n = train ? cz_config_get(train, "steps") : NULL;
  *steps = 0;
  return n ? cz_config_int(steps, n, 1, 1e12) : CZ_OK;
}

/* Whether the rate of a stage does not depend on its number of steps. */
static cz_status rate_is_fixed(bool *is, const cz_config_node *node) {
  cz_optimizer_keys keys;
  const cz_config_node *section = cz_config_get(node, "optimizer");
  *is = false;
  if (!section) return CZ_OK;
  CZ_TRY(cz_config_bind(section, &cz_optimizer_section, &keys, NULL));
  *is = !cz_schedule_needs_steps(&keys);
  return CZ_OK;
}

/* Whether A is B but for the number of steps. */
static cz_status same_but_steps(bool *same, cz_config *config, const cz_config_node *a,
                                const cz_config_node *b) {
  const cz_config_node *steps = cz_config_get(cz_config_get(b, "train"), "steps"), *changed;
  uint64_t x, y;
  CZ_TRY(cz_config_with(config, &changed, a, steps_key, steps));
  CZ_TRY(cz_config_hash(&x, changed));
  CZ_TRY(cz_config_hash(&y, b));
  *same = x == y;
  return CZ_OK;
}

/** *CAN: a stage of KIND, configuration LONGER, that begins with the checkpoint of SHORTER ends
 * with the bits that it has without. CONFIG owns both. CZ_EUSAGE for a wrong number of steps or
 * optimizer. */
cz_status cz_stage_can_go_on(bool *can, cz_config *config, const cz_stage_kind *kind,
                             const cz_config_node *longer, const cz_config_node *shorter) {
  int64_t more, fewer;
  bool fixed = false, same = false;
  *can = false;
  if (!(kind->leaves & CZ_LEAVES_CURVE)) return CZ_OK;
  CZ_TRY(steps_of(&more, longer));
  CZ_TRY(steps_of(&fewer, shorter));
  if (!fewer || more <= fewer) return CZ_OK;
  CZ_TRY(rate_is_fixed(&fixed, longer));
  CZ_TRY(same_but_steps(&same, config, longer, shorter));
  *can = fixed && same;
  return CZ_OK;
}

/* Format and configuration are the writer's own. */
static bool is_own(const cz_checkpoint_entry *e) { return !strncmp(e->name, "cloze/", 6); }

/* Bytes of all entries. */
static uint64_t bytes_of(const cz_checkpoint *c, uint64_t *largest, uint64_t *entries) {
  uint64_t sum = 0;
  *largest = *entries = 0;
  for (const cz_checkpoint_entry *e; (e = cz_checkpoint_at(c, (size_t)*entries)); ++*entries) {
    uint64_t bytes = e->elements * cz_checkpoint_type_size(e->type);
    if (bytes > *largest) *largest = bytes;
    sum += bytes;
  }
  return sum;
}

/* Writes all entries of C into a checkpoint of FOLDER that belongs to the configuration HASH. */
static cz_status copy_checkpoint(const char *folder, uint64_t hash, cz_checkpoint *c) {
  uint64_t largest, entries, bytes = bytes_of(c, &largest, &entries);
  cz_checkpoint_writer *w = NULL;
  void *buffer;
  cz_status st;
  CZ_TRY(cz_alloc(&buffer, (size_t)largest + 1, 1));
  CZ_GO(st, cz_checkpoint_begin(&w, folder, hash, cz_checkpoint_bytes(bytes, entries)), done);
  for (size_t i = 0; i < entries; i++) {
    const cz_checkpoint_entry *e = cz_checkpoint_at(c, i);
    if (is_own(e)) continue;
    CZ_GO(st, cz_checkpoint_get(c, buffer, e->name, e->type, e->dims, e->rank), done);
    CZ_GO(st, cz_checkpoint_put(w, e->name, e->type, buffer, e->dims, e->rank), done);
  }
  st = cz_checkpoint_commit(&w);
done:
  cz_checkpoint_discard(&w);
  free(buffer);
  return st;
}

/* What the shorter stage had made and how long it took, its own earlier ones included. */
static cz_status write_earlier(const char *folder, const char *shorter) {
  char path[4096];
  json_t *result, *earlier = NULL;
  CZ_TRY(cz_result_open(&result, shorter));
  const json_t *measured = json_object_get(result, "measured"),
               *metrics = json_object_get(result, "metrics");
  const double seconds = json_number_value(json_object_get(measured, "seconds")) +
                         json_number_value(json_object_get(measured, "earlier_seconds"));
  const json_int_t steps = json_integer_value(json_object_get(metrics, "steps")) +
                           json_integer_value(json_object_get(metrics, "skipped"));
  const char *name = strrchr(shorter, '/');
  earlier = json_pack("{s:s, s:I, s:f}", "folder", name ? name + 1 : shorter, "steps", steps,
                      "seconds", seconds);
  cz_status st = earlier ? cz_fs_join(path, sizeof path, folder, "earlier.json")
                         : CZ_FAIL(CZ_ENOMEM, "%s: no memory for earlier.json", folder);
  if (st == CZ_OK) st = cz_json_write(earlier, path, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
  json_decref(earlier);
  json_decref(result);
  return st;
}

/* The checkpoint comes last: without it nothing has been taken over. KIND's name is that of its
 * curves. */
static cz_status take_over(const char *folder, uint64_t hash, const char *shorter,
                           const cz_stage_kind *kind, const cz_config_node *node) {
  cz_train_keys train;
  cz_checkpoint *c;
  CZ_TRY(cz_config_bind(cz_config_get(node, "train"), &cz_train_section, &train, NULL));
  CZ_TRY(cz_checkpoint_open(&c, shorter));
  cz_status st = cz_fs_make_dirs(folder);
  if (st == CZ_OK) st = cz_record_take_over(folder, shorter, kind->name, &train);
  if (st == CZ_OK) st = write_earlier(folder, shorter);
  if (st == CZ_OK) st = copy_checkpoint(folder, hash, c);
  cz_checkpoint_close(&c);
  return st;
}

/* Removes what a killed call left: without a checkpoint nothing was taken over. */
static cz_status forget(const char *folder) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "earlier.json"));
  return unlink(path) == 0 || errno == ENOENT ? CZ_OK
                                              : CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
}

/** Lets the stage of NODE and IDENTITY (cz_stage_run) begin in FOLDER with what the finished stage
 * in SHORTER has left, where cz_stage_can_go_on said so. Nothing happens when FOLDER has a
 * checkpoint or a result of its own, or SHORTER no checkpoint; one that is damaged or of another
 * version is warned of, and the stage begins at its first step. For rank 0 alone, before
 * cz_stage_run. */
cz_status cz_stage_go_on(cz_session *s, const cz_config_node *node, const cz_config_node *identity,
                         const char *folder, const char *shorter) {
  const cz_stage_kind *kind;
  uint64_t hash;
  if (cz_checkpoint_exists(folder) || cz_result_exists(folder)) return CZ_OK;
  CZ_TRY(forget(folder));
  if (!cz_checkpoint_exists(shorter) || !cz_stage_has_result(shorter)) return CZ_OK;
  CZ_TRY(cz_stage_kind_of(&kind, node));
  json_t *record = json_object();
  cz_status st = cz_stage_checkpoint_hash(&hash, record, s, kind, node, identity);
  json_decref(record);
  CZ_TRY(st);
  st = take_over(folder, hash, shorter, kind, node);
  if (st != CZ_ECORRUPT && st != CZ_EINVAL) return st; /* damaged, or of another version */
  cz_warn("%s; %s begins at its first step", cz_error_message(), folder);
  cz_error_clear();
  return CZ_OK;
}

/** Adds to MEASURED what the stage in FOLDER has taken over: `earlier_steps`, and
 * `earlier_seconds`, which its own `seconds` leave out. Nothing where it has taken over nothing. */
cz_status cz_stage_earlier(json_t *measured, const char *folder) {
  char path[4096];
  json_t *earlier;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "earlier.json"));
  if (!cz_fs_exists(path)) return CZ_OK;
  CZ_TRY(cz_json_open(&earlier, path));
  const double seconds = json_number_value(json_object_get(earlier, "seconds"));
  const int64_t steps = json_integer_value(json_object_get(earlier, "steps"));
  json_decref(earlier);
  CZ_TRY(cz_json_set_int(measured, "earlier_steps", steps));
  return cz_json_set_real(measured, "earlier_seconds", seconds);
}
