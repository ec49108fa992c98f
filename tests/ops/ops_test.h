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
#include "kernels/common/roundings.h"
#include "kernels/op.h"

/* Memory on a device and its copies on the host (memory.c). */
typedef struct block { /* BYTES between two guards */
  struct region *in;
  size_t at, bytes;
} block;

enum { BLOCKS = CZ_OP_IN + CZ_OP_OUT + 1 /* the clock */, POISON = 0xFF /* NaN in every format */ };

typedef struct region {
  const struct target *on;
  unsigned char *address;       /* on the device */
  unsigned char *host, *before; /* what was fetched or is to be sent; what was sent last */
  size_t room, used;
  int blocks;
  block block[BLOCKS];
} region;

enum { TARGETS = 8, SLOTS = 4 /* runs that are there at once on one target */ };

typedef struct slot {
  bool taken;
  region arrays, gradients, work;
} slot;

/* Where kernels are tried: a device, whose memory may be its own, and a dtype. */
typedef struct target {
  char name[48]; /* in messages */
  const char *device_name;
  cz_dtype dtype;      /* of its calls: in 16 bits, some arrays have 32 */
  bool partial;        /* ops without a kernel there are passed over */
  bool host_threads;   /* its kernels run on this process's threads, of which there may be fewer */
  bool reads_clock;    /* its kernels find step and shard in the clock alone, where there is one */
  void (*vary)(int k); /* another order of what may run in any order, 1 to 3; 0: the usual one;
                          null: nothing can be varied */
  cz_device *device;
  slot *slots; /* SLOTS */
} target;

extern const target *const ref; /* the first of the list in targets.c */

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
  double largest_in,
      largest_dout; /* of its numbers: inputs, but at least 1; gradients at outputs */
  /* In 16 bits a problem is one target's own: its numbers are those that the target's arrays hold,
   * so that ref sees them too. */
  const target *only;                          /* null: the problem of all others */
  cz_dtype in_on[CZ_OP_IN], out_on[CZ_OP_OUT]; /* dtypes of inputs and outputs there */
  double shaken; /* relative change of the numbers of a perturbed problem; what forward leaves for
                    backward is changed likewise, */
  uint64_t shake_seed; /* drawn from this seed */
  bool shake_narrow;   /* and only what has, or comes of, 16 bits on the target, but with it what
                          stands on the way in 16 bits */
  bool overflows;      /* forward leaves numbers that float16 does not hold (limit.c) */
} problem;

enum { NONE = -1 };

/* How a run departs from the plain one. */
typedef struct variant {
  uint32_t dout;               /* outputs at which a gradient arrives */
  cz_grad_mode mode[CZ_OP_IN]; /* of inputs that yield a gradient */
  bool zero_dout;              /* gradients outside `dout` are there and zero, instead of absent */
  int alias_out, alias_grad;   /* output made in place; input whose gradient is made in place */
  int joins, joined;           /* input whose gradient is added to another's */
  bool poison;                 /* before backward, what it does not need is overwritten with NaN */
  bool stale;                  /* where forward only writes, NaN stands before */
  bool drop_saved;             /* outputs that exist for backward only are not made */
  bool clock;  /* step and shard lie in the device's memory as well, as in a graph */
  int threads; /* 0: as many as there are; or the order of the target's `vary` */
} variant;

/* What ref does to numbers that others round on the way. */
typedef struct rounder {
  cz_roundings as; /* first */
  const problem *p;
  cz_rand rand;
  int64_t changed; /* so many so far */
} rounder;

typedef struct run {
  const problem *p;
  const target *on;
  variant v;
  cz_call call; /* with addresses of the device */
  slot *memory;
  block *in[CZ_OP_IN], *out[CZ_OP_OUT], *din[CZ_OP_IN], *dout[CZ_OP_OUT]; /* null: none */
  rounder rounder;
  int64_t shaken; /* numbers of what forward left that were changed, in a perturbed problem */
} run;

/* Values of all outputs or all gradients as float64; null where there is none. */
typedef struct values {
  double *out[CZ_OP_OUT], *din[CZ_OP_IN];
} values;

/* A rounding inside counts so many times: seven deviations of what twelve runs estimate (limit.c).
 */
enum { INSIDE = 8 };

/* How far an element may be off: rounding max(|want|, least) + constant (|want| + sens) + inside x
 * its sensitivity to roundings to 16 bits inside + grain (limit.c). */
typedef struct bound {
  double rounding, least, constant, inside, grain;
  bool ends;     /* at 65504, beyond which a float16 is infinite */
  bool anything; /* not finite: it is made of what overflowed */
} bound;

/* Of every output and gradient: sensitivity to all that a kernel reads; in 16 bits also to what is
 * rounded to them inside, that is between input and result: what forward left for backward and what
 * a pass rounds on the way. */
typedef struct sensitivities {
  values all, inside;
} sensitivities;

/* Counters of one op. */
typedef struct tally {
  int failures, not_smooth, not_aliased, differences;
  int overflowing;          /* cases beyond float16 */
  int narrow[TARGETS];      /* cases that were tried in 16 bits, by target */
  double worst;             /* largest error seen, as a share of its limit */
  char where[160];          /* the case and tensor of that error */
  uint32_t absent, present; /* inputs seen absent and present */
  uint32_t seen, wrong;     /* results, outputs first and gradients from CZ_OP_OUT on, that are well
                               conditioned; that are not as they should be, where nothing is added
                               to what was there */
} tally;

extern tally now;

/* By what all values of targets are multiplied: 1, but where the checks themselves are tried
 * (test_scaled.c). */
extern double fault_factor;

void must(const target *on, cz_status st);
void region_begin(region *m, const target *on);
block *region_add(region *m, size_t bytes);
void region_make(region *m);
void region_send(region *m);
void region_fetch(region *m);
void region_shut(const region *m, bool shut);
void region_free(region *m);
void *block_address(const block *b);
unsigned char *block_host(const block *b);
const unsigned char *block_sent(const block *b);
bool block_same(const block *b);
bool block_guarded(const block *b);
void *workspace_make(region *m, const target *on, size_t bytes);
bool workspace_guarded(const region *m);
slot *slot_take(const target *on);
void slot_give(slot *s);
void slots_free(const target *on);

void targets_open(void);
void targets_close(void);
const target *target_at(int i);
int target_number(const target *on);
void target_add(const char *name, cz_dtype dtype, cz_device *device);
int targets_covered(void);
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
double number_at(const void *data, cz_dtype dtype, int64_t i);
double rounded(double x, cz_dtype dtype);
double least_of(const problem *p, cz_dtype dtype);
void perturb(double *x, int64_t n, cz_rand *r, double delta, double least);
void problem_perturb(problem *q, const problem *p, cz_rand *r, double delta);
void problem_free(problem *p);
bool problem_yields(const problem *p, int input);
uint32_t problem_douts(const problem *p);

variant plain(const problem *p);
bool run_forward(run *r, const problem *p, const target *on, variant v);
bool run_backward(run *r, const problem *p, const target *on, variant v);
const void *run_again(run *r, int output);
const void *run_host(const run *r, const cz_arg *a);
void run_free(run *r);
void run_values(values *out, const run *r);
void values_free(values *v);

void fail_case(const problem *p, const char *format, ...) __attribute__((format(printf, 2, 3)));

bound bound_of_output(const problem *p, const target *on, int output);
bound bound_of_gradient(const problem *p, const target *on, int input);
void sensitivity(sensitivities *s, const problem *p, variant v, bool backward);
void sensitivity_to_jumps(sensitivities *s, const problem *p);
void sensitivities_free(sensitivities *s);
double limit_of(const bound *b, double want, double sens, const double *inside, int64_t i);
bool may_be(const bound *b, double got, double want, double limit);
bool compare(const problem *p, const char *check, const char *tensor, const cz_arg *shape,
             const double *got, const double *want, const double *sens, const double *inside,
             bound b);

void check_row(cz_op op);
void check_bench(cz_op op, uint64_t seed);
void check_shapes(const problem *p);
void check_needs(const problem *p);
void check_optional_seen(const cz_op_row *row);
void check_values(const problem *p);
void check_gradient(const problem *p);
void check_bits(const problem *p);
void check_nonfinite(const problem *p);

#endif
