/* The engine: a small static graph of coarse ops (docs/design.md 4).
 *
 * Build: extents, inputs, parameters and nodes, in the order in which they run. Building
 * a node checks shapes at once; a bad node poisons what follows and is reported once,
 * with its place, by cz_graph_finish. Finish (finish.c) runs three passes: named fusions
 * (fuse.c), differentiation that prunes what nobody needs (schedule.c), and the lifetime
 * plan (lifetimes.c). Run (execute.c): set the extents, feed the inputs, then forward
 * (and backward) op by op, on any device; read losses, kept values and gradients.
 *
 * Data goes in by cz_graph_feed_* and by the parameters, which the list in
 * tensor/params.h owns. Everything between lies in one arena that is planned at capacity;
 * a value's memory is another's as soon as nobody reads it, so only kept values can be
 * read after a run, and before the next one.
 *
 * Refused: control flow, strides, broadcasting, second derivatives, plug-ins. */
#ifndef CZ_GRAPH_GRAPH_H
#define CZ_GRAPH_GRAPH_H

#include "base/mem.h"
#include "device/device.h"
#include "kernels/op.h"
#include "tensor/params.h"

#include <stdio.h>

typedef struct cz_graph cz_graph;

/* A value of the graph. CZ_ABSENT stands for an optional input that is not given. */
typedef int32_t cz_value;
enum { CZ_ABSENT = -1 };

typedef struct cz_graph_options {
  bool train;    /* differentiate: gradients of all trainable parameters */
  bool no_reuse; /* give every tensor memory of its own and recompute none (for tests and debugging)
                  */
  bool no_fusion; /* run the nodes as built */
} cz_graph_options;

/* Called by a backward run when the last kernel that writes a parameter's gradient was called. It
 * need not have run: what is asked of the device from then on comes after it. */
typedef void (*cz_grad_ready)(void *self, const cz_param *param);

typedef struct cz_graph_run_options {
  cz_key key;    /* seed, step and shard of the random draws; op is filled per node */
  bool training; /* dropout on */
  cz_grad_ready ready;
  void *ready_self;
} cz_graph_run_options;

typedef struct cz_op_time { /* of one op, summed over its nodes and over runs */
  const char *op;
  double forward_s, backward_s, forward_flop, backward_flop; /* seconds; recomputation counts as
                                                                time, not as work */
  int64_t calls;
} cz_op_time;

CZ_MUST cz_status cz_graph_create(cz_graph **graph, cz_params *params);
void cz_graph_destroy(cz_graph **graph);

/* Building. Functions that return a value or nothing cannot fail on the spot: the first
 * error is kept, everything built from it is poisoned and silent, and cz_graph_finish
 * reports it. So a model's code reads like its formula, without a check a line.
 *
 * A dimension is a size or a negative number that cz_graph_extent gave: then memory is
 * planned for its capacity, and every run may set another size up to that. */
int64_t cz_graph_extent(cz_graph *g, const char *name, int64_t capacity);
cz_value cz_graph_input(cz_graph *g, const char *name, cz_dtype dtype, int ndim,
                        const int64_t *dim);
cz_value cz_graph_state(cz_graph *g, const char *name, int ndim, const int64_t *dim);
cz_value cz_graph_borrow(cz_graph *g, const char *name, int ndim, const int64_t *dim);
cz_value cz_graph_param(cz_graph *g, cz_param *param);
void cz_graph_op(cz_graph *g, cz_value *out, cz_op op, const char *name, int n_in,
                 const cz_value *in, const void *attr);
void cz_graph_block(cz_graph *g, const char *name, bool recompute);
void cz_graph_keep(cz_graph *g, cz_value v);
void cz_graph_loss(cz_graph *g, cz_value v);
CZ_MUST cz_status cz_graph_finish(cz_graph *g, const cz_graph_options *options);

/* Running. feed copies and returns when the host's array may be reused; lend does not
 * copy. A graph that was finished with `train` runs cz_graph_train, for losses and
 * gradients; one that was finished without it runs cz_graph_forward. Gradients of
 * parameters are in the list (tensor/params.h) afterwards. Two runs with the same
 * key, feed and parameters give the same bits on one kind of processor, with any
 * number of threads. */
CZ_MUST cz_status cz_graph_set_extent(cz_graph *g, int64_t extent, int64_t value);
CZ_MUST cz_status cz_graph_feed_int(cz_graph *g, cz_value v, const int32_t *host, int64_t n);
CZ_MUST cz_status cz_graph_feed_real(cz_graph *g, cz_value v, const double *host, int64_t n);
void cz_graph_lend(cz_graph *g, cz_value v, void *data);
void *cz_graph_loss_seed(const cz_graph *g);
CZ_MUST cz_status cz_graph_forward(cz_graph *g, const cz_graph_run_options *options);
CZ_MUST cz_status cz_graph_train(cz_graph *g, const cz_graph_run_options *options);
CZ_MUST cz_status cz_graph_read(cz_graph *g, double *host, cz_value v, int64_t n);
CZ_MUST cz_status cz_graph_read_loss(cz_graph *g, double *sum);
CZ_MUST cz_status cz_graph_put_loss(cz_graph *g, void *to);
cz_arg cz_graph_arg(const cz_graph *g, cz_value v);
cz_value cz_graph_grad(const cz_graph *g, cz_value v);

/* The planned graph: bytes, plan, hash, times. A profiled run reads the clock when all its kernels
 * were called, and waits for them there. */
size_t cz_graph_bytes(const cz_graph *g);
uint64_t cz_graph_hash(const cz_graph *g);
CZ_MUST cz_status cz_graph_print(const cz_graph *g, cz_buf *out, bool json);
void cz_graph_profile(cz_graph *g, bool on);
int cz_graph_times(const cz_graph *g, cz_op_time *times, int n);

/* One op at once, outside any graph: optimizers and single products. Workspace is kept by
 * the caller and grows. */
typedef struct cz_scratch {
  void *data;
  size_t bytes;
} cz_scratch;

CZ_MUST cz_status cz_op_run(cz_device *d, cz_op op, cz_call *call, cz_scratch *scratch);
CZ_MUST cz_status cz_op_run_backward(cz_device *d, cz_op op, cz_call *call, cz_scratch *scratch);
void cz_scratch_free(cz_device *d, cz_scratch *scratch);

#endif
