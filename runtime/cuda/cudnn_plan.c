/* The graph by which cuDNN knows attention, and the plan that it makes of it.
 *
 * A flat list of segments is to cuDNN an array [segments, heads, rows, head] whose segments lie
 * where an array of offsets says, and end after as many rows as another one says. Sums are float32;
 * P and dS are rounded to 16 bits where a product takes them, as the op's row says. */
#include "cuda/cudnn.h"

#include <stdio.h>
#include <string.h>

typedef cudnnBackendDescriptor_t descriptor;

/* A plan in the making. After the first error, which is in plan->why, nothing more is asked for. */
typedef struct build {
  const cz_cudnn_library *library;
  const cz_cudnn_place *place;
  const cz_cudnn_shape *s;
  cz_cudnn_plan *plan;
  descriptor array[CZ_CUDNN_ARRAYS], operation[CZ_CUDNN_OPERATIONS];
  int operations;
  int64_t numbered; /* arrays between operations so far */
  bool failed;
} build;

static void fail(build *b, const char *what) {
  char why[256] = "";
  if (b->failed) return;
  b->failed = true;
  b->library->GetLastErrorString(why, sizeof why);
  snprintf(b->plan->why, sizeof b->plan->why, "%s%s%s", what, *why ? ": " : "", why);
}

static descriptor make(build *b, cudnnBackendDescriptorType_t type) {
  descriptor d = NULL;
  if (b->failed) return NULL;
  if (b->plan->n_made == CZ_CUDNN_DESCRIPTORS) return fail(b, "too many descriptors"), NULL;
  if (b->library->BackendCreateDescriptor(type, &d) != CUDNN_STATUS_SUCCESS)
    return fail(b, "cudnnBackendCreateDescriptor"), NULL;
  return b->plan->made[b->plan->n_made++] = d;
}

static void set(build *b, descriptor d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, int64_t n, const void *value) {
  char what[64];
  if (b->failed || b->library->BackendSetAttribute(d, name, type, n, value) == CUDNN_STATUS_SUCCESS)
    return;
  snprintf(what, sizeof what, "attribute %d", (int)name);
  fail(b, what);
}

static void set_other(build *b, descriptor d, cudnnBackendAttributeName_t name, descriptor other) {
  if (other) set(b, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other);
}

static void set_type(build *b, descriptor d, cudnnBackendAttributeName_t name,
                     cudnnDataType_t type) {
  set(b, d, name, CUDNN_TYPE_DATA_TYPE, 1, &type);
}

static descriptor finished(build *b, descriptor d, const char *what) {
  if (!b->failed && b->library->BackendFinalize(d) != CUDNN_STATUS_SUCCESS) fail(b, what);
  return d;
}

/* ---- arrays ---- */

typedef struct layout {
  int64_t dim[4], stride[4];
} layout;

static layout dense(int64_t B, int64_t H, int64_t rows, int64_t columns) {
  return (layout){{B, H, rows, columns}, {H * rows * columns, rows * columns, columns, 1}};
}

/* The heads of a row lie side by side. */
static layout flat(int64_t B, int64_t H, int64_t rows, int64_t columns) {
  return (layout){{B, H, rows, columns}, {H * rows * columns, columns, H * columns, 1}};
}

/* The same numbers, rows taken for columns. */
static layout turned(layout l) {
  return (layout){{l.dim[0], l.dim[1], l.dim[3], l.dim[2]},
                  {l.stride[0], l.stride[1], l.stride[3], l.stride[2]}};
}

static descriptor tensor(build *b, cudnnDataType_t type, layout l, int64_t number, bool virtual,
                         bool by_value, descriptor begin) {
  const int64_t align = 16;
  descriptor d = make(b, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  set_type(b, d, CUDNN_ATTR_TENSOR_DATA_TYPE, type);
  set(b, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, l.dim);
  set(b, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, l.stride);
  set(b, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &number);
  set(b, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &align);
  set(b, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &virtual);
  set(b, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &by_value);
  set_other(b, d, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC, begin);
  return finished(b, d, "an array");
}

/* Of memory: each is made once. */
static descriptor array(build *b, cz_cudnn_array which, cudnnDataType_t type, layout l,
                        descriptor begin) {
  const bool by_value = which >= CZ_CUDNN_SCALE;
  if (!b->array[which]) b->array[which] = tensor(b, type, l, which, false, by_value, begin);
  b->plan->uses |= 1u << which;
  return b->array[which];
}

/* Of what an operation hands to the next ones. */
static descriptor between(build *b, cudnnDataType_t type, layout l) {
  return tensor(b, type, l, CZ_CUDNN_ARRAYS + b->numbered++, true, false, NULL);
}

static cudnnDataType_t narrow(const build *b) {
  return b->s->dtype == CZ_BF16 ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_HALF;
}

/* A number for each query and key. */
static layout square(const build *b) {
  return dense(b->s->segments, b->s->heads, b->s->queries, b->s->keys);
}

/* A number for each query. */
static layout row(const build *b) { return dense(b->s->segments, b->s->heads, b->s->queries, 1); }

static descriptor scores(build *b, cudnnDataType_t type) { return between(b, type, square(b)); }

static descriptor begin(build *b, cz_cudnn_array which) {
  const layout l = {{b->s->segments + 1, 1, 1, 1}, {1, 1, 1, 1}};
  return array(b, which, CUDNN_DATA_INT32, l, NULL);
}

static descriptor length(build *b, cz_cudnn_array which) {
  const layout l = {{b->s->segments, 1, 1, 1}, {1, 1, 1, 1}};
  return array(b, which, CUDNN_DATA_INT32, l, NULL);
}

static descriptor value(build *b, cz_cudnn_array which) {
  return array(b, which, CUDNN_DATA_FLOAT, dense(1, 1, 1, 1), NULL);
}

static descriptor of_queries(build *b, cz_cudnn_array which) {
  return array(b, which, narrow(b), flat(b->s->segments, b->s->heads, b->s->queries, b->s->head),
               begin(b, CZ_CUDNN_Q_BEGIN));
}

static layout key_rows(const build *b) {
  return flat(b->s->segments, b->s->heads, b->s->keys, b->s->head);
}

static descriptor of_keys(build *b, cz_cudnn_array which, bool turn) {
  const layout l = key_rows(b);
  return array(b, which, narrow(b), turn ? turned(l) : l, begin(b, CZ_CUDNN_K_BEGIN));
}

static descriptor stats(build *b) {
  return array(b, CZ_CUDNN_STATS, CUDNN_DATA_FLOAT,
               flat(b->s->segments, b->s->heads, b->s->queries, 1), begin(b, CZ_CUDNN_STATS_BEGIN));
}

/* ---- operations ---- */

static void operation(build *b, descriptor d, const char *what) {
  finished(b, d, what);
  if (b->operations == CZ_CUDNN_OPERATIONS) fail(b, "too many operations");
  if (!b->failed) b->operation[b->operations++] = d;
}

static cudnnDataType_t precision(cudnnPointwiseMode_t mode) {
  return mode == CUDNN_POINTWISE_GEN_INDEX ? CUDNN_DATA_INT32
         : mode >= CUDNN_POINTWISE_CMP_EQ && mode <= CUDNN_POINTWISE_LOGICAL_NOT
             ? CUDNN_DATA_BOOLEAN
             : CUDNN_DATA_FLOAT;
}

/* Y = MODE(X, OTHER), or by T which of the two; of GEN_INDEX the number along AXIS. */
static descriptor point(build *b, cudnnPointwiseMode_t mode, int64_t axis, descriptor x,
                        descriptor other, descriptor t, descriptor y) {
  descriptor how = make(b, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
  set(b, how, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
  set_type(b, how, CUDNN_ATTR_POINTWISE_MATH_PREC, precision(mode));
  if (mode == CUDNN_POINTWISE_GEN_INDEX)
    set(b, how, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis);
  finished(b, how, "a pointwise function");
  descriptor d = make(b, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
  set_other(b, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, how);
  set_other(b, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
  set_other(b, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, other);
  set_other(b, d, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, t);
  set_other(b, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, y);
  operation(b, d, "a pointwise operation");
  return y;
}

static descriptor two(build *b, cudnnPointwiseMode_t mode, descriptor x, descriptor other,
                      descriptor y) {
  return point(b, mode, 0, x, other, NULL, y);
}

static descriptor one(build *b, cudnnPointwiseMode_t mode, descriptor x, descriptor y) {
  return point(b, mode, 0, x, NULL, NULL, y);
}

/* Along the last dimension. */
static descriptor reduce(build *b, cudnnReduceTensorOp_t by, descriptor x, descriptor y) {
  descriptor how = make(b, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
  set(b, how, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &by);
  set_type(b, how, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  finished(b, how, "a reduction");
  descriptor d = make(b, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
  set_other(b, d, CUDNN_ATTR_OPERATION_REDUCTION_DESC, how);
  set_other(b, d, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
  set_other(b, d, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, y);
  operation(b, d, "a reduction");
  return y;
}

/* Y = X OTHER; M, N, K: how many rows, columns and terms each segment has, where that is not what
 * the arrays have. */
static descriptor product(build *b, descriptor x, descriptor other, descriptor y, descriptor m,
                          descriptor n, descriptor k) {
  descriptor how = make(b, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
  set_type(b, how, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_DATA_FLOAT);
  finished(b, how, "a product");
  descriptor d = make(b, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
  set_other(b, d, CUDNN_ATTR_OPERATION_MATMUL_DESC, how);
  set_other(b, d, CUDNN_ATTR_OPERATION_MATMUL_ADESC, x);
  set_other(b, d, CUDNN_ATTR_OPERATION_MATMUL_BDESC, other);
  set_other(b, d, CUDNN_ATTR_OPERATION_MATMUL_CDESC, y);
  set_other(b, d, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, m);
  set_other(b, d, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, n);
  set_other(b, d, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, k);
  operation(b, d, "a product");
  return y;
}

static descriptor reshape(build *b, descriptor x, descriptor y) {
  descriptor d = make(b, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
  set_other(b, d, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
  set_other(b, d, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, y);
  operation(b, d, "a transposition");
  return y;
}

/* ---- attention ---- */

static descriptor number_along(build *b, int64_t axis, descriptor s) {
  return point(b, CUDNN_POINTWISE_GEN_INDEX, axis, s, NULL, NULL, scores(b, CUDNN_DATA_INT32));
}

static descriptor compared(build *b, cudnnPointwiseMode_t mode, descriptor x, descriptor other) {
  return two(b, mode, x, other, scores(b, CUDNN_DATA_BOOLEAN));
}

/* S where T, else the lowest number. */
static descriptor where(build *b, descriptor t, descriptor s) {
  return point(b, CUDNN_POINTWISE_BINARY_SELECT, 0, s, value(b, CZ_CUDNN_LOWEST), t,
               scores(b, CUDNN_DATA_FLOAT));
}

/* s_ij = scale q_i . k_j of the pairs that there are and that are seen. */
static descriptor masked_scores(build *b) {
  descriptor queries = length(b, CZ_CUDNN_Q_LENGTH), keys = length(b, CZ_CUDNN_K_LENGTH);
  descriptor s = product(b, of_queries(b, CZ_CUDNN_Q), of_keys(b, CZ_CUDNN_K, true),
                         scores(b, CUDNN_DATA_FLOAT), queries, keys, NULL);
  s = two(b, CUDNN_POINTWISE_MUL, s, value(b, CZ_CUDNN_SCALE), scores(b, CUDNN_DATA_FLOAT));
  descriptor i = number_along(b, 2, s), j = number_along(b, 3, s);
  i = compared(b, CUDNN_POINTWISE_CMP_LT, i, queries);
  j = compared(b, CUDNN_POINTWISE_CMP_LT, j, keys);
  s = where(b, compared(b, CUDNN_POINTWISE_LOGICAL_AND, i, j), s);
  if (!b->s->causal) return s;
  i = number_along(b, 2, s), j = number_along(b, 3, s);
  return where(b, compared(b, CUDNN_POINTWISE_CMP_GE, i, j), s);
}

static void forward(build *b) {
  descriptor s = masked_scores(b);
  descriptor max = reduce(b, CUDNN_REDUCE_TENSOR_MAX, s, between(b, CUDNN_DATA_FLOAT, row(b)));
  s = two(b, CUDNN_POINTWISE_SUB, s, max, scores(b, CUDNN_DATA_FLOAT));
  s = one(b, CUDNN_POINTWISE_EXP, s, scores(b, CUDNN_DATA_FLOAT));
  descriptor sum = reduce(b, CUDNN_REDUCE_TENSOR_ADD, s, between(b, CUDNN_DATA_FLOAT, row(b)));
  descriptor log = one(b, CUDNN_POINTWISE_LOG, sum, between(b, CUDNN_DATA_FLOAT, row(b)));
  two(b, CUDNN_POINTWISE_ADD, max, log, stats(b));
  s = two(b, CUDNN_POINTWISE_DIV, s, sum, scores(b, narrow(b)));
  product(b, s, of_keys(b, CZ_CUDNN_V, false), of_queries(b, CZ_CUDNN_O),
          length(b, CZ_CUDNN_Q_LENGTH), NULL, length(b, CZ_CUDNN_K_LENGTH));
}

/* D_i = do_i . o_i. The product with 1 is part of the pattern: without it cuDNN asks for three
 * times the workspace. */
static descriptor dots(build *b) {
  const layout wide = dense(b->s->segments, b->s->heads, b->s->queries, b->s->head);
  descriptor d = two(b, CUDNN_POINTWISE_MUL, of_queries(b, CZ_CUDNN_DO), of_queries(b, CZ_CUDNN_O),
                     between(b, CUDNN_DATA_FLOAT, wide));
  d = reduce(b, CUDNN_REDUCE_TENSOR_ADD, d, between(b, CUDNN_DATA_FLOAT, row(b)));
  return two(b, CUDNN_POINTWISE_MUL, d, value(b, CZ_CUDNN_ONE),
             array(b, CZ_CUDNN_D, CUDNN_DATA_FLOAT, row(b), NULL));
}

/* Rounded and transposed: a row for each key. */
static descriptor by_keys(build *b, descriptor x) {
  return reshape(
      b, x,
      between(b, narrow(b), turned(dense(b->s->segments, b->s->heads, b->s->queries, b->s->keys))));
}

static void backward(build *b) {
  descriptor queries = length(b, CZ_CUDNN_Q_LENGTH), keys = length(b, CZ_CUDNN_K_LENGTH);
  descriptor d = dots(b), s = masked_scores(b);
  descriptor p = two(b, CUDNN_POINTWISE_SUB, s, stats(b), scores(b, CUDNN_DATA_FLOAT));
  p = one(b, CUDNN_POINTWISE_EXP, p, scores(b, CUDNN_DATA_FLOAT));
  product(b, by_keys(b, p), of_queries(b, CZ_CUDNN_DO), of_keys(b, CZ_CUDNN_DV, false), keys, NULL,
          queries);
  /* dS_ij = P_ij (do_i . v_j - D_i) scale */
  s = product(b, of_queries(b, CZ_CUDNN_DO), of_keys(b, CZ_CUDNN_V, true),
              scores(b, CUDNN_DATA_FLOAT), queries, keys, NULL);
  s = two(b, CUDNN_POINTWISE_SUB, s, d, scores(b, CUDNN_DATA_FLOAT));
  s = two(b, CUDNN_POINTWISE_MUL, s, p, scores(b, CUDNN_DATA_FLOAT));
  s = two(b, CUDNN_POINTWISE_MUL, s, value(b, CZ_CUDNN_SCALE), scores(b, CUDNN_DATA_FLOAT));
  product(b, by_keys(b, s), of_queries(b, CZ_CUDNN_Q), of_keys(b, CZ_CUDNN_DK, false), keys, NULL,
          queries);
  descriptor k =
      reshape(b, of_keys(b, CZ_CUDNN_K, true), between(b, CUDNN_DATA_FLOAT, key_rows(b)));
  product(b, s, k, of_queries(b, CZ_CUDNN_DQ), queries, NULL, keys);
}

/* ---- the plan ---- */

static descriptor graph(build *b) {
  descriptor d = make(b, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  set(b, d, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, b->operations,
      b->operation);
  if (b->place->handle)
    set(b, d, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &b->place->handle);
  return finished(b, d, "the graph");
}

enum { CANDIDATES = 8 };

/* Configurations of engines that compute the graph, cuDNN's best guess first; how many. */
static int64_t candidates(build *b, descriptor whole, descriptor found[CANDIDATES]) {
  const cudnnBackendHeurMode_t mode = CUDNN_HEUR_MODE_A;
  int64_t n = 0;
  descriptor d = make(b, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  set_other(b, d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, whole);
  set(b, d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
  set_other(b, d, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, b->place->properties);
  finished(b, d, "the search for an engine");
  for (int i = 0; i < CANDIDATES; i++) found[i] = make(b, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
  if (!b->failed && b->library->BackendGetAttribute(d, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                                    CUDNN_TYPE_BACKEND_DESCRIPTOR, CANDIDATES, &n,
                                                    found) != CUDNN_STATUS_SUCCESS)
    n = 0;
  if (n == 0) fail(b, "no engine of cuDNN computes it on this card");
  return n;
}

/* Whether the configuration's engine gives other bits each time, or does not say. */
static bool random_bits(build *b, descriptor configuration) {
  cudnnBackendNumericalNote_t note[CUDNN_NUMERICAL_NOTE_TYPE_COUNT];
  int64_t n = 0;
  descriptor engine = make(b, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  if (b->failed ||
      b->library->BackendGetAttribute(configuration, CUDNN_ATTR_ENGINECFG_ENGINE,
                                      CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &n,
                                      &engine) != CUDNN_STATUS_SUCCESS ||
      b->library->BackendGetAttribute(engine, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                      CUDNN_TYPE_NUMERICAL_NOTE, CUDNN_NUMERICAL_NOTE_TYPE_COUNT,
                                      &n, note) != CUDNN_STATUS_SUCCESS)
    return true;
  for (int64_t i = 0; i < n; i++)
    if (note[i] == CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) return true;
  return false;
}

/* The plan by CONFIGURATION; false when cuDNN cannot make one. */
static bool planned(build *b, descriptor configuration) {
  int64_t bytes = 0, n = 0;
  descriptor d = make(b, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  set_other(b, d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, configuration);
  if (b->place->handle)
    set(b, d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &b->place->handle);
  set_other(b, d, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, b->place->properties);
  if (b->failed || b->library->BackendFinalize(d) != CUDNN_STATUS_SUCCESS ||
      b->library->BackendGetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64,
                                      1, &n, &bytes) != CUDNN_STATUS_SUCCESS)
    return false;
  b->plan->plan = d;
  b->plan->workspace = (size_t)bytes;
  return true;
}

/** Makes the plan of SHAPE on PLACE; P->plan stays null, with P->why, when cuDNN has none. To be
 * freed in any case. */
void cz_cudnn_plan_make(cz_cudnn_plan *p, const cz_cudnn_library *library,
                        const cz_cudnn_place *place, const cz_cudnn_shape *shape) {
  build b = {.library = library, .place = place, .s = &p->shape, .plan = p};
  descriptor found[CANDIDATES] = {NULL};
  memset(p, 0, sizeof *p);
  p->shape = *shape;
  if (shape->backward)
    backward(&b);
  else
    forward(&b);
  const int64_t n = candidates(&b, graph(&b), found);
  for (int64_t i = 0; i < n && !p->plan && !b.failed; i++)
    if (!random_bits(&b, found[i])) (void)planned(&b, found[i]);
  if (!p->plan) fail(&b, "cuDNN makes no plan of its engines");
}

/** Frees what the plan holds. */
void cz_cudnn_plan_free(cz_cudnn_plan *p, const cz_cudnn_library *library) {
  while (p->n_made > 0) (void)library->BackendDestroyDescriptor(p->made[--p->n_made]);
  p->plan = NULL;
}

/** Puts the plan into the handle's stream, on the arrays AT. */
cudnnStatus_t cz_cudnn_plan_run(const cz_cudnn_plan *p, const cz_cudnn_library *library,
                                cudnnHandle_t handle, void *const at[CZ_CUDNN_ARRAYS],
                                void *workspace) {
  cz_cudnn_plan pack = {.n_made = 0};
  build b = {.library = library, .plan = &pack};
  int64_t number[CZ_CUDNN_ARRAYS];
  void *data[CZ_CUDNN_ARRAYS];
  int64_t n = 0;
  for (int i = 0; i < CZ_CUDNN_ARRAYS; i++)
    if (p->uses >> i & 1) number[n] = i, data[n++] = at[i];
  descriptor d = make(&b, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  set(&b, d, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, n, number);
  set(&b, d, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, n, data);
  set(&b, d, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace);
  finished(&b, d, "the arrays");
  const cudnnStatus_t st =
      b.failed ? CUDNN_STATUS_BAD_PARAM : library->BackendExecute(handle, p->plan, d);
  cz_cudnn_plan_free(&pack, library);
  return st;
}
