/* The weights of one directory written to another in a given type. */
#include "checkpoint/convert.h"
#include "checkpoint/extents.h"
#include "checkpoint/safetensors_internal.h"

#include "base/stop.h"

#include <math.h>
#include <stdlib.h>

enum { BLOCK = 4096 }; /* numbers looked at together */

/* Rounds N numbers to TYPE and back. */
static void rounded(double *out, const double *x, cz_safetensors_type type, size_t n) {
  char narrow[BLOCK * sizeof(double)];
  cz__convert_store(narrow, type, x, CZ_SAFETENSORS_F64, n);
  cz__convert_to_f64(out, narrow, type, n);
}

/* Before anything is written: every number of T is finite and stays so in TYPE. */
static cz_status check_numbers(const cz_safetensors *s, const cz_safetensors_info *t,
                               const void *data, cz_safetensors_type type) {
  const size_t size = cz_safetensors_type_bits(t->type) / 8;
  const char *path = s->files[t->file].path;
  char shape[CZ__EXTENTS_TEXT];
  double x[BLOCK], y[BLOCK];
  for (uint64_t done = 0; done < t->elements; done += BLOCK) {
    size_t n = t->elements - done < BLOCK ? (size_t)(t->elements - done) : BLOCK;
    CZ_TRY(cz_stop_check(path));
    cz__convert_to_f64(x, (const char *)data + done * size, t->type, n);
    rounded(y, x, type, n);
    for (size_t i = 0; i < n; i++)
      if (!isfinite(y[i]))
        return CZ_FAIL(CZ_ENUMERIC, "%s: %g, element %llu of tensor '%s' (%s), %s", path, x[i],
                       (unsigned long long)(done + i), t->name,
                       cz__extents_text(shape, t->dims, t->rank),
                       isfinite(x[i]) ? "is too large for the type asked for" : "is not finite");
  }
  return CZ_OK;
}

static cz_status make_item(cz_safetensors_item *item, cz_safetensors *s,
                           const cz_safetensors_info *t, cz_safetensors_type type) {
  const void *data;
  CZ_TRY(cz_safetensors_map(s, &data, t));
  bool number = cz__convert_known(t->type);
  if (number) CZ_TRY(check_numbers(s, t, data, type));
  *item = (cz_safetensors_item){.name = t->name,
                                .type = number ? type : t->type,
                                .from = t->type,
                                .rank = t->rank,
                                .dims = t->dims,
                                .data = data};
  return CZ_OK;
}

/** Writes all tensors of S to the Hugging Face directory FOLDER as cz_safetensors_write_model
 * does, numbers in TYPE (F16, BF16, F32 or F64), each rounded once to nearest even, and what are
 * no floating numbers as they are. CZ_ENUMERIC with file, tensor and element for a number that is
 * not finite or would not be in TYPE, before anything is written. */
cz_status cz_safetensors_copy_model(const char *folder, cz_safetensors *s, cz_safetensors_type type,
                                    uint64_t shard_bytes) {
  cz_safetensors_item *items;
  CZ_CHECK(cz__convert_known(type));
  CZ_TRY(cz_alloc(&items, s->n_tensors, sizeof *items));
  cz_status st = CZ_OK;
  for (size_t i = 0; i < s->n_tensors && st == CZ_OK; i++)
    st = make_item(&items[i], s, &s->tensors[i], type);
  if (st == CZ_OK) st = cz_safetensors_write_model(folder, items, s->n_tensors, shard_bytes);
  free(items);
  return st;
}
