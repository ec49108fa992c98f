#include "data/corpus.h"
#include "data/corpus_format.h"
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The growing list of documents. */
typedef struct column {
  hid_t set;      /* tokens written so far */
  void *chunk;    /* uint16_t or int32_t, CZ__CHUNK of them */
  size_t filled;  /* of chunk */
  uint64_t total; /* tokens, written or waiting in chunk */
  uint64_t *offsets;
  size_t n_offsets, cap;
  uint64_t *hashes; /* of the chunks that were written */
  size_t n_hashes, hashes_cap;
} column;

struct cz_corpus_writer {
  cz_h5_file file;
  cz_corpus_vocabulary vocabulary;
  column tokens;
  json_t *sources;
  uint64_t source_bytes;
};

static bool is_narrow(const cz_corpus_writer *w) { return w->vocabulary.size <= 65536; }

static size_t token_bytes(const cz_corpus_writer *w) {
  return is_narrow(w) ? sizeof(uint16_t) : sizeof(int32_t);
}

static cz_status create_set(cz_corpus_writer *w, hid_t *set, const char *name, hid_t type,
                            hsize_t n) {
  hsize_t chunk = n && n < CZ__CHUNK ? n : CZ__CHUNK, /* a chunk is stored whole */
      maximum = H5S_UNLIMITED; /* a list of fixed length may not be shorter than its chunk */
  hid_t space = H5Screate_simple(1, &n, &maximum), how = H5Pcreate(H5P_DATASET_CREATE);
  H5Pset_obj_track_times(how, false); /* equal texts make equal files */
  H5Pset_chunk(how, 1, &chunk);
  H5Pset_fletcher32(how);
  *set = H5Dcreate2(w->file.id, name, type, space, H5P_DEFAULT, how, H5P_DEFAULT);
  cz_status st = cz_h5_check(&w->file, *set >= 0, name);
  H5Pclose(how);
  H5Sclose(space);
  return st;
}

static cz_status open_column(cz_corpus_writer *w) {
  column *c = &w->tokens;
  CZ_TRY(cz_alloc(&c->chunk, CZ__CHUNK, token_bytes(w)));
  CZ_TRY(cz_grow(&c->offsets, &c->cap, 1, sizeof *c->offsets));
  c->n_offsets = 1;
  return create_set(w, &c->set, "tokens", is_narrow(w) ? H5T_STD_U16LE : H5T_STD_I32LE, 0);
}

static cz_status create_file(cz_corpus_writer *w, const char *path) {
  CZ_TRY(cz_h5_create(&w->file, path));
  CZ_TRY(cz_h5_write_text(&w->file, "format", CZ__CORPUS_FORMAT));
  CZ_TRY(cz_h5_write_number(&w->file, w->file.id, "version", CZ__CORPUS_VERSION));
  CZ_TRY(cz_h5_write_text(&w->file, "kind", "documents"));
  CZ_TRY(cz_h5_write_number(&w->file, w->file.id, "tokenizer_hash", w->vocabulary.hash));
  CZ_TRY(cz_h5_write_number(&w->file, w->file.id, "vocabulary", (uint64_t)w->vocabulary.size));
  return open_column(w);
}

/** Begins a corpus that will be at PATH once cz_corpus_commit succeeds; until then it
 * grows in a file beside it. */
cz_status cz_corpus_create(cz_corpus_writer **w, const char *path,
                           cz_corpus_vocabulary vocabulary) {
  if (vocabulary.size < 1 || vocabulary.size > INT32_MAX)
    return CZ_FAIL(CZ_EINVAL, "%s: a vocabulary of %lld ids", path, (long long)vocabulary.size);
  cz_corpus_writer *c;
  CZ_TRY(cz_alloc(&c, 1, sizeof *c));
  c->file.id = c->tokens.set = -1;
  c->file.held = -1;
  c->vocabulary = vocabulary;
  c->sources = json_array();
  cz_status st = create_file(c, path);
  if (st != CZ_OK) cz_corpus_abandon(&c);
  *w = c;
  return st;
}

/** Records in the corpus that text of BYTES bytes with HASH came from NAME. */
cz_status cz_corpus_add_source(cz_corpus_writer *w, const char *name, uint64_t bytes,
                               uint64_t hash) {
  char hex[17];
  snprintf(hex, sizeof hex, "%016llx", (unsigned long long)hash);
  w->source_bytes += bytes;
  json_t *entry = json_pack("{s:o, s:I, s:s}", "name", cz_json_string(name), "bytes",
                            (json_int_t)bytes, "hash", hex);
  if (!entry) return CZ_FAIL(CZ_EINVAL, "a source's name is not UTF-8: %s", name);
  return json_array_append_new(w->sources, entry)
             ? CZ_FAIL(CZ_ENOMEM, "no memory for the list of sources")
             : CZ_OK;
}

static cz_status flush(cz_corpus_writer *w) {
  column *c = &w->tokens;
  if (!c->filled) return CZ_OK;
  CZ_TRY(cz_grow(&c->hashes, &c->hashes_cap, c->n_hashes + 1, sizeof *c->hashes));
  c->hashes[c->n_hashes] = cz__corpus_chunk_hash(c->n_hashes, c->chunk, c->filled * token_bytes(w));
  c->n_hashes++;
  hsize_t end = c->total, n = c->filled, begin = end - n;
  CZ_TRY(cz_h5_check(&w->file, H5Dset_extent(c->set, &end) >= 0, "tokens"));
  hid_t disk = H5Dget_space(c->set), memory = H5Screate_simple(1, &n, NULL);
  H5Sselect_hyperslab(disk, H5S_SELECT_SET, &begin, NULL, &n, NULL);
  herr_t bad = H5Dwrite(c->set, is_narrow(w) ? H5T_NATIVE_UINT16 : H5T_NATIVE_INT32, memory, disk,
                        H5P_DEFAULT, c->chunk);
  cz_status st = cz_h5_check(&w->file, bad >= 0, "tokens");
  H5Sclose(memory);
  H5Sclose(disk);
  c->filled = 0;
  return st;
}

static cz_status append(cz_corpus_writer *w, const cz_ids *ids) {
  column *c = &w->tokens;
  for (size_t i = 0; i < ids->len; i++) {
    int32_t id = ids->data[i];
    if (id < 0 || id >= w->vocabulary.size)
      return CZ_FAIL(CZ_EINVAL, "%s: id %d is outside the vocabulary of %lld", w->file.path, id,
                     (long long)w->vocabulary.size);
    if (is_narrow(w))
      ((uint16_t *)c->chunk)[c->filled] = (uint16_t)id;
    else
      ((int32_t *)c->chunk)[c->filled] = id;
    c->filled++;
    c->total++;
    if (c->filled == CZ__CHUNK) CZ_TRY(flush(w));
  }
  CZ_TRY(cz_grow(&c->offsets, &c->cap, c->n_offsets + 1, sizeof *c->offsets));
  c->offsets[c->n_offsets++] = c->total;
  return CZ_OK;
}

/** Appends one document. An empty one is left out. */
cz_status cz_corpus_add(cz_corpus_writer *w, const cz_ids *document) {
  return document->len ? append(w, document) : CZ_OK;
}

static cz_status write_list(cz_corpus_writer *w, const char *name, const uint64_t *list, size_t n) {
  hid_t set = -1;
  cz_status st = create_set(w, &set, name, H5T_STD_U64LE, n); /* may be open even so */
  if (st == CZ_OK) {
    herr_t bad = H5Dwrite(set, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, list);
    st = cz_h5_check(&w->file, bad >= 0, name);
  }
  if (st == CZ_OK)
    st = cz_h5_write_number(&w->file, set, CZ__CORPUS_HASH,
                            cz__corpus_list_hash(list, n * sizeof *list));
  if (set >= 0 && H5Dclose(set) < 0 && st == CZ_OK) st = cz_h5_check(&w->file, false, name);
  return st;
}

static cz_status finish_column(cz_corpus_writer *w) {
  column *c = &w->tokens;
  CZ_TRY(flush(w));
  CZ_TRY(write_list(w, "offsets", c->offsets, c->n_offsets));
  cz_status st = write_list(w, "hashes", c->hashes, c->n_hashes);
  hid_t tokens = c->set;
  c->set = -1;
  if (H5Dclose(tokens) < 0 && st == CZ_OK) st = cz_h5_check(&w->file, false, "tokens");
  return st;
}

static cz_status finish_file(cz_corpus_writer *w) {
  if (w->tokens.n_offsets == 1)
    return CZ_FAIL(CZ_EINVAL, "%s: not written, because there is no text to put into it",
                   w->file.path);
  cz_buf sources = {0};
  cz_status st = cz_json_print(&sources, w->sources, JSON_COMPACT | JSON_SORT_KEYS);
  if (st == CZ_OK) st = cz_h5_write_text(&w->file, "sources", sources.data);
  cz_buf_free(&sources);
  return st == CZ_OK ? finish_column(w) : st;
}

/** Finishes the file, makes it durable, moves it to its path and frees the writer,
 * whatever happens. TOTALS may be null. CZ_EINVAL when nothing was added. On failure no
 * file is left and an older one at the path is untouched. */
cz_status cz_corpus_commit(cz_corpus_writer **w, cz_corpus_totals *totals) {
  cz_corpus_writer *c = *w;
  if (totals)
    *totals = (cz_corpus_totals){.documents = (int64_t)c->tokens.n_offsets - 1,
                                 .tokens = (int64_t)c->tokens.total,
                                 .bytes = (int64_t)c->source_bytes};
  cz_status st = finish_file(c);
  if (st == CZ_OK) st = cz_h5_commit(&c->file);
  cz_corpus_abandon(w);
  return st;
}

/** Frees the writer and removes its unfinished file; accepts null. */
void cz_corpus_abandon(cz_corpus_writer **w) {
  cz_corpus_writer *c = *w;
  if (!c) return;
  if (c->tokens.set >= 0) H5Dclose(c->tokens.set);
  free(c->tokens.chunk);
  free(c->tokens.offsets);
  free(c->tokens.hashes);
  cz_h5_discard(&c->file);
  json_decref(c->sources);
  free(c);
  *w = NULL;
}
