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

/* Its file of SPLIT against what earlier stages of the round train on. */
static cz_status check_earlier(cz_check *c, const cz_task_entry *e, const char *split) {
  const cz_config_node *node = cz_config_get(e->node, split);
  char scored[4096];
  const char *trained, *where;
  json_t *text;
  CZ_TRY(file_of(scored, node, e->row));
  if (!*scored) return CZ_OK;
  json_object_foreach(c->trained, trained, text) {
    bool same;
    CZ_TRY(cz_overlap_files(&same, trained, scored));
    if (!same || !(where = json_string_value(text))) continue;
    return warn(c, node, scored, where, remembered);
  }
  return CZ_OK;
}

/* Keeps what this stage trains on, for the stages that follow. */
static cz_status note_training(cz_check *c, const cz_task_entry *e) {
  char file[4096], where[8192];
  CZ_TRY(file_of(file, cz_config_get(e->node, "train"), e->row));
  if (!*file || json_object_get(c->trained, file)) return CZ_OK;
  snprintf(where, sizeof where, "`train` of task %s in stage %s, %s", e->label,
           c->stage.name ? c->stage.name : "finetune", file);
  return json_object_set_new_nocheck(c->trained, file, json_stringn_nocheck(where, strlen(where)))
             ? CZ_FAIL(CZ_ENOMEM, "no memory for checks")
             : CZ_OK;
}

/** Warns when the task ENTRY scores a file that is trained on: its own `train` against its `dev`
 * and `test`, and its file of SPLIT, of a stage that scores (null: of one that trains), against
 * `train` of all stages that were checked before. A stage that is told to score `train` is not
 * warned of it. Files that are not there yet are passed over. */
cz_status cz_overlap_task(cz_check *c, const cz_task_entry *entry, const char *split) {
  bool dev, test;
  CZ_TRY(check_own(c, &dev, entry, "dev"));
  CZ_TRY(check_own(c, &test, entry, "test"));
  if (!split) return note_training(c, entry);
  bool said = (dev && !strcmp(split, "dev")) || (test && !strcmp(split, "test"));
  return said || !strcmp(split, "train") ? CZ_OK : check_earlier(c, entry, split);
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
