/* When the disk is full, HDF5's own driver leaves a file that can never be closed and a
 * crash at exit (1.10.8); this one notes the first error, drops what follows, and lets
 * HDF5 close in peace. */
#include "tensor/h5_driver.h"

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct aside {
  H5FD_t base; /* HDF5's part; first */
  int fd, *error;
  haddr_t allocated, end;
} aside;

static H5FD_t *aside_open(const char *name, unsigned flags, hid_t access, haddr_t limit) {
  const cz__h5_target *target = H5Pget_driver_info(access);
  aside *f = calloc(1, sizeof *f);
  if (!target || !f || (f->fd = fcntl(target->fd, F_DUPFD_CLOEXEC, 0)) < 0) {
    if (target) *target->error = errno;
    free(f);
    return NULL;
  }
  f->error = target->error;
  return &f->base;
}

static herr_t aside_close(H5FD_t *file) {
  aside *f = (aside *)file;
  if (close(f->fd) && !*f->error) *f->error = errno;
  free(f);
  return 0;
}

static herr_t aside_query(const H5FD_t *file, unsigned long *features) {
  *features = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
              H5FD_FEAT_AGGREGATE_SMALLDATA | H5FD_FEAT_DEFAULT_VFD_COMPATIBLE;
  return 0;
}

static haddr_t aside_get_eoa(const H5FD_t *file, H5FD_mem_t type) {
  return ((const aside *)file)->allocated;
}

static herr_t aside_set_eoa(H5FD_t *file, H5FD_mem_t type, haddr_t place) {
  ((aside *)file)->allocated = place;
  return 0;
}

static haddr_t aside_get_eof(const H5FD_t *file, H5FD_mem_t type) {
  return ((const aside *)file)->end;
}

/* Behind the end of the file lie zeros, as HDF5 expects of its drivers. */
static herr_t aside_read(H5FD_t *file, H5FD_mem_t type, hid_t how, haddr_t place, size_t n,
                         void *out) {
  aside *f = (aside *)file;
  memset(out, 0, n);
  for (size_t done = 0; done < n;) {
    ssize_t k = pread(f->fd, (char *)out + done, n - done, (off_t)(place + done));
    if (k < 0 && errno == EINTR) continue;
    if (k < 0 && !*f->error) *f->error = errno;
    if (k <= 0) break;
    done += (size_t)k;
  }
  return 0;
}

static herr_t aside_write(H5FD_t *file, H5FD_mem_t type, hid_t how, haddr_t place, size_t n,
                          const void *bytes) {
  aside *f = (aside *)file;
  if (place + n > f->end) f->end = place + n;
  for (size_t done = 0; done < n && !*f->error;) {
    ssize_t k = pwrite(f->fd, (const char *)bytes + done, n - done, (off_t)(place + done));
    if (k < 0 && errno == EINTR) continue;
    if (k < 0)
      *f->error = errno;
    else
      done += (size_t)k;
  }
  return 0;
}

/* The file ends where HDF5's allocations end. */
static herr_t aside_truncate(H5FD_t *file, hid_t how, hbool_t closing) {
  aside *f = (aside *)file;
  if (f->end != f->allocated && !*f->error && ftruncate(f->fd, (off_t)f->allocated))
    *f->error = errno;
  f->end = f->allocated;
  return 0;
}

static const H5FD_class_t aside_class = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = 300, /* of the range that HDF5 leaves to tests and unregistered drivers */
#endif
    .name = "cloze_aside",
    .maxaddr = INT64_MAX,
    .fc_degree = H5F_CLOSE_WEAK,
    .fapl_size = sizeof(cz__h5_target),
    .open = aside_open,
    .close = aside_close,
    .query = aside_query,
    .get_eoa = aside_get_eoa,
    .set_eoa = aside_set_eoa,
    .get_eof = aside_get_eof,
    .read = aside_read,
    .write = aside_write,
    .truncate = aside_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY};

/** An HDF5 file of format 1.10 in the open, empty file of TARGET; NAME appears in HDF5's
 * messages. Below 0 when it can't be made, with *TARGET->error or HDF5's reason. *DRIVER is for
 * H5FDunregister behind H5Fclose, also after a failure, -1 where there is none: H5Fclose gives the
 * file's own hold on it back before it calls it (1.10.8). */
hid_t cz__h5_driver_create(hid_t *driver, const char *name, const cz__h5_target *target) {
  hid_t access = H5Pcreate(H5P_FILE_ACCESS), how = H5Pcreate(H5P_FILE_CREATE), file = -1;
  *driver = H5FDregister(&aside_class);
  bool good =
      access >= 0 && how >= 0 && *driver >= 0 && H5Pset_driver(access, *driver, target) >= 0;
  if (good && H5Pset_obj_track_times(how, false) >= 0 &&
      H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110) >= 0)
    file = H5Fcreate(name, H5F_ACC_TRUNC, how, access);
  if (how >= 0) H5Pclose(how);
  if (access >= 0) H5Pclose(access);
  return file;
}
