#include "checkpoint/checkpoint_types.h"
#include "checkpoint/extents.h"

#include "base/fs.h"
#include "tensor/h5_array.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct cz_checkpoint_writer {
  cz_h5_file file;
  char previous[4096], spare[4096];
};

/** About what ENTRIES arrays with BYTES in all take in a file: each has a header, an attribute, an
 * index of its chunks and a link, which for many small arrays are more than their elements. */
uint64_t cz_checkpoint_bytes(uint64_t bytes, uint64_t entries) {
  enum { AN_ENTRY = 1024 }; /* with a name of 80 bytes it is 0.4 kB; more chunks take more */
  return bytes + entries * AN_ENTRY;
}

/** What a disk must have free for a checkpoint of BYTES (cz_checkpoint_bytes): edges of chunks and
 * metadata come on top. UINT64_MAX for what no disk has. */
uint64_t cz_checkpoint_room(uint64_t bytes) {
  uint64_t needed = bytes + bytes / 64 + (1 << 20);
  return needed < bytes ? UINT64_MAX : needed;
}

static cz_status create_file(cz_checkpoint_writer *w, const char *folder) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, CZ__CK_NEWEST));
  CZ_TRY(cz_fs_join(w->previous, sizeof w->previous, folder, CZ__CK_PREVIOUS));
  CZ_TRY(cz_fs_aside(w->spare, sizeof w->spare, w->previous));
  return cz_h5_create(&w->file, path); /* what a killed run left takes room no more */
}

/** Starts a checkpoint of the run in FOLDER, which must exist: one at a time, by one
 * process. BYTES is about what the puts will store (cz_checkpoint_bytes); CZ_EIO before anything is
 * written when the disk has less. CONFIG_HASH identifies the run's resolved configuration. End with
 * cz_checkpoint_commit or _discard. */
cz_status cz_checkpoint_begin(cz_checkpoint_writer **w, const char *folder, uint64_t config_hash,
                              uint64_t bytes) {
  const int64_t one = 1;
  CZ_TRY(cz_alloc(w, 1, sizeof **w));
  (*w)->file.id = (*w)->file.held = -1;
  cz_status st;
  CZ_GO(st, create_file(*w, folder), failed);
  CZ_GO(st, cz_fs_need_bytes(folder, cz_checkpoint_room(bytes), "a checkpoint"), failed);
  CZ_GO(st, cz_checkpoint_put_int(*w, CZ__CK_FORMAT, CZ__CK_FORMAT_VERSION), failed);
  CZ_GO(st, cz_checkpoint_put(*w, CZ__CK_CONFIG, CZ_CHECKPOINT_U64, &config_hash, &one, 1), failed);
  return CZ_OK;
failed:
  cz_checkpoint_discard(w);
  return st;
}

/* WHY is filled at the failing call: HDF5 forgets its errors at the next one. */
static bool write_set(char why[CZ_H5_TEXT], cz_h5_file *file, const char *name,
                      cz_checkpoint_type type, const void *data, const hsize_t *dims, int rank,
                      uint64_t elements, uint64_t hash) {
  hid_t links = H5Pcreate(H5P_LINK_CREATE), space = H5Screate_simple(rank, dims, NULL), set = -1;
  hid_t how = cz_h5_checked(dims, rank, cz_checkpoint_type_size(type), elements);
  cz_h5_make_groups(file, name);
  if (links >= 0 && space >= 0 && how >= 0 && H5Pset_char_encoding(links, H5T_CSET_UTF8) >= 0)
    set = H5Dcreate2(file->id, name, cz__ck_stored(type), space, links, how, H5P_DEFAULT);
  bool good = set >= 0 && (!elements || H5Dwrite(set, cz__ck_native(type), H5S_ALL, H5S_ALL,
                                                 H5P_DEFAULT, data) >= 0);
  if (!good) cz_h5_why(why);
  if (good && cz_h5_write_number(file, set, CZ__CK_HASH, hash) != CZ_OK) {
    snprintf(why, CZ_H5_TEXT, "%s", cz_error_message());
    good = false;
  }
  if (set >= 0 && H5Dclose(set) < 0 && good) {
    cz_h5_why(why);
    good = false;
  }
  if (how >= 0) H5Pclose(how);
  if (space >= 0) H5Sclose(space);
  if (links >= 0) H5Pclose(links);
  return good;
}

/** Stores one array of DIMS[RANK] elements; a '/' in NAME makes groups; DATA is not kept.
 * Rank 0 is stored as one element. CZ_EINVAL for a name or shape that can't be, CZ_EIO
 * with HDF5's reason when it is refused (disk full, name taken). After a failure only
 * cz_checkpoint_discard is left. */
cz_status cz_checkpoint_put(cz_checkpoint_writer *w, const char *name, cz_checkpoint_type type,
                            const void *data, const int64_t *dims, int rank) {
  char why[CZ_H5_TEXT], shape[CZ__EXTENTS_TEXT];
  hsize_t extents[CZ_CHECKPOINT_MAX_RANK] = {1};
  uint64_t elements, bytes;
  if (rank < 0 || rank > CZ_CHECKPOINT_MAX_RANK || !cz__extents_count(&elements, dims, rank) ||
      __builtin_mul_overflow(elements, cz_checkpoint_type_size(type), &bytes))
    return CZ_FAIL(
        CZ_EINVAL,
        "checkpoint entry '%s': shape %s is negative, too large or has more than %d extents", name,
        cz__extents_text(shape, dims, rank < 0 ? 0 : rank), CZ_CHECKPOINT_MAX_RANK);
  for (int i = 0; i < rank; i++) extents[i] = (hsize_t)dims[i];
  cz_h5_quiet();
  if (!name[0] || name[0] == '/')
    return CZ_FAIL(CZ_EINVAL,
                   "checkpoint entry '%s': a name is not empty and does not start with '/'", name);
  const int64_t one = 1;
  cz_checksum sum;
  cz__ck_sum_begin(&sum, name, type, rank ? dims : &one, rank ? rank : 1);
  cz_checksum_add(&sum, data, (size_t)bytes);
  bool good = write_set(why, &w->file, name, type, data, extents, rank ? rank : 1, elements,
                        cz_checksum_value(&sum));
  if (good && !w->file.error) return CZ_OK;
  return CZ_FAIL(CZ_EIO, "%s: writing '%s' (%llu bytes): %s", w->file.path, name,
                 (unsigned long long)bytes, w->file.error ? strerror(w->file.error) : why);
}

/** Stores one whole number. */
cz_status cz_checkpoint_put_int(cz_checkpoint_writer *w, const char *name, int64_t value) {
  return cz_checkpoint_put(w, name, CZ_CHECKPOINT_I64, &value, NULL, 0);
}

/** Stores one real number. */
cz_status cz_checkpoint_put_real(cz_checkpoint_writer *w, const char *name, double value) {
  return cz_checkpoint_put(w, name, CZ_CHECKPOINT_F64, &value, NULL, 0);
}

/* Makes the temporary file the newest, and what was the newest the previous. The old
 * previous goes last: a damaged newest never replaces the only good file before the new
 * one is durable. File systems without hard links lose that last guard, but never both
 * files. */
static cz_status rotate(cz_checkpoint_writer *w) {
  if (unlink(w->spare) && errno != ENOENT)
    return CZ_FAIL(CZ_EIO, "%s: %s", w->spare, strerror(errno));
  bool had = cz_fs_exists(w->file.path), linked = had && link(w->file.path, w->spare) == 0;
  if (had && !linked && rename(w->file.path, w->previous))
    return CZ_FAIL(CZ_EIO, "%s -> %s: %s", w->file.path, w->previous, strerror(errno));
  CZ_TRY(cz_h5_commit(&w->file));
  return linked ? cz_fs_commit(w->spare, w->previous) : CZ_OK;
}

/** Finishes the checkpoint: closes, syncs, renames; the newest becomes the previous. Ends
 * the writer in any case. When it fails, the checkpoints of before are intact. */
cz_status cz_checkpoint_commit(cz_checkpoint_writer **w) {
  cz_h5_quiet();
  cz_status st = cz_h5_close(&(*w)->file);
  if (st == CZ_OK) st = rotate(*w);
  cz_checkpoint_discard(w);
  return st;
}

/** Gives a checkpoint up: removes what was written, clears the pointer, accepts null. */
void cz_checkpoint_discard(cz_checkpoint_writer **w) {
  if (!*w) return;
  cz_h5_quiet();
  cz_h5_discard(&(*w)->file);
  free(*w);
  *w = NULL;
}
