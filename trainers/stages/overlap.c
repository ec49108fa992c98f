#include "stages/overlap.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/stop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 1 << 20 };

/* Whether A and B, which are as long as one another, hold the same bytes. */
static cz_status same_contents(bool *same, const char *a, const char *b) {
  FILE *one = NULL, *other = NULL;
  char *piece = NULL;
  size_t n = 1, m = 1;
  cz_status st;
  CZ_GO(st, cz_alloc(&piece, 2, PIECE), done);
  CZ_GO(st, cz_fs_open_stream(&one, a), done);
  CZ_GO(st, cz_fs_open_stream(&other, b), done);
  for (*same = true; *same && n > 0;) {
    CZ_GO(st, cz_stop_check(a), done);
    n = fread(piece, 1, PIECE, one);
    m = fread(piece + PIECE, 1, PIECE, other);
    *same = n == m && !memcmp(piece, piece + PIECE, n);
  }
  *same = *same && !ferror(one) && !ferror(other);
done:
  if (one) fclose(one);
  if (other) fclose(other);
  free(piece);
  return st;
}

/** Whether the files A and B are one file, or two with the same contents; false when one of them
 * is not there. Reads both only as far as they agree, and only when they are equally long. */
cz_status cz_overlap_files(bool *same, const char *a, const char *b) {
  struct stat one, other;
  *same = false;
  if (stat(a, &one) || stat(b, &other) || !S_ISREG(one.st_mode) || !S_ISREG(other.st_mode))
    return CZ_OK;
  *same = one.st_dev == other.st_dev && one.st_ino == other.st_ino;
  return *same || one.st_size != other.st_size || one.st_size == 0 ? CZ_OK
                                                                   : same_contents(same, a, b);
}

/* The file that NODE names for a task of ROW (its first, where a task has two); empty: none. */
static cz_status file_of(char file[4096], const cz_config_node *node, const cz_task_row *row) {
  const char *path = "";
  *file = '\0';
  if (node) CZ_TRY(cz_config_text(&path, node));
  return *path ? cz_task_file(file, 4096, row, path, 0) : CZ_OK;
}

/* Warns, with the place of NODE, once in a round of checks. FILE is what NODE names. */
static cz_status warn(cz_check *c, const cz_config_node *node, const char *file, const char *other,
                      const char *why) {
  bool first;
  CZ_TRY(cz_check_once(c, &first, "overlap %s: %s", file, other));
  if (!first) return CZ_OK;
  if (cz_config_error(node, "%s: this is also %s: %s", file, other, why) != CZ_OK)
    cz_warn("%s", cz_error_message());
  cz_error_clear();
  return CZ_OK;
}

static const char remembered[] = "the score tells what is remembered, not what is learnt";

/* The task's own training file against its file of SPLIT. */
static cz_status check_own(cz_check *c, bool *same, const cz_task_entry *e, const char *split) {
  const cz_config_node *train = cz_config_get(e->node, "train"),
                       *node = cz_config_get(e->node, split);
  char trained[4096], scored[4096], other[8192];
  *same = false;
  CZ_TRY(file_of(trained, train, e->row));
  CZ_TRY(file_of(scored, node, e->row));
  if (!*trained || !*scored) return CZ_OK;
  CZ_TRY(cz_overlap_files(same, trained, scored));
  if (!*same) return CZ_OK;
  snprintf(other, sizeof other, "the task's `train`, %s", trained);
  return warn(c, node, scored, other, remembered);
}

/* Adds STAGE to the end of QUEUE, unless it is in SEEN, or no stage that trains on tasks. */
static bool add_stage(json_t *queue, json_t *seen, const cz_check *c, const char *stage) {
  if (!json_object_get(c->trained, stage) || json_object_get(seen, stage)) return true;
  return !json_object_set_new_nocheck(seen, stage, json_true()) &&
         !json_array_append_new(queue, json_stringn_nocheck(stage, strlen(stage)));
}

/* QUEUE: the stages that the model comes from which this stage starts from, the nearest first. */
static cz_status list_origins(json_t *queue, const cz_check *c) {
  json_t *seen = json_object(), *from;
  bool added = queue && seen;
  for (size_t i = 0; i < c->stage.n_from && added; i++)
    added = add_stage(queue, seen, c, c->stage.from[i].name);
  for (size_t i = 0; added && i < json_array_size(queue); i++) {
    const char *stage = json_string_value(json_array_get(queue, i));
    const json_t *before = json_object_get(json_object_get(c->trained, stage), "from");
    for (size_t k = 0; (from = json_array_get(before, k)) && added; k++)
      added = add_stage(queue, seen, c, json_string_value(from));
  }
  json_decref(seen);
  return added ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "no memory for checks");
}

/* Its file of SPLIT against what the model was trained on that the stage starts from. */
static cz_status check_earlier(cz_check *c, const cz_task_entry *e, const char *split) {
  const cz_config_node *node = cz_config_get(e->node, split);
  char scored[4096];
  const char *trained;
  json_t *where, *queue = json_array();
  bool same = false;
  cz_status st;
  CZ_GO(st, file_of(scored, node, e->row), done);
  if (!*scored) goto done;
  CZ_GO(st, list_origins(queue, c), done);
  for (size_t i = 0; i < json_array_size(queue); i++) {
    json_t *entry = json_object_get(c->trained, json_string_value(json_array_get(queue, i)));
    json_object_foreach(json_object_get(entry, "files"), trained, where) {
      CZ_GO(st, cz_overlap_files(&same, trained, scored), done);
      if (!same) continue;
      st = warn(c, node, scored, json_string_value(where), remembered);
      goto done;
    }
  }
done:
  json_decref(queue);
  return st;
}

/* What a stage that trains leaves for those that start from it: files, and where it started. */
static json_t *new_entry(const cz_check *c) {
  json_t *from = json_array(), *entry = json_pack("{s:{}, s:O}", "files", "from", from);
  bool failed = !entry;
  for (size_t i = 0; i < c->stage.n_from && !failed; i++) {
    const char *name = c->stage.from[i].name;
    failed = json_array_append_new(from, json_stringn_nocheck(name, strlen(name)));
  }
  json_decref(from);
  if (failed) json_decref(entry);
  return failed ? NULL : entry;
}

/* Keeps what this stage trains on, for the stages that start from it. A stage alone has none. */
static cz_status note_training(cz_check *c, const cz_task_entry *e) {
  char file[4096], where[8192];
  if (!c->stage.name) return CZ_OK;
  CZ_TRY(file_of(file, cz_config_get(e->node, "train"), e->row));
  if (!json_object_get(c->trained, c->stage.name) &&
      json_object_set_new_nocheck(c->trained, c->stage.name, new_entry(c)))
    return CZ_FAIL(CZ_ENOMEM, "no memory for checks");
  json_t *files = json_object_get(json_object_get(c->trained, c->stage.name), "files");
  snprintf(where, sizeof where, "`train` of task %s in stage %s, %s", e->label, c->stage.name,
           file);
  return *file && json_object_set_new_nocheck(files, file,
                                              json_stringn_nocheck(where, strlen(where)))
             ? CZ_FAIL(CZ_ENOMEM, "no memory for checks")
             : CZ_OK;
}

/** For a stage that scores SPLIT: warns when the task ENTRY has there the file that it calls
 * `train`, or one that the stage's model was trained on; who asks for `train` is not warned. For a
 * stage that trains, SPLIT null, it notes the file for the stages that start from this one. Files
 * that are not there yet are passed over. */
cz_status cz_overlap_task(cz_check *c, const cz_task_entry *entry, const char *split) {
  bool said;
  if (!split) return note_training(c, entry);
  if (!strcmp(split, "train")) return CZ_OK;
  CZ_TRY(check_own(c, &said, entry, split));
  return said ? CZ_OK : check_earlier(c, entry, split);
}

/** Warns when the corpus that HELD_OUT names is the one that CORPUS names. */
cz_status cz_overlap_corpora(cz_check *c, const cz_config_node *corpus,
                             const cz_config_node *held_out) {
  const char *trained, *scored;
  char other[8192];
  bool same;
  CZ_TRY(cz_config_text(&trained, corpus));
  CZ_TRY(cz_config_text(&scored, held_out));
  CZ_TRY(cz_overlap_files(&same, trained, scored));
  if (!same) return CZ_OK;
  snprintf(other, sizeof other, "the stage's `corpus`, %s", trained);
  return warn(c, held_out, scored, other, "held_out_loss is of text that was trained on");
}
