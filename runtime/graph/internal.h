/* What the files of the engine share. Values and nodes are indexes; a gradient is a value
 * like any other.
 *
 * build.c fills values and nodes. finish.c then runs fuse.c, which joins nodes and marks
 * the old ones dead; schedule.c, which turns live nodes into steps (forward,
 * recomputation, backward) and makes the gradients' values; and lifetimes.c, which gives
 * every planned tensor an offset. execute.c runs the steps as they stand: all decisions
 * are made before the first run, but for the places of tensors, which may move between runs. */
#ifndef CZ_GRAPH_INTERNAL_H
#define CZ_GRAPH_INTERNAL_H

#include "graph/graph.h"

/* A poisoned value stands for what could not be built; a node that reads it is poisoned
 * too and reports nothing, so that one mistake makes one message. */
enum { CZ__POISON = -2, CZ__NO_NODE = -1 };

typedef enum cz__kind {
  CZ__INPUT,      /* fed by the host; memory of its own */
  CZ__BORROWED,   /* an input whose memory somebody else lends before each run */
  CZ__STATE,      /* survives runs; memory of its own */
  CZ__PARAM,      /* memory of the parameter list */
  CZ__PARAM_GRAD, /* the same, gradient */
  CZ__TENSOR      /* planned: outputs of nodes and their gradients */
} cz__kind;

/* A value is made once, by a node or from outside, and never changes its shape's form;
 * only state and what an op with a side effect updates in place change their contents. */
typedef struct cz__value {
  const char *name;
  cz__kind kind;
  cz_arg arg;       /* dims as built: a negative one is an extent */
  int node, output; /* who makes it */
  cz_param *param;  /* CZ__PARAM and CZ__PARAM_GRAD: whose */
  bool keep;        /* lives to the end of the run */
  bool saved;       /* made for backward only */
  bool read;        /* a live node reads it */
  bool touched;     /* some step uses it: without that it is not made */
  cz_value grad;    /* or CZ_ABSENT */
  /* the plan, for CZ__TENSOR */
  int first, last;      /* steps between which it lives */
  cz_value shares;      /* the value whose memory it uses, or CZ_ABSENT */
  size_t bytes, offset; /* offset: in the arena, or in what a state shares */
  int64_t filled;       /* on a guard device: elements written since the run began, or fed */
} cz__value;

/* One op as the builder asked for it. `key` is a hash of the name and numbers the node's
 * random draws: the same node draws the same masks however many others there are. `dead`
 * nodes were fused away or feed nothing that anybody reads. */
typedef struct cz__node {
  cz_op op;
  const cz_op_row *row;
  const char *name;
  int block;
  cz_value in[CZ_OP_IN], out[CZ_OP_OUT];
  unsigned char attr[CZ_ATTR_BYTES] __attribute__((aligned(16)));
  uint32_t key;
  bool dead;
} cz__node;

/* Nodes between two calls of cz_graph_block. With `recompute` only what crosses its
 * borders is kept for backward; a second run of its steps recomputes the rest. */
typedef struct cz__block {
  const char *name;
  bool recompute;
} cz__block;

typedef enum cz__phase { CZ__FORWARD, CZ__RECOMPUTE, CZ__BACKWARD } cz__phase;

/* One kernel call of the schedule. Absent arrays hold CZ_ABSENT. in and out differ from
 * the node's where a recomputed copy of a value takes the place of the first one. */
typedef struct cz__step {
  int node;
  cz__phase phase;
  cz_value in[CZ_OP_IN], out[CZ_OP_OUT], din[CZ_OP_IN], dout[CZ_OP_OUT];
  cz_grad_mode mode[CZ_OP_IN];
  bool reads_in[CZ_OP_IN], reads_out[CZ_OP_OUT]; /* backward: what the row's needs name */
  bool writes_out;
} cz__step;

typedef struct cz__extent {
  const char *name;
  int64_t capacity, actual;
  int64_t planned; /* for which tensors have their places; 0: no run yet, those of capacity */
} cz__extent;

typedef enum cz__extents_at { CZ__AT_CAPACITY, CZ__AT_PLANNED, CZ__AT_PRESENT } cz__extents_at;

/* Arrays grow while the graph is built and stay where they are once it is finished. */
struct cz_graph {
  cz_device *device;
  cz_params *params;
  cz_arena *arena; /* names */
  cz_graph_options options;
  cz__value *values;
  cz__node *nodes;
  cz__step *steps;
  cz__block *blocks;
  cz__extent *extents;
  size_t n_values, n_nodes, n_steps, n_blocks, n_extents, n_losses;
  size_t cap_values, cap_nodes, cap_steps, cap_blocks, cap_extents, cap_losses;
  int forward_steps; /* steps[0 .. forward_steps) are the forward pass */
  cz_value *losses;  /* each begins backward with the clock's loss_seed */
  cz_status error;   /* first building error; its message is kept in `why` */
  char why[1024];
  bool finished;
  void *memory, *workspace;
  size_t memory_bytes, workspace_bytes;
  cz_value *placed; /* tensors with memory of their own, as they were placed last */
  size_t n_placed;
  cz_value clock; /* a state: cz_clock */
  bool profile;
  cz_event **events; /* [2 n_steps], before and after each; null until a run is profiled */
  cz_op_time times[CZ_OPS];
};

static inline bool cz__is_value(cz_value v) { return v >= 0; }
static inline cz__value *cz__val(cz_graph *g, cz_value v) { return &g->values[v]; }

/* values.c: making values, and their arrays with extents resolved, at capacity or at
 * present. cz__fail keeps the first error only. */
void cz__fail(cz_graph *g, cz_status st, const char *message);
cz_value cz__value_add(cz_graph *g, const char *name, cz__kind kind, const cz_arg *arg);
CZ_MUST cz_status cz__graph_name(cz_graph *g, const char **out, const char *prefix,
                                 const char *name);
size_t cz__bytes_at(const cz_graph *g, const cz_arg *arg, cz__extents_at at);
cz_arg cz__resolve(const cz_graph *g, const cz__value *v, bool capacity);
void cz__step_call(const cz_graph *g, const cz__step *s, cz_call *call, bool capacity);

CZ_MUST cz_status cz__clock_add(cz_graph *g);

/* The passes of cz_graph_finish, in this order. Each leaves a graph that could run:
 * fusing changes no bit of any result, and the plan decides about memory alone. */
CZ_MUST cz_status cz__fuse(cz_graph *g);
CZ_MUST cz_status cz__schedule(cz_graph *g);
CZ_MUST cz_status cz__plan(cz_graph *g);
void cz__plan_run(cz_graph *g);

/* profile.c: a run's times, from events that lie around its kernels. */
CZ_MUST cz_status cz__profile_open(cz_graph *g);
void cz__profile_close(cz_graph *g);
CZ_MUST cz_status cz__profile_mark(cz_graph *g, int step, bool after);
CZ_MUST cz_status cz__profile_read(cz_graph *g, int steps);

/* execute.c and guard.c. On a guard device each step is wrapped: what it reads must have
 * been written, what it writes is NaN before, and the sentinels beside all tensors must
 * be whole after it. */
CZ_MUST cz_status cz__kernels_of(const cz_graph *g, const cz_kernels **kernels, const cz__step *s,
                                 const cz_call *call);
void cz__guard_start(cz_graph *g);
CZ_MUST cz_status cz__guard_begin(cz_graph *g, int step, const cz_kernels *kernels,
                                  const cz_call *call);
CZ_MUST cz_status cz__guard_end(cz_graph *g, int step);

#endif
