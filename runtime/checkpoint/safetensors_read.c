#include "checkpoint/convert.h"
#include "checkpoint/extents.h"

#include "base/fs.h"
#include "base/stop.h"
#include "json/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAXIMUM_READ = 64 << 20 }; /* bytes of a read, after which a request to stop is looked at */

typedef struct st_file {
  char *path;
  int fd;
} st_file;

struct cz_safetensors {
  cz_arena *arena; /* names, dims, paths */
  st_file *files;
  size_t n_files, files_cap;
  cz_safetensors_info *tensors; /* sorted by name */
  size_t n_tensors, tensors_cap;
};

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

static int by_name(const void *a, const void *b) {
  return strcmp(((const cz_safetensors_info *)a)->name, ((const cz_safetensors_info *)b)->name);
}

static void sort_by_name(cz_safetensors *s) {
  if (s->n_tensors) qsort(s->tensors, s->n_tensors, sizeof *s->tensors, by_name);
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

static cz_status parse_header(cz_safetensors *s, int file, const char *text, size_t n,
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

static cz_status read_at(const st_file *f, void *out, size_t n, uint64_t place, const char *what) {
  for (size_t done = 0; done < n;) {
    size_t piece = n - done < MAXIMUM_READ ? n - done : MAXIMUM_READ;
    CZ_TRY(cz_stop_check(f->path));
    ssize_t k = pread(f->fd, (char *)out + done, piece, (off_t)(place + done));
    if (k < 0 && errno == EINTR) continue;
    if (k < 0) return CZ_FAIL(CZ_EIO, "%s: reading %s: %s", f->path, what, strerror(errno));
    if (k == 0)
      return CZ_FAIL(CZ_EIO, "%s: reading %s: the file ends at byte %llu, before byte %llu",
                     f->path, what, (unsigned long long)(place + done),
                     (unsigned long long)(place + n));
    done += (size_t)k;
  }
  return CZ_OK;
}

/* Files that lie where weights should, and what to do about them. */
static const struct {
  const char *begins, *what;
} others[] = {
    {"PK\3\4", "a zip archive, as PyTorch saves: convert it to safetensors first"},
    {"\200\2", "a pickle, as PyTorch saves: convert it to safetensors first"},
    {"\211HDF\r\n", "an HDF5 file, not safetensors"},
    {"<", "HTML or XML, as a failed download leaves"},
};

/* What the first bytes betray, before they are read as the length of a header. Where they
 * could be a length, of one or two bytes, the highest byte of the eight tells: it is 0. */
static cz_status refuse_others(const st_file *f, uint64_t size) {
  char head[40] = {0};
  CZ_TRY(read_at(f, head, size < sizeof head ? size : sizeof head, 0, "the first bytes"));
  for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
    size_t n = strlen(others[i].begins);
    if (size > n && memcmp(head, others[i].begins, n) == 0 && (n > 2 || head[7]))
      return CZ_FAIL(CZ_EINVAL, "%s: %s", f->path, others[i].what);
  }
  return CZ_OK;
}

static cz_status add_file(cz_safetensors *s, const char *path) {
  CZ_TRY(cz_grow(&s->files, &s->files_cap, s->n_files + 1, sizeof *s->files));
  int index = (int)s->n_files;
  st_file *f = &s->files[index];
  CZ_TRY(cz_arena_strdup(s->arena, &f->path, path));
  uint64_t size, n;
  CZ_TRY(cz_fs_open_regular(&f->fd, &size, path));
  s->n_files++;
  CZ_TRY(refuse_others(f, size));
  if (size < 8)
    return CZ_FAIL(CZ_EINVAL, "%s: %llu bytes are too few for a safetensors file", path,
                   (unsigned long long)size);
  CZ_TRY(read_at(f, &n, sizeof n, 0, "the header's length"));
  if (n > CZ__ST_HEADER_CAP)
    return CZ_FAIL(CZ_EINVAL, "%s: header of %llu bytes; the format allows %d", path,
                   (unsigned long long)n, CZ__ST_HEADER_CAP);
  if (n > size - 8)
    return CZ_FAIL(CZ_EINVAL, "%s: header of %llu bytes in a file of %llu: it is truncated", path,
                   (unsigned long long)n, (unsigned long long)size);
  char *text;
  CZ_TRY(cz_alloc(&text, n, 1));
  cz_status st = read_at(f, text, n, 8, "the header");
  if (st == CZ_OK && (n == 0 || text[0] != '{'))
    st = CZ_FAIL(CZ_EINVAL, "%s: the header does not start with '{'", path);
  if (st == CZ_OK) st = parse_header(s, index, text, n, size - 8 - n);
  free(text);
  return st;
}

static cz_status create(cz_safetensors **s) {
  CZ_TRY(cz_alloc(s, 1, sizeof **s));
  cz_status st = cz_arena_create(&(*s)->arena, "safetensors");
  if (st != CZ_OK) cz_safetensors_close(s);
  return st;
}

/** Opens one file and checks its whole header: size cap, layout without holes, sizes,
 * types, duplicates. CZ_EINVAL names file, tensor and the offending values; nothing of
 * the data is read. Close with cz_safetensors_close. */
cz_status cz_safetensors_open(cz_safetensors **s, const char *path) {
  CZ_TRY(create(s));
  cz_status st = add_file(*s, path);
  if (st != CZ_OK) {
    cz_safetensors_close(s);
    return CZ_NOTE(st, "opening %s", path);
  }
  sort_by_name(*s);
  return CZ_OK;
}

/* Opens FOLDER/SHARD once and finds NAME among its tensors, which are those from *FIRST
 * on. */
static cz_status open_shard(cz_safetensors *s, const char *folder, const char *shard, int *file) {
  char path[4096];
  if (!shard[0] || shard[0] == '.' || strchr(shard, '/'))
    return CZ_FAIL(CZ_EINVAL, "%s: the index names '%s', which is not a file of the same folder",
                   folder, shard);
  CZ_TRY(cz_fs_join(path, sizeof path, folder, shard));
  for (size_t i = 0; i < s->n_files; i++)
    if (strcmp(s->files[i].path, path) == 0) {
      *file = (int)i;
      return CZ_OK;
    }
  *file = (int)s->n_files;
  return add_file(s, path);
}

static cz_status open_all_shards(cz_safetensors *s, const char *folder, const char *index,
                                 json_t *map) {
  const cz_json_place at = {.file = index, .path = "weight_map"};
  const char *name, *shard;
  json_t *value;
  int file;
  if (!json_is_object(map))
    return CZ_FAIL(CZ_EINVAL, "%s: 'weight_map' is missing or not an object", index);
  json_object_foreach(map, name, value) {
    CZ_TRY(cz_json_get_text(&shard, map, &at, name));
    CZ_TRY(open_shard(s, folder, shard, &file));
  }
  return CZ_OK;
}

/* Keeps of all the shards' tensors exactly those that the index maps to the file they are
 * in. */
static cz_status keep_mapped(cz_safetensors *s, const char *folder, const char *index,
                             json_t *map) {
  size_t kept = 0;
  for (size_t i = 0; i < s->n_tensors; i++) {
    const char *shard = json_string_value(json_object_get(map, s->tensors[i].name)),
               *path = s->files[s->tensors[i].file].path;
    const char *slash = strrchr(path, '/');
    if (shard && strcmp(shard, slash ? slash + 1 : path) == 0) s->tensors[kept++] = s->tensors[i];
  }
  s->n_tensors = kept;
  sort_by_name(s);
  const char *name;
  json_t *value;
  json_object_foreach(map, name, value) {
    if (!cz_safetensors_find(s, name))
      return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s' is mapped to %s/%s but is not in it", index, name,
                     folder, json_string_value(value));
  }
  return CZ_OK;
}

static cz_status open_index(cz_safetensors *s, const char *folder, const char *index) {
  json_t *root, *map;
  cz_status st;
  CZ_GO(st, cz_json_read(&root, index), done);
  map = json_object_get(root, "weight_map");
  CZ_GO(st, open_all_shards(s, folder, index, map), done);
  CZ_GO(st, keep_mapped(s, folder, index, map), done);
done:
  json_decref(root);
  return st;
}

/** Opens the weights of a Hugging Face directory: model.safetensors, else the shards of
 * model.safetensors.index.json, each of whose tensors must be in the file it is mapped
 * to. CZ_EIO when there is neither (a pytorch_model.bin must be converted by a script
 * first). */
cz_status cz_safetensors_open_model(cz_safetensors **s, const char *folder) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "model.safetensors"));
  if (cz_fs_exists(path)) return cz_safetensors_open(s, path);
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "model.safetensors.index.json"));
  if (!cz_fs_exists(path))
    return CZ_FAIL(
        CZ_EIO, "%s: neither model.safetensors nor model.safetensors.index.json is there", folder);
  CZ_TRY(create(s));
  cz_status st = open_index(*s, folder, path);
  if (st != CZ_OK) cz_safetensors_close(s);
  return st;
}

/** Closes the files, frees the lists, clears the pointer, accepts null. */
void cz_safetensors_close(cz_safetensors **s) {
  if (!*s) return;
  for (size_t i = 0; i < (*s)->n_files; i++) close((*s)->files[i].fd);
  free((*s)->files);
  free((*s)->tensors);
  cz_arena_destroy(&(*s)->arena);
  free(*s);
  *s = NULL;
}

/** How many tensors there are, over all shards. */
size_t cz_safetensors_count(const cz_safetensors *s) { return s->n_tensors; }

/** The I-th tensor in order of names. Borrowed. */
const cz_safetensors_info *cz_safetensors_at(const cz_safetensors *s, size_t i) {
  CZ_CHECK(i < s->n_tensors);
  return &s->tensors[i];
}

/** The tensor called NAME, or null. Borrowed. */
const cz_safetensors_info *cz_safetensors_find(const cz_safetensors *s, const char *name) {
  cz_safetensors_info key = {.name = name};
  return s->n_tensors ? bsearch(&key, s->tensors, s->n_tensors, sizeof *s->tensors, by_name) : NULL;
}

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
                   name, types[t->type].name);
  *out = t;
  return CZ_OK;
}

/* OUT is float32 or, when WIDE, float64. Same type: one read to its place; otherwise
 * piece by piece through a small buffer. */
static cz_status read_tensor(cz_safetensors *s, void *out, bool wide, const char *name,
                             const int64_t *dims, int rank) {
  const cz_safetensors_info *t;
  CZ_TRY(find_for_reading(s, &t, name, dims, rank));
  const st_file *f = &s->files[t->file];
  if (t->type == (wide ? CZ_SAFETENSORS_F64 : CZ_SAFETENSORS_F32))
    return read_at(f, out, t->bytes, t->begin, name);
  char *piece;
  CZ_TRY(cz_alloc(&piece, CZ__ST_PIECE, 1));
  size_t size = types[t->type].bits / 8, step = CZ__ST_PIECE / size;
  cz_status st = CZ_OK;
  for (uint64_t i = 0; i < t->elements && st == CZ_OK; i += step) {
    size_t n = t->elements - i < step ? t->elements - i : step;
    st = read_at(f, piece, n * size, t->begin + i * size, name);
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
