#include "kernels/common/units_packed.h"

#if CZ_HAVE_ONEDNN

#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"

#include <stdlib.h>

/* An array is packed in panels of columns, so that threads that need it at the same time share the
 * work: one alone would copy a weight while the others wait, twice for each step and weight. */
enum { PANELS = 8, WIDTH = 64 };

typedef struct panel {
  dnnl_primitive_t reorder;
  dnnl_stream_t stream;
  dnnl_memory_t from, to;
} panel;

/* A new version takes the place of the old one. */
struct cz__packed {
  cz__packed *next;
  const void *data;
  int64_t K, N, ld;
  bool transposed;
  cz_dtype dtype;
  dnnl_memory_desc_t order;
  void *room;
  size_t bytes;
  uint64_t version;         /* of what `room` holds; 0: of nothing */
  uint64_t coming;          /* of what is being packed; 0: nothing is */
  int panels, begun, ended; /* of `coming` */
  dnnl_status_t status;     /* of the last packing */
  panel panel[PANELS];
};

/** oneDNN's word for a dtype, which is float32 or bfloat16. */
dnnl_data_type_t cz__dnnl_type(cz_dtype dtype) { return dtype == CZ_BF16 ? dnnl_bf16 : dnnl_f32; }

/** [rows, columns], stored transposed or not, rows as stored LD apart; 0: without gaps. */
dnnl_status_t cz__plain(dnnl_memory_desc_t *md, cz_dtype dtype, int64_t rows, int64_t columns,
                        bool transposed, int64_t ld) {
  dnnl_dims_t dims = {rows, columns}, strides = {1, 1};
  strides[transposed ? 1 : 0] = ld ? ld : transposed ? rows : columns;
  return dnnl_memory_desc_init_by_strides(md, 2, dims, cz__dnnl_type(dtype), strides);
}

/** FNV-1a of N bytes, as one of so many buckets. */
unsigned cz__bucket_of(const void *bytes, size_t n, unsigned buckets) {
  const unsigned char *x = bytes;
  uint64_t h = 0xcbf29ce484222325u;
  for (size_t i = 0; i < n; i++) h = (h ^ x[i]) * 0x100000001b3u;
  return (unsigned)(h >> 32) % buckets;
}

static void free_packed(cz__packed *w) {
  for (int i = 0; i < w->panels; i++) {
    panel *x = &w->panel[i];
    if (x->from) dnnl_memory_destroy(x->from);
    if (x->to) dnnl_memory_destroy(x->to);
    if (x->stream) dnnl_stream_destroy(x->stream);
    if (x->reorder) dnnl_primitive_destroy(x->reorder);
  }
  free(w->room);
  free(w);
}

/* Columns that an order keeps together: panels begin at multiples of it. */
static int64_t columns_together(const dnnl_memory_desc_t *order) {
  const dnnl_blocking_desc_t *b = &order->format_desc.blocking;
  int64_t n = 1;
  for (int i = 0; i < b->inner_nblks; i++)
    if (b->inner_idxs[i] == 1) n *= b->inner_blks[i];
  return n;
}

static dnnl_status_t make_panel(const cz__packs *p, const cz__packed *w, panel *x, int64_t first,
                                int64_t width) {
  dnnl_memory_desc_t from, to;
  dnnl_primitive_desc_t pd = NULL;
  const void *array = cz_piece_at(w->data, w->dtype, w->transposed ? first * w->ld : first);
  dnnl_status_t st = cz__plain(&from, w->dtype, w->K, width, w->transposed, w->ld);
  if (st == dnnl_success)
    st = dnnl_memory_desc_init_submemory(&to, &w->order, (dnnl_dims_t){w->K, width},
                                         (dnnl_dims_t){0, first});
  if (st == dnnl_success)
    st = dnnl_reorder_primitive_desc_create(&pd, &from, p->engine, &to, p->engine, NULL);
  if (st == dnnl_success) st = dnnl_primitive_create(&x->reorder, pd);
  if (st == dnnl_success) st = dnnl_stream_create(&x->stream, p->engine, dnnl_stream_default_flags);
  if (st == dnnl_success) st = dnnl_memory_create(&x->from, &from, p->engine, (void *)array);
  if (st == dnnl_success) st = dnnl_memory_create(&x->to, &to, p->engine, w->room);
  if (pd) dnnl_primitive_desc_destroy(pd);
  return st;
}

static dnnl_status_t make_packed(const cz__packs *p, cz__packed *w) {
  int64_t step = cz_round_up(WIDTH, columns_together(&w->order));
  int64_t width = cz_round_up((w->N + PANELS - 1) / PANELS, step);
  dnnl_status_t st = dnnl_success;
  w->bytes = dnnl_memory_desc_get_size(&w->order);
  w->room = aligned_alloc(4096, (w->bytes + 4095) / 4096 * 4096);
  if (!w->room) return dnnl_out_of_memory;
  for (int64_t first = 0; first < w->N && st == dnnl_success; first += width)
    st = make_panel(p, w, &w->panel[w->panels++], first, cz_minimum(width, w->N - first));
  return st;
}

static bool is_of(const cz__packed *w, const cz__onednn_job *j, const dnnl_memory_desc_t *order) {
  return w->data == j->b && w->K == j->K && w->N == j->N && w->ld == j->ldb &&
         w->transposed == j->b_transposed && w->dtype == j->dtype &&
         dnnl_memory_desc_equal(&w->order, order);
}

/** The array b of a job in ORDER, made at the first request; cz__packed_fill packs it. */
dnnl_status_t cz__packs_find(cz__packs *p, cz__packed **found, const cz__onednn_job *j,
                             const dnnl_memory_desc_t *order) {
  unsigned at = cz__bucket_of(&j->b, sizeof j->b, CZ__PACKED_BUCKETS);
  cz__packed **head = &p->bucket[at], *w = *head;
  while (w && !is_of(w, j, order)) w = w->next;
  if ((*found = w)) return dnnl_success;
  w = calloc(1, sizeof *w);
  if (!w) return dnnl_out_of_memory;
  w->data = j->b, w->K = j->K, w->N = j->N, w->ld = j->ldb;
  w->transposed = j->b_transposed, w->dtype = j->dtype, w->order = *order;
  dnnl_status_t st = make_packed(p, w);
  if (st != dnnl_success) {
    free_packed(w);
    return st;
  }
  p->counts->packed++, p->counts->packed_bytes += (int64_t)w->bytes;
  w->next = *head, *head = *found = w;
  return dnnl_success;
}

static dnnl_status_t reorder(const panel *x) {
  dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, x->from}, {DNNL_ARG_TO, x->to}};
  dnnl_status_t st = dnnl_primitive_execute(x->reorder, x->stream, 2, args);
  return st == dnnl_success ? dnnl_stream_wait(x->stream) : st;
}

/* Packs panels that no other thread has begun, without the lock. */
static void pack_some(cz__packs *p, cz__packed *w) {
  while (w->begun < w->panels) {
    const panel *x = &w->panel[w->begun++];
    pthread_mutex_unlock(p->lock);
    dnnl_status_t st = reorder(x);
    pthread_mutex_lock(p->lock);
    if (st != dnnl_success) w->status = st;
    if (++w->ended < w->panels) continue;
    w->version = w->status == dnnl_success ? w->coming : 0, w->coming = 0;
    pthread_cond_broadcast(&p->done);
  }
}

/** Returns when W holds VERSION: packs it, together with all threads that need the same. */
dnnl_status_t cz__packed_fill(cz__packs *p, cz__packed *w, uint64_t version) {
  while (w->coming && w->coming != version) pthread_cond_wait(&p->done, p->lock);
  if (w->version == version) return dnnl_success;
  if (!w->coming) {
    w->version = 0, w->coming = version, w->begun = w->ended = 0, w->status = dnnl_success;
    p->counts->packings++;
  }
  pack_some(p, w);
  while (w->ended < w->panels) pthread_cond_wait(&p->done, p->lock);
  return w->status;
}

/** The packed array. */
const void *cz__packed_data(const cz__packed *w) { return w->room; }

/** Frees what was packed of arrays that begin in these BYTES. */
void cz__packs_forget(cz__packs *p, const void *memory, size_t bytes) {
  for (int i = 0; i < CZ__PACKED_BUCKETS; i++) {
    for (cz__packed **at = &p->bucket[i], *w = *at; w; w = *at) {
      bool inside = (uintptr_t)w->data - (uintptr_t)memory < bytes;
      if (!inside) {
        at = &w->next;
        continue;
      }
      *at = w->next;
      p->counts->packed--, p->counts->packed_bytes -= (int64_t)w->bytes;
      free_packed(w);
    }
  }
}

/** Nothing is packed yet. LOCK: the caller's; COUNTS: what is made is added there. */
void cz__packs_open(cz__packs *p, dnnl_engine_t engine, pthread_mutex_t *lock,
                    cz_units_counts *counts) {
  *p = (cz__packs){.engine = engine, .lock = lock, .counts = counts};
  pthread_cond_init(&p->done, NULL);
}

/** Frees all of them. */
void cz__packs_close(cz__packs *p) {
  for (int i = 0; i < CZ__PACKED_BUCKETS; i++)
    for (cz__packed *w = p->bucket[i], *next; w; w = next) next = w->next, free_packed(w);
  pthread_cond_destroy(&p->done);
}

#endif
