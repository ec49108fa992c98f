/* Instructions that are compared bit by bit between a card and the emulator's models of them. Each
 * pin is one kernel of pins.cu over many items; its inputs follow from a seed (pin_inputs.cpp), so
 * that a file of results needs no more than what came out. */
#ifndef CZ_TESTS_GPU_PINS_H
#define CZ_TESTS_GPU_PINS_H

#include <stddef.h>
#include <stdint.h>

/* How a result is compared with the model's. */
enum pin_rule {
  PIN_BITS,    /* the same bits */
  PIN_FLOAT,   /* the same bits, or NaN in both */
  PIN_HALF,    /* the same for float16 */
  PIN_BFLOAT,  /* and for bfloat16 */
  PIN_ULPS,    /* float32, within LIMIT units in the last place; NaN in both */
  PIN_FLUSHED, /* the same where subnormal numbers may be 0 on one side */
  PIN_PRODUCT, /* sums of a tensor core: within LIMIT 2^-24 of the sum of their members' sizes */
  PIN_LOOK     /* the same, counted and not judged */
};

/* What an item's inputs are made of. */
enum pin_inputs {
  PIN_WHOLE,   /* fragments of small whole numbers, whose sums are exact in any order */
  PIN_BELOW_1, /* fragments of numbers in (-1, 1) of many sizes */
  PIN_SPREAD,  /* fragments of numbers of many sizes, also subnormal, infinite and NaN */
  PIN_BEYOND,  /* fragments of any bits: sums beyond float32 */
  PIN_ROWS,    /* rows of matrices and in which order lanes name them */
  PIN_PRESENT, /* any bits: pieces of copies and which of them are there */
  PIN_FLOATS,  /* float32: any bits, and more of what kernels meet */
  PIN_NEAR_16, /* float32 around the numbers of 16 bits and half-way between them */
  PIN_COUNTER  /* the item's number */
};

enum { PIN_WARP = 32 };

typedef struct pin {
  const char *name;
  int items, in_words, out_bytes; /* of an item: words of 32 bits in, bytes out */
  enum pin_rule rule;
  double limit;
  enum pin_inputs inputs;
  bool half; /* fragments are of float16, else of bfloat16 */
  void (*run)(void *out, const uint32_t *in, int items);
  bool hopper; /* an instruction that cards of compute capability 9.0 have, and no other */
} pin;

extern const pin pins[];
extern const int pin_count;

/* The inputs of all items of a pin, [items * in_words]. */
void pin_make(uint32_t *in, const pin *p, uint64_t seed);

#endif
