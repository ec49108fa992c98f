#include "comm/reducer.h"
#include "comm/backend.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum {
  SLOTS = 8,
  TAGS = 16384
}; /* buckets under way at once; tags per direction, many more than SLOTS */

typedef struct bucket {
  int64_t covered; /* elements that are final */
  uint64_t
      indices; /* the sum of their indices: finds an element announced twice in place of another */
} bucket;

typedef struct slot { /* a bucket under way */
  enum { FREE, SCATTER, GATHER } phase;
  int64_t bucket;
  char *data;   /* where the host adds: the gradient itself, or a copy of the bucket */
  char *stage;  /* memory for that copy; null where the gradient is the host's */
  char *pieces; /* of the other ranks, one after the other */
  cz__request *requests;
  int n_requests, n_done;
} slot;

struct cz_reducer {
  cz_comm *comm; /* of its own, so that no other message can be taken for one of ours */
  cz_sum_tree *tree;
  cz_device *device;
  char *gradient; /* the device's */
  int64_t elements, per_bucket, n_buckets, shards;
  size_t element_bytes;
  bucket *buckets;
  int64_t *queue; /* buckets in the order in which they became final */
  int64_t queued, started, finished;
  slot slots[SLOTS];
  void **parts;
};

static int64_t bucket_first(const cz_reducer *r, int64_t b) { return b * r->per_bucket; }

static int64_t bucket_count(const cz_reducer *r, int64_t b) {
  int64_t left = r->elements - bucket_first(r, b);
  return left < r->per_bucket ? left : r->per_bucket;
}

static char *bucket_at(const cz_reducer *r, int64_t b, size_t *bytes) {
  *bytes = (size_t)bucket_count(r, b) * r->element_bytes;
  return r->gradient + (size_t)bucket_first(r, b) * r->element_bytes;
}

/* Piece P of the slot's bucket, which rank P owns. */
static char *piece_of(const cz_reducer *r, const slot *s, int p, size_t *bytes) {
  int64_t n = bucket_count(r, s->bucket), from = n * p / r->comm->size,
          to = n * (p + 1) / r->comm->size;
  *bytes = (size_t)(to - from) * r->element_bytes;
  return s->data + (size_t)from * r->element_bytes;
}

static cz_status create_slots(cz_reducer *r) {
  size_t peers = (size_t)r->comm->size - 1,
         piece = ((size_t)r->per_bucket / (size_t)r->comm->size + 1) * r->element_bytes;
  for (int64_t s = 0; s < SLOTS && s < r->n_buckets; s++) {
    CZ_TRY(cz_alloc(&r->slots[s].pieces, peers, piece));
    if (!r->device->host_memory)
      CZ_TRY(cz_alloc(&r->slots[s].stage, (size_t)r->per_bucket, r->element_bytes));
    CZ_TRY(cz_alloc(&r->slots[s].requests, 2 * peers, sizeof(cz__request)));
  }
  return cz_alloc(&r->parts, (size_t)r->comm->size, sizeof *r->parts);
}

/** Makes the reducer of the flat GRADIENT (borrowed): ELEMENTS numbers in the memory of ADDER's
 * device, which are float32 (4 bytes) or float64 (8), as ADDER takes them (copied; what it points
 * to is borrowed). For a global batch of SHARDS shards; buckets of about BUCKET_BYTES (4 MB is a
 * good size; below 1 GB). All memory is taken here: the tree's buffers on the device, and with
 * peers eight buckets of the host's, twice as many where it can't address the gradient. CZ_EUSAGE
 * when the ranks and shards do not fit (see cz_comm_shards). Collective. Destroy with
 * cz_reducer_destroy. */
cz_status cz_reducer_create(cz_reducer **r, cz_comm *c, const cz_adder *adder, void *gradient,
                            int64_t elements, size_t element_bytes, int64_t shards,
                            size_t bucket_bytes) {
  int64_t first, own;
  CZ_CHECK(element_bytes == sizeof(float) || element_bytes == sizeof(double));
  CZ_TRY(cz_comm_shards(c, &first, &own, shards));
  if (bucket_bytes < element_bytes || bucket_bytes >= (size_t)1 << 30 || elements < 0)
    return CZ_FAIL(
        CZ_EINVAL,
        "buckets of %zu bytes for %lld elements of %zu bytes; a bucket holds one element to 1 GB",
        bucket_bytes, (long long)elements, element_bytes);
  CZ_TRY(cz_alloc(r, 1, sizeof **r));
  cz_reducer *made = *r;
  made->device = adder->device;
  made->gradient = gradient;
  made->elements = elements;
  made->element_bytes = element_bytes;
  made->shards = own;
  made->per_bucket = (int64_t)(bucket_bytes / element_bytes);
  made->n_buckets = (elements + made->per_bucket - 1) / made->per_bucket;
  cz_status st;
  CZ_GO(st, cz_comm_split(c, &made->comm, 0), failed);
  CZ_GO(st, cz_sum_tree_create(&made->tree, adder, elements, element_bytes, own), failed);
  CZ_GO(st, cz_alloc(&made->buckets, (size_t)made->n_buckets, sizeof *made->buckets), failed);
  CZ_GO(st, cz_alloc(&made->queue, (size_t)made->n_buckets, sizeof *made->queue), failed);
  if (c->size > 1) CZ_GO(st, create_slots(made), failed);
  return CZ_OK;
failed:
  cz_reducer_destroy(r);
  return st;
}

/** Frees everything, clears the pointer, accepts null. Collective; not while a step is
 * unfinished. */
void cz_reducer_destroy(cz_reducer **r) {
  if (!*r) return;
  for (int s = 0; s < SLOTS; s++) {
    free((*r)->slots[s].pieces);
    free((*r)->slots[s].stage);
    free((*r)->slots[s].requests);
  }
  free((*r)->parts);
  free((*r)->queue);
  free((*r)->buckets);
  cz_sum_tree_destroy(&(*r)->tree);
  cz_comm_close(&(*r)->comm);
  free(*r);
  *r = NULL;
}

/* Brings the slot's bucket, this rank's sum, to where the host adds: waits for the device. */
static cz_status fetch(cz_reducer *r, slot *s) {
  size_t bytes;
  char *gradient = bucket_at(r, s->bucket, &bytes);
  s->data = s->stage ? s->stage : gradient;
  return s->stage ? r->device->read(r->device, s->stage, gradient, bytes)
                  : r->device->sync(r->device);
}

/* Puts the sum over all ranks where the optimizer reads it. */
static cz_status put_back(cz_reducer *r, const slot *s) {
  size_t bytes;
  char *gradient = bucket_at(r, s->bucket, &bytes);
  return s->stage ? r->device->write(r->device, gradient, s->stage, bytes) : CZ_OK;
}

/** Takes the whole gradient of a shard that is not the rank's last; kernels that are called
 * afterwards may overwrite the buffer. CZ_EINVAL when all but the last were taken already, or when
 * the last has begun. Local; does not wait. */
cz_status cz_reducer_push(cz_reducer *r) {
  if (cz_sum_tree_pushed(r->tree) >= r->shards - 1 || r->queued)
    return CZ_FAIL(CZ_EINVAL, "shard %lld pushed to a reducer whose rank owns %lld",
                   (long long)cz_sum_tree_pushed(r->tree) + 1, (long long)r->shards);
  return cz_sum_tree_push(r->tree, r->gradient);
}

/* Exchanges with every peer. SCATTER: each piece goes to its owner and the others'
 * versions of ours land in the slot; then the owner's sum goes to all. */
static cz_status post(cz_reducer *r, slot *s, bool scatter) {
  const struct cz_comm_backend *b = r->comm->backend;
  int me = r->comm->rank, tag = (int)(s->bucket % TAGS) * 2 + !scatter;
  size_t mine, theirs;
  char *own = piece_of(r, s, me, &mine), *landing = s->pieces;
  s->n_requests = s->n_done = 0;
  for (int k = 1; k < r->comm->size;
       k++) { /* receives first; every rank begins with another peer */
    int p = (me - k + r->comm->size) % r->comm->size;
    char *piece = piece_of(r, s, p, &theirs);
    CZ_TRY(scatter ? b->receive(r->comm, &s->requests[s->n_requests], landing, mine, p, tag)
                   : b->receive(r->comm, &s->requests[s->n_requests], piece, theirs, p, tag));
    landing += mine;
    s->n_requests++;
  }
  for (int k = 1; k < r->comm->size; k++) {
    int p = (me + k) % r->comm->size;
    char *piece = piece_of(r, s, p, &theirs);
    CZ_TRY(scatter ? b->send(r->comm, &s->requests[s->n_requests], piece, theirs, p, tag)
                   : b->send(r->comm, &s->requests[s->n_requests], own, mine, p, tag));
    s->n_requests++;
  }
  s->phase = scatter ? SCATTER : GATHER;
  return CZ_OK;
}

/* The owner's addition: all ranks' versions of the own piece, in the order of the tree,
 * into the buffer. */
static void add_pieces(cz_reducer *r, slot *s) {
  size_t bytes;
  int me = r->comm->rank, size = r->comm->size;
  char *own = piece_of(r, s, me, &bytes);
  for (int k = 1; k < size; k++)
    r->parts[(me - k + size) % size] = s->pieces + (size_t)(k - 1) * bytes;
  r->parts[me] = own;
  cz_sum_tree_fold_parts(r->parts, size, (int64_t)(bytes / r->element_bytes), r->element_bytes);
  if (me != 0 && bytes) memcpy(own, r->parts[0], bytes);
}

static cz_status advance(cz_reducer *r, slot *s) {
  bool done = true;
  while (s->n_done < s->n_requests) {
    CZ_TRY(r->comm->backend->test(r->comm, &s->requests[s->n_done], &done));
    if (!done) return CZ_OK;
    s->n_done++;
  }
  if (s->phase == SCATTER) {
    add_pieces(r, s);
    return post(r, s, false);
  }
  CZ_TRY(put_back(r, s));
  s->phase = FREE;
  r->finished++;
  return CZ_OK;
}

/* Moves messages along and starts buckets that wait for a slot; never waits itself. */
static cz_status poll(cz_reducer *r) {
  for (int i = 0; i < SLOTS; i++) {
    slot *s = &r->slots[i];
    if (s->phase != FREE) CZ_TRY(advance(r, s));
    if (s->phase == FREE && s->pieces && r->started < r->queued) {
      s->bucket = r->queue[r->started++];
      CZ_TRY(fetch(r, s));
      CZ_TRY(post(r, s, true));
    }
  }
  return CZ_OK;
}

static cz_status cover(cz_reducer *r, int64_t b, int64_t first, int64_t count) {
  bucket *k = &r->buckets[b];
  uint64_t n = (uint64_t)bucket_count(r, b), from = (uint64_t)bucket_first(r, b);
  k->covered += count;
  k->indices += (uint64_t)count * (2 * (uint64_t)first + (uint64_t)count - 1) / 2;
  if (k->covered < (int64_t)n) return CZ_OK;
  if (k->covered > (int64_t)n || k->indices != n * (2 * from + n - 1) / 2)
    return CZ_FAIL(CZ_EINVAL, "gradient elements between %lld and %lld were announced twice",
                   (long long)from, (long long)(from + n));
  CZ_TRY(cz_sum_tree_fold(r->tree, r->gradient, (int64_t)from, (int64_t)n));
  r->queue[r->queued++] = b;
  if (r->comm->size == 1) r->finished++;
  return CZ_OK;
}

/** Announces that elements [FIRST, FIRST + COUNT) of the last shard's gradient are final
 * for all that is asked of the device from now on; buckets that are whole set out, and messages
 * under way move along. All ranks announce the same ranges in the same order. CZ_EINVAL for a range
 * outside the buffer, one announced twice, or shards that were not pushed. Local; waits for no
 * rank. */
cz_status cz_reducer_ready(cz_reducer *r, int64_t first, int64_t count) {
  if (first < 0 || count < 0 || first > r->elements || count > r->elements - first)
    return CZ_FAIL(CZ_EINVAL, "gradient elements [%lld, %lld) are not inside the %lld there are",
                   (long long)first, (long long)(first + count), (long long)r->elements);
  if (cz_sum_tree_pushed(r->tree) != r->shards - 1)
    return CZ_FAIL(CZ_EINVAL,
                   "the last shard's gradient is announced after %lld of %lld shards were pushed",
                   (long long)cz_sum_tree_pushed(r->tree), (long long)r->shards - 1);
  while (count > 0) {
    int64_t b = first / r->per_bucket, left = bucket_first(r, b) + bucket_count(r, b) - first,
            n = count < left ? count : left;
    CZ_TRY(cover(r, b, first, n));
    first += n;
    count -= n;
  }
  return poll(r);
}

/** Waits until every bucket is summed; the buffer then holds the sum over all shards of
 * all ranks, the same bits everywhere, for all that is asked of the device from then on, and the
 * next step may begin. Alone it does not wait for the device. CZ_EINVAL when elements were never
 * announced. Collective. */
cz_status cz_reducer_finish(cz_reducer *r) {
  for (int64_t b = 0; b < r->n_buckets; b++)
    if (r->buckets[b].covered != bucket_count(r, b))
      return CZ_FAIL(
          CZ_EINVAL, "of gradient elements [%lld, %lld) only %lld were announced as final",
          (long long)bucket_first(r, b), (long long)(bucket_first(r, b) + bucket_count(r, b)),
          (long long)r->buckets[b].covered);
  while (r->finished < r->n_buckets) {
    int64_t before = r->finished;
    CZ_TRY(poll(r));
    if (r->finished == before) sched_yield(); /* more ranks than cores: let the others compute */
  }
  memset(r->buckets, 0, (size_t)r->n_buckets * sizeof *r->buckets);
  r->queued = r->started = r->finished = 0;
  cz_sum_tree_reset(r->tree);
  return CZ_OK;
}
