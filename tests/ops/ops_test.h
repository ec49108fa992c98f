/* The table driver: what is shared by the checks that every line of ops.def must pass.
 *
 * A `problem` is one case of one op with random gradients at its outputs. A `run` is one
 * execution of a kernel on it, in memory of its own: every tensor lies between guard
 * bytes, everything that a kernel must write is NaN before, and everything that it may
 * not write is compared afterwards. */
#ifndef CZ_TESTS_OPS_TEST_H
#define CZ_TESTS_OPS_TEST_H

#include "device/device.h"
#include "kernels/cases.h"
#include "kernels/op.h"

/* Where kernels are tried. Targets in host memory only: runs hand out addresses of blocks. */
typedef struct target {
  const char *name; /* in messages */
  const char *device_name;
  cz_dtype dtype; /* of its calls: in 16 bits, some arrays have 32 */
  bool partial;   /* ops without a kernel there are passed over */
  cz_device *device;
} target;

extern const target *const ref; /* the first of the list in problem.c */

typedef struct problem {
  cz_op op;
  const cz_op_row *row;
  cz_case c;
  uint64_t seed; /* of the whole test: CZ_TEST_SEED */
  int index;     /* of the case: CZ_TEST_INDEX */
  cz_key key;
  cz_arg out[CZ_OP_OUT];    /* what the shape rule says for float64 inputs; no data */
  double *dout[CZ_OP_OUT];  /* random gradients, float32 values; null where none can arrive */
  double *before[CZ_OP_IN]; /* what lies in a gradient before something is added to it; null where
                               the input yields none */
  double grain; /* rounding of ref's own gradients: 2^-51 x largest input x largest gradient at an
                   output */
  /* In 16 bits a problem is one target's own: its numbers are those that the target's arrays hold,
   * so that ref sees them too. */
  const target *only;                          /* null: the problem of all others */
  cz_dtype in_on[CZ_OP_IN], out_on[CZ_OP_OUT]; /* dtypes of inputs and outputs there */
  double shaken; /* relative change of the numbers of a perturbed problem; what forward leaves for
                    backward is changed likewise, */
  uint64_t shake_seed; /* drawn from this seed */
  bool shake_narrow;   /* and only where it has, or comes of, 16 bits on the target */
} problem;

enum { NONE = -1 };

/* How a run departs from the plain one. */
typedef struct variant {
  uint32_t dout;               /* outputs at which a gradient arrives */
  cz_grad_mode mode[CZ_OP_IN]; /* of inputs that yield a gradient */
  bool zero_dout;              /* gradients outside `dout` are there and zero, instead of absent */
  int alias_out, alias_grad;   /* output made in place; input whose gradient is made in place */
  bool poison;                 /* before backward, what it does not need is overwritten with NaN */
  bool drop_saved;             /* outputs that exist for backward only are not made */
  int threads;                 /* 0: as many as there are */
} variant;

typedef struct block { /* BYTES between two guards */
  unsigned char *base;
  size_t bytes;
} block;

typedef struct run {
  const problem *p;
  const target *on;
  variant v;
  cz_call call;
  block in[CZ_OP_IN], out[CZ_OP_OUT], din[CZ_OP_IN], dout[CZ_OP_OUT], work;
} run;

/* Values of all outputs or all gradients as float64; null where there is none. */
typedef struct values {
  double *out[CZ_OP_OUT], *din[CZ_OP_IN];
} values;

/* How far an element may be off: rounding |want| + constant (|want| + sens) + saved x its
 * sensitivity to what forward left + grain (limit.c). */
typedef struct bound {
  double rounding, constant, saved, grain;
} bound;

/* Of every output and gradient: sensitivity to all that a kernel reads; to what forward left in 16
 * bits for backward, where there is any. */
typedef struct sensitivities {
  values all, saved;
} sensitivities;

/* Counters of one op. */
typedef struct tally {
  int failures, not_smooth, not_aliased, differences;
  int narrow;               /* cases that were tried in 16 bits */
  double worst;             /* largest error seen, as a share of its limit */
  char where[160];          /* the case and tensor of that error */
  uint32_t absent, present; /* inputs seen absent and present */
} tally;

extern tally now;

void targets_open(void);
void targets_close(void);
const target *target_at(int i);
void target_add(const char *name, cz_dtype dtype, cz_device *device);
const target *next_with(const target *on, cz_op op);
const target *next_target(const target *on, const problem *p);
const cz_kernels *kernels_of(const target *on, cz_op op);
bool has_16_bits(const target *on);
double roundoff_of(cz_dtype dtype);
cz_dtype input_dtype(const problem *p, const target *on, int input);
cz_dtype gradient_dtype(const problem *p, const target *on, int input);
cz_dtype output_dtype(const problem *p, const target *on, int output);

bool problem_make(problem *p, cz_op op, uint64_t seed, int index);
bool made_of_rounded(const problem *p, int output);
bool problem_narrow(problem *q, const problem *p, const target *on);
double rounded(double x, cz_dtype dtype);
void perturb(double *x, int64_t n, cz_rand *r, double delta);
void problem_perturb(problem *q, const problem *p, cz_rand *r, double delta);
void problem_free(problem *p);
bool problem_yields(const problem *p, int input);
uint32_t problem_douts(const problem *p);

variant plain(const problem *p);
bool run_forward(run *r, const problem *p, const target *on, variant v);
bool run_backward(run *r, const problem *p, const target *on, variant v);
void run_free(run *r);
void run_values(values *out, const run *r);
void values_free(values *v);

void fail_case(const problem *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

bound bound_of_output(const problem *p, const target *on, int output);
bound bound_of_gradient(const problem *p, const target *on, int input);
void sensitivity(sensitivities *s, const problem *p, variant v, bool backward);
void sensitivity_to_jumps(sensitivities *s, const problem *p);
void sensitivities_free(sensitivities *s);
double limit_of(const bound *b, double want, double sens, const double *saved, int64_t i);
bool compare(const problem *p, const char *check, const char *tensor, const cz_arg *shape,
             const double *got, const double *want, const double *sens, const double *saved,
             bound b);

void check_row(cz_op op);
void check_bench(cz_op op, uint64_t seed);
void check_shapes(const problem *p);
void check_optional_seen(const cz_op_row *row);
void check_values(const problem *p);
void check_gradient(const problem *p);
void check_bits(const problem *p);
void check_nonfinite(const problem *p);

#endif
