/* The inputs of the pins: functions of the seed, the pin's name and the word's number alone, of
 * whole numbers only, so that every machine makes the same. */
#include "gpu/pins.h"

#include <string.h>

static uint64_t mixed(uint64_t x) {
  x += 0x9E3779B97F4A7C15ull;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9ull;
  x = (x ^ x >> 27) * 0x94D049BB133111EBull;
  return x ^ x >> 31;
}

struct numbers {
  uint64_t key, n;
  uint32_t next() { return (uint32_t)(mixed(key + n++) >> 32); }
  uint32_t below(uint32_t limit) { return (uint32_t)((uint64_t)next() * limit >> 32); }
};

/* ---- the parts of a number ---- */

struct format {
  int exponent_bits, fraction_bits;
};
static const format FLOAT = {8, 23}, BFLOAT = {8, 7}, HALF = {5, 10};

static uint32_t joined(format f, uint32_t sign, uint32_t exponent, uint32_t fraction) {
  return sign << (f.exponent_bits + f.fraction_bits) | exponent << f.fraction_bits |
         (fraction & ((1u << f.fraction_bits) - 1));
}

/* Any number whose power of two lies in [LEAST, MOST]. */
static uint32_t sized(numbers *r, format f, int least, int most) {
  const int bias = (1 << (f.exponent_bits - 1)) - 1;
  const uint32_t exponent = (uint32_t)(bias + least + (int)r->below((uint32_t)(most - least + 1)));
  const uint32_t bits = r->next();
  return joined(f, bits >> 31, exponent, bits);
}

/* Zero, subnormal, infinite or NaN. */
static uint32_t special(numbers *r, format f) {
  const uint32_t all = (1u << f.exponent_bits) - 1, bits = r->next();
  switch (r->below(5)) {
  case 0: return joined(f, bits >> 31, 0, 0);
  case 1:
  case 2: return joined(f, bits >> 31, 0, bits | 1);
  case 3: return joined(f, bits >> 31, all, 0);
  default: return joined(f, bits >> 31, all, bits | 1);
  }
}

/* A whole number in [-8, 8]. */
static uint32_t whole(numbers *r, format f) {
  const int x = (int)r->below(17) - 8, bias = (1 << (f.exponent_bits - 1)) - 1;
  uint32_t size = (uint32_t)(x < 0 ? -x : x);
  int power = 0;
  if (size == 0) return 0;
  while (size >> (power + 1)) power++;
  return joined(f, x < 0, (uint32_t)(bias + power),
                (size ^ 1u << power) << (f.fraction_bits - power));
}

/* Numbers of many sizes, of which products of 16 bits stay within float32; one in LESS is special.
 */
static uint32_t spread(numbers *r, format f, uint32_t less) {
  if (r->below(less) == 0) return special(r, f);
  if (f.exponent_bits == 5) return sized(r, f, -14, 15);
  return sized(r, f, -50, 50);
}

static uint32_t fragment_number(numbers *r, format f, enum pin_inputs inputs) {
  switch (inputs) {
  case PIN_WHOLE: return whole(r, f);
  case PIN_BELOW_1: return sized(r, f, f.exponent_bits == 5 ? -12 : -20, -1);
  case PIN_SPREAD: return spread(r, f, 64);
  default: return r->next() >> (31 - f.exponent_bits - f.fraction_bits);
  }
}

/* A lane's: a [4] and b [2] hold two numbers each, d [4] one. */
static void fragments(uint32_t *in, numbers *r, const pin *p) {
  const format f = p->half ? HALF : BFLOAT;
  for (int i = 0; i < 6; i++) {
    const uint32_t low = fragment_number(r, f, p->inputs);
    in[i] = low | fragment_number(r, f, p->inputs) << 16;
  }
  for (int i = 6; i < 10; i++) in[i] = fragment_number(r, FLOAT, p->inputs);
}

/* Lanes name the rows in any order, each once. */
static void rows(uint32_t *in, numbers *r, const pin *p) {
  const int data = p->in_words - PIN_WARP;
  uint32_t *order = in + data;
  for (int i = 0; i < data; i++) in[i] = r->next();
  for (int i = 0; i < PIN_WARP; i++) {
    const uint32_t k = r->below((uint32_t)i + 1);
    order[i] = order[k], order[k] = (uint32_t)i;
  }
}

/* ---- float32 ---- */

static uint32_t from_float(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  return bits;
}

static uint32_t number(numbers *r, int64_t i) {
  static const float edges[] = {
      0,        1,          -1,        2,         0.5f,    -0.5f,          126,
      -126,     127,        -127,      128,       -128,    -149,           -149.5f,
      -150,     88.7228f,   88.7229f,  -87.3365f, -103.9f, 0x1p-126f,      0x1p126f,
      0x1p127f, 0x1.8p126f, 0x1p-149f, -0.0f,     9.01f,   0x1.fffffep127f};
  const int n = sizeof edges / sizeof *edges;
  if (i < n) return from_float(edges[i]);
  switch (i % 4) {
  case 0: return r->next();
  case 1: return special(r, FLOAT);
  case 2: return sized(r, FLOAT, -8, 6);
  default: return sized(r, FLOAT, -4, 4) | 0x80000000u; /* what a softmax asks of exp2 */
  }
}

/* Around a number of 16 bits: itself, half-way to the next, and the next float32 on either side. */
static uint32_t near_16(numbers *r, format f) {
  const int lost = FLOAT.fraction_bits - f.fraction_bits;
  uint32_t bits = r->next();
  if (f.exponent_bits == 5 && r->below(8)) /* of the sizes that it has, subnormal ones too */
    bits = sized(r, FLOAT, -26, 16);
  if (r->below(4) == 0) return bits;
  return (bits & ~((1u << lost) - 1)) + (r->below(2) << (lost - 1)) + r->below(3) - 1;
}

static void fill(uint32_t *in, numbers *r, const pin *p, int item) {
  const format f = p->half ? HALF : BFLOAT;
  switch (p->inputs) {
  case PIN_WHOLE:
  case PIN_BELOW_1:
  case PIN_SPREAD:
  case PIN_BEYOND:
    for (int i = 0; i < p->in_words; i += 10) fragments(in + i, r, p);
    return;
  case PIN_ROWS: rows(in, r, p); return;
  case PIN_COUNTER: *in = (uint32_t)item; return;
  default: break;
  }
  for (int i = 0; i < p->in_words; i++)
    in[i] = p->inputs == PIN_FLOATS    ? number(r, (int64_t)item * p->in_words + i)
            : p->inputs == PIN_NEAR_16 ? near_16(r, f)
                                       : r->next();
}

void pin_make(uint32_t *in, const pin *p, uint64_t seed) {
  numbers r = {mixed(seed), 0};
  for (const char *c = p->name; *c; c++) r.key = mixed(r.key ^ (uint64_t)(unsigned char)*c);
  for (int i = 0; i < p->items; i++) fill(in + (size_t)i * (size_t)p->in_words, &r, p, i);
}
