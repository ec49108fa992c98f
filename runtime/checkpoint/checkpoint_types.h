/* What the checkpoint's writer and reader share: file names, names of the entries that
 * every checkpoint has, and which types of HDF5 an element has in the file and in memory.
 * Internal to checkpoint. */
#ifndef CZ_CHECKPOINT_TYPES_H
#define CZ_CHECKPOINT_TYPES_H

#include "base/checksum.h"
#include "checkpoint/checkpoint.h"
#include "tensor/h5_file.h"

#define CZ__CK_NEWEST   "checkpoint.h5"
#define CZ__CK_PREVIOUS "checkpoint.prev.h5"
#define CZ__CK_FORMAT   "cloze/format"
#define CZ__CK_CONFIG   "cloze/config_hash"
#define CZ__CK_HASH     "hash" /* attribute of every entry */

enum { CZ__CK_FORMAT_VERSION = 2 }; /* 1: one block for all parameters */

hid_t cz__ck_stored(cz_checkpoint_type type);
hid_t cz__ck_native(cz_checkpoint_type type);
void cz__ck_sum_begin(cz_checksum *sum, const char *name, cz_checkpoint_type type,
                      const int64_t *dims, int rank);

#endif
