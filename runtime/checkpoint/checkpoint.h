/* The folder checkpoint: what a run writes in order to go on, and the weights that models
 * are exchanged in. This header keeps the state of a training run (parameters, optimizer,
 * counters, place in the data) in HDF5; safetensors.h reads and writes the weight files
 * of a Hugging Face directory. Arrays come from a device's memory and return there; a
 * file knows names, types and shapes, and nothing of the memory's layout.
 *
 * A checkpoint is a list of named arrays and numbers, one data set each, in one file:
 *
 *   parameters/NAME        one for each parameter, in its shape
 *   optimizer/NAME/STATE   one for each array that the optimizer keeps for it
 *   step, cursor, ...      counters and the place in the data, by their names
 *   cloze/...              format and configuration
 *
 * Every data set is under fletcher32 and has a 64-bit hash of its own as attribute "hash"
 * (base/checksum.h), which sees what fletcher32 misses; all metadata is under HDF5's own
 * checksums (format 1.10). A file that was made elsewhere is taken only if its data sets
 * are hard links, in chunks that are all stored, so that everything it declares is in the
 * file.
 *
 * A file is written aside, synced and renamed, and the one before is kept, so at any
 * instant of a save the folder holds a whole checkpoint:
 *
 *   folder/checkpoint.h5        the newest
 *   folder/checkpoint.prev.h5   the one before
 *   folder/checkpoint.h5.tmp    one being written, or what a killed run left; the next
 *                               save overwrites it
 *
 * Writing: cz_checkpoint_begin, puts, and cz_checkpoint_commit or _discard. Reading:
 * cz_checkpoint_open, gets, cz_checkpoint_close. Both are local to one process. */
#ifndef CZ_CHECKPOINT_CHECKPOINT_H
#define CZ_CHECKPOINT_CHECKPOINT_H

#include "base/mem.h"

#include <stdbool.h>

typedef enum cz_checkpoint_type { /* of an entry's elements; little-endian in the file */
                                  CZ_CHECKPOINT_F32,
                                  CZ_CHECKPOINT_F64,
                                  CZ_CHECKPOINT_I32,
                                  CZ_CHECKPOINT_I64,
                                  CZ_CHECKPOINT_U64,
                                  CZ_CHECKPOINT_BYTES,
                                  CZ_CHECKPOINT_TYPES
} cz_checkpoint_type;

enum { CZ_CHECKPOINT_MAX_RANK = 8 };

typedef struct cz_checkpoint_entry { /* one data set; borrowed from the open checkpoint */
  const char *name;
  cz_checkpoint_type type;
  int rank;
  int64_t dims[CZ_CHECKPOINT_MAX_RANK];
  uint64_t elements;
} cz_checkpoint_entry;

typedef struct cz_checkpoint_writer cz_checkpoint_writer;
typedef struct cz_checkpoint cz_checkpoint;
struct cz_device;
struct cz_params;

/* Writing. Between begin and commit the folder's checkpoints are untouched; discard, a
 * failure or a kill leaves them as they were. */
uint64_t cz_checkpoint_bytes(uint64_t bytes, uint64_t entries);
uint64_t cz_checkpoint_room(uint64_t bytes);
uint64_t cz_checkpoint_stored(const char *folder);
CZ_MUST cz_status cz_checkpoint_begin(cz_checkpoint_writer **w, const char *folder,
                                      uint64_t config_hash, uint64_t bytes);
CZ_MUST cz_status cz_checkpoint_put(cz_checkpoint_writer *w, const char *name,
                                    cz_checkpoint_type type, const void *data, const int64_t *dims,
                                    int rank);
CZ_MUST cz_status cz_checkpoint_put_device(cz_checkpoint_writer *w, const char *name,
                                           struct cz_device *d, const void *from,
                                           const int64_t *dims, int rank);
CZ_MUST cz_status cz_checkpoint_put_params(cz_checkpoint_writer *w, const char *group,
                                           const struct cz_params *params, const void *flat);
CZ_MUST cz_status cz_checkpoint_put_int(cz_checkpoint_writer *w, const char *name, int64_t value);
CZ_MUST cz_status cz_checkpoint_put_real(cz_checkpoint_writer *w, const char *name, double value);
CZ_MUST cz_status cz_checkpoint_commit(cz_checkpoint_writer **w);
void cz_checkpoint_discard(cz_checkpoint_writer **w);

/* Reading. Opening reads every byte once, so that a run learns of damage before it has
 * computed anything; gets ask for a name with the type and shape that they expect. */
bool cz_checkpoint_exists(const char *folder);
CZ_MUST cz_status cz_checkpoint_remove(const char *folder);
CZ_MUST cz_status cz_checkpoint_open(cz_checkpoint **c, const char *folder);
CZ_MUST cz_status cz_checkpoint_open_file(cz_checkpoint **c, const char *path);
void cz_checkpoint_close(cz_checkpoint **c);
const char *cz_checkpoint_path(const cz_checkpoint *c);
CZ_MUST cz_status cz_checkpoint_check_config(const cz_checkpoint *c, uint64_t config_hash);
const cz_checkpoint_entry *cz_checkpoint_at(const cz_checkpoint *c, size_t i);
const cz_checkpoint_entry *cz_checkpoint_find(const cz_checkpoint *c, const char *name);
CZ_MUST cz_status cz_checkpoint_get(cz_checkpoint *c, void *out, const char *name,
                                    cz_checkpoint_type type, const int64_t *dims, int rank);
CZ_MUST cz_status cz_checkpoint_get_device(cz_checkpoint *c, struct cz_device *d, void *to,
                                           const char *name, const int64_t *dims, int rank);
CZ_MUST cz_status cz_checkpoint_get_params(cz_checkpoint *c, const char *group,
                                           const struct cz_params *params, void *flat);
CZ_MUST cz_status cz_checkpoint_get_int(cz_checkpoint *c, int64_t *out, const char *name);
CZ_MUST cz_status cz_checkpoint_get_real(cz_checkpoint *c, double *out, const char *name);

const char *cz_checkpoint_type_name(cz_checkpoint_type type);
size_t cz_checkpoint_type_size(cz_checkpoint_type type);

#endif
