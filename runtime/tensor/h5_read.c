/* Reading HDF5 files that somebody else may have made or damaged: what a data set says of
 * itself is compared with what the file holds before a byte of it is read. */
#include "base/fs.h"
#include "tensor/h5_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_CHUNK_BYTES = 64 << 20, FLETCHER32_BYTES = 4 };

/** Opens the existing file PATH for reading and gives its size in BYTES. No lock is
 * taken: cluster file systems and read-only mounts may have none, and our files never
 * change under their names. CZ_EIO when it is missing or may not be read, CZ_EINVAL when
 * it is no regular file, CZ_ECORRUPT with HDF5's reason when it is not HDF5. Close with
 * H5Fclose. */
cz_status cz_h5_open(hid_t *file, uint64_t *bytes, const char *path) {
  int fd;
  char why[CZ_H5_TEXT] = "no access properties";
  *file = -1;
  CZ_TRY(cz_fs_open_regular(&fd, bytes, path)); /* the system's reason; HDF5 hides it */
  close(fd);
  cz_h5_quiet();
  hid_t access = H5Pcreate(H5P_FILE_ACCESS);
  if (access >= 0 && H5Pset_file_locking(access, false, true) >= 0)
    *file = H5Fopen(path, H5F_ACC_RDONLY, access);
  if (*file < 0) cz_h5_why(why);
  if (access >= 0) H5Pclose(access);
  return *file < 0 ? CZ_FAIL(CZ_ECORRUPT, "%s: not a whole HDF5 file: %s", path, why) : CZ_OK;
}

/* NAME and the groups on the way to it are hard links: soft and external ones lead
 * anywhere in this file or another. */
static cz_status check_links(hid_t file, const char *path, const char *name) {
  char above[1024];
  if (snprintf(above, sizeof above, "%s", name) >= (int)sizeof above)
    return CZ_FAIL(CZ_ECORRUPT, "%s: a name of over %zu bytes: %.80s...", path, sizeof above, name);
  for (char *end = above; end; *end++ = '/') {
    H5L_info_t info;
    end = strchr(end, '/');
    if (end) *end = '\0';
    if (H5Lget_info(file, above, &info, H5P_DEFAULT) < 0)
      return CZ_FAIL(CZ_ECORRUPT, "%s: data set '%s' is missing", path, name);
    if (info.type != H5L_TYPE_HARD)
      return CZ_FAIL(CZ_ECORRUPT, "%s: '%s' is %s link, which points elsewhere", path, above,
                     info.type == H5L_TYPE_SOFT       ? "a soft"
                     : info.type == H5L_TYPE_EXTERNAL ? "an external"
                                                      : "an unknown");
    if (!end) break;
  }
  return CZ_OK;
}

static bool shape_of(cz_h5_set *s) {
  hid_t space = H5Dget_space(s->id), type = H5Dget_type(s->id);
  bool good = space >= 0 && type >= 0 && H5Sget_simple_extent_type(space) == H5S_SIMPLE;
  if (good) {
    s->width = H5Tget_size(type);
    s->rank = H5Sget_simple_extent_ndims(space);
    good = s->width > 0 && s->rank >= 1 && s->rank <= CZ_H5_MAX_RANK &&
           H5Sget_simple_extent_dims(space, s->dims, NULL) == s->rank;
  }
  if (type >= 0) H5Tclose(type);
  if (space >= 0) H5Sclose(space);
  s->elements = 1;
  for (int i = 0; good && i < s->rank; i++)
    good = !__builtin_mul_overflow(s->elements, s->dims[i], &s->elements);
  return good;
}

/* The one filter is fletcher32, on every chunk; null or what is wrong. */
static const char *filter_fault(hid_t how) {
  unsigned flags = 0, edges = 0;
  size_t none = 0;
  int n = H5Pget_nfilters(how);
  if (n == 0) return "carries no fletcher32 checksum";
  if (n != 1 || H5Pget_filter2(how, 0, &flags, &none, NULL, 0, NULL, NULL) != H5Z_FILTER_FLETCHER32)
    return "passes through a filter that is not fletcher32";
  if (flags & H5Z_FLAG_OPTIONAL || H5Pget_chunk_opts(how, &edges) < 0 || edges)
    return "has chunks without a fletcher32 checksum";
  return NULL;
}

/* Bytes that the file holds for the data set when every chunk was written; 0 when no file
 * can hold that many. */
static uint64_t whole_storage(const cz_h5_set *s, hid_t how, uint64_t file_bytes) {
  hsize_t chunk[CZ_H5_MAX_RANK];
  uint64_t bytes = s->width, chunks = 1, total;
  if (H5Pget_chunk(how, s->rank, chunk) != s->rank) return 0;
  for (int i = 0; i < s->rank; i++)
    if (!chunk[i] || __builtin_mul_overflow(bytes, chunk[i], &bytes) || bytes > MAX_CHUNK_BYTES ||
        __builtin_mul_overflow(chunks, (s->dims[i] - 1) / chunk[i] + 1, &chunks))
      return 0;
  return __builtin_mul_overflow(chunks, bytes + FLETCHER32_BYTES, &total) || total > file_bytes
             ? 0
             : total;
}

static cz_status check_storage(const cz_h5_set *s, uint64_t file_bytes, const char *path,
                               const char *name) {
  const char *fault = NULL;
  hid_t how = H5Dget_create_plist(s->id);
  uint64_t stored = H5Dget_storage_size(s->id), whole = 0;
  H5D_layout_t layout = how < 0 ? H5D_LAYOUT_ERROR : H5Pget_layout(how);
  if (layout == H5D_VIRTUAL || (how >= 0 && H5Pget_external_count(how) != 0))
    fault = "keeps its elements in another file";
  else if (s->elements == 0)
    fault = stored ? "has no elements, but the file holds some" : NULL;
  else if (layout != H5D_CHUNKED)
    fault = "is not cut into chunks, so it carries no fletcher32 checksum";
  else if (!(fault = filter_fault(how)))
    whole = whole_storage(s, how, file_bytes);
  if (how >= 0) H5Pclose(how);
  if (fault) return CZ_FAIL(CZ_ECORRUPT, "%s: data set '%s' %s", path, name, fault);
  if (s->elements && (!whole || whole != stored))
    return CZ_FAIL(CZ_ECORRUPT,
                   "%s: data set '%s' promises %" PRIu64 " elements, the file holds fewer", path,
                   name, s->elements);
  return CZ_OK;
}

/** Opens data set NAME of FILE, which lies at PATH and has FILE_BYTES bytes, into SET,
 * whose id the caller closes with H5Dclose (also after an error, when it is not below
 * 0). CZ_ECORRUPT unless it is reached through hard links alone, lies in this file, has
 * 1 to CZ_H5_MAX_RANK extents, and, if it has elements, is cut into chunks that are all
 * stored and all under fletcher32. */
cz_status cz_h5_open_set(cz_h5_set *set, hid_t file, uint64_t file_bytes, const char *path,
                         const char *name) {
  char why[CZ_H5_TEXT];
  *set = (cz_h5_set){.id = -1};
  cz_h5_quiet();
  CZ_TRY(check_links(file, path, name));
  set->id = H5Dopen2(file, name, H5P_DEFAULT);
  if (set->id < 0) return CZ_FAIL(CZ_ECORRUPT, "%s: data set '%s': %s", path, name, cz_h5_why(why));
  if (!shape_of(set))
    return CZ_FAIL(CZ_ECORRUPT, "%s: data set '%s' has a shape that this program does not read",
                   path, name);
  return check_storage(set, file_bytes, path, name);
}
