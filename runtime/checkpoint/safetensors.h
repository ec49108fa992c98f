/* safetensors: the weight files of a Hugging Face directory, one file or shards behind an
 * index. A file is the length of its header (8 bytes, little-endian), the header (JSON:
 * for each tensor dtype, shape and where its bytes lie), and the bytes of all tensors
 * without a gap. Rules and their source: https://github.com/huggingface/safetensors,
 * "Format".
 *
 * Opening checks the whole header against the size of the file and reads nothing else; a
 * tensor is read when it is asked for, by name and expected shape, converted on the way, or
 * mapped where its numbers are used as they lie.
 * Files are written so that `from_pretrained` loads them. */
#ifndef CZ_CHECKPOINT_SAFETENSORS_H
#define CZ_CHECKPOINT_SAFETENSORS_H

#include "base/mem.h"

#include <stdbool.h>

/* In the format's order of alignment; a writer stores the highest first, so that every
 * tensor begins at a multiple of its element's size. All are known by name and size, that
 * a header can be checked; F16, BF16, F32 and F64 can be read. */
typedef enum cz_safetensors_type {
  CZ_SAFETENSORS_BOOL,
  CZ_SAFETENSORS_F4,
  CZ_SAFETENSORS_F6_E2M3,
  CZ_SAFETENSORS_F6_E3M2,
  CZ_SAFETENSORS_U8,
  CZ_SAFETENSORS_I8,
  CZ_SAFETENSORS_F8_E5M2,
  CZ_SAFETENSORS_F8_E4M3,
  CZ_SAFETENSORS_F8_E8M0,
  CZ_SAFETENSORS_F8_E4M3FNUZ,
  CZ_SAFETENSORS_F8_E5M2FNUZ,
  CZ_SAFETENSORS_I16,
  CZ_SAFETENSORS_U16,
  CZ_SAFETENSORS_F16,
  CZ_SAFETENSORS_BF16,
  CZ_SAFETENSORS_I32,
  CZ_SAFETENSORS_U32,
  CZ_SAFETENSORS_F32,
  CZ_SAFETENSORS_C64,
  CZ_SAFETENSORS_F64,
  CZ_SAFETENSORS_I64,
  CZ_SAFETENSORS_U64,
  CZ_SAFETENSORS_TYPES
} cz_safetensors_type;

/* One tensor of an open file or directory; everything borrowed from it. `file` numbers
 * the shard. */
typedef struct cz_safetensors_info {
  const char *name;
  cz_safetensors_type type;
  int rank;
  const int64_t *dims;
  uint64_t elements, bytes;
  uint64_t begin; /* from the start of the file, bytes */
  int file;
} cz_safetensors_info;

/* One tensor to write; everything borrowed. */
typedef struct cz_safetensors_item {
  const char *name;
  cz_safetensors_type type; /* in the file */
  cz_safetensors_type
      from; /* in memory: the same, or of two floating types, rounded to nearest even */
  int rank;
  const int64_t *dims;
  const void *data; /* any alignment */
} cz_safetensors_item;

typedef struct cz_safetensors cz_safetensors;

/* Reading. Nothing of a file is trusted: sizes are checked against the file before memory
 * is taken. */
CZ_MUST cz_status cz_safetensors_open(cz_safetensors **s, const char *path);
CZ_MUST cz_status cz_safetensors_open_model(cz_safetensors **s, const char *folder);
void cz_safetensors_close(cz_safetensors **s);
size_t cz_safetensors_count(const cz_safetensors *s);
const cz_safetensors_info *cz_safetensors_at(const cz_safetensors *s, size_t i);
const cz_safetensors_info *cz_safetensors_find(const cz_safetensors *s, const char *name);
CZ_MUST cz_status cz_safetensors_read_f32(cz_safetensors *s, float *out, const char *name,
                                          const int64_t *dims, int rank);
CZ_MUST cz_status cz_safetensors_read_f64(cz_safetensors *s, double *out, const char *name,
                                          const int64_t *dims, int rank);
CZ_MUST cz_status cz_safetensors_map(cz_safetensors *s, const void **bytes,
                                     const cz_safetensors_info *t);
void cz_safetensors_leave(cz_safetensors *s);
CZ_MUST cz_status cz_safetensors_map_f32(cz_safetensors *s, const void **values, const char *name,
                                         const int64_t *dims, int rank);

/* Writing. What another library would refuse (holes, unsorted offsets, unaligned headers)
 * is not written. */
CZ_MUST cz_status cz_safetensors_write(const char *path, const cz_safetensors_item *items,
                                       size_t n);
CZ_MUST cz_status cz_safetensors_write_model(const char *folder, const cz_safetensors_item *items,
                                             size_t n, uint64_t shard_bytes);
CZ_MUST cz_status cz_safetensors_copy_model(const char *folder, cz_safetensors *s,
                                            cz_safetensors_type type, uint64_t shard_bytes);

const char *cz_safetensors_type_name(cz_safetensors_type type);
uint32_t cz_safetensors_type_bits(cz_safetensors_type type);

#endif
