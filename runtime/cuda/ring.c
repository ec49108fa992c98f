#include "cuda/context.h"

#include <string.h>

enum { ALIGN = 256 }; /* of pieces */

/* Takes the oldest piece back when its copy has run, or WAITs for that; *DONE: whether it was. */
static cz_status take_back(cz_cuda *c, cz_cuda_ring *r, bool wait, bool *done) {
  cz_cuda_piece *p = &r->piece[r->back % CZ_CUDA_PIECES];
  const cudaError_t error = wait ? cudaEventSynchronize(p->event) : cudaEventQuery(p->event);
  *done = false;
  if (!wait && error == cudaErrorNotReady) {
    (void)cudaGetLastError(); /* or the next launch would find it */
    return CZ_OK;
  }
  CZ_TRY(cz_cuda_waited(c, error, p->launched));
  if (p->host) memcpy(p->host, p->bytes, p->n);
  r->tail = p->end;
  r->back++;
  *done = true;
  return CZ_OK;
}

static cz_status open_ring(cz_cuda *c, cz_cuda_ring *r) {
  void *memory;
  CZ_TRY(cz_cuda_checked(c, cudaHostAlloc(&memory, CZ_CUDA_RING_BYTES, cudaHostAllocDefault),
                         "no %d bytes of pinned memory of the host", CZ_CUDA_RING_BYTES));
  r->memory = memory;
  return CZ_OK;
}

/* Where N bytes can lie that do not wrap: from *AT on, counted as head and tail are. */
static bool has_room(const cz_cuda_ring *r, size_t n, uint64_t *at) {
  const uint64_t left = CZ_CUDA_RING_BYTES - r->head % CZ_CUDA_RING_BYTES;
  *at = left < n ? r->head + left : r->head;
  return r->lent - r->back < CZ_CUDA_PIECES && *at + n - r->tail <= CZ_CUDA_RING_BYTES;
}

/* A piece of N bytes, at most CZ_CUDA_PIECE_BYTES, that is not lent before a copy into or out of it
 * was put into the stream: `lend`. */
static cz_status next_piece(cz_cuda *c, cz_cuda_ring *r, size_t n, cz_cuda_piece **piece) {
  const size_t whole = (n + ALIGN - 1) / ALIGN * ALIGN;
  uint64_t at;
  bool done;
  if (!r->memory) CZ_TRY(open_ring(c, r));
  while (!has_room(r, whole, &at)) CZ_TRY(take_back(c, r, true, &done));
  cz_cuda_piece *p = &r->piece[r->lent % CZ_CUDA_PIECES];
  if (!p->event)
    CZ_TRY(cz_cuda_checked(c, cudaEventCreateWithFlags(&p->event, cudaEventDisableTiming),
                           "no event"));
  p->bytes = r->memory + at % CZ_CUDA_RING_BYTES;
  p->end = at + whole;
  p->n = n;
  p->host = NULL;
  *piece = p;
  return CZ_OK;
}

/* Behind the copy of PIECE, which is in use until its event is reached. */
static cz_status lend(cz_cuda *c, cz_cuda_ring *r, cz_cuda_piece *piece) {
  CZ_TRY(cz_cuda_checked(c, cudaEventRecord(piece->event, c->stream), "recording a copy's end"));
  piece->launched = c->errors.launched;
  r->head = piece->end;
  r->lent++;
  return CZ_OK;
}

static size_t piece_of(size_t left) {
  return left < CZ_CUDA_PIECE_BYTES ? left : CZ_CUDA_PIECE_BYTES;
}

/** Copies to the card in the stream's order; the bytes at HOST were taken when it returns. */
cz_status cz_cuda_ring_write(cz_cuda *c, void *to, const void *host, size_t bytes) {
  for (size_t i = 0, n; i < bytes; i += n) {
    cz_cuda_piece *p;
    n = piece_of(bytes - i);
    CZ_TRY(next_piece(c, &c->up, n, &p));
    memcpy((void *)p->bytes, (const char *)host + i, n);
    CZ_TRY(cz_cuda_checked(
        c, cudaMemcpyAsync((char *)to + i, p->bytes, n, cudaMemcpyHostToDevice, c->stream),
        "copying %zu bytes to the card", bytes));
    CZ_TRY(lend(c, &c->up, p));
  }
  return CZ_OK;
}

static cz_status read_piece(cz_cuda *c, void *host, const void *from, size_t n) {
  cz_cuda_piece *p;
  CZ_TRY(next_piece(c, &c->down, n, &p));
  CZ_TRY(cz_cuda_checked(
      c, cudaMemcpyAsync((void *)p->bytes, from, n, cudaMemcpyDeviceToHost, c->stream),
      "copying %zu bytes from the card", n));
  p->host = host;
  return lend(c, &c->down, p);
}

/** Copies from the card in the stream's order. HOST has the bytes when cz_cuda_ring_arrived says so
 * of TICKET. When it fails nothing is written to HOST later on. */
cz_status cz_cuda_ring_read(cz_cuda *c, void *host, const void *from, size_t bytes,
                            uint64_t *ticket) {
  cz_cuda_ring *r = &c->down;
  const uint64_t before = r->lent;
  cz_status st = CZ_OK;
  for (size_t i = 0, n; st == CZ_OK && i < bytes; i += n) {
    n = piece_of(bytes - i);
    st = read_piece(c, (char *)host + i, (const char *)from + i, n);
  }
  *ticket = r->lent; /* of no bytes: of what was read before */
  if (st == CZ_OK) return CZ_OK;
  for (uint64_t i = before > r->back ? before : r->back; i < r->lent; i++)
    r->piece[i % CZ_CUDA_PIECES].host = NULL;
  return CZ_NOTE(st, "%s: of %zu bytes to be read", c->device.name, bytes);
}

/** Whether the bytes of TICKET are THERE; with WAIT they are when it returns. */
cz_status cz_cuda_ring_arrived(cz_cuda *c, uint64_t ticket, bool wait, bool *there) {
  cz_cuda_ring *r = &c->down;
  bool done = true;
  *there = false;
  if (ticket > r->lent)
    return CZ_FAIL(CZ_EINVAL, "%s: read %llu is awaited, there were %llu", c->device.name,
                   (unsigned long long)ticket, (unsigned long long)r->lent);
  while (done && r->back < ticket) CZ_TRY(take_back(c, r, wait, &done));
  *there = r->back >= ticket;
  return CZ_OK;
}

/** Frees what the ring has; nothing may be on its way. */
void cz_cuda_ring_close(cz_cuda_ring *r) {
  for (int i = 0; i < CZ_CUDA_PIECES; i++)
    if (r->piece[i].event) (void)cudaEventDestroy(r->piece[i].event);
  if (r->memory) (void)cudaFreeHost(r->memory);
  memset(r, 0, sizeof *r);
}
