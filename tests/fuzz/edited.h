/* Stored files under fuzzing: the input is a list of edits of a good file, four bytes each
 * (place, little-endian, modulo the file's size; what is changed there). Random bytes would
 * not pass HDF5's signature, and few edits would pass the checksums of its metadata. */
#ifndef CZ_TESTS_FUZZ_EDITED_H
#define CZ_TESTS_FUZZ_EDITED_H

#include "base/mem.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

/** How many edits SIZE bytes are. A file without any must be read, else nothing is tested. */
static inline size_t edits_of(size_t size) { return size / 4; }

/** GOOD with the edits of DATA as a file, good until the next call. */
static inline const char *edited_file(const cz_buf *good, const uint8_t *data, size_t size) {
  char *copy = malloc(good->len);
  if (!copy) abort();
  memcpy(copy, good->data, good->len);
  for (size_t i = 0; i + 4 <= size; i += 4) {
    size_t at = data[i] | (size_t)data[i + 1] << 8 | (size_t)data[i + 2] << 16;
    copy[at % good->len] ^= (char)data[i + 3];
  }
  const char *path = fuzz_file((const uint8_t *)copy, good->len);
  free(copy);
  return path;
}

#endif
