#include "device/random.h"
#include "base/hash.h"
#include "kernels/common/philox.h"

/** Starts the stream named (SEED, NAME, A, B) at its first number. */
void cz_stream_init(cz_stream *s, uint64_t seed, const char *name, uint32_t a, uint32_t b) {
  *s = (cz_stream){.seed = seed, .op = (uint32_t)cz_hash_text(name), .a = a, .b = b};
}

/** The next 32 random bits. */
uint32_t cz_stream_u32(cz_stream *s) {
  if (s->left == 0) {
    cz_key key = {.seed = s->seed, .step = s->a, .shard = s->b, .op = s->op};
    cz_philox_quad(s->ready, &key, s->quad++);
    s->left = 4;
  }
  return s->ready[4 - s->left--];
}

/** A whole number in [0, N), without bias (Lemire's rejection on 64 bits). N must be
 * positive. */
uint64_t cz_stream_below(cz_stream *s, uint64_t n) {
  for (;;) {
    uint64_t x = (uint64_t)cz_stream_u32(s) << 32;
    x |= cz_stream_u32(s);
    __extension__ typedef unsigned __int128 wide;
    wide m = (wide)x * n;
    if ((uint64_t)m >= (0 - n) % n) return (uint64_t)(m >> 64);
  }
}

/** A number in [0, 1) with 53 random bits. */
double cz_stream_uniform(cz_stream *s) {
  uint64_t x = (uint64_t)cz_stream_u32(s) << 32;
  x |= cz_stream_u32(s);
  return (double)(x >> 11) * 0x1p-53;
}

/** Shuffles N items (Fisher and Yates). */
void cz_stream_shuffle(cz_stream *s, int32_t *items, int64_t n) {
  for (int64_t i = n - 1; i > 0; i--) {
    int64_t j = (int64_t)cz_stream_below(s, (uint64_t)i + 1);
    int32_t t = items[i];
    items[i] = items[j];
    items[j] = t;
  }
}
