/* The numbers of an open safetensors file: read, converted on the way, or mapped. */
#include "checkpoint/convert.h"
#include "checkpoint/extents.h"
#include "checkpoint/safetensors_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

static cz_status find_for_reading(const cz_safetensors *s, const cz_safetensors_info **out,
                                  const char *name, const int64_t *dims, int rank) {
  const cz_safetensors_info *t = cz_safetensors_find(s, name);
  if (!t)
    return CZ_FAIL(CZ_EINVAL, "%s: no tensor '%s' (%zu others)",
                   s->n_files ? s->files[0].path : "safetensors", name, s->n_tensors);
  const char *path = s->files[t->file].path;
  char have[CZ__EXTENTS_TEXT], want[CZ__EXTENTS_TEXT];
  if (!cz__extents_same(t->dims, t->rank, dims, rank))
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s' has shape %s, expected %s", path, name,
                   cz__extents_text(have, t->dims, t->rank), cz__extents_text(want, dims, rank));
  if (!cz__convert_known(t->type))
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s' is %s; F16, BF16, F32 and F64 can be read", path,
                   name, cz_safetensors_type_name(t->type));
  *out = t;
  return CZ_OK;
}

/* OUT is float32 or, when WIDE, float64. Same type: one read to its place; otherwise
 * piece by piece through a small buffer. */
static cz_status read_tensor(cz_safetensors *s, void *out, bool wide, const char *name,
                             const int64_t *dims, int rank) {
  const cz_safetensors_info *t;
  CZ_TRY(find_for_reading(s, &t, name, dims, rank));
  const cz__st_file *f = &s->files[t->file];
  if (t->type == (wide ? CZ_SAFETENSORS_F64 : CZ_SAFETENSORS_F32))
    return cz__st_read_at(f, out, t->bytes, t->begin, name);
  char *piece;
  CZ_TRY(cz_alloc(&piece, CZ__ST_PIECE, 1));
  size_t size = cz_safetensors_type_bits(t->type) / 8, step = CZ__ST_PIECE / size;
  cz_status st = CZ_OK;
  for (uint64_t i = 0; i < t->elements && st == CZ_OK; i += step) {
    size_t n = t->elements - i < step ? t->elements - i : step;
    st = cz__st_read_at(f, piece, n * size, t->begin + i * size, name);
    if (st != CZ_OK) break;
    if (wide)
      cz__convert_to_f64((double *)out + i, piece, t->type, n);
    else
      cz__convert_to_f32((float *)out + i, piece, t->type, n);
  }
  free(piece);
  return st;
}

/** Reads tensor NAME as float32 into OUT (DIMS[RANK] elements) from F16, BF16, F32 or
 * F64. CZ_EINVAL when it is missing, of another shape (both are named) or not a floating
 * type. */
cz_status cz_safetensors_read_f32(cz_safetensors *s, float *out, const char *name,
                                  const int64_t *dims, int rank) {
  return read_tensor(s, out, false, name, dims, rank);
}

/** Reads tensor NAME as float64 into OUT (DIMS[RANK] elements); otherwise like
 * cz_safetensors_read_f32. */
cz_status cz_safetensors_read_f64(cz_safetensors *s, double *out, const char *name,
                                  const int64_t *dims, int rank) {
  return read_tensor(s, out, true, name, dims, rank);
}

/* Maps the whole file once. A file that has lost its end since it was opened is refused here,
 * since touching what is gone would end the process. */
static cz_status map_file(cz__st_file *f) {
  struct stat now;
  if (fstat(f->fd, &now)) return CZ_FAIL(CZ_EIO, "%s: %s", f->path, strerror(errno));
  if ((uint64_t)now.st_size < f->size)
    return CZ_FAIL(CZ_EIO, "%s: the file has %llu bytes now, not %llu as when it was opened",
                   f->path, (unsigned long long)now.st_size, (unsigned long long)f->size);
  if (f->map) return CZ_OK;
  void *map = mmap(NULL, f->size, PROT_READ, MAP_SHARED, f->fd, 0);
  if (map == MAP_FAILED)
    return CZ_FAIL(CZ_EIO, "%s: mapping %llu bytes: %s", f->path, (unsigned long long)f->size,
                   strerror(errno));
  f->map = map;
  return CZ_OK;
}

/** The bytes of tensor T of S as they lie in the file, info->bytes of them, read-only. The file
 * is mapped, so that all processes that do so share the page cache's one copy and nothing is
 * read before it is touched. No alignment is promised: the header may have any length. Borrowed
 * until S is closed. CZ_EIO when the system refuses, or the file was cut since it was opened;
 * one that is cut while it is mapped ends the process with SIGBUS, so weights are replaced by
 * renaming, as cz_safetensors_write does. */
cz_status cz_safetensors_map(cz_safetensors *s, const void **bytes, const cz_safetensors_info *t) {
  cz__st_file *f = &s->files[t->file];
  CZ_TRY(map_file(f));
  *bytes = f->map + t->begin;
  return CZ_OK;
}

/** Gives back the pages of S that were touched. What was mapped stays where it is and in the page
 * cache, and is there again when it is touched; until then no process has it among its own. */
void cz_safetensors_leave(cz_safetensors *s) {
  for (size_t i = 0; i < s->n_files; i++)
    if (s->files[i].map) madvise((void *)s->files[i].map, s->files[i].size, MADV_DONTNEED);
}

/** The float32 values of tensor NAME of shape DIMS[RANK], mapped as by cz_safetensors_map; any
 * alignment, so they are taken out by memcpy. CZ_EINVAL when the tensor is missing, of another
 * shape or type: what has to be converted is read by cz_safetensors_read_f32. */
cz_status cz_safetensors_map_f32(cz_safetensors *s, const void **values, const char *name,
                                 const int64_t *dims, int rank) {
  const cz_safetensors_info *t;
  CZ_TRY(find_for_reading(s, &t, name, dims, rank));
  if (t->type != CZ_SAFETENSORS_F32)
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s' is %s; only F32 is mapped", s->files[t->file].path,
                   name, cz_safetensors_type_name(t->type));
  return cz_safetensors_map(s, values, t);
}
