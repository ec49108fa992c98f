/* Problems for an op: what is legal, what is nasty on purpose, and what is timed. An op describes
 * all of them in its folder.
 *
 * A sampler fills a case from a random stream; the same seed gives the same case.
 * Floating inputs are float64 rounded to float32 values, so that every device sees the
 * same numbers. cz_case_free releases it. */
#ifndef CZ_KERNELS_CASES_H
#define CZ_KERNELS_CASES_H

#include "kernels/op.h"

CZ_C_BEGIN

typedef struct cz_rand { /* SplitMix64: small, seedable, for test problems only */
  uint64_t state;
} cz_rand;

typedef struct cz_case {
  char what[128];      /* one line for messages */
  cz_arg in[CZ_OP_IN]; /* float64 or int32, owned; absent inputs have ndim 0 */
  unsigned char attr[CZ_ATTR_BYTES] __attribute__((aligned(16)));
  bool training; /* dropout on */
  bool smooth;   /* no kink near: central differences may be compared */
} cz_case;

enum { CZ_CASE_SIZES = 8 };

typedef struct cz_op_cases {
  int fixed; /* the first `fixed` indexes are hand-made nasty problems; larger ones are random */
  void (*sample)(cz_case *c, cz_rand *r, int index);
  void (*bench)(cz_case *c, cz_rand *r, const int64_t *n); /* what is timed, at sizes N */
  const char *sizes[CZ_CASE_SIZES]; /* their names in a list of problems (experiments/bench) */
  uint32_t flags; /* those that are 1 or 0, and 0 where a list does not give them; the others must
                     be given and are 1 or more */
  /* Rows of A, an input or output, or a gradient that is added to, that a pass reads or writes;
   * null: all of every array. */
  int64_t (*rows)(const cz_call *call, const cz_arg *a);
} cz_op_cases;

extern const cz_op_cases *const cz_op_case_table[CZ_OPS];

/* Draws. What is drawn is a function of the seed and the calls before, on every machine:
 * no draw reads a clock, an address or the C library's generator. */
uint64_t cz_rand_u64(cz_rand *r);
int64_t cz_rand_int(cz_rand *r, int64_t low, int64_t high);
double cz_rand_real(cz_rand *r, double low, double high);
double cz_rand_normal(cz_rand *r);
int64_t cz_rand_size(cz_rand *r, int64_t maximum);

/* Inputs of a case, by their number in the op's row. The case owns the arrays. */
double *cz_case_real(cz_case *c, int input, int ndim, const int64_t *dim);
int32_t *cz_case_int(cz_case *c, int input, int ndim, const int64_t *dim);
void cz_case_normal(cz_case *c, cz_rand *r, int input, int ndim, const int64_t *dim, double std);
void cz_case_below(cz_case *c, cz_rand *r, int input, int64_t n, int64_t below);
void cz_case_spans(cz_case *c, cz_rand *r, int input, int64_t T, int empty);
void cz_case_equal_spans(cz_case *c, int input, int64_t segments, int64_t length);
void cz_case_free(cz_case *c);

bool cz_case_dtypes(cz_call *call, const cz_case *c, const cz_op_row *row, cz_dtype dtype,
                    uint64_t which, char *why, size_t why_bytes);

CZ_C_END

#endif
