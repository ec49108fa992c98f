/* Draws by number: element i of the sequence (seed, name) is a function of these three alone,
 * so any thread may draw any piece, and all get what one thread would. Initial weights are
 * drawn by it; random.h's streams are for what is drawn one after the other.
 *
 * A normal number has a block of Philox of its own (kernels/common/philox.h), of the counter (i,
 * hash of the name, 0, 0); two uniform ones share the block i / 2, as in a stream of random.h. Only
 * additions, products, roots and whole numbers go into a draw, in an order that no instruction set
 * changes, so the bits are those of every processor. */
#ifndef CZ_DEVICE_DRAWS_H
#define CZ_DEVICE_DRAWS_H

#include <stdint.h>

typedef struct cz_draw_key {
  uint64_t seed;
  uint32_t name; /* a hash of it */
} cz_draw_key;

/* OUT[i], i < N, is element FIRST + i. Normal: mean 0, std 1. Uniform: in [-1, 1). */
typedef void (*cz_draw_fn)(double *out, cz_draw_key key, int64_t first, int64_t n);

cz_draw_key cz_draw_key_of(uint64_t seed, const char *name);
void cz_draw_normal(double *out, cz_draw_key key, int64_t first, int64_t n);
void cz_draw_uniform(double *out, cz_draw_key key, int64_t first, int64_t n);

#endif
