#include "checkpoint/convert.h"
#include "checkpoint/safetensors_internal.h"

#include "base/fs.h"
#include "base/stop.h"
#include "json/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { MAXIMUM_READ = 64 << 20 }; /* bytes of a read, after which a request to stop is looked at */

static int by_name(const void *a, const void *b) {
  return strcmp(((const cz_safetensors_info *)a)->name, ((const cz_safetensors_info *)b)->name);
}

static void sort_by_name(cz_safetensors *s) {
  if (s->n_tensors) qsort(s->tensors, s->n_tensors, sizeof *s->tensors, by_name);
}

/** Reads N bytes of F from PLACE on; WHAT is for the message. CZ_EIO with the system's reason, or
 * where the file ends; CZ_EINTERRUPT when a stop is requested. */
cz_status cz__st_read_at(const cz__st_file *f, void *out, size_t n, uint64_t place,
                         const char *what) {
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
    {"PK\3\4",
     "a zip archive, as PyTorch saves: scripts/convert_pickle.py makes safetensors of it"},
    {"\200\2", "a pickle, as PyTorch saves: scripts/convert_pickle.py makes safetensors of it"},
    {"\211HDF\r\n", "an HDF5 file, not safetensors"},
    {"<", "HTML or XML, as a failed download leaves"},
};

/* What the first bytes betray, before they are read as the length of a header. Where they
 * could be a length, of one or two bytes, the highest byte of the eight tells: it is 0. */
static cz_status refuse_others(const cz__st_file *f, uint64_t size) {
  char head[40] = {0};
  CZ_TRY(cz__st_read_at(f, head, size < sizeof head ? size : sizeof head, 0, "the first bytes"));
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
  cz__st_file *f = &s->files[index];
  CZ_TRY(cz_arena_strdup(s->arena, &f->path, path));
  uint64_t size, n;
  CZ_TRY(cz_fs_open_regular(&f->fd, &size, path));
  f->size = size;
  f->map = NULL;
  s->n_files++;
  CZ_TRY(refuse_others(f, size));
  if (size < 8)
    return CZ_FAIL(CZ_EINVAL, "%s: %llu bytes are too few for a safetensors file", path,
                   (unsigned long long)size);
  CZ_TRY(cz__st_read_at(f, &n, sizeof n, 0, "the header's length"));
  if (n > CZ__ST_HEADER_CAP)
    return CZ_FAIL(CZ_EINVAL, "%s: header of %llu bytes; the format allows %d", path,
                   (unsigned long long)n, CZ__ST_HEADER_CAP);
  if (n > size - 8)
    return CZ_FAIL(CZ_EINVAL, "%s: header of %llu bytes in a file of %llu: it is truncated", path,
                   (unsigned long long)n, (unsigned long long)size);
  char *text;
  CZ_TRY(cz_alloc(&text, n, 1));
  cz_status st = cz__st_read_at(f, text, n, 8, "the header");
  if (st == CZ_OK && (n == 0 || text[0] != '{'))
    st = CZ_FAIL(CZ_EINVAL, "%s: the header does not start with '{'", path);
  if (st == CZ_OK) st = cz__st_parse_header(s, index, text, n, size - 8 - n);
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

/* A folder without safetensors: pickles are named with what makes safetensors of them. */
static cz_status no_weights(const char *folder) {
  static const char *const pickles[] = {"pytorch_model.bin", "pytorch_model.bin.index.json"};
  char path[4096];
  for (size_t i = 0; i < sizeof pickles / sizeof *pickles; i++) {
    CZ_TRY(cz_fs_join(path, sizeof path, folder, pickles[i]));
    if (cz_fs_exists(path))
      return CZ_FAIL(CZ_EINVAL,
                     "%s: the weights are only in %s, a pickle, which could run code and is not "
                     "read: `scripts/convert_pickle.py %s OUT_DIR` makes safetensors of it",
                     folder, pickles[i], folder);
  }
  return CZ_FAIL(CZ_EIO, "%s: neither model.safetensors nor model.safetensors.index.json is there",
                 folder);
}

/** Opens the weights of a Hugging Face directory: model.safetensors, else the shards of
 * model.safetensors.index.json, each of whose tensors must be in the file it is mapped
 * to. CZ_EIO when there is neither; CZ_EINVAL when there is only a pytorch_model.bin, which
 * scripts/convert_pickle.py must convert first. */
cz_status cz_safetensors_open_model(cz_safetensors **s, const char *folder) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "model.safetensors"));
  if (cz_fs_exists(path)) return cz_safetensors_open(s, path);
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "model.safetensors.index.json"));
  if (!cz_fs_exists(path)) return no_weights(folder);
  CZ_TRY(create(s));
  cz_status st = open_index(*s, folder, path);
  if (st != CZ_OK) cz_safetensors_close(s);
  return st;
}

/** Closes the files, ends their mappings, frees the lists, clears the pointer, accepts null. */
void cz_safetensors_close(cz_safetensors **s) {
  if (!*s) return;
  for (size_t i = 0; i < (*s)->n_files; i++) {
    const cz__st_file *f = &(*s)->files[i];
    if (f->map) munmap((void *)f->map, f->size);
    close(f->fd);
  }
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
