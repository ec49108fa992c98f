/* Pieces of a corpus under an objective (docs/t5.md 3.1): documents in a new order
 * each epoch, one chunk of a very long one, groups of documents joined or not, cut to the
 * objective's raw length, the shorter last piece of a group kept. Pieces are handed out
 * in an order of their own, because the pieces of one book, one after another, make poor
 * batches; but only within a block of documents, so that two objectives that cut
 * otherwise and have read equally many tokens have read the same documents, up to one
 * block: differences between them are paired over seeds. */
#include "data/source.h"
#include "device/random.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_DOCUMENTS = 256 };

typedef struct pieces {
  cz_reader *reader;
  cz_cut cut;
  cz_corrupt_fn corrupt;
  const void *objective;
  uint64_t seed;
  int64_t documents;
  /* The plan of `epoch`. */
  bool planned;
  uint32_t epoch;
  int32_t *order;       /* [documents] */
  int64_t *first_piece; /* [groups + 1] */
  int32_t *handed;      /* [pieces] piece that is handed out as the i-th */
  size_t handed_cap;
  int64_t groups, count;
  cz_ids raw, other;
} pieces;

/* What is kept of a document in this epoch: [begin, begin + n). */
typedef struct part {
  int64_t begin, n;
} part;

static part kept(const pieces *p, int32_t document) {
  int64_t length = cz_reader_length(p->reader, document), chunk = p->cut.chunk_tokens;
  if (length <= chunk) return (part){0, length};
  cz_stream s;
  cz_stream_init(&s, p->seed, "data.chunk", p->epoch, (uint32_t)document);
  int64_t begin = (int64_t)cz_stream_below(&s, (uint64_t)((length + chunk - 1) / chunk)) * chunk;
  return (part){begin, length - begin < chunk ? length - begin : chunk};
}

static int64_t group_size(const pieces *p) {
  return p->cut.concatenate ? p->cut.group_documents : 1;
}

/* Writes the numbers FIRST .. FIRST + N - 1 in a random order. */
static void shuffle(int32_t *items, int64_t first, int64_t n, const pieces *p, const char *name,
                    uint32_t block) {
  cz_stream s;
  cz_stream_init(&s, p->seed, name, p->epoch, block);
  for (int64_t i = 0; i < n; i++) items[i] = (int32_t)(first + i);
  cz_stream_shuffle(&s, items, n);
}

static void shuffle_blocks(pieces *p) {
  int64_t size = group_size(p), step = size < BLOCK_DOCUMENTS ? BLOCK_DOCUMENTS / size : 1;
  for (int64_t g = 0, block = 0; g < p->groups; g += step, block++) {
    int64_t first = p->first_piece[g],
            end = p->first_piece[g + step < p->groups ? g + step : p->groups];
    shuffle(p->handed + first, first, end - first, p, "data.pieces", (uint32_t)block);
  }
}

static cz_status plan(pieces *p, uint32_t epoch) {
  if (p->planned && p->epoch == epoch) return CZ_OK;
  p->planned = false;
  p->epoch = epoch;
  shuffle(p->order, 0, p->documents, p, "data.documents", 0);
  int64_t size = group_size(p), total = 0;
  for (int64_t g = 0; g < p->groups; g++) {
    int64_t tokens = 0;
    for (int64_t d = g * size; d < (g + 1) * size && d < p->documents; d++)
      tokens += kept(p, p->order[d]).n;
    p->first_piece[g] = total;
    total += (tokens + p->cut.piece_tokens - 1) / p->cut.piece_tokens;
  }
  p->first_piece[p->groups] = total;
  if (total > INT32_MAX)
    return CZ_FAIL(CZ_EINVAL, "a corpus of %lld pieces is more than one epoch holds",
                   (long long)total);
  CZ_TRY(cz_grow(&p->handed, &p->handed_cap, (size_t)total, sizeof *p->handed));
  shuffle_blocks(p);
  p->count = total;
  p->planned = true;
  return CZ_OK;
}

static cz_status pieces_count(void *self, uint64_t *n, uint32_t epoch) {
  pieces *p = self;
  CZ_TRY(plan(p, epoch));
  *n = (uint64_t)p->count;
  return CZ_OK;
}

static int64_t group_of(const pieces *p, int64_t piece) {
  int64_t low = 0, high = p->groups; /* first_piece[low] <= piece < first_piece[high] */
  while (high - low > 1) {
    int64_t middle = low + (high - low) / 2;
    if (p->first_piece[middle] <= piece)
      low = middle;
    else
      high = middle;
  }
  return low;
}

/* Reads tokens [from, from + piece_tokens) of what group G keeps into p->raw. */
static cz_status read_group(pieces *p, int64_t g, int64_t from) {
  int64_t size = group_size(p), to = from + p->cut.piece_tokens, at = 0;
  p->raw.len = 0;
  for (int64_t d = g * size; d < (g + 1) * size && d < p->documents && at < to; d++) {
    part k = kept(p, p->order[d]);
    int64_t begin = from > at ? from - at : 0, end = to - at < k.n ? to - at : k.n;
    if (begin < end)
      CZ_TRY(cz_reader_append(p->reader, &p->raw, p->order[d], k.begin + begin, end - begin));
    at += k.n;
  }
  return CZ_OK;
}

/* Whether a piece that begins with token FROM of what group G keeps has the last token of the
 * group's last document. */
static bool ends_document(const pieces *p, int64_t g, int64_t from) {
  int64_t size = group_size(p), tokens = 0, end = (g + 1) * size;
  if (end > p->documents) end = p->documents;
  for (int64_t d = g * size; d < end; d++) tokens += kept(p, p->order[d]).n;
  const int32_t last = p->order[end - 1];
  const part k = kept(p, last);
  return from + p->cut.piece_tokens >= tokens && k.begin + k.n == cz_reader_length(p->reader, last);
}

/* Reads into p->other a run of a document that is not the one of group G: any other document
 * alike, and in it any run of a piece's length, or all of a shorter one. */
static cz_status read_other(pieces *p, int64_t g, int32_t piece) {
  cz_stream s;
  cz_stream_init(&s, p->seed, "data.other", p->epoch, (uint32_t)piece);
  int32_t document = (int32_t)cz_stream_below(&s, (uint64_t)p->documents - 1);
  if (document >= p->order[g]) document++;
  const int64_t length = cz_reader_length(p->reader, document),
                n = length < p->cut.piece_tokens ? length : p->cut.piece_tokens,
                begin = (int64_t)cz_stream_below(&s, (uint64_t)(length - n) + 1);
  p->other.len = 0;
  return cz_reader_append(p->reader, &p->other, document, begin, n);
}

static cz_status pieces_get(void *self, cz_example *out, uint32_t epoch, uint64_t index) {
  pieces *p = self;
  CZ_TRY(plan(p, epoch));
  CZ_CHECK(index < (uint64_t)p->count);
  const int32_t piece = p->handed[index];
  const int64_t g = group_of(p, piece), from = (piece - p->first_piece[g]) * p->cut.piece_tokens;
  CZ_TRY(read_group(p, g, from));
  if (p->cut.other) CZ_TRY(read_other(p, g, piece));
  cz_example_clear(out);
  out->text = (int64_t)p->raw.len;
  const cz_piece read = {.ids = p->raw.data,
                         .n = (int64_t)p->raw.len,
                         .epoch = epoch,
                         .index = (uint32_t)piece,
                         .ends = ends_document(p, g, from),
                         .other = p->cut.other ? p->other.data : NULL,
                         .n_other = (int64_t)p->other.len};
  return p->corrupt(p->objective, &read, out);
}

static void pieces_destroy(void *self) {
  pieces *p = self;
  free(p->order);
  free(p->first_piece);
  free(p->handed);
  free(p->raw.data);
  free(p->other.data);
  free(p);
}

static cz_status check_cut(const cz_cut *cut) {
  if (cut->piece_tokens < 1 || cut->chunk_tokens < 1 ||
      (cut->concatenate && cut->group_documents < 1))
    return CZ_FAIL(CZ_EINVAL,
                   "can't cut a corpus into pieces of %lld tokens from chunks of %lld in groups of "
                   "%lld documents",
                   (long long)cut->piece_tokens, (long long)cut->chunk_tokens,
                   (long long)cut->group_documents);
  if (cut->other && cut->concatenate)
    return CZ_FAIL(CZ_EINVAL, "pieces of joined documents have no other document beside them");
  return CZ_OK;
}

/** A source of pieces of READER, cut as CUT says and turned into examples by CORRUPT with
 * OBJECTIVE; both are borrowed until the source is destroyed, and no one else may use
 * the reader meanwhile. SEED keys every order. An example's noise is keyed by (epoch,
 * place in the cut corpus), so it differs between epochs. */
cz_status cz_source_pieces(cz_source *out, cz_reader *reader, const cz_cut *cut,
                           cz_corrupt_fn corrupt, const void *objective, uint64_t seed) {
  *out = (cz_source){0};
  CZ_TRY(check_cut(cut));
  pieces *p;
  CZ_TRY(cz_alloc(&p, 1, sizeof *p));
  *p = (pieces){
      .reader = reader, .cut = *cut, .corrupt = corrupt, .objective = objective, .seed = seed};
  p->documents = cz_reader_about(reader)->documents;
  p->groups = (p->documents + group_size(p) - 1) / group_size(p);
  cz_status st;
  if (cut->other && p->documents < 2)
    CZ_GO(st,
          CZ_FAIL(CZ_EINVAL, "a corpus of %lld document%s has no other one to take a run from",
                  (long long)p->documents, p->documents == 1 ? "" : "s"),
          fail);
  if (p->documents > INT32_MAX)
    CZ_GO(st,
          CZ_FAIL(CZ_EINVAL, "a corpus of %lld documents is too long to shuffle",
                  (long long)p->documents),
          fail);
  CZ_GO(st, cz_alloc(&p->order, (size_t)p->documents, sizeof *p->order), fail);
  CZ_GO(st, cz_alloc(&p->first_piece, (size_t)p->groups + 1, sizeof *p->first_piece), fail);
  *out =
      (cz_source){.self = p, .count = pieces_count, .get = pieces_get, .destroy = pieces_destroy};
  return CZ_OK;
fail:
  pieces_destroy(p);
  return st;
}
