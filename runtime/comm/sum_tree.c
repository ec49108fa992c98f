#include "comm/sum_tree.h"

#include "base/mem.h"

#include <stdlib.h>

enum { MAX_LEVELS = 32, SERIAL_ELEMENTS = 1 << 16 };

struct cz_sum_tree {
  cz_adder adder;
  int64_t elements, shards, pushed;
  size_t element_bytes;
  int levels;
  void *sums[MAX_LEVELS]; /* sums[k]: 2^k shards; the device's */
};

static size_t all_bytes(const cz_sum_tree *t) { return (size_t)t->elements * t->element_bytes; }

/** Makes the accumulator of a rank that owns SHARDS shards of ELEMENTS numbers of ELEMENT_BYTES on
 * ADDER's device (copied; what it points to is borrowed): as many buffers as SHARDS - 1 has binary
 * digits. Destroy with cz_sum_tree_destroy. */
cz_status cz_sum_tree_create(cz_sum_tree **t, const cz_adder *adder, int64_t elements,
                             size_t element_bytes, int64_t shards) {
  if (elements < 0 || shards < 1 || shards > INT64_C(1) << (MAX_LEVELS - 1))
    return CZ_FAIL(CZ_EINVAL, "%lld shards of %lld elements can't be added", (long long)shards,
                   (long long)elements);
  CZ_TRY(cz_alloc(t, 1, sizeof **t));
  (*t)->adder = *adder;
  (*t)->elements = elements;
  (*t)->element_bytes = element_bytes;
  (*t)->shards = shards;
  cz_status st = CZ_OK;
  for (int64_t left = shards - 1; left && st == CZ_OK; left >>= 1)
    st = cz_device_alloc_for(adder->device, &(*t)->sums[(*t)->levels++], all_bytes(*t),
                             "sums of the shards' gradients");
  if (st != CZ_OK) cz_sum_tree_destroy(t);
  return st;
}

/** Frees the buffers, clears the pointer, accepts null. */
void cz_sum_tree_destroy(cz_sum_tree **t) {
  if (!*t) return;
  for (int k = 0; k < (*t)->levels; k++)
    cz_device_free((*t)->adder.device, &(*t)->sums[k], all_bytes(*t));
  free(*t);
  *t = NULL;
}

/** Takes the whole GRADIENT (the device's) of the next shard, which is not the last; kernels that
 * are called afterwards may overwrite it. Does not wait. */
cz_status cz_sum_tree_push(cz_sum_tree *t, const void *gradient) {
  cz_device *d = t->adder.device;
  CZ_CHECK(t->pushed < t->shards - 1);
  int k = 0;
  for (const void *sum = gradient; t->pushed >> k & 1; sum = t->sums[k++])
    CZ_TRY(t->adder.add(t->adder.self, t->sums[k], sum, 0, t->elements));
  if (k == 0) {
    CZ_TRY(d->copy(d, t->sums[0], gradient, all_bytes(t)));
  } else { /* the sum of 2^k shards lies in the buffer below; that of level k is free */
    void *sum = t->sums[k - 1];
    t->sums[k - 1] = t->sums[k];
    t->sums[k] = sum;
  }
  t->pushed++;
  return CZ_OK;
}

/** How many shards were pushed since the last reset. */
int64_t cz_sum_tree_pushed(const cz_sum_tree *t) { return t->pushed; }

/** Adds what was pushed to elements [FIRST, FIRST + COUNT) of the last shard's GRADIENT,
 * in place: they are then this rank's sum. Does not wait; a single shard is left as it is. */
cz_status cz_sum_tree_fold(const cz_sum_tree *t, void *gradient, int64_t first, int64_t count) {
  CZ_CHECK(t->pushed == t->shards - 1 && first >= 0 && count >= 0 && count <= t->elements - first);
  for (int k = 0; k < t->levels; k++)
    if (t->pushed >> k & 1) CZ_TRY(t->adder.add(t->adder.self, gradient, t->sums[k], first, count));
  return CZ_OK;
}

/** Forgets the pushed shards: the next step begins. */
void cz_sum_tree_reset(cz_sum_tree *t) { t->pushed = 0; }

/* INTO = INTO + FROM. Elementwise, so threads do not change a bit. */
static void add(void *into, const void *from, int64_t n, size_t element_bytes) {
  if (element_bytes == sizeof(float)) {
    float *o = into;
    const float *x = from;
#pragma omp parallel for simd schedule(static) if (n > SERIAL_ELEMENTS)
    for (int64_t i = 0; i < n; i++) o[i] = o[i] + x[i];
  } else {
    double *o = into;
    const double *x = from;
#pragma omp parallel for simd schedule(static) if (n > SERIAL_ELEMENTS)
    for (int64_t i = 0; i < n; i++) o[i] = o[i] + x[i];
  }
}

/** Adds N arrays of ELEMENTS numbers (4 bytes: float32, 8: float64) in host memory, in the order
 * of the tree; the sum ends in PARTS[0], the others are overwritten. */
void cz_sum_tree_fold_parts(void *const *parts, int64_t n, int64_t elements, size_t element_bytes) {
  for (int64_t step = 1; step < n; step *= 2)
    for (int64_t i = 0; i + step < n; i += 2 * step)
      add(parts[i], parts[i + step], elements, element_bytes);
}
