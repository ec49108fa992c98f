#include "stages/inputs.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/stop.h"
#include "base/utf8.h"
#include "few_shot/claims.h"
#include "few_shot/generation.h"
#include "json/json.h"
#include "stages/result.h"
#include "stages/stage.h"
#include "text/tokenizer.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { PIECE = 1 << 20 };

struct cz_input {
  char *path;
  uint64_t hash;
  struct stat seen; /* when it was hashed */
};

/** Frees the list. */
void cz_inputs_free(cz_inputs *known) {
  for (size_t i = 0; i < known->n; i++) free(known->files[i].path);
  free(known->files);
  *known = (cz_inputs){0};
}

/* The contents, a piece at a time: corpora may be larger than the memory. */
static cz_status hash_contents(uint64_t *hash, const char *path) {
  char *piece = NULL;
  size_t n;
  FILE *f;
  CZ_TRY(cz_fs_open_stream(&f, path));
  cz_status st = cz_alloc(&piece, PIECE, 1);
  *hash = 0;
  do {
    n = st == CZ_OK ? fread(piece, 1, PIECE, f) : 0;
    if (st == CZ_OK) *hash = cz_hash64(piece, n, *hash);
    if (st == CZ_OK && n == PIECE) st = cz_stop_check(path);
  } while (st == CZ_OK && n == PIECE);
  if (st == CZ_OK && ferror(f)) st = CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  fclose(f);
  free(piece);
  return st;
}

static bool same_state(const struct stat *a, const struct stat *b) {
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
         a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static cz_status hash_known(cz_inputs *known, uint64_t *hash, const char *path) {
  struct stat now;
  size_t i = 0;
  if (stat(path, &now)) return CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  while (i < known->n && strcmp(known->files[i].path, path)) i++;
  if (i < known->n && same_state(&known->files[i].seen, &now))
    return *hash = known->files[i].hash, CZ_OK;
  CZ_TRY(hash_contents(hash, path));
  if (i == known->n) {
    CZ_TRY(cz_grow(&known->files, &known->cap, i + 1, sizeof *known->files));
    if (!(known->files[i].path = strdup(path)))
      return CZ_FAIL(CZ_ENOMEM, "no memory for the name of %s", path);
    known->n++;
  }
  known->files[i].hash = *hash;
  known->files[i].seen = now;
  return CZ_OK;
}

/* Where hashes go: the list of known files, the hash of all, the record. */
typedef struct folding {
  cz_inputs *known;
  uint64_t *hash;
  json_t *record;
} folding;

/* Notes PATH and hash; what is not UTF-8 in the path is \xHH in the record. */
static cz_status note(json_t *record, const char *path, const char *hash) {
  cz_buf name = {0};
  cz_status st = cz_utf8_escape(&name, path, strlen(path));
  if (st == CZ_OK) st = cz_json_set_text(record, name.data, hash);
  cz_buf_free(&name);
  return st;
}

static cz_status fold_file(const folding *f, const cz_config_node *node, const char *path) {
  uint64_t hash = 0;
  unsigned char bytes[8];
  char text[32];
  cz_status st = hash_known(f->known, &hash, path);
  if (st == CZ_EIO) return cz_config_error(node, "%s", cz_error_message());
  CZ_TRY(st);
  for (int i = 0; i < 8; i++) bytes[i] = (unsigned char)(hash >> 8 * i);
  *f->hash = cz_hash64(bytes, sizeof bytes, *f->hash);
  snprintf(text, sizeof text, "%016" PRIx64, hash);
  return f->record ? note(f->record, path, text) : CZ_OK;
}

/* The file that NODE names, or those of parallel text when it is in a task of ROW. */
static cz_status fold_node(void *self, const cz_config_node *node, const cz_task_row *row) {
  const folding *f = self;
  const char *path;
  char file[4096];
  CZ_TRY(cz_config_text(&path, node));
  for (int side = 0; *path; side++) {
    CZ_TRY(cz_task_file(file, sizeof file, row, path, side));
    if (!*file) break;
    CZ_TRY(fold_file(f, node, file));
  }
  return CZ_OK;
}

/** True when the file PATH exists, or all files of parallel text when it stands in a task of
 * ROW (else null). An empty PATH does not exist. MISSING, of N bytes, is the first file that
 * does not, or empty. */
bool cz_inputs_exist(char *missing, size_t n, const char *path, const cz_task_row *row) {
  *missing = '\0';
  for (int side = 0; *path; side++) {
    if (cz_task_file(missing, n, row, path, side) != CZ_OK) return cz_error_clear(), false;
    if (!*missing) return true;
    if (!cz_fs_exists(missing) || cz_fs_is_dir(missing)) return false;
  }
  return false;
}

/* What of a model's folder is read. */
static int of_model(const struct dirent *e) {
  const char *dot = strrchr(e->d_name, '.');
  return !strcmp(e->d_name, "config.json") || cz_tokenizer_reads(e->d_name) ||
         !strcmp(e->d_name, "model.safetensors.index.json") ||
         (dot && !strcmp(dot, ".safetensors"));
}

static int by_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

static cz_status fold_model(void *self, const cz_config_node *node) {
  const folding *f = self;
  const char *folder;
  struct dirent **names;
  char path[4096];
  CZ_TRY(cz_config_text(&folder, node));
  if (!*folder) return CZ_OK;
  int n = scandir(folder, &names, of_model, by_name);
  if (n < 0) return cz_config_error(node, "%s: %s", folder, strerror(errno));
  cz_status st = CZ_OK;
  for (int i = 0; i < n; i++) {
    if (st == CZ_OK) st = cz_fs_join(path, sizeof path, folder, names[i]->d_name);
    if (st == CZ_OK) st = fold_file(f, node, path);
    free(names[i]);
  }
  free(names);
  return st;
}

/** Adds {name: hash} of each file of the model in FOLDER that is read to RECORD. KNOWN keeps what
 * was read. */
cz_status cz_inputs_model(cz_inputs *known, json_t *record, const char *folder) {
  struct dirent **names;
  char path[4096], text[32];
  uint64_t hash = 0;
  cz_status st = CZ_OK;
  int n = scandir(folder, &names, of_model, by_name);
  if (n < 0) return CZ_FAIL(CZ_EIO, "%s: %s", folder, strerror(errno));
  for (int i = 0; i < n; i++) {
    if (st == CZ_OK) st = cz_fs_join(path, sizeof path, folder, names[i]->d_name);
    if (st == CZ_OK) st = hash_known(known, &hash, path);
    snprintf(text, sizeof text, "%016" PRIx64, hash);
    if (st == CZ_OK) st = note(record, names[i]->d_name, text);
    free(names[i]);
  }
  free(names);
  return st;
}

/** Warns when the model in FOLDER is not what the stage that made it left there: result.json
 * beside FOLDER has a hash of each of its files. A model that no stage made has none. */
cz_status cz_inputs_check_model(cz_inputs *known, const char *folder) {
  char path[4096];
  const char *name;
  json_t *result = NULL, *now = json_object(), *hash;
  cz_status st;
  CZ_GO(st, cz_fs_join(path, sizeof path, folder, ".."), done);
  if (!cz_result_exists(path)) goto done;
  if (cz_result_open(&result, path) != CZ_OK) {
    cz_warn("%s: its hashes can't tell whether %s has changed", cz_error_message(), folder);
    cz_error_clear();
  }
  if (!json_is_object(json_object_get(result, "model"))) goto done;
  CZ_GO(st, cz_inputs_model(known, now, folder), done);
  json_object_foreach(json_object_get(result, "model"), name, hash) {
    const char *left = json_string_value(hash),
               *found = json_string_value(json_object_get(now, name));
    if (left && (!found || strcmp(left, found)))
      cz_warn("%s/%s has changed since its stage left it: its hash was %s and is %s", folder, name,
              left, found ? found : "none, the file is missing");
  }
done:
  json_decref(result);
  json_decref(now);
  return st;
}

/* FOLDER/NAME where it is there: who reads a folder without it says what is missing. */
static cz_status fold_left(const folding *f, const cz_config_node *node, const char *folder,
                           const char *name) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, name));
  return cz_fs_exists(path) ? fold_file(f, node, path) : CZ_OK;
}

/* What the members of the stage in FOLDER are and say, each and, where wanted, TOGETHER. */
static cz_status fold_scores(const folding *f, const cz_config_node *node, const char *folder,
                             bool together) {
  char member[4096];
  cz_member_plan *plans = NULL;
  int32_t generation;
  size_t n = 0;
  CZ_TRY(CZ_AT(node, cz_generation_noted(folder, &generation, &plans, &n)));
  cz_status st = fold_left(f, node, folder, CZ_MEMBERS_FILE);
  for (size_t i = 0; i < n && st == CZ_OK; i++) {
    st = cz_member_folder(member, sizeof member, folder, &plans[i]);
    if (st == CZ_OK) st = fold_left(f, node, member, CZ_SCORES_FILE);
  }
  if (st == CZ_OK && together) st = fold_left(f, node, folder, CZ_SCORES_FILE);
  free(plans);
  return st;
}

/* The members that PART of STAGE reads; not those of a stage of the same plan, `$STAGE`, whose key
 * the stage's own key has in it. */
static cz_status fold_members(const folding *f, const cz_stage_part *part,
                              const cz_config_node *stage) {
  const cz_config_node *node = cz_config_get(cz_config_get(stage, part->key.name), part->members);
  const char *folder = "";
  char path[4096];
  if (node) CZ_TRY(cz_config_text(&folder, node));
  if (!*folder || *folder == '$') return CZ_OK;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, CZ_MEMBERS_FILE));
  return cz_fs_exists(path) ? fold_scores(f, node, folder, part->together) : CZ_OK;
}

/** Folds the contents of the files that the PARTS of STAGE (resolved) name into HASH, in the
 * order of the parts, then the scores of members that NAMED has, which is STAGE or, of a stage of a
 * plan, names earlier ones instead of their folders. Adds path and hash of each to RECORD unless
 * it is null. KNOWN keeps what was read. CZ_EUSAGE with the place in the configuration for a file
 * that can't be read. */
cz_status cz_inputs_hash(cz_inputs *known, uint64_t *hash, json_t *record,
                         const cz_stage_part *const *parts, const cz_config_node *stage,
                         const cz_config_node *named) {
  folding f = {known, hash, record};
  const cz_file_visitor v = {&f, fold_node, fold_model};
  CZ_TRY(cz_part_files(&v, parts, stage));
  for (; *parts; parts++)
    if ((*parts)->members) CZ_TRY(fold_members(&f, *parts, named));
  return CZ_OK;
}

/** Writes RECORD as FOLDER/inputs.json. */
cz_status cz_inputs_write(const json_t *record, const char *folder) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "inputs.json"));
  return cz_json_write(record, path, JSON_INDENT(1) | JSON_SORT_KEYS);
}

/** Appends a line for each file of RECORD whose contents are not those of
 * FOLDER/inputs.json; nothing when no record is there. */
cz_status cz_inputs_compare(cz_buf *out, const json_t *record, const char *folder) {
  char path[4096];
  const char *name;
  json_t *hash;
  json_t *there;
  cz_status st = CZ_OK;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "inputs.json"));
  if (!cz_fs_exists(path)) return CZ_OK;
  CZ_TRY(cz_json_open(&there, path));
  json_object_foreach((json_t *)record, name, hash) {
    const json_t *before = json_object_get(there, name);
    if (st == CZ_OK && before && !json_equal(before, hash))
      st = cz_buf_addf(out, "  the file %s has changed since then\n", name);
  }
  json_decref(there);
  return st;
}
