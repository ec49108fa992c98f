/* Private to this folder: the corpus's attributes in HDF5. Needs the thread-safe build of
 * HDF5, which readers check when they open a file. */
#ifndef CZ_DATA_H5_H
#define CZ_DATA_H5_H

#include "tensor/h5_file.h"

#include <stdint.h>

#define CZ__CORPUS_FORMAT "cloze-corpus"
enum { CZ__CORPUS_VERSION = 1, CZ__CHUNK = 64 << 10 };

CZ_MUST cz_status cz__corpus_h5_write_number(const cz_h5_file *f, const char *name, uint64_t value);
CZ_MUST cz_status cz__corpus_h5_write_text(const cz_h5_file *f, const char *name, const char *text);
CZ_MUST cz_status cz__corpus_h5_read_number(hid_t file, const char *path, const char *name,
                                            uint64_t *value);
CZ_MUST cz_status cz__corpus_h5_read_text(hid_t file, const char *path, const char *name,
                                          char **text);

#endif
