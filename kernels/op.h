/* What a row of the op table contains, and what a kernel is given.
 *
 * An op is a folder with a contract (<op>.h), kernels that are pure functions on pointers
 * (<op>_ref.c in float64, <op>_cpu.c in float32 and bfloat16, <op>_cuda.cu), a row that tells
 * the engine all it may know about the op (<op>_op.c), and problems: legal and nasty ones, and
 * what is timed (<op>_cases.c). One line in ops.def lists it. Kernels know no tensor, no
 * allocation and no global; they may assume what the row's shape rule has checked, nothing else. */
#ifndef CZ_KERNELS_OP_H
#define CZ_KERNELS_OP_H

#include "kernels/common/language.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

CZ_C_BEGIN

/* F64 is what reference kernels compute in, F32 what others sum and keep statistics in;
 * the 16-bit types are for activations and copies of weights on devices that multiply
 * them faster. Reals come first, the wider before the narrower. */
typedef enum cz_dtype { CZ_F64, CZ_F32, CZ_BF16, CZ_F16, CZ_I32, CZ_DTYPES } cz_dtype;

extern const char *const cz_dtype_names[CZ_DTYPES];

static inline CZ_HOST_DEVICE size_t cz_dtype_bytes(cz_dtype t) {
  return t == CZ_F64 ? 8 : t == CZ_F32 || t == CZ_I32 ? 4 : 2;
}

/* A dtype in attributes, where 0 leaves it to the row. In float64 everything stays float64: the
 * oracle rounds nothing. */
static inline CZ_HOST_DEVICE int cz_dtype_choice(cz_dtype t) { return (int)t + 1; }

static inline CZ_HOST_DEVICE cz_dtype cz_dtype_chosen(int choice, cz_dtype otherwise) {
  return choice == 0 || otherwise == CZ_F64 ? otherwise : (cz_dtype)(choice - 1);
}

/* Four dimensions: activations need two, a stack of matrices three. Eight inputs:
 * label_words'. Fixed sizes keep a call one flat struct that can be copied, compared and
 * sent to a device. */
enum { CZ_DIMS = 4, CZ_OP_IN = 8, CZ_OP_OUT = 6, CZ_ATTR_BYTES = 128 };

/* A dense row-major array as a kernel sees it, outermost dimension first. Absent: data
 * null and ndim 0 (a scalar has ndim 1, dim {1}). In shape rules a dimension may be a
 * named extent of the graph, written as a negative number; rules only compare and copy
 * dimensions, so that works. */
typedef struct cz_arg {
  void *data;
  cz_dtype dtype;
  int ndim;
  int64_t dim[CZ_DIMS];
  /* Of an array that many calls read and few change, a parameter: another number whenever its
   * contents are others. A kernel may keep what it makes of (data, version), as a packed weight.
   * 0: of anything else. */
  uint64_t version;
} cz_arg;

/* The engine decides whether a gradient is not wanted, written or added to what is there,
 * and tells the kernel. The first use of a value, seen from the loss, writes and the
 * others add, so that no pass clears all gradients first. Where an array is two inputs of a call,
 * so is its gradient: the first writes, and the other adds to that, in the order of inputs.
 * Rows name the inputs that may be so (twins); the engine refuses others. */
typedef enum cz_grad_mode { CZ_GRAD_SKIP, CZ_GRAD_WRITE, CZ_GRAD_ADD } cz_grad_mode;

/* Where random numbers come from: Philox keyed by seed, with the counter (element / 4,
 * op, step, shard). See common/philox.h. */
typedef struct cz_key {
  uint64_t seed;
  uint32_t step, shard, op;
} cz_key;

/* What changes from run to run of a graph, in device memory, so that calls that were recorded can
 * be made again: step and shard are those of the key. loss_seed, in the device's real dtype, is
 * the gradient with which every loss begins backward: 1, or the loss scale. */
typedef struct cz_clock {
  uint32_t step, shard;
  union {
    double f64;
    float f32;
  } loss_seed;
} cz_clock;

/* Everything one kernel call sees. Forward: reads in, writes out. Backward: reads those
 * in and out that the row's needs name, and dout; writes or adds din where mode says so.
 * dout[i].data is null when no gradient arrives there: it counts as zero. */
typedef struct cz_call {
  int n_in, n_out;
  cz_arg in[CZ_OP_IN], out[CZ_OP_OUT];
  cz_arg din[CZ_OP_IN], dout[CZ_OP_OUT];
  cz_grad_mode mode[CZ_OP_IN];
  const void *attr;
  cz_key key;
  const cz_clock *clock; /* in device memory; null outside a graph. A kernel that runs where the
                            call was made may read key instead */
  bool training;         /* false: dropout does nothing */
  void *workspace;
  size_t workspace_bytes;
  void *stream; /* the device's: where a kernel that does not run at once is put; of the host's cpu
                   its matrix units (common/units.h), of ref what its callers put in the place of
                   roundings (common/roundings.h) */
} cz_call;

/* Kernels cannot fail: what could be wrong was refused by the row's shape rule when the
 * graph was built, and workspace was measured before. They may use OpenMP inside and must
 * give the same bits for any number of threads where the row says `deterministic`. */
typedef void (*cz_kernel)(const cz_call *call);

/* What computes one op in one dtype, that of its calls (cz_call_dtype). */
typedef struct cz_kernels {
  cz_kernel forward, backward;                             /* null: there is none */
  size_t (*workspace)(const cz_call *call, bool backward); /* bytes at these sizes; null: none */
} cz_kernels;

/* What backward reads, as bit masks over inputs and outputs. */
typedef struct cz_needs {
  uint32_t in, out;
} cz_needs;

typedef struct cz_op_row {
  const char *name;
  int n_in, n_out;
  const char *in_name[CZ_OP_IN], *out_name[CZ_OP_OUT];
  uint32_t in_optional; /* inputs that may be absent */
  uint32_t in_written;  /* inputs whose numbers are not read: an output is written to their array
                           (must_alias), and what it does not write stays */
  uint32_t twins;       /* inputs of which several may be one array */
  uint32_t out_saved;   /* outputs that exist only for backward: no gradient arrives there, and they
                           are not made when no gradient is wanted */
  uint32_t grad;        /* inputs that yield a gradient; 0 with not_differentiable */
  uint32_t weights; /* those of them that are parameters where they have 16 bits: their gradients
                       have 32 all the same. Other gradients have the dtype of their input */
  bool not_differentiable;
  bool deterministic;  /* the same bits for any number of threads */
  bool fused_backward; /* a terminal loss: backward computes the outputs too, with the same bits, so
                          forward runs only when another node reads them */
  bool of_library;  /* computed by a vendor's library on its cards; the host has the oracle alone */
  bool side_effect; /* writes an input in place (declared in must_alias) and is kept though nobody
                       reads its output */
  int8_t must_alias[CZ_OP_OUT]; /* output i is input must_alias[i] - 1, updated in place; 0: it is
                                   not */
  int8_t may_alias[CZ_OP_OUT];  /* output i may share the storage of input may_alias[i] - 1 when
                                   nobody reads that again; 0: never */
  int8_t may_alias_grad[CZ_OP_IN]; /* din[i] may share the storage of dout[may_alias_grad[i] - 1]
                                      when written, not added; 0: never */
  /* Outputs that backward recomputes by a second forward call instead of keeping them, if
   * everything that this call reads is kept for another reason. recompute_in[k] says what
   * the call gets for input k: 0, the same input; o + 1, output o if it was made, else
   * the same input; -1, nothing. The call gives the same bits as the first one; outputs
   * that are not wanted from it are null. */
  uint32_t recompute;
  int8_t recompute_in[CZ_OP_IN];
  size_t attr_bytes;
  cz_needs needs; /* what backward reads; at most, where there is needs_of */
  /* Takes out of NEEDS what a node with these attributes, which has the inputs of the mask PRESENT,
   * does not read. Null: needs as it stands. */
  void (*needs_of)(cz_needs *needs, const void *attr, uint32_t present);
  /* Checks inputs and attributes and fills out[] (ndim, dim, dtype; ndim 0 = this output
   * is not made). False: WHY holds the reason and the values. */
  bool (*shape)(cz_arg *out, const cz_arg *in, const void *attr, char *why, size_t why_bytes);
  /* Multiply and add counted as two, matrix products only; null: 0. Runs on the host: it
   * may read sizes, attributes and int32 inputs, for which it is given host copies of
   * those that the pass reads, and no other data. */
  double (*flops)(const cz_call *call, bool backward);
  double error_constant; /* float32 limit = error_constant x 2^-24 x (magnitude of the result + its
                            sensitivity to the rounding of inputs). Kernels in 16 bits compute in
                            float32, too: they keep this limit and what their roundings add, which
                            are those of results in 16 bits and those that the float64 kernels name
                            (common/roundings.h) */
  /* The host's kernels by the dtype that they compute in: float64 is `ref`, float32 is
   * `cpu`. A device on the host offers some of them; a module brings a table of its
   * own. */
  cz_kernels kernels[CZ_DTYPES];
} cz_op_row;

typedef enum cz_op {
#define CZ_OP(name) CZ_OP_##name,
#include "kernels/ops.def"
#undef CZ_OP
  CZ_OPS
} cz_op;

/* Rows, indexed by cz_op. */
extern const cz_op_row *const cz_op_rows[CZ_OPS];

static inline CZ_HOST_DEVICE bool cz_present(const cz_arg *a) { return a->ndim > 0; }

/* What backward of a node reads that has these attributes and the inputs of the mask PRESENT. */
static inline cz_needs cz_op_needs(const cz_op_row *row, const void *attr, uint32_t present) {
  cz_needs needs = row->needs;
  if (row->needs_of) row->needs_of(&needs, attr, present);
  return needs;
}

static inline cz_needs cz_call_needs(const cz_op_row *row, const cz_call *call) {
  uint32_t present = 0;
  for (int i = 0; i < row->n_in; i++) present |= (uint32_t)cz_present(&call->in[i]) << i;
  return cz_op_needs(row, call->attr, present);
}

/* The dtype that a call computes in: the narrowest real one among its inputs and outputs.
 * What it keeps in more digits (statistics, gains, a float32 residual stream) is wider. */
static inline CZ_HOST_DEVICE cz_dtype cz_call_dtype(const cz_call *call) {
  cz_dtype narrowest = CZ_F64;
  for (int i = 0; i < CZ_OP_IN; i++)
    if (cz_present(&call->in[i]) && call->in[i].dtype < CZ_I32 && call->in[i].dtype > narrowest)
      narrowest = call->in[i].dtype;
  for (int i = 0; i < CZ_OP_OUT; i++)
    if (cz_present(&call->out[i]) && call->out[i].dtype < CZ_I32 && call->out[i].dtype > narrowest)
      narrowest = call->out[i].dtype;
  return narrowest;
}

/* Elements; 0 when absent. An array with a dimension of 0 is present and has none. */
static inline CZ_HOST_DEVICE int64_t cz_numel(const cz_arg *a) {
  int64_t n = a->ndim > 0 ? 1 : 0;
  for (int i = 0; i < a->ndim; i++) n *= a->dim[i];
  return n;
}

CZ_C_END

#endif
