/* OUT/student of cloze pet: the classifier under a name that does not depend on the run. What
 * stands there may be the user's by now, so nothing is removed and no link is followed. */
#include "base/fs.h"
#include "base/log.h"
#include "base/new_folder.h"
#include "experiment/pet_internal.h"
#include "json/json.h"
#include "stages/result.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static cz_status copy_files(const char *from, const char *to) {
  char old[4096], new[4096];
  struct dirent *entry;
  DIR *d = opendir(from);
  cz_status st = CZ_OK;
  if (!d) return CZ_FAIL(CZ_EIO, "%s: %s", from, strerror(errno));
  while (st == CZ_OK && (entry = readdir(d))) {
    if (entry->d_name[0] == '.') continue;
    st = cz_fs_join(old, sizeof old, from, entry->d_name);
    if (st == CZ_OK) st = cz_fs_join(new, sizeof new, to, entry->d_name);
    if (st == CZ_OK) st = cz_fs_copy(old, new);
  }
  closedir(d);
  return st;
}

/* Whether the files A and B hold the same; false also where one cannot be read. */
static bool same_file(const char *a, const char *b) {
  enum { PIECE = 1 << 16 };
  char piece[2][PIECE];
  FILE *f = fopen(a, "rb"), *g = fopen(b, "rb");
  bool same = f && g;
  for (size_t n = PIECE; same && n == PIECE;) {
    n = fread(piece[0], 1, PIECE, f);
    same = fread(piece[1], 1, PIECE, g) == n && !memcmp(piece[0], piece[1], n) && !ferror(f);
  }
  if (f) fclose(f);
  if (g) fclose(g);
  return same;
}

/* Whether the folder COPY has each file of FOLDER as it is there. */
static bool same_files(const char *folder, const char *copy) {
  char a[4096], b[4096];
  DIR *d = opendir(folder);
  bool same = d != NULL;
  for (const struct dirent *e; same && (e = readdir(d));)
    if (e->d_name[0] != '.')
      same = cz_fs_join(a, sizeof a, folder, e->d_name) == CZ_OK &&
             cz_fs_join(b, sizeof b, copy, e->d_name) == CZ_OK && same_file(a, b);
  if (d) closedir(d);
  return same;
}

/* What the student of STAGE is: the stage's name, which has its key, and the hashes of the model.
 */
static cz_status describe(json_t **out, const char *stage) {
  json_t *result;
  const char *name = strrchr(stage, '/');
  CZ_TRY(cz_result_open(&result, stage));
  *out = json_pack("{s:s, s:O}", "stage", name ? name + 1 : stage, "model",
                   json_object_get(result, "model"));
  json_decref(result);
  return *out ? CZ_OK : CZ_FAIL(CZ_ECORRUPT, "%s/result.json has no hashes of its model", stage);
}

/* Whether the file RECORD says that this student was laid out. */
static bool recorded(const char *record, const json_t *student) {
  json_t *there = NULL;
  bool same =
      cz_fs_exists(record) && cz_json_open(&there, record) == CZ_OK && json_equal(there, student);
  cz_error_clear(); /* damaged: files tell */
  json_decref(there);
  return same;
}

/* Gives PATH, whatever it is, the first name student.old-N of OUT that is free. */
static cz_status keep_old(const char *out, const char *path, const char *why) {
  char name[64], old[4096];
  struct stat s;
  int n = 1;
  do {
    snprintf(name, sizeof name, "student.old-%d", n++);
    CZ_TRY(cz_fs_join(old, sizeof old, out, name));
  } while (!lstat(old, &s));
  if (rename(path, old)) return CZ_FAIL(CZ_EIO, "%s -> %s: %s", path, old, strerror(errno));
  cz_warn("%s: %s; it is %s now", path, why, old);
  return CZ_OK;
}

/* Opens PATH of OUT to be written. What stands in the way aside, and is no killed run's since there
 * are folders in it, is kept. */
static cz_status open_new(cz_new_folder *to, const char *out, const char *path) {
  struct stat s;
  cz_status st = cz_new_folder_open(to, path);
  if (st != CZ_EIO || !*to->aside || lstat(to->aside, &s)) return st;
  cz_error_clear();
  CZ_TRY(keep_old(out, to->aside, "this is in the way of a new student"));
  return cz_new_folder_open(to, path);
}

static cz_status lay_out(const char *out, const char *path, const char *model) {
  cz_new_folder to = {.handle = -1};
  CZ_TRY(open_new(&to, out, path));
  cz_status st = copy_files(model, to.aside);
  if (st == CZ_OK) st = cz_new_folder_commit(&to);
  cz_new_folder_discard(&to);
  return st;
}

static cz_status put(const char *out, const char *stage, const char *record,
                     const json_t *student) {
  char path[4096], model[4096];
  struct stat s;
  CZ_TRY(cz_fs_join(path, sizeof path, out, "student"));
  CZ_TRY(cz_fs_join(model, sizeof model, stage, "model"));
  const bool there = lstat(path, &s) == 0;
  if (there && recorded(record, student)) return CZ_OK;
  if (!there || !S_ISDIR(s.st_mode) || !same_files(model, path)) {
    if (there) CZ_TRY(keep_old(out, path, "this student is not the run's any more"));
    CZ_TRY(lay_out(out, path, model));
  }
  return cz_json_write(student, record, JSON_INDENT(1) | JSON_SORT_KEYS);
}

/** Lays out the model of the finished STAGE, a folder, as OUT/student, whole or not at all, and
 * writes OUT/student.json, which says whose it is. A student of this stage that is there stays as
 * it is, also where somebody has changed it; another one gets the name student.old-N, as is
 * warned. */
cz_status cz__pet_put_student(const char *out, const char *stage) {
  char record[4096];
  json_t *student;
  CZ_TRY(cz_fs_join(record, sizeof record, out, "student.json"));
  CZ_TRY(describe(&student, stage));
  cz_status st = put(out, stage, record, student);
  json_decref(student);
  return st;
}
