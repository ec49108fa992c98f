/* Private to this folder: HDF5 calls that say why they failed. Needs the thread-safe build of HDF5, which readers check when they open a file. */
#ifndef CZ_DATA_H5_H
#define CZ_DATA_H5_H

#include "base/status.h"

#include <hdf5.h>
#include <stdint.h>

#define CZ__CORPUS_FORMAT "cloze-corpus"
enum { CZ__CORPUS_VERSION = 1, CZ__CHUNK = 64 << 10 };

void cz__corpus_h5_quiet(void);
const char *cz__h5_reason(char *out, size_t n);
CZ_MUST cz_status cz__h5_write_number(hid_t file, const char *path, const char *name, uint64_t value);
CZ_MUST cz_status cz__h5_write_text(hid_t file, const char *path, const char *name, const char *text);
CZ_MUST cz_status cz__h5_read_number(hid_t file, const char *path, const char *name, uint64_t *value);
CZ_MUST cz_status cz__h5_read_text(hid_t file, const char *path, const char *name, char **text);

#endif
