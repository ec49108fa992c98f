/* Random streams for the host: initial weights, objectives, shuffles. A stream is keyed
 * by (seed, name, a, b), never by what ran before it, so the same draw comes out on any
 * rank and after any restart. Philox underneath, the same as in the kernels. */
#ifndef CZ_DEVICE_RANDOM_H
#define CZ_DEVICE_RANDOM_H

#include <stdint.h>

typedef struct cz_stream {
  uint64_t seed, quad;
  uint32_t op, a, b;
  uint32_t ready[4];
  int left;
} cz_stream;

void cz_stream_init(cz_stream *s, uint64_t seed, const char *name, uint32_t a, uint32_t b);
uint32_t cz_stream_u32(cz_stream *s);
uint64_t cz_stream_below(cz_stream *s, uint64_t n);
double cz_stream_uniform(cz_stream *s);
double cz_stream_normal(cz_stream *s);
void cz_stream_shuffle(cz_stream *s, int32_t *items, int64_t n);

#endif
