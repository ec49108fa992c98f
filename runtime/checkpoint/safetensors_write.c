#include "checkpoint/convert.h"
#include "checkpoint/extents.h"

#include "base/fs.h"
#include "json/json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static cz_status item_bytes(uint64_t *bytes, const cz_safetensors_item *t) {
  uint64_t n;
  char shape[CZ__EXTENTS_TEXT];
  bool rounded = cz__convert_known(t->type) && cz__convert_known(t->from);
  if (strcmp(t->name, "__metadata__") == 0)
    return CZ_FAIL(CZ_EINVAL, "a tensor can't be called '__metadata__'");
  if (t->type != t->from && !rounded)
    return CZ_FAIL(CZ_EINVAL, "tensor '%s': %s can't be stored as %s", t->name,
                   cz_safetensors_type_name(t->from), cz_safetensors_type_name(t->type));
  if (cz_safetensors_type_bits(t->type) % 8)
    return CZ_FAIL(CZ_EINVAL, "tensor '%s': type %s is not written", t->name,
                   cz_safetensors_type_name(t->type));
  if (!cz__extents_count(&n, t->dims, t->rank) ||
      __builtin_mul_overflow(n, (uint64_t)(cz_safetensors_type_bits(t->type) / 8), bytes))
    return CZ_FAIL(CZ_EINVAL, "tensor '%s': shape %s is negative or too large", t->name,
                   cz__extents_text(shape, t->dims, t->rank));
  return CZ_OK;
}

/* The format's order: types of larger alignment first, then by name. */
static int by_alignment(const void *a, const void *b) {
  const cz_safetensors_item *x = *(const cz_safetensors_item *const *)a,
                            *y = *(const cz_safetensors_item *const *)b;
  return x->type != y->type ? (int)y->type - (int)x->type : strcmp(x->name, y->name);
}

static json_t *header_entry(const cz_safetensors_item *t, uint64_t begin, uint64_t bytes) {
  json_t *shape = json_array();
  for (int i = 0; i < t->rank; i++) json_array_append_new(shape, json_integer(t->dims[i]));
  return json_pack("{s:s, s:o, s:[I, I]}", "dtype", cz_safetensors_type_name(t->type), "shape",
                   shape, "data_offsets", (json_int_t)begin, (json_int_t)begin + (json_int_t)bytes);
}

static cz_status add_entry(json_t *root, const char *path, const cz_safetensors_item *t,
                           uint64_t *place) {
  uint64_t bytes;
  CZ_TRY(item_bytes(&bytes, t));
  if (json_object_get(root, t->name))
    return CZ_FAIL(CZ_EINVAL, "%s: two tensors are called '%s'", path, t->name);
  if (json_object_set_new(root, t->name, header_entry(t, *place, bytes)))
    return CZ_FAIL(CZ_EINVAL, "%s: the name '%s' is not UTF-8 text", path, t->name);
  if (bytes > INT64_MAX - *place)
    return CZ_FAIL(CZ_EINVAL, "%s: tensor '%s' makes the file larger than 2^63 bytes", path,
                   t->name);
  *place += bytes;
  return CZ_OK;
}

/* Length, JSON, and spaces up to a multiple of 8. */
static cz_status make_header(cz_buf *out, const char *path, const cz_safetensors_item *const *items,
                             size_t n) {
  uint64_t place = 0;
  json_t *root = json_pack("{s:{s:s}}", "__metadata__", "format",
                           "pt"); /* releases of transformers before 4.48.2 fail without it */
  cz_buf text = {0};
  cz_status st = root ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "%s: no memory for the header", path);
  for (size_t i = 0; i < n && st == CZ_OK; i++) st = add_entry(root, path, items[i], &place);
  if (st == CZ_OK) st = cz_json_print(&text, root, JSON_COMPACT);
  if (st == CZ_OK) {
    uint64_t length = (text.len + 7) / 8 * 8;
    if (length > CZ__ST_HEADER_CAP)
      st = CZ_FAIL(CZ_EINVAL, "%s: header of %" PRIu64 " bytes; the format allows %d", path, length,
                   CZ__ST_HEADER_CAP);
    else if ((st = cz_buf_add(out, &length, sizeof length)) == CZ_OK)
      st = cz_buf_addf(out, "%-*s", (int)length, text.data);
  }
  cz_buf_free(&text);
  json_decref(root);
  return st;
}

static cz_status write_item(int fd, const char *path, const cz_safetensors_item *t, char *piece) {
  uint64_t bytes;
  CZ_TRY(item_bytes(&bytes, t));
  if (t->type == t->from) return cz_fs_write_fd(fd, path, t->data, bytes);
  size_t size = cz_safetensors_type_bits(t->type) / 8, from = cz_safetensors_type_bits(t->from) / 8,
         step = CZ__ST_PIECE / size, n = bytes / size;
  for (size_t i = 0; i < n; i += step) {
    size_t k = n - i < step ? n - i : step;
    cz__convert_store(piece, t->type, (const char *)t->data + i * from, t->from, k);
    CZ_TRY(cz_fs_write_fd(fd, path, piece, k * size));
  }
  return CZ_OK;
}

static cz_status write_body(int fd, const char *path, const cz_buf *header,
                            const cz_safetensors_item *const *items, size_t n) {
  char *piece;
  CZ_TRY(cz_alloc(&piece, CZ__ST_PIECE, 1));
  cz_status st = cz_fs_write_fd(fd, path, header->data, header->len);
  for (size_t i = 0; i < n && st == CZ_OK; i++) st = write_item(fd, path, items[i], piece);
  free(piece);
  return st;
}

static cz_status write_aside(const char *path, const cz_buf *header,
                             const cz_safetensors_item *const *items, size_t n) {
  char temporary[4096];
  int fd;
  CZ_TRY(cz_fs_aside(temporary, sizeof temporary, path));
  CZ_TRY(cz_fs_open_aside(&fd, temporary, path));
  cz_status st = write_body(fd, temporary, header, items, n);
  if (st == CZ_OK) st = cz_fs_commit(temporary, path);
  if (st != CZ_OK) unlink(temporary);
  if (close(fd) && st == CZ_OK) st = CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  return st;
}

/** Writes N tensors to PATH, aside, synced and renamed, so that a reader sees the old
 * file or the whole new one. The order in the file is the format's (alignment, then
 * name), whatever the order given; the header carries {"format": "pt"}. CZ_EINVAL for
 * two tensors of one name, a name that is not UTF-8, a shape or a conversion that can't
 * be; CZ_EIO when the system refuses (disk full), the old file intact. */
cz_status cz_safetensors_write(const char *path, const cz_safetensors_item *items, size_t n) {
  const cz_safetensors_item **sorted;
  cz_buf header = {0};
  CZ_TRY(cz_alloc(&sorted, n, sizeof(cz_safetensors_item *)));
  for (size_t i = 0; i < n; i++) sorted[i] = &items[i];
  qsort(sorted, n, sizeof *sorted, by_alignment);
  cz_status st = make_header(&header, path, sorted, n);
  if (st == CZ_OK) st = write_aside(path, &header, sorted, n);
  cz_buf_free(&header);
  free(sorted);
  return st;
}

/* END[k] is one past the last item of shard k: as many items, in the given order, as fit
 * SHARD_BYTES, at least one. */
static cz_status cut_shards(size_t *end, size_t *shards, uint64_t *total,
                            const cz_safetensors_item *items, size_t n, uint64_t shard_bytes) {
  uint64_t used = 0, bytes;
  *shards = 0;
  *total = 0;
  for (size_t i = 0; i < n; i++) {
    CZ_TRY(item_bytes(&bytes, &items[i]));
    if (bytes > INT64_MAX - *total)
      return CZ_FAIL(CZ_EINVAL, "tensor '%s' makes the model larger than 2^63 bytes",
                     items[i].name);
    if (*shards == 0 || bytes > shard_bytes || used > shard_bytes - bytes) {
      ++*shards;
      used = 0;
    }
    used += bytes;
    *total += bytes;
    end[*shards - 1] = i + 1;
  }
  return CZ_OK;
}

static cz_status write_index(const char *folder, json_t *map, uint64_t total) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "model.safetensors.index.json"));
  json_t *root =
      json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)total, "weight_map", map);
  cz_status st = cz_json_write(root, path, JSON_INDENT(2) | JSON_SORT_KEYS);
  json_decref(root);
  return st;
}

static cz_status write_shards(const char *folder, const cz_safetensors_item *items,
                              const size_t *end, size_t shards, uint64_t total) {
  char name[64], path[4096];
  json_t *map = json_object();
  cz_status st = CZ_OK;
  for (size_t k = 0, i = 0; k < shards && st == CZ_OK; i = end[k++]) {
    snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", k + 1, shards);
    st = cz_fs_join(path, sizeof path, folder, name);
    for (size_t j = i; j < end[k] && st == CZ_OK; j++) {
      if (json_object_get(map, items[j].name))
        st = CZ_FAIL(CZ_EINVAL, "%s: two tensors are called '%s'", folder, items[j].name);
      else if (json_object_set_new(map, items[j].name, json_string(name)))
        st = CZ_FAIL(CZ_EINVAL, "%s: the name '%s' is not UTF-8 text", folder, items[j].name);
    }
    if (st == CZ_OK) st = cz_safetensors_write(path, items + i, end[k] - i);
  }
  if (st == CZ_OK) st = write_index(folder, map, total);
  json_decref(map);
  return st;
}

static cz_status remove_file(const char *folder, const char *name) {
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, name));
  return unlink(path) && errno != ENOENT ? CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno)) : CZ_OK;
}

/** Writes the weights of a Hugging Face directory: model.safetensors when all fits
 * SHARD_BYTES (0: no limit), else shards in the given order with their index. The other
 * form, left by an earlier save, is removed last, so that no reader takes it for the new
 * weights. */
cz_status cz_safetensors_write_model(const char *folder, const cz_safetensors_item *items, size_t n,
                                     uint64_t shard_bytes) {
  size_t *end, shards;
  uint64_t total;
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "model.safetensors"));
  CZ_TRY(cz_alloc(&end, n, sizeof *end));
  cz_status st = cut_shards(end, &shards, &total, items, n, shard_bytes ? shard_bytes : UINT64_MAX);
  if (st == CZ_OK && shards <= 1) {
    st = cz_safetensors_write(path, items, n);
    if (st == CZ_OK) st = remove_file(folder, "model.safetensors.index.json");
  } else if (st == CZ_OK) {
    st = write_shards(folder, items, end, shards, total);
    if (st == CZ_OK) st = remove_file(folder, "model.safetensors");
  }
  free(end);
  return st;
}
