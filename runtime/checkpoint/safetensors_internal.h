/* What the files that read safetensors share. Internal to checkpoint. */
#ifndef CZ_CHECKPOINT_SAFETENSORS_INTERNAL_H
#define CZ_CHECKPOINT_SAFETENSORS_INTERNAL_H

#include "checkpoint/safetensors.h"

typedef struct cz__st_file {
  char *path;
  int fd;
  uint64_t size;   /* bytes, when it was opened */
  const char *map; /* all of it, once somebody asked for a mapping; null before */
} cz__st_file;

struct cz_safetensors {
  cz_arena *arena; /* names, dims, paths */
  cz__st_file *files;
  size_t n_files, files_cap;
  cz_safetensors_info *tensors; /* sorted by name */
  size_t n_tensors, tensors_cap;
};

CZ_MUST cz_status cz__st_parse_header(cz_safetensors *s, int file, const char *text, size_t n,
                                      uint64_t data_bytes);
CZ_MUST cz_status cz__st_read_at(const cz__st_file *f, void *out, size_t n, uint64_t place,
                                 const char *what);

#endif
