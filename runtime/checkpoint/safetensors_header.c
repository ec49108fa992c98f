/* The header of a safetensors file: every rule of the format, checked before anything is
 * read by it. */
#include "checkpoint/extents.h"
#include "checkpoint/safetensors_internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const struct {
  const char *name;
  uint32_t bits;
} types[CZ_SAFETENSORS_TYPES] = {[CZ_SAFETENSORS_BOOL] = {"BOOL", 8},
                                 [CZ_SAFETENSORS_F4] = {"F4", 4},
                                 [CZ_SAFETENSORS_F6_E2M3] = {"F6_E2M3", 6},
                                 [CZ_SAFETENSORS_F6_E3M2] = {"F6_E3M2", 6},
                                 [CZ_SAFETENSORS_U8] = {"U8", 8},
                                 [CZ_SAFETENSORS_I8] = {"I8", 8},
                                 [CZ_SAFETENSORS_F8_E5M2] = {"F8_E5M2", 8},
                                 [CZ_SAFETENSORS_F8_E4M3] = {"F8_E4M3", 8},
                                 [CZ_SAFETENSORS_F8_E8M0] = {"F8_E8M0", 8},
                                 [CZ_SAFETENSORS_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8},
                                 [CZ_SAFETENSORS_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8},
                                 [CZ_SAFETENSORS_I16] = {"I16", 16},
                                 [CZ_SAFETENSORS_U16] = {"U16", 16},
                                 [CZ_SAFETENSORS_F16] = {"F16", 16},
                                 [CZ_SAFETENSORS_BF16] = {"BF16", 16},
                                 [CZ_SAFETENSORS_I32] = {"I32", 32},
                                 [CZ_SAFETENSORS_U32] = {"U32", 32},
                                 [CZ_SAFETENSORS_F32] = {"F32", 32},
                                 [CZ_SAFETENSORS_C64] = {"C64", 64},
                                 [CZ_SAFETENSORS_F64] = {"F64", 64},
                                 [CZ_SAFETENSORS_I64] = {"I64", 64},
                                 [CZ_SAFETENSORS_U64] = {"U64", 64}};

/** The format's name of a type, "F32". */
const char *cz_safetensors_type_name(cz_safetensors_type type) { return types[type].name; }

/** Bits of one element. */
uint32_t cz_safetensors_type_bits(cz_safetensors_type type) { return types[type].bits; }

static bool type_from_name(cz_safetensors_type *type, const char *name) {
  for (int t = 0; t < CZ_SAFETENSORS_TYPES; t++)
    if (strcmp(types[t].name, name) == 0) {
      *type = (cz_safetensors_type)t;
      return true;
    }
  return false;
}

static cz_status parse_shape(cz_safetensors *s, const char *path, cz_safetensors_info *t,
                             const json_t *shape) {
  if (!json_is_array(shape))
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s': 'shape' is missing or not a list", path, t->name);
  int64_t *dims;
  t->rank = (int)json_array_size(shape); /* the header cap keeps this far below INT_MAX */
  CZ_TRY(cz_arena_alloc(s->arena, &dims, json_array_size(shape), sizeof *dims));
  for (int i = 0; i < t->rank; i++) {
    const json_t *d = json_array_get(shape, (size_t)i);
    if (!json_is_integer(d) || json_integer_value(d) < 0)
      return CZ_FAIL(CZ_EINVAL,
                     "%s: tensor '%s': extent %d of its shape is not a whole number of 0 or more",
                     path, t->name, i);
    dims[i] = json_integer_value(d);
  }
  t->dims = dims;
  return CZ_OK;
}

static cz_status parse_size(const char *path, cz_safetensors_info *t, uint64_t end) {
  char shape[CZ__EXTENTS_TEXT];
  uint64_t bits;
  if (!cz__extents_count(&t->elements, t->dims, t->rank) ||
      __builtin_mul_overflow(t->elements, (uint64_t)types[t->type].bits, &bits))
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s': shape %s has too many elements", path, t->name,
                   cz__extents_text(shape, t->dims, t->rank));
  if (bits % 8)
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s': shape %s of %s is not a whole number of bytes",
                   path, t->name, cz__extents_text(shape, t->dims, t->rank), types[t->type].name);
  t->bytes = bits / 8;
  if (t->bytes != end - t->begin)
    return CZ_FAIL(
        CZ_EINVAL,
        "%s: tensor '%s': shape %s of %s needs %llu bytes but data_offsets [%llu, %llu] hold %llu",
        path, t->name, cz__extents_text(shape, t->dims, t->rank), types[t->type].name,
        (unsigned long long)t->bytes, (unsigned long long)t->begin, (unsigned long long)end,
        (unsigned long long)(end - t->begin));
  return CZ_OK;
}

/* One member of the header. t->begin is relative to the data here; the caller makes it
 * absolute. */
static cz_status parse_tensor(cz_safetensors *s, const char *path, cz_safetensors_info *t,
                              const char *name, const json_t *o) {
  char *copy;
  CZ_TRY(cz_arena_strdup(s->arena, &copy, name));
  t->name = copy;
  if (!json_is_object(o))
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s': its entry is not an object", path, name);
  const char *dtype = json_string_value(json_object_get(o, "dtype"));
  if (!dtype)
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s': 'dtype' is missing or not a text", path, name);
  if (!type_from_name(&t->type, dtype))
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s': unknown dtype '%s'", path, name, dtype);
  CZ_TRY(parse_shape(s, path, t, json_object_get(o, "shape")));
  const json_t *offsets = json_object_get(o, "data_offsets"), *b = json_array_get(offsets, 0),
               *e = json_array_get(offsets, 1);
  if (json_array_size(offsets) != 2 || !json_is_integer(b) || !json_is_integer(e))
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s': 'data_offsets' is not a list of two whole numbers",
                   path, name);
  long long begin = json_integer_value(b), end = json_integer_value(e);
  if (begin < 0 || end < begin)
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s': data_offsets [%lld, %lld] are not in order", path,
                   name, begin, end);
  t->begin = (uint64_t)begin;
  return parse_size(path, t, (uint64_t)end);
}

static int by_place(const void *a, const void *b) {
  const cz_safetensors_info *x = a, *y = b;
  if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
  return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* empty tensors first */
}

/* No holes, no overlaps, no bytes left over. */
static cz_status check_places(const char *path, cz_safetensors_info *t, size_t n,
                              uint64_t data_bytes) {
  uint64_t end = 0;
  if (n) qsort(t, n, sizeof *t, by_place);
  for (size_t i = 0; i < n; end += t[i++].bytes)
    if (t[i].begin != end)
      return CZ_FAIL(CZ_EINVAL,
                     "%s: tensor '%s' begins at byte %llu of the data but the one before ends at "
                     "%llu: holes and overlaps are not allowed",
                     path, t[i].name, (unsigned long long)t[i].begin, (unsigned long long)end);
  if (end != data_bytes)
    return CZ_FAIL(
        CZ_EINVAL,
        "%s: the last tensor%s%s%s ends at byte %llu but the file holds %llu bytes of data: %s",
        path, n ? " '" : "", n ? t[n - 1].name : "", n ? "'" : "", (unsigned long long)end,
        (unsigned long long)data_bytes,
        end > data_bytes ? "it is truncated" : "bytes are left over");
  return CZ_OK;
}

static cz_status check_metadata(const char *path, const json_t *metadata) {
  const char *key;
  json_t *value;
  if (!json_is_object(metadata))
    return CZ_FAIL(CZ_EINVAL, "%s: '__metadata__' is not an object", path);
  json_object_foreach((json_t *)metadata, key, value) {
    if (!json_is_string(value))
      return CZ_FAIL(CZ_EINVAL, "%s: '__metadata__': the value of '%s' is not a text", path, key);
  }
  return CZ_OK;
}

/** Adds the tensors of the header TEXT, N bytes that stand behind the length in the file number
 * FILE, to those of S. DATA_BYTES: how many come behind it. CZ_EINVAL names file, tensor and
 * value. */
cz_status cz__st_parse_header(cz_safetensors *s, int file, const char *text, size_t n,
                              uint64_t data_bytes) {
  const char *path = s->files[file].path, *name;
  json_error_t error;
  json_t *value, *root = json_loadb(text, n, JSON_REJECT_DUPLICATES, &error);
  if (!root)
    return CZ_FAIL(CZ_EINVAL, "%s: header: %s (byte %d)", path, error.text, 8 + error.position);
  cz_status st =
      json_is_object(root) ? CZ_OK : CZ_FAIL(CZ_EINVAL, "%s: header: not an object", path);
  size_t first = s->n_tensors;
  if (st == CZ_OK)
    st = cz_grow(&s->tensors, &s->tensors_cap, first + json_object_size(root) + 1,
                 sizeof *s->tensors); /* one more: a file without tensors has a place, too */
  if (st == CZ_OK) {
    json_object_foreach(root, name, value) {
      if (strcmp(name, "__metadata__") == 0)
        st = check_metadata(path, value);
      else
        st = parse_tensor(s, path, &s->tensors[s->n_tensors++], name, value);
      if (st != CZ_OK) break;
    }
  }
  json_decref(root);
  CZ_TRY(st);
  CZ_TRY(check_places(path, s->tensors + first, s->n_tensors - first, data_bytes));
  for (size_t i = first; i < s->n_tensors; i++) {
    s->tensors[i].begin += 8 + n;
    s->tensors[i].file = file;
  }
  return CZ_OK;
}
