#include "checkpoint/checkpoint_types.h"
#include "checkpoint/extents.h"

#include "base/fs.h"
#include "base/log.h"
#include "base/stop.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SLAB_BYTES = 4 << 20 };

struct cz_checkpoint {
  char path[4096];
  hid_t file;
  uint64_t file_bytes, config_hash;
  cz_arena *arena;              /* names */
  cz_checkpoint_entry *entries; /* sorted by name */
  size_t count, cap;
};

static bool type_of(cz_checkpoint_type *type, hid_t set) {
  hid_t stored = H5Dget_type(set);
  bool found = false;
  for (int t = 0; t < CZ_CHECKPOINT_TYPES && !found && stored >= 0; t++)
    if (H5Tequal(stored, cz__ck_stored((cz_checkpoint_type)t)) > 0) {
      *type = (cz_checkpoint_type)t;
      found = true;
    }
  if (stored >= 0) H5Tclose(stored);
  return found;
}

/* Reads rows [FIRST, FIRST + ROWS) of the outermost extent into OUT. WHY is filled at the
 * failing call: HDF5 forgets its errors at the next one. */
static bool read_rows(char why[CZ_H5_TEXT], hid_t set, void *out, const cz_checkpoint_entry *e,
                      int64_t first, int64_t rows) {
  hsize_t start[CZ_CHECKPOINT_MAX_RANK] = {(hsize_t)first},
          count[CZ_CHECKPOINT_MAX_RANK] = {(hsize_t)rows};
  for (int i = 1; i < e->rank; i++) count[i] = (hsize_t)e->dims[i];
  hid_t here = H5Screate_simple(e->rank, count, NULL), there = H5Dget_space(set);
  bool good = here >= 0 && there >= 0 &&
              H5Sselect_hyperslab(there, H5S_SELECT_SET, start, NULL, count, NULL) >= 0 &&
              H5Dread(set, cz__ck_native(e->type), here, there, H5P_DEFAULT, out) >= 0;
  if (!good) cz_h5_why(why);
  if (there >= 0) H5Sclose(there);
  if (here >= 0) H5Sclose(here);
  return good;
}

/* SUM, of all that was read, against what the file stores. */
static cz_status check_sum(hid_t set, const cz_checksum *sum, const cz_checkpoint_entry *e,
                           const char *path) {
  uint64_t stored = 0, found = cz_checksum_value(sum);
  cz_status st = cz_h5_read_number(set, path, CZ__CK_HASH, &stored);
  if (st != CZ_OK) return CZ_NOTE(st, "%s: '%s'", path, e->name);
  return found == stored
             ? CZ_OK
             : CZ_FAIL(CZ_ECORRUPT,
                       "%s: '%s': its elements were changed: hash %016llx, stored %016llx", path,
                       e->name, (unsigned long long)found, (unsigned long long)stored);
}

/* Reads the whole data set, a few rows at a time, for its checksums. A file that is large looks at
 * requests to stop; from a small one a run that is stopped again and again still gets on. */
static cz_status verify_set(const cz_checkpoint *c, hid_t set, const cz_checkpoint_entry *e) {
  const char *path = c->path;
  cz_checksum sum;
  cz__ck_sum_begin(&sum, e->name, e->type, e->dims, e->rank);
  if (!e->elements) return check_sum(set, &sum, e, path);
  char *slab, why[CZ_H5_TEXT];
  uint64_t row_bytes = e->elements / (uint64_t)e->dims[0] * cz_checkpoint_type_size(e->type);
  int64_t step = row_bytes < SLAB_BYTES ? (int64_t)(SLAB_BYTES / row_bytes) : 1;
  if (step > e->dims[0]) step = e->dims[0];
  CZ_TRY(cz_alloc(&slab, (size_t)step, row_bytes));
  cz_status st = CZ_OK;
  for (int64_t i = 0; i < e->dims[0] && st == CZ_OK; i += step) {
    int64_t rows = e->dims[0] - i < step ? e->dims[0] - i : step;
    if (!read_rows(why, set, slab, e, i, rows))
      st = CZ_FAIL(CZ_ECORRUPT, "%s: '%s': %s", path, e->name, why);
    else
      cz_checksum_add(&sum, slab, (size_t)rows * row_bytes);
    if (st == CZ_OK && c->file_bytes > CZ_FS_SMALL) st = cz_stop_check(path);
  }
  free(slab);
  return st == CZ_OK ? check_sum(set, &sum, e, path) : st;
}

static cz_status verify(const cz_checkpoint *c) {
  char why[CZ_H5_TEXT];
  for (size_t i = 0; i < c->count; i++) {
    const cz_checkpoint_entry *e = &c->entries[i];
    hid_t set = H5Dopen2(c->file, e->name, H5P_DEFAULT);
    if (set < 0) return CZ_FAIL(CZ_ECORRUPT, "%s: '%s': %s", c->path, e->name, cz_h5_why(why));
    cz_status st = verify_set(c, set, e);
    H5Dclose(set);
    CZ_TRY(st);
  }
  return CZ_OK;
}

static cz_status add_entry(cz_checkpoint *c, const char *name, const cz_h5_set *set) {
  char *copy;
  CZ_TRY(cz_grow(&c->entries, &c->cap, c->count + 1, sizeof *c->entries));
  CZ_TRY(cz_arena_strdup(c->arena, &copy, name));
  cz_checkpoint_entry *e = &c->entries[c->count++];
  e->name = copy;
  if (!type_of(&e->type, set->id))
    return CZ_FAIL(CZ_ECORRUPT, "%s: '%s' has a type that checkpoints do not hold", c->path, name);
  e->rank = set->rank;
  e->elements = set->elements;
  for (int i = 0; i < e->rank; i++) e->dims[i] = (int64_t)set->dims[i];
  return CZ_OK;
}

static cz_status open_entry(cz_checkpoint *c, const char *name) {
  cz_h5_set set;
  cz_status st = cz_h5_open_set(&set, c->file, c->file_bytes, c->path, name);
  if (st == CZ_OK) st = add_entry(c, name, &set);
  if (set.id >= 0) H5Dclose(set.id);
  return st;
}

typedef struct walk {
  cz_checkpoint *c;
  cz_status st;
} walk;

static herr_t visit(hid_t group, const char *name, const H5L_info_t *info, void *context) {
  walk *w = context;
  char why[CZ_H5_TEXT];
  hid_t object = info->type == H5L_TYPE_HARD ? H5Oopen(group, name, H5P_DEFAULT) : -1;
  H5I_type_t type = object >= 0 ? H5Iget_type(object) : H5I_BADID;
  if (info->type == H5L_TYPE_HARD && object < 0)
    w->st = CZ_FAIL(CZ_ECORRUPT, "%s: '%s': %s", w->c->path, name, cz_h5_why(why));
  else if (object < 0 || type == H5I_DATASET) /* a link that is not hard is refused there */
    w->st = open_entry(w->c, name);
  else if (type != H5I_GROUP)
    w->st = CZ_FAIL(CZ_ECORRUPT, "%s: '%s' is neither a group nor a data set", w->c->path, name);
  if (object >= 0) H5Oclose(object);
  return w->st == CZ_OK ? 0 : -1;
}

static int by_name(const void *a, const void *b) {
  return strcmp(((const cz_checkpoint_entry *)a)->name, ((const cz_checkpoint_entry *)b)->name);
}

/* The entry NAME, if it has TYPE and shape DIMS[RANK]. */
static cz_status find_for_reading(const cz_checkpoint *c, const cz_checkpoint_entry **out,
                                  const char *name, cz_checkpoint_type type, const int64_t *dims,
                                  int rank) {
  char have[CZ__EXTENTS_TEXT], want[CZ__EXTENTS_TEXT];
  const cz_checkpoint_entry *e = cz_checkpoint_find(c, name);
  if (!e) return CZ_FAIL(CZ_EINVAL, "%s: no entry '%s' (%zu others)", c->path, name, c->count);
  if (e->type != type || !cz__extents_same(e->dims, e->rank, dims, rank))
    return CZ_FAIL(CZ_EINVAL, "%s: '%s' is %s %s, expected %s %s", c->path, name,
                   cz_checkpoint_type_name(e->type), cz__extents_text(have, e->dims, e->rank),
                   cz_checkpoint_type_name(type), cz__extents_text(want, dims, rank));
  *out = e;
  return CZ_OK;
}

/* Reads all of E into OUT; HASHED: and compares its hash, which format 1 has not. */
static cz_status read_entry(const cz_checkpoint *c, void *out, const cz_checkpoint_entry *e,
                            bool hashed) {
  char why[CZ_H5_TEXT];
  cz_checksum sum;
  cz_h5_quiet();
  hid_t set = H5Dopen2(c->file, e->name, H5P_DEFAULT);
  bool good =
      set >= 0 && H5Dread(set, cz__ck_native(e->type), H5S_ALL, H5S_ALL, H5P_DEFAULT, out) >= 0;
  cz_status st =
      good ? CZ_OK : CZ_FAIL(CZ_ECORRUPT, "%s: '%s': %s", c->path, e->name, cz_h5_why(why));
  if (st == CZ_OK && hashed) {
    cz__ck_sum_begin(&sum, e->name, e->type, e->dims, e->rank);
    cz_checksum_add(&sum, out, (size_t)e->elements * cz_checkpoint_type_size(e->type));
    st = check_sum(set, &sum, e, c->path);
  }
  if (set >= 0) H5Dclose(set);
  return st;
}

/* Before anything of the file is believed: what was true of one format need not be of
 * another. */
static cz_status check_format(cz_checkpoint *c) {
  const int64_t one = 1;
  const cz_checkpoint_entry *e;
  int64_t format;
  if (!cz_checkpoint_find(c, CZ__CK_FORMAT))
    return CZ_FAIL(CZ_ECORRUPT, "%s: an HDF5 file, but not a checkpoint: it has no '%s'", c->path,
                   CZ__CK_FORMAT);
  CZ_TRY(find_for_reading(c, &e, CZ__CK_FORMAT, CZ_CHECKPOINT_I64, &one, 1));
  CZ_TRY(read_entry(c, &format, e, false));
  if (format == 1)
    return CZ_FAIL(CZ_EINVAL,
                   "%s: checkpoint format 1, in which parameters lie as one block in the order of "
                   "an older program's memory; this program reads format %d, one data set a "
                   "parameter: finish the run with the older program, or start it again",
                   c->path, CZ__CK_FORMAT_VERSION);
  if (format != CZ__CK_FORMAT_VERSION)
    return CZ_FAIL(CZ_EINVAL, "%s: checkpoint format %lld; this program reads format %d", c->path,
                   (long long)format, CZ__CK_FORMAT_VERSION);
  return CZ_OK;
}

static cz_status read_all(cz_checkpoint *c, const char *path) {
  char why[CZ_H5_TEXT];
  const int64_t one = 1;
  CZ_TRY(cz_arena_create(&c->arena, "checkpoint"));
  if (snprintf(c->path, sizeof c->path, "%s", path) >= (int)sizeof c->path)
    return CZ_FAIL(CZ_EINVAL, "path too long: %s", path);
  CZ_TRY(cz_h5_open(&c->file, &c->file_bytes, path));
  walk w = {c, CZ_OK};
  if (H5Lvisit(c->file, H5_INDEX_NAME, H5_ITER_NATIVE, visit, &w) < 0 && w.st == CZ_OK)
    w.st = CZ_FAIL(CZ_ECORRUPT, "%s: %s", path, cz_h5_why(why));
  CZ_TRY(w.st);
  if (c->count) qsort(c->entries, c->count, sizeof *c->entries, by_name);
  CZ_TRY(check_format(c));
  CZ_TRY(verify(c));
  return cz_checkpoint_get(c, &c->config_hash, CZ__CK_CONFIG, CZ_CHECKPOINT_U64, &one, 1);
}

/** Opens the checkpoint file PATH and reads all of it once, so that a damaged one is
 * found now: CZ_ECORRUPT with the entry and HDF5's reason. Close with
 * cz_checkpoint_close. */
cz_status cz_checkpoint_open_file(cz_checkpoint **c, const char *path) {
  cz_h5_quiet();
  CZ_TRY(cz_alloc(c, 1, sizeof **c));
  (*c)->file = -1;
  cz_status st = read_all(*c, path);
  if (st != CZ_OK) cz_checkpoint_close(c);
  return st;
}

/** True when FOLDER holds a checkpoint, good or bad. */
bool cz_checkpoint_exists(const char *folder) {
  char path[4096];
  return (cz_fs_join(path, sizeof path, folder, CZ__CK_NEWEST) == CZ_OK && cz_fs_exists(path)) ||
         (cz_fs_join(path, sizeof path, folder, CZ__CK_PREVIOUS) == CZ_OK && cz_fs_exists(path));
}

/** Removes the checkpoints of FOLDER, whose run needs them no more. CZ_EIO when one stays. */
cz_status cz_checkpoint_remove(const char *folder) {
  static const char *const names[] = {CZ__CK_PREVIOUS, CZ__CK_NEWEST};
  char path[4096];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    CZ_TRY(cz_fs_join(path, sizeof path, folder, names[i]));
    if (unlink(path) && errno != ENOENT)
      return CZ_FAIL(CZ_EIO, "%s: can't be removed: %s", path, strerror(errno));
  }
  return CZ_OK;
}

/** Bytes that the checkpoints of FOLDER take on its disk; what a killed save left counts, since the
 * next save takes its room. 0 for a folder without any. */
uint64_t cz_checkpoint_stored(const char *folder) {
  static const char *const names[] = {CZ__CK_NEWEST, CZ__CK_PREVIOUS, CZ__CK_NEWEST ".tmp"};
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    char path[4096];
    struct stat s;
    if (cz_fs_join(path, sizeof path, folder, names[i]) != CZ_OK) return cz_error_clear(), 0;
    if (stat(path, &s) == 0) sum += 512 * (uint64_t)s.st_blocks;
  }
  return sum;
}

static cz_status open_existing(cz_checkpoint **c, const char *path) {
  return cz_fs_exists(path) ? cz_checkpoint_open_file(c, path)
                            : CZ_FAIL(CZ_ECORRUPT, "%s: it is missing", path);
}

/** Opens the newest good checkpoint of FOLDER, wholly verified: the newest or, with a
 * warning that says why, the previous. CZ_EIO when there is none, CZ_ECORRUPT naming
 * both and their faults when neither is good. */
cz_status cz_checkpoint_open(cz_checkpoint **c, const char *folder) {
  char newest[4096], previous[4096], first[1024], second[1024];
  if (!cz_checkpoint_exists(folder)) return CZ_FAIL(CZ_EIO, "%s: no checkpoint is there", folder);
  CZ_TRY(cz_fs_join(newest, sizeof newest, folder, CZ__CK_NEWEST));
  CZ_TRY(cz_fs_join(previous, sizeof previous, folder, CZ__CK_PREVIOUS));
  cz_status st = open_existing(c, newest);
  if (st != CZ_ECORRUPT) return st;
  snprintf(first, sizeof first, "%s", cz_error_message());
  st = open_existing(c, previous);
  if (st == CZ_ECORRUPT) {
    snprintf(second, sizeof second, "%s", cz_error_message());
    return CZ_FAIL(CZ_ECORRUPT, "no checkpoint can be used:\n  %s\n  %s", first, second);
  }
  if (st == CZ_OK) cz_warn("%s; going on from %s", first, previous);
  return st;
}

/** Closes the file, frees the list, clears the pointer, accepts null. */
void cz_checkpoint_close(cz_checkpoint **c) {
  if (!*c) return;
  cz_h5_quiet();
  if ((*c)->file >= 0) H5Fclose((*c)->file);
  free((*c)->entries);
  cz_arena_destroy(&(*c)->arena);
  free(*c);
  *c = NULL;
}

/** The file that was opened. Borrowed. */
const char *cz_checkpoint_path(const cz_checkpoint *c) { return c->path; }

/** CZ_EINVAL with both hashes when the checkpoint comes from another configuration. */
cz_status cz_checkpoint_check_config(const cz_checkpoint *c, uint64_t config_hash) {
  return c->config_hash == config_hash
             ? CZ_OK
             : CZ_FAIL(CZ_EINVAL,
                       "%s: made by another configuration (hash %016llx, this run's is %016llx)",
                       c->path, (unsigned long long)c->config_hash,
                       (unsigned long long)config_hash);
}

/** The I-th entry in order of names, or null behind the last. Borrowed. */
const cz_checkpoint_entry *cz_checkpoint_at(const cz_checkpoint *c, size_t i) {
  return i < c->count ? &c->entries[i] : NULL;
}

/** The entry called NAME, or null. Borrowed. */
const cz_checkpoint_entry *cz_checkpoint_find(const cz_checkpoint *c, const char *name) {
  cz_checkpoint_entry key = {.name = name};
  return c->count ? bsearch(&key, c->entries, c->count, sizeof *c->entries, by_name) : NULL;
}

/** Reads the array NAME into OUT. TYPE and DIMS[RANK] must be those stored (rank 0 reads
 * one element): CZ_EINVAL names both when they differ, or says that there is no such
 * entry. CZ_ECORRUPT when the file was damaged since it was opened. */
cz_status cz_checkpoint_get(cz_checkpoint *c, void *out, const char *name, cz_checkpoint_type type,
                            const int64_t *dims, int rank) {
  const int64_t one = 1;
  const cz_checkpoint_entry *e;
  CZ_TRY(find_for_reading(c, &e, name, type, rank ? dims : &one, rank ? rank : 1));
  return e->elements ? read_entry(c, out, e, true) : CZ_OK;
}

/** Reads one whole number. */
cz_status cz_checkpoint_get_int(cz_checkpoint *c, int64_t *out, const char *name) {
  return cz_checkpoint_get(c, out, name, CZ_CHECKPOINT_I64, NULL, 0);
}

/** Reads one real number. */
cz_status cz_checkpoint_get_real(cz_checkpoint *c, double *out, const char *name) {
  return cz_checkpoint_get(c, out, name, CZ_CHECKPOINT_F64, NULL, 0);
}
