#include "device/draws.h"
#include "base/hash.h"
#include "kernels/common/cpu.h"
#include "kernels/common/philox.h"

#include <math.h>
#include <string.h>

/* A block of elements, so that each step below is a loop that compiles to vectors. */
enum { BLOCK = 64 };

/** The key of the sequence NAME under SEED. */
cz_draw_key cz_draw_key_of(uint64_t seed, const char *name) {
  return (cz_draw_key){seed, (uint32_t)cz_hash_text(name)};
}

#define INLINE static inline __attribute__((always_inline))

INLINE double of_bits(uint64_t bits) {
  double x;
  memcpy(&x, &bits, 8);
  return x;
}

/* A whole number below 2^52 as a double: the last bits of 2^52 + n are n. */
INLINE double of_whole(uint64_t n) { return of_bits(n | 0x4330000000000000u) - 0x1p52; }

/* 53 random bits, all of HIGH and 21 of LOW, as a number in [0, 1). */
INLINE double unit(uint64_t high, uint64_t low) {
  return (of_whole(high) * 0x1p21 + of_whole(low >> 11)) * 0x1p-53;
}

/* ln u for u in [2^-53, 1]. u = 2^k m with m in [1/sqrt 2, sqrt 2); with s = (m - 1) / (m + 1)
 *
 *     ln m = 2 artanh s = 2 s (1 + s^2/3 + s^4/5 + ... ),  s^2 <= 0.0295,
 *
 * whose term after s^20/21 is below 2^-56. m's exponent is 0 or -1: adding the distance from
 * 1/sqrt 2 to 1 before the exponent is cut off sends what is below sqrt 2 / 2 to the next k. */
INLINE double log_of(double u) {
  const uint64_t half_root = 0x3fe6a09e667f3bcdu, one = 0x3ff0000000000000u;
  uint64_t bits;
  memcpy(&bits, &u, 8);
  bits += one - half_root;
  double k = of_whole(bits >> 52) - 1023;
  double m = of_bits((bits & 0xfffffffffffffu) + half_root);
  double s = (m - 1) / (m + 1), z = s * s, p = 1.0 / 21;
  p = p * z + 1.0 / 19;
  p = p * z + 1.0 / 17;
  p = p * z + 1.0 / 15;
  p = p * z + 1.0 / 13;
  p = p * z + 1.0 / 11;
  p = p * z + 1.0 / 9;
  p = p * z + 1.0 / 7;
  p = p * z + 1.0 / 5;
  p = p * z + 1.0 / 3;
  return k * 0.69314718055994530942 + (2 * s + 2 * s * z * p);
}

/* cos(2 pi v) for v in [0, 1). With the nearest quarter q / 4 and t = 2 pi (v - q / 4), |t| <=
 * pi / 4, it is cos t, -sin t, -cos t, sin t, cos t for q = 0 to 4; both by Taylor's series, to
 * t^16 / 16! and t^17 / 17!, whose rests are below 2^-56. */
INLINE double cos_of_turn(double v) {
  double q = (4 * v + 0x1.8p52) - 0x1.8p52; /* to the nearest whole number */
  double t = (v - 0.25 * q) * 6.28318530717958647693, z = t * t;
  double c = 1.0 / 20922789888000.0, s = 1.0 / 355687428096000.0;
  c = c * z - 1.0 / 87178291200.0;
  s = s * z - 1.0 / 1307674368000.0;
  c = c * z + 1.0 / 479001600.0;
  s = s * z + 1.0 / 6227020800.0;
  c = c * z - 1.0 / 3628800.0;
  s = s * z - 1.0 / 39916800.0;
  c = c * z + 1.0 / 40320.0;
  s = s * z + 1.0 / 362880.0;
  c = c * z - 1.0 / 720.0;
  s = s * z - 1.0 / 5040.0;
  c = c * z + 1.0 / 24.0;
  s = s * z + 1.0 / 120.0;
  c = c * z - 0.5;
  s = s * z - 1.0 / 6.0;
  c = c * z + 1.0;
  s = t + t * z * s;
  double x = q == 1 || q == 3 ? s : c;
  return q == 1 || q == 2 ? -x : x;
}

/* Four numbers for each of BLOCK elements. */
static void bits_of_block(uint64_t w[4][BLOCK], cz_draw_key key, int64_t first) {
  const cz_key k = {.seed = key.seed, .op = key.name};
  cz_philox_quads((uint64_t *const[4]){w[0], w[1], w[2], w[3]}, &k, (uint64_t)first, BLOCK);
}

/* Box and Muller: sqrt(-2 ln u) cos(2 pi v); u = 1 less a number below 1 is never 0. */
INLINE double normal_of(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
  return sqrt(-2 * log_of(1 - unit(a, b))) * cos_of_turn(unit(c, d));
}

CZ_CLONES
static void normal_block(double out[BLOCK], cz_draw_key key, int64_t first) {
  uint64_t w[4][BLOCK];
  bits_of_block(w, key, first);
  for (int i = 0; i < BLOCK; i++) out[i] = normal_of(w[0][i], w[1][i], w[2][i], w[3][i]);
}

CZ_CLONES
static void uniform_block(double out[BLOCK], cz_draw_key key, int64_t first) {
  uint64_t w[4][BLOCK]; /* two elements a block of Philox: half of what is made */
  bits_of_block(w, key, first / 2);
  for (int i = 0, at = 0; i < BLOCK / 2; i++, at += 2) {
    out[at] = 2 * unit(w[0][i], w[1][i]) - 1;
    out[at + 1] = 2 * unit(w[2][i], w[3][i]) - 1;
  }
}

typedef void (*block_fn)(double out[BLOCK], cz_draw_key key, int64_t first);

/* Blocks begin at multiples of BLOCK, so that an element is computed in the same lane whichever
 * piece asks for it. */
static void draw(block_fn block, double *out, cz_draw_key key, int64_t first, int64_t n) {
  for (int64_t at = first / BLOCK * BLOCK; at < first + n; at += BLOCK) {
    double whole[BLOCK];
    int64_t from = at < first ? first : at, to = at + BLOCK < first + n ? at + BLOCK : first + n;
    block(whole, key, at);
    memcpy(out + (from - first), whole + (from - at), (size_t)(to - from) * sizeof *out);
  }
}

/** Standard normal numbers. */
void cz_draw_normal(double *out, cz_draw_key key, int64_t first, int64_t n) {
  draw(normal_block, out, key, first, n);
}

/** Even numbers in [-1, 1). */
void cz_draw_uniform(double *out, cz_draw_key key, int64_t first, int64_t n) {
  draw(uniform_block, out, key, first, n);
}
