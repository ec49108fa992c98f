/* Random streams for the host: objectives, shuffles, order of records. A stream is keyed
 * by (seed, name, a, b), never by what ran before it, so the same draw comes out on any
 * rank and after any restart. Philox underneath, the same as in the kernels. */
#ifndef CZ_DEVICE_RANDOM_H
#define CZ_DEVICE_RANDOM_H

#include <stdint.h>

/* Philox's counter is (quad, op, a, b) with op a hash of the name; a and b are the
 * caller's, for example epoch and index of a piece. Each quad gives four numbers of 32
 * bits: `ready` holds them and `left` says how many are unused. Streams of different
 * names or numbers never share a counter unless two names collide in 32 bits. Copying the
 * struct copies the place. */
typedef struct cz_stream {
  uint64_t seed, quad;
  uint32_t op, a, b;
  uint32_t ready[4];
  int left;
} cz_stream;

void cz_stream_init(cz_stream *s, uint64_t seed, const char *name, uint32_t a, uint32_t b);
/* Draws. `below` rejects what would make small numbers more frequent, so it is exactly
 * uniform and may take several numbers of the stream; `uniform` is in [0, 1) with 53
 * bits; `shuffle` is Fisher and Yates's, every order
 * equally likely. */
uint32_t cz_stream_u32(cz_stream *s);
uint64_t cz_stream_below(cz_stream *s, uint64_t n);
double cz_stream_uniform(cz_stream *s);
void cz_stream_shuffle(cz_stream *s, int32_t *items, int64_t n);

#endif
