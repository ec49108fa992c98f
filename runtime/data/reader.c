#include "data/reader.h"
#include "base/log.h"
#include "base/stop.h"
#include "data/corpus_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Chunks in memory: 8 or 16 MiB, filled as they are read. A corpus of four million tokens
 * stays there whole, so that documents in random order cost one read each chunk. */
enum { CACHE_CHUNKS = 64 };

/* The list of documents with the chunks of it that are in memory. Chunks are dropped by
 * the clock algorithm: a hand goes round the slots and takes the first one that was not
 * used since its last visit. */
typedef struct column {
  hid_t set;
  uint64_t *offsets; /* documents + 1 */
  uint64_t *hashes;  /* [n_chunks]; null in a corpus that has none */
  uint64_t total;    /* tokens */
  size_t width;      /* bytes of a stored token: 2 or 4 */
  int64_t n_chunks, n_slots, hand;
  int32_t *slot_of;  /* [n_chunks] slot + 1, or 0 */
  int32_t *chunk_of; /* [n_slots] chunk + 1, or 0 */
  bool *used;        /* [n_slots] */
  void **slots;      /* [n_slots] CZ__CHUNK stored tokens, allocated when first filled */
} column;

struct cz_reader {
  char path[4096];
  char *sources;
  hid_t file;
  uint64_t file_bytes;
  cz_reader_info info;
  column tokens;
};

static cz_status check_header(cz_reader *r, const uint64_t *tokenizer_hash) {
  char *format = NULL, *stored = NULL;
  uint64_t version = 0, vocabulary = 0;
  cz_status st = cz_h5_read_text(r->file, r->path, "format", &format);
  if (st == CZ_OK && strcmp(format, CZ__CORPUS_FORMAT))
    st = CZ_FAIL(CZ_ECORRUPT, "%s: format is '%s', not a corpus", r->path, format);
  free(format);
  CZ_TRY(st);
  CZ_TRY(cz_h5_read_number(r->file, r->path, "version", &version));
  if (version != CZ__CORPUS_VERSION)
    return CZ_FAIL(CZ_EINVAL,
                   "%s: corpus version %" PRIu64 ", this program reads version %d; build it again",
                   r->path, version, CZ__CORPUS_VERSION);
  CZ_TRY(cz_h5_read_text(r->file, r->path, "kind", &stored));
  if (strcmp(stored, "documents"))
    st = CZ_FAIL(CZ_EINVAL, "%s: holds '%s', this program reads documents; build it again", r->path,
                 stored);
  free(stored);
  CZ_TRY(st);
  CZ_TRY(cz_h5_read_number(r->file, r->path, "tokenizer_hash", &r->info.vocabulary.hash));
  if (tokenizer_hash && r->info.vocabulary.hash != *tokenizer_hash)
    return CZ_FAIL(CZ_EINVAL,
                   "%s: built with tokenizer %016" PRIx64
                   ", but the tokenizer in use is %016" PRIx64 "; build the corpus again",
                   r->path, r->info.vocabulary.hash, *tokenizer_hash);
  CZ_TRY(cz_h5_read_number(r->file, r->path, "vocabulary", &vocabulary));
  if (vocabulary < 1 || vocabulary > INT32_MAX)
    return CZ_FAIL(CZ_ECORRUPT, "%s: a vocabulary of %" PRIu64 " ids", r->path, vocabulary);
  r->info.vocabulary.size = (int64_t)vocabulary;
  return cz_h5_read_text(r->file, r->path, "sources", &r->sources);
}

/* Opens data set NAME: one dimension of elements of one of the N types. */
static cz_status open_list(cz_reader *r, cz_h5_set *set, const char *name, const hid_t *types,
                           int n) {
  bool known = false;
  CZ_TRY(cz_h5_open_set(set, r->file, r->file_bytes, r->path, name));
  hid_t type = H5Dget_type(set->id);
  for (int i = 0; i < n; i++) known |= H5Tequal(type, types[i]) > 0;
  H5Tclose(type);
  return set->rank == 1 && known ? CZ_OK
                                 : CZ_FAIL(CZ_ECORRUPT, "%s: data set '%s' is not a list of %s",
                                           r->path, name, n == 1 ? "uint64" : "uint16 or int32");
}

/* Reads the whole list NAME of uint64 and compares its hash, if the corpus has hashes. */
static cz_status read_list(cz_reader *r, uint64_t **list, uint64_t *n, const char *name,
                           bool hashed) {
  cz_h5_set set;
  char why[CZ_H5_TEXT];
  uint64_t stored = 0;
  cz_status st;
  CZ_GO(st, open_list(r, &set, name, (const hid_t[]){H5T_STD_U64LE}, 1), done);
  *n = set.elements;
  CZ_GO(st, cz_alloc(list, *n, sizeof **list), done);
  if (*n && H5Dread(set.id, H5T_NATIVE_UINT64, H5S_ALL, H5S_ALL, H5P_DEFAULT, *list) < 0)
    CZ_GO(st, CZ_FAIL(CZ_ECORRUPT, "%s: data set '%s': %s", r->path, name, cz_h5_why(why)), done);
  if (hashed) CZ_GO(st, cz_h5_read_number(set.id, r->path, CZ__CORPUS_HASH, &stored), done);
  if (hashed && stored != cz__corpus_list_hash(*list, *n * sizeof **list))
    st = CZ_FAIL(CZ_ECORRUPT, "%s: data set '%s' was changed: its hash is not the stored one",
                 r->path, name);
done:
  if (set.id >= 0) H5Dclose(set.id);
  return st;
}

/* Hashes came later than the format: a corpus without them is read, and the user told. */
static cz_status read_hashes(cz_reader *r, column *c, bool *hashed) {
  uint64_t n = 0;
  *hashed = H5Lexists(r->file, "hashes", H5P_DEFAULT) > 0;
  if (!*hashed) {
    cz_warn("%s: this corpus was built before corpora carried hashes, so damage that HDF5's "
            "checksum misses is not found; build it again with `cloze corpus`",
            r->path);
    return CZ_OK;
  }
  CZ_TRY(read_list(r, &c->hashes, &n, "hashes", true));
  return (int64_t)n == c->n_chunks
             ? CZ_OK
             : CZ_FAIL(CZ_ECORRUPT, "%s: %" PRIu64 " hashes for %" PRId64 " chunks of tokens",
                       r->path, n, c->n_chunks);
}

static cz_status read_offsets(cz_reader *r, column *c, bool hashed) {
  uint64_t n = 0, before = 0;
  CZ_TRY(read_list(r, &c->offsets, &n, "offsets", hashed));
  if (n < 2) return CZ_FAIL(CZ_ECORRUPT, "%s: data set 'offsets' names no document", r->path);
  r->info.documents = (int64_t)n - 1;
  for (uint64_t i = 0; i < n; before = c->offsets[i++])
    if (c->offsets[i] < before || (i == 0 && c->offsets[i] != 0))
      return CZ_FAIL(CZ_ECORRUPT, "%s: 'offsets'[%" PRIu64 "] is %" PRIu64 " after %" PRIu64,
                     r->path, i, c->offsets[i], before);
  return before == c->total
             ? CZ_OK
             : CZ_FAIL(CZ_ECORRUPT,
                       "%s: 'offsets' ends at %" PRIu64 ", but there are %" PRIu64 " tokens",
                       r->path, before, c->total);
}

static cz_status open_column(cz_reader *r) {
  column *c = &r->tokens;
  cz_h5_set tokens;
  bool hashed;
  cz_status st = open_list(r, &tokens, "tokens", (const hid_t[]){H5T_STD_U16LE, H5T_STD_I32LE}, 2);
  c->set = tokens.id;
  CZ_TRY(st);
  c->total = tokens.elements;
  c->width = tokens.width;
  r->info.tokens = (int64_t)c->total;
  c->n_chunks = (int64_t)((c->total + CZ__CHUNK - 1) / CZ__CHUNK);
  c->n_slots = c->n_chunks < CACHE_CHUNKS ? c->n_chunks : CACHE_CHUNKS;
  CZ_TRY(read_hashes(r, c, &hashed));
  CZ_TRY(read_offsets(r, c, hashed));
  if (c->n_chunks >= INT32_MAX)
    return CZ_FAIL(CZ_EINVAL, "%s: %" PRIu64 " tokens are more than this program reads", r->path,
                   c->total);
  CZ_TRY(cz_alloc(&c->slot_of, (size_t)c->n_chunks, sizeof *c->slot_of));
  CZ_TRY(cz_alloc(&c->chunk_of, (size_t)c->n_slots, sizeof *c->chunk_of));
  CZ_TRY(cz_alloc(&c->used, (size_t)c->n_slots, sizeof *c->used));
  return cz_alloc(&c->slots, (size_t)c->n_slots, sizeof *c->slots);
}

static cz_status open_file(cz_reader *r, const uint64_t *tokenizer_hash) {
  hbool_t safe = 0;
  if (H5is_library_threadsafe(&safe) < 0 || !safe)
    return CZ_FAIL(CZ_EINVAL, "this HDF5 library was built without thread safety");
  CZ_TRY(cz_h5_open(&r->file, &r->file_bytes, r->path));
  CZ_TRY(check_header(r, tokenizer_hash));
  return open_column(r);
}

/** Opens the corpus PATH, which must, unless TOKENIZER_HASH is null, be built with that
 * tokenizer. CZ_EIO when the file can't be opened, CZ_ECORRUPT when it is not a whole
 * corpus, CZ_EINVAL when it is another one than requested. Close with cz_reader_close. */
cz_status cz_reader_open(cz_reader **r, const char *path, const uint64_t *tokenizer_hash) {
  cz_h5_quiet();
  *r = NULL;
  cz_reader *c;
  if (strlen(path) >= sizeof c->path) return CZ_FAIL(CZ_EINVAL, "path too long: %s", path);
  CZ_TRY(cz_alloc(&c, 1, sizeof *c));
  snprintf(c->path, sizeof c->path, "%s", path);
  c->file = c->tokens.set = -1;
  cz_status st = open_file(c, tokenizer_hash);
  c->info.sources = c->sources;
  if (st != CZ_OK) cz_reader_close(&c);
  *r = c;
  return st;
}

/** What the corpus holds. Borrowed. */
const cz_reader_info *cz_reader_about(const cz_reader *r) { return &r->info; }

/** Tokens of DOCUMENT. */
int64_t cz_reader_length(const cz_reader *r, int64_t document) {
  CZ_CHECK(document >= 0 && document < r->info.documents);
  const uint64_t *o = r->tokens.offsets + document;
  return (int64_t)(o[1] - o[0]);
}

static int32_t token_at(const column *c, const void *chunk, size_t i) {
  return c->width == 2 ? ((const uint16_t *)chunk)[i] : ((const int32_t *)chunk)[i];
}

static cz_status read_chunk(const cz_reader *r, const column *c, int64_t chunk, void *out) {
  hsize_t begin = (hsize_t)chunk * CZ__CHUNK,
          n = c->total - begin < CZ__CHUNK ? c->total - begin : CZ__CHUNK;
  hid_t disk = H5Dget_space(c->set), memory = H5Screate_simple(1, &n, NULL);
  H5Sselect_hyperslab(disk, H5S_SELECT_SET, &begin, NULL, &n, NULL);
  herr_t bad = H5Dread(c->set, c->width == 2 ? H5T_NATIVE_UINT16 : H5T_NATIVE_INT32, memory, disk,
                       H5P_DEFAULT, out);
  char why[CZ_H5_TEXT];
  if (bad < 0) cz_h5_why(why);
  H5Sclose(memory);
  H5Sclose(disk);
  if (bad < 0)
    return CZ_FAIL(CZ_ECORRUPT,
                   "%s: data set 'tokens', chunk %" PRId64 " (elements %llu to %llu): %s", r->path,
                   chunk, (unsigned long long)begin, (unsigned long long)(begin + n - 1), why);
  if (c->hashes && c->hashes[chunk] != cz__corpus_chunk_hash((uint64_t)chunk, out, n * c->width))
    return CZ_FAIL(CZ_ECORRUPT,
                   "%s: data set 'tokens', chunk %" PRId64
                   " (elements %llu to %llu) was changed: its hash is not the stored one",
                   r->path, chunk, (unsigned long long)begin, (unsigned long long)(begin + n - 1));
  for (size_t i = 0; i < n; i++) {
    int32_t id = token_at(c, out, i);
    if (id < 0 || id >= r->info.vocabulary.size)
      return CZ_FAIL(CZ_ECORRUPT, "%s: 'tokens'[%llu] is %d, outside the vocabulary of %" PRId64,
                     r->path, (unsigned long long)(begin + i), id, r->info.vocabulary.size);
  }
  return CZ_OK;
}

static int64_t free_slot(column *c) {
  for (;; c->hand = (c->hand + 1) % c->n_slots) {
    if (c->used[c->hand]) {
      c->used[c->hand] = false;
      continue;
    }
    if (c->chunk_of[c->hand]) c->slot_of[c->chunk_of[c->hand] - 1] = 0;
    c->chunk_of[c->hand] = 0;
    return c->hand;
  }
}

static cz_status get_chunk(const cz_reader *r, column *c, int64_t chunk, const void **out) {
  if (!c->slot_of[chunk]) {
    int64_t s = free_slot(c);
    if (!c->slots[s]) CZ_TRY(cz_alloc(&c->slots[s], CZ__CHUNK, c->width));
    cz_h5_quiet(); /* the thread that reads need not be the one that opened */
    CZ_TRY(read_chunk(r, c, chunk, c->slots[s]));
    c->chunk_of[s] = (int32_t)chunk + 1;
    c->slot_of[chunk] = (int32_t)s + 1;
  }
  int64_t s = c->slot_of[chunk] - 1;
  c->used[s] = true;
  *out = c->slots[s];
  return CZ_OK;
}

/** Appends tokens [BEGIN, BEGIN + N) of DOCUMENT to OUT. CZ_ECORRUPT with file and chunk
 * when stored bytes fail their check. */
cz_status cz_reader_append(cz_reader *r, cz_ids *out, int64_t document, int64_t begin, int64_t n) {
  CZ_CHECK(begin >= 0 && n >= 0 && begin + n <= cz_reader_length(r, document));
  column *c = &r->tokens;
  CZ_TRY(cz_grow(&out->data, &out->cap, out->len + (size_t)n, sizeof *out->data));
  uint64_t at = c->offsets[document] + (uint64_t)begin, end = at + (uint64_t)n;
  while (at < end) {
    const void *chunk = NULL;
    CZ_TRY(get_chunk(r, c, (int64_t)(at / CZ__CHUNK), &chunk));
    uint64_t stop = (at / CZ__CHUNK + 1) * CZ__CHUNK;
    if (stop > end) stop = end;
    for (; at < stop; at++) out->data[out->len++] = token_at(c, chunk, at % CZ__CHUNK);
  }
  return CZ_OK;
}

/** Reads and checks every chunk. CZ_ECORRUPT names the first bad one. */
cz_status cz_reader_verify(cz_reader *r) {
  for (int64_t chunk = 0; chunk < r->tokens.n_chunks; chunk++) {
    const void *ids;
    CZ_TRY(cz_stop_check(r->path));
    CZ_TRY(get_chunk(r, &r->tokens, chunk, &ids));
  }
  return CZ_OK;
}

/** Closes the file and frees the cache; accepts null. */
void cz_reader_close(cz_reader **r) {
  cz_reader *c = *r;
  if (!c) return;
  column *k = &c->tokens;
  for (int64_t s = 0; k->slots && s < k->n_slots; s++) free(k->slots[s]);
  free(k->slots);
  free(k->used);
  free(k->chunk_of);
  free(k->slot_of);
  free(k->offsets);
  free(k->hashes);
  if (k->set >= 0) H5Dclose(k->set);
  if (c->file >= 0) H5Fclose(c->file);
  free(c->sources);
  free(c);
  *r = NULL;
}
