/* What the checkpoint's writer and reader share of HDF5: types, silence, error texts, the file's own entries. Internal to checkpoint. */
#ifndef CZ_CHECKPOINT_H5_H
#define CZ_CHECKPOINT_H5_H

#include "checkpoint/checkpoint.h"

#include <hdf5.h>

#define CZ__CK_NEWEST   "checkpoint.h5"
#define CZ__CK_PREVIOUS "checkpoint.prev.h5"
#define CZ__CK_FORMAT   "cloze/format"
#define CZ__CK_CONFIG   "cloze/config_hash"

enum { CZ__CK_FORMAT_VERSION = 1, CZ__H5_TEXT = 512 };

void cz__h5_quiet(void);
const char *cz__h5_why(char out[CZ__H5_TEXT]);
hid_t cz__h5_create_aside(const char *path, int *error);
hid_t cz__h5_stored(cz_ck_type type);
hid_t cz__h5_native(cz_ck_type type);

#endif
