#include "kernels/cases.h"
#include "kernels/common/shape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CZ_OP(name) extern const cz_op_cases cz_##name##_cases;
#include "kernels/ops.def"
#undef CZ_OP

const cz_op_cases *const cz_op_case_table[CZ_OPS] = {
#define CZ_OP(name) [CZ_OP_##name] = &cz_##name##_cases,
#include "kernels/ops.def"
#undef CZ_OP
};

/** The next 64 random bits (SplitMix64, Steele et al. 2014). */
uint64_t cz_rand_u64(cz_rand *r) {
  uint64_t z = r->state += 0x9e3779b97f4a7c15ULL;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

/** A whole number from LOW to HIGH, both included. The remainder favours small numbers by
 * less than (HIGH - LOW) / 2^64, which no test can see. */
int64_t cz_rand_int(cz_rand *r, int64_t low, int64_t high) {
  return low + (int64_t)(cz_rand_u64(r) % (uint64_t)(high - low + 1));
}

/** A number in [LOW, HIGH). */
double cz_rand_real(cz_rand *r, double low, double high) {
  return low + (high - low) * (double)(cz_rand_u64(r) >> 11) * 0x1p-53;
}

/** A standard normal number (Box and Muller). The first uniform number is in (0, 1], so
 * its logarithm is finite; the sine half is not used, so that a draw takes two numbers
 * whatever came before it. */
double cz_rand_normal(cz_rand *r) {
  double u = 1.0 - cz_rand_real(r, 0, 1), v = cz_rand_real(r, 0, 1);
  return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

/** A size that likes trouble: 1, primes, powers of two and their neighbours, at most
 * MAXIMUM. */
int64_t cz_rand_size(cz_rand *r, int64_t maximum) {
  static const int64_t nasty[] = {1,  1,  2,  3,  5,  7,  8,   9,   13,  15,  16,  17,  31, 32,
                                  33, 37, 63, 64, 65, 67, 127, 128, 129, 131, 255, 256, 257};
  int64_t n = nasty[cz_rand_u64(r) % (sizeof nasty / sizeof *nasty)];
  return n <= maximum ? n : cz_rand_int(r, 1, maximum);
}

static void *make(cz_case *c, int input, cz_dtype dtype, int ndim, const int64_t *dim) {
  cz_arg *a = &c->in[input];
  *a = (cz_arg){.dtype = dtype, .ndim = ndim};
  for (int i = 0; i < ndim; i++) a->dim[i] = dim[i];
  size_t bytes = (size_t)cz_numel(a) * cz_dtype_bytes(dtype);
  a->data = calloc(bytes ? bytes : 1, 1);
  if (!a->data) abort(); /* a test machine without memory */
  return a->data;
}

/** Gives the case a zeroed float64 input; the caller fills it with float32 values. */
double *cz_case_real(cz_case *c, int input, int ndim, const int64_t *dim) {
  return make(c, input, CZ_F64, ndim, dim);
}

/** Gives the case a zeroed int32 input. */
int32_t *cz_case_int(cz_case *c, int input, int ndim, const int64_t *dim) {
  return make(c, input, CZ_I32, ndim, dim);
}

/** Gives the case a normal float64 input of the given std, rounded to float32. */
void cz_case_normal(cz_case *c, cz_rand *r, int input, int ndim, const int64_t *dim, double std) {
  double *x = cz_case_real(c, input, ndim, dim);
  for (int64_t i = 0; i < cz_numel(&c->in[input]); i++) x[i] = (float)(std * cz_rand_normal(r));
}

/** Gives the case N whole numbers from 0 to BELOW - 1. */
void cz_case_below(cz_case *c, cz_rand *r, int input, int64_t n, int64_t below) {
  int32_t *x = cz_case_int(c, input, 1, &n);
  for (int64_t i = 0; i < n; i++) x[i] = (int32_t)cz_rand_int(r, 0, below - 1);
}

/** Gives the case spans [B, 2] that cut T rows into segments of random lengths, EMPTY
 * more of them without rows. The empty ones come first, at row 0: a kernel that takes a
 * span's begin for its own meets them at once. */
void cz_case_spans(cz_case *c, cz_rand *r, int input, int64_t T, int empty) {
  int64_t filled = T > 0 ? cz_rand_int(r, 1, T < 5 ? T : 5) : 0, B = filled + empty, at = 0;
  int32_t *spans = cz_case_int(c, input, 2, (int64_t[]){B, 2});
  for (int64_t b = 0; b < B; b++) {
    int64_t end = b == B - 1 ? T : b < empty ? at : cz_rand_int(r, at, T);
    spans[2 * b] = (int32_t)at, spans[2 * b + 1] = (int32_t)end, at = end;
  }
}

/** Spans of SEGMENTS of one length, one behind another. */
void cz_case_equal_spans(cz_case *c, int input, int64_t segments, int64_t length) {
  int32_t *x = cz_case_int(c, input, 2, (int64_t[]){segments, 2});
  for (int64_t i = 0; i < segments; i++)
    x[2 * i] = (int32_t)(i * length), x[2 * i + 1] = (int32_t)((i + 1) * length);
}

/** Releases what the case owns. */
void cz_case_free(cz_case *c) {
  for (int i = 0; i < CZ_OP_IN; i++) free(c->in[i].data);
  memset(c, 0, sizeof *c);
}

/* Whether the row takes real inputs in DTYPE, those of the mask WIDE in that of statistics. */
static bool takes(cz_call *call, const cz_case *c, const cz_op_row *row, cz_dtype dtype,
                  uint32_t wide, char *why, size_t why_bytes) {
  memset(call->out, 0, sizeof call->out);
  for (int i = 0; i < CZ_OP_IN; i++) {
    call->in[i] = c->in[i];
    if (call->in[i].dtype != CZ_I32)
      call->in[i].dtype = wide >> i & 1 ? cz_statistic_dtype(dtype) : dtype;
  }
  return row->shape(call->out, call->in, c->attr, why, why_bytes) && cz_call_dtype(call) == dtype;
}

/** Gives CALL, which computes in DTYPE, the inputs of C and the outputs that ROW's shape rule makes
 * of them. A rule may want some inputs in more bits and leave others open: of the ways that it
 * takes, this is number WHICH modulo their number, number 0 that of the fewest bits in the first
 * inputs. CALL borrows the data of C. False when it takes none; WHY holds its last refusal. */
bool cz_case_dtypes(cz_call *call, const cz_case *c, const cz_op_row *row, cz_dtype dtype,
                    uint64_t which, char *why, size_t why_bytes) {
  uint32_t real = 0, wide = 0, found[1 << CZ_OP_IN];
  uint64_t n = 0;
  for (int i = 0; i < row->n_in; i++)
    real |= (uint32_t)(cz_present(&c->in[i]) && c->in[i].dtype != CZ_I32) << i;
  do {
    if (takes(call, c, row, dtype, wide, why, why_bytes)) found[n++] = wide;
    wide = (wide - real) & real; /* the next larger subset; 0 after the last */
  } while (wide);
  return n > 0 && takes(call, c, row, dtype, found[which % n], why, why_bytes);
}
