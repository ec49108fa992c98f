/* HDF5 files that come into being whole or not at all, and the reason when they do not.
 * They lie in tensor because checkpoint, data and the commands all keep arrays in such
 * files and may not see one another; this is the lowest folder that they share.
 *
 * They are written beside their path (base/fs.h) in format 1.10, whose superblock, object
 * headers, groups and chunk indices carry checksums; the older default's do not.
 *
 * No times are stored: equal contents make equal files, as long as data sets are created
 * without them too and their groups by cz_h5_make_groups.
 *
 * Writing: cz_h5_create; HDF5's own calls on `id`, each followed by cz_h5_check;
 * cz_h5_commit; and cz_h5_discard whatever happened. Reading: cz_h5_open, cz_h5_open_set,
 * HDF5's own calls. */
#ifndef CZ_TENSOR_H5_FILE_H
#define CZ_TENSOR_H5_FILE_H

#include "base/status.h"

#include <hdf5.h>
#include <stdbool.h>
#include <stdint.h>

enum { CZ_H5_TEXT = 512, CZ_H5_MAX_RANK = 8 };

typedef struct cz_h5_file { /* does not move while it is open */
  hid_t id;                 /* below 0: closed */
  hid_t driver;             /* behind it; below 0: none */
  int held;                 /* the lock on `temporary`; below 0: none */
  int error; /* errno of the first failure, or 0. Once it is set nothing more is written, and HDF5's
                calls go on as if it were */
  char path[4096], temporary[4096];
} cz_h5_file;

/* A data set that was opened for reading. */
typedef struct cz_h5_set {
  hid_t id; /* below 0: not open */
  int rank;
  hsize_t dims[CZ_H5_MAX_RANK];
  uint64_t elements;
  size_t width; /* bytes of an element in the file */
} cz_h5_set;

/* HDF5 prints its errors unless told not to; here they are silenced once and the
 * innermost reason is fetched into our own chain. */
void cz_h5_quiet(void);
const char *cz_h5_why(char out[CZ_H5_TEXT]);

CZ_MUST cz_status cz_h5_create(cz_h5_file *f, const char *path);
CZ_MUST cz_status cz_h5_check(const cz_h5_file *f, bool good, const char *what);
CZ_MUST cz_status cz_h5_close(cz_h5_file *f);
CZ_MUST cz_status cz_h5_commit(cz_h5_file *f);
void cz_h5_discard(cz_h5_file *f);
void cz_h5_make_groups(cz_h5_file *f, const char *name);

CZ_MUST cz_status cz_h5_open(hid_t *file, uint64_t *bytes, const char *path);
CZ_MUST cz_status cz_h5_open_set(cz_h5_set *set, hid_t file, uint64_t file_bytes, const char *path,
                                 const char *name);

CZ_MUST cz_status cz_h5_write_number(const cz_h5_file *f, hid_t object, const char *name,
                                     uint64_t value);
CZ_MUST cz_status cz_h5_write_real(const cz_h5_file *f, hid_t object, const char *name,
                                   double value);
CZ_MUST cz_status cz_h5_write_text(const cz_h5_file *f, const char *name, const char *text);
CZ_MUST cz_status cz_h5_read_number(hid_t object, const char *path, const char *name,
                                    uint64_t *value);
CZ_MUST cz_status cz_h5_read_real(hid_t object, const char *path, const char *name, double *value);
CZ_MUST cz_status cz_h5_read_text(hid_t file, const char *path, const char *name, char **text);

#endif
