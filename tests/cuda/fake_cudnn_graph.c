/* A graph of operations, one after another, each over whole arrays of float64 on the host; what an
 * array of 16 bits holds is rounded. Slow, and nothing but the words of the manual. */
#include "fake_cudnn_graph.h"
#include "numbers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { VALUES = 64 };

/* ---- arrays ---- */

typedef struct tensor {
  const int64_t *dim, *stride;
  int64_t number;
  int type;
  bool virtual, by_value;
  const fake_descriptor *begin; /* where its segments begin; null: they are one behind another */
} tensor;

static const fake_descriptor *other(const fake_descriptor *d, int name) {
  fake_descriptor *const *found = fake_attribute(d, name, NULL);
  return found ? *found : NULL;
}

static bool flag(const fake_descriptor *d, int name) {
  const bool *found = fake_attribute(d, name, NULL);
  return found && *found;
}

static int word(const fake_descriptor *d, int name) {
  int x;
  memcpy(&x, fake_attribute(d, name, NULL), sizeof x);
  return x;
}

static tensor tensor_of(const fake_descriptor *d) {
  return (tensor){.dim = fake_attribute(d, CUDNN_ATTR_TENSOR_DIMENSIONS, NULL),
                  .stride = fake_attribute(d, CUDNN_ATTR_TENSOR_STRIDES, NULL),
                  .number = *(const int64_t *)fake_attribute(d, CUDNN_ATTR_TENSOR_UNIQUE_ID, NULL),
                  .type = word(d, CUDNN_ATTR_TENSOR_DATA_TYPE),
                  .virtual = flag(d, CUDNN_ATTR_TENSOR_IS_VIRTUAL),
                  .by_value = flag(d, CUDNN_ATTR_TENSOR_IS_BY_VALUE),
                  .begin = other(d, CUDNN_ATTR_TENSOR_RAGGED_OFFSET_DESC)};
}

static int64_t count(const tensor *t) { return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3]; }

/* No two elements of a segment lie at one place. */
static bool apart(const tensor *t) {
  int64_t span = 1;
  for (int i = 0; i < 4; i++) span += (t->dim[i] - 1) * t->stride[i];
  unsigned char *seen = calloc((size_t)span, 1);
  bool good = true;
  for (int64_t i = 0; i < count(t) && good; i++) {
    int64_t at = 0, rest = i;
    for (int k = 3; k >= 0; k--) at += rest % t->dim[k] * t->stride[k], rest /= t->dim[k];
    good = !seen[at]++;
  }
  free(seen);
  return good;
}

static bool same(const tensor *a, const tensor *b) {
  return !memcmp(a->dim, b->dim, 4 * sizeof *a->dim);
}

/* B's dimensions are A's or 1. */
static bool spreads(const tensor *b, const tensor *a) {
  for (int i = 0; i < 4; i++)
    if (b->dim[i] != 1 && b->dim[i] != a->dim[i]) return false;
  return true;
}

static bool tensor_fits(const fake_descriptor *d) {
  const tensor t = tensor_of(d);
  for (int i = 0; i < 4; i++)
    if (t.dim[i] < 1 || t.stride[i] < 1) return false;
  if (t.virtual && (t.begin || t.by_value)) return false;
  if (t.by_value && count(&t) != 1) return false;
  if (count(&t) < 1 << 16 && !apart(&t)) return false;
  if (!t.begin) return t.virtual || t.number < FAKE_ARRAYS;
  const tensor begin = tensor_of(t.begin);
  return begin.type == CUDNN_DATA_INT32 && begin.dim[0] == t.dim[0] + 1 &&
         count(&begin) == begin.dim[0] && !begin.virtual;
}

static bool product_fits(const fake_descriptor *d) {
  const tensor a = tensor_of(other(d, CUDNN_ATTR_OPERATION_MATMUL_ADESC)),
               b = tensor_of(other(d, CUDNN_ATTR_OPERATION_MATMUL_BDESC)),
               c = tensor_of(other(d, CUDNN_ATTR_OPERATION_MATMUL_CDESC));
  for (int i = 0; i < 2; i++)
    if (a.dim[i] != b.dim[i] || a.dim[i] != c.dim[i]) return false;
  return a.dim[2] == c.dim[2] && a.dim[3] == b.dim[2] && b.dim[3] == c.dim[3];
}

static bool point_fits(const fake_descriptor *d) {
  const fake_descriptor *how = other(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR),
                        *b = other(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC),
                        *t = other(d, CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
  const int mode = word(how, CUDNN_ATTR_POINTWISE_MODE);
  const bool alone = mode == CUDNN_POINTWISE_EXP || mode == CUDNN_POINTWISE_LOG ||
                     mode == CUDNN_POINTWISE_GEN_INDEX;
  const tensor x = tensor_of(other(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC)),
               y = tensor_of(other(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC));
  if (!same(&x, &y) || alone != !b || (mode == CUDNN_POINTWISE_BINARY_SELECT) != !!t) return false;
  if (mode == CUDNN_POINTWISE_GEN_INDEX && !fake_attribute(how, CUDNN_ATTR_POINTWISE_AXIS, NULL))
    return false;
  const tensor with = b ? tensor_of(b) : x, choice = t ? tensor_of(t) : x;
  return spreads(&with, &x) && same(&choice, &x) && (!t || choice.type == CUDNN_DATA_BOOLEAN);
}

static bool reduction_fits(const fake_descriptor *d) {
  const tensor x = tensor_of(other(d, CUDNN_ATTR_OPERATION_REDUCTION_XDESC)),
               y = tensor_of(other(d, CUDNN_ATTR_OPERATION_REDUCTION_YDESC));
  return spreads(&y, &x) && y.dim[3] == 1 && y.dim[2] == x.dim[2] && y.dim[1] == x.dim[1] &&
         y.dim[0] == x.dim[0];
}

static bool reshape_fits(const fake_descriptor *d) {
  const tensor x = tensor_of(other(d, CUDNN_ATTR_OPERATION_RESHAPE_XDESC)),
               y = tensor_of(other(d, CUDNN_ATTR_OPERATION_RESHAPE_YDESC));
  return x.dim[2] == y.dim[3] && x.dim[3] == y.dim[2] && x.dim[0] == y.dim[0] &&
         x.dim[1] == y.dim[1];
}

bool fake_cudnn_fits(const fake_descriptor *d) {
  bool fits = true;
  switch (d->kind) {
  case CUDNN_BACKEND_TENSOR_DESCRIPTOR: fits = tensor_fits(d); break;
  case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR: fits = product_fits(d); break;
  case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: fits = point_fits(d); break;
  case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR: fits = reduction_fits(d); break;
  case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR: fits = reshape_fits(d); break;
  default: break;
  }
  if (!fits) fake_cudnn_wrong("descriptor %d: its parts do not fit", d->kind);
  return fits;
}

/* ---- numbers ---- */

/* Arrays on the host, in the order of their dimensions; `there`: the elements that a segment has.
 */
typedef struct values {
  int64_t number;
  double *x;
} values;

typedef struct machine {
  fake_run run;
  values made[VALUES];
  int n;
} machine;

/* How many rows segment B has; -1: all. Of Q, O, their gradients and statistics those of queries,
 * of the others those of keys: they are told apart by where segments begin. */
typedef struct place {
  const machine *m;
  tensor t;
} place;

static int64_t offset(const place *p, const int64_t at[4]) {
  int64_t o = 0;
  for (int i = p->t.begin ? 1 : 0; i < 4; i++) o += at[i] * p->t.stride[i];
  if (!p->t.begin) return o;
  const tensor begin = tensor_of(p->t.begin);
  return o + ((const int32_t *)p->m->run.at[begin.number])[at[0]];
}

/* Elements beyond the end of the segment are none: the next one begins there. The stride of rows
 * is the largest one behind that of segments. */
static bool inside(const place *p, const int64_t at[4]) {
  if (!p->t.begin) return true;
  const tensor begin = tensor_of(p->t.begin);
  const int32_t *first = p->m->run.at[begin.number];
  const int row = p->t.stride[2] >= p->t.stride[3] ? 2 : 3;
  const int64_t length = (first[at[0] + 1] - first[at[0]]) / p->t.stride[row];
  return at[row] < length;
}

static void indices(const tensor *t, int64_t i, int64_t at[4]) {
  for (int k = 3; k >= 0; k--) at[k] = i % t->dim[k], i /= t->dim[k];
}

static double rounded(double x, int type) {
  unsigned char bytes[8];
  const cz_dtype dtype = type == CUDNN_DATA_BFLOAT16 ? CZ_BF16
                         : type == CUDNN_DATA_HALF   ? CZ_F16
                                                     : CZ_F32;
  put_number(bytes, 0, dtype, (float)x);
  return (double)number_at(bytes, 0, dtype);
}

static double load(const place *p, const int64_t at[4]) {
  const int64_t i = offset(p, at);
  const void *data = p->m->run.at[p->t.number];
  if (p->t.by_value) return (double)p->m->run.value[p->t.number];
  if (!inside(p, at)) return 0;
  if (p->t.type == CUDNN_DATA_INT32) return ((const int32_t *)data)[i];
  return (double)number_at(data, i,
                           p->t.type == CUDNN_DATA_FLOAT      ? CZ_F32
                           : p->t.type == CUDNN_DATA_BFLOAT16 ? CZ_BF16
                                                              : CZ_F16);
}

/* The array's numbers; read from memory when no operation made them. */
static double *numbers(machine *m, const fake_descriptor *d) {
  const place p = {m, tensor_of(d)};
  for (int i = 0; i < m->n; i++)
    if (m->made[i].number == p.t.number && p.t.virtual) return m->made[i].x;
  if (p.t.virtual || m->n == VALUES) abort();
  double *x = m->made[m->n].x = malloc((size_t)count(&p.t) * sizeof *x);
  m->made[m->n++].number = p.t.number;
  for (int64_t i = 0; i < count(&p.t); i++) {
    int64_t at[4];
    indices(&p.t, i, at);
    x[i] = load(&p, at);
  }
  return x;
}

/* Takes X as what an operation made of D: rounded, and written where it has memory. */
static void keep(machine *m, const fake_descriptor *d, double *x) {
  const place p = {m, tensor_of(d)};
  const bool real = p.t.type != CUDNN_DATA_INT32 && p.t.type != CUDNN_DATA_BOOLEAN;
  if (m->n == VALUES) abort();
  m->made[m->n].number = p.t.number;
  m->made[m->n++].x = x;
  for (int64_t i = 0; i < count(&p.t); i++) {
    int64_t at[4];
    if (real) x[i] = rounded(x[i], p.t.type);
    indices(&p.t, i, at);
    if (!p.t.virtual && inside(&p, at))
      put_number(m->run.at[p.t.number], offset(&p, at),
                 p.t.type == CUDNN_DATA_FLOAT      ? CZ_F32
                 : p.t.type == CUDNN_DATA_BFLOAT16 ? CZ_BF16
                                                   : CZ_F16,
                 (float)x[i]);
  }
}

/* ---- operations ---- */

static double function(int mode, double x, double b, double t) {
  switch (mode) {
  case CUDNN_POINTWISE_MUL: return x * b;
  case CUDNN_POINTWISE_ADD: return x + b;
  case CUDNN_POINTWISE_SUB: return x - b;
  case CUDNN_POINTWISE_DIV: return x / b;
  case CUDNN_POINTWISE_EXP: return exp(x);
  case CUDNN_POINTWISE_LOG: return log(x);
  case CUDNN_POINTWISE_CMP_LT: return x < b;
  case CUDNN_POINTWISE_CMP_GE: return x >= b;
  case CUDNN_POINTWISE_LOGICAL_AND: return x != 0 && b != 0;
  case CUDNN_POINTWISE_BINARY_SELECT: return t != 0 ? x : b;
  default: abort();
  }
}

/* Element AT of an array that is spread. */
static int64_t spread(const tensor *t, const int64_t at[4]) {
  int64_t i = 0;
  for (int k = 0; k < 4; k++) i = i * t->dim[k] + (t->dim[k] == 1 ? 0 : at[k]);
  return i;
}

static void compute_point(machine *m, const fake_descriptor *d) {
  const fake_descriptor *how = other(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR),
                        *of_x = other(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC),
                        *of_b = other(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC),
                        *of_t = other(d, CUDNN_ATTR_OPERATION_POINTWISE_TDESC),
                        *of_y = other(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC);
  const int mode = word(how, CUDNN_ATTR_POINTWISE_MODE);
  const tensor tx = tensor_of(of_x), tb = of_b ? tensor_of(of_b) : tx;
  const double *x = numbers(m, of_x), *b = of_b ? numbers(m, of_b) : x,
               *t = of_t ? numbers(m, of_t) : x;
  double *y = malloc((size_t)count(&tx) * sizeof *y);
  for (int64_t i = 0; i < count(&tx); i++) {
    int64_t at[4];
    indices(&tx, i, at);
    y[i] = mode == CUDNN_POINTWISE_GEN_INDEX
               ? (double)at[*(const int64_t *)fake_attribute(how, CUDNN_ATTR_POINTWISE_AXIS, NULL)]
               : function(mode, x[i], b[spread(&tb, at)], t[i]);
  }
  keep(m, of_y, y);
}

static void compute_reduction(machine *m, const fake_descriptor *d) {
  const fake_descriptor *how = other(d, CUDNN_ATTR_OPERATION_REDUCTION_DESC),
                        *of_x = other(d, CUDNN_ATTR_OPERATION_REDUCTION_XDESC);
  const bool max = word(how, CUDNN_ATTR_REDUCTION_OPERATOR) == CUDNN_REDUCE_TENSOR_MAX;
  const tensor tx = tensor_of(of_x);
  const double *x = numbers(m, of_x);
  const int64_t rows = count(&tx) / tx.dim[3];
  double *y = malloc((size_t)rows * sizeof *y);
  for (int64_t i = 0; i < rows; i++) {
    y[i] = max ? -INFINITY : 0;
    for (int64_t j = 0; j < tx.dim[3]; j++)
      y[i] = max ? fmax(y[i], x[i * tx.dim[3] + j]) : y[i] + x[i * tx.dim[3] + j];
  }
  keep(m, other(d, CUDNN_ATTR_OPERATION_REDUCTION_YDESC), y);
}

/* How many rows, columns or terms segment N has. */
static int64_t extent(machine *m, const fake_descriptor *d, int name, int64_t n, int64_t all) {
  const fake_descriptor *length = other(d, name);
  return length ? ((const int32_t *)m->run.at[tensor_of(length).number])[n] : all;
}

static void compute_product(machine *m, const fake_descriptor *d) {
  const fake_descriptor *of_a = other(d, CUDNN_ATTR_OPERATION_MATMUL_ADESC),
                        *of_b = other(d, CUDNN_ATTR_OPERATION_MATMUL_BDESC),
                        *of_c = other(d, CUDNN_ATTR_OPERATION_MATMUL_CDESC);
  const tensor a = tensor_of(of_a), c = tensor_of(of_c);
  const int64_t M = c.dim[2], N = c.dim[3], K = a.dim[3];
  const double *x = numbers(m, of_a), *w = numbers(m, of_b);
  double *y = calloc((size_t)count(&c), sizeof *y);
  for (int64_t n = 0; n < c.dim[0] * c.dim[1]; n++) {
    const int64_t segment = n / c.dim[1],
                  rows = extent(m, d, CUDNN_ATTR_OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC, segment, M),
                  columns =
                      extent(m, d, CUDNN_ATTR_OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC, segment, N),
                  terms =
                      extent(m, d, CUDNN_ATTR_OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC, segment, K);
    for (int64_t i = 0; i < rows; i++)
      for (int64_t l = 0; l < terms; l++)
        for (int64_t j = 0; j < columns; j++)
          y[(n * M + i) * N + j] += x[(n * M + i) * K + l] * w[(n * K + l) * N + j];
  }
  keep(m, of_c, y);
}

static void compute_reshape(machine *m, const fake_descriptor *d) {
  const fake_descriptor *of_x = other(d, CUDNN_ATTR_OPERATION_RESHAPE_XDESC);
  const tensor t = tensor_of(of_x);
  const int64_t rows = t.dim[2], columns = t.dim[3];
  const double *x = numbers(m, of_x);
  double *y = malloc((size_t)count(&t) * sizeof *y);
  for (int64_t i = 0; i < count(&t); i++) {
    const int64_t n = i / (rows * columns), r = i / columns % rows, c = i % columns;
    y[(n * columns + c) * rows + r] = x[i];
  }
  keep(m, other(d, CUDNN_ATTR_OPERATION_RESHAPE_YDESC), y);
}

void fake_cudnn_compute(void *argument) {
  static machine m;
  int64_t n;
  m = (machine){.n = 0};
  memcpy(&m.run, argument, sizeof m.run);
  fake_descriptor *const *operation =
      fake_attribute(m.run.graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, &n);
  memset(m.run.workspace, 0xff, FAKE_WORKSPACE);
  for (int64_t i = 0; i < n; i++) {
    switch (operation[i]->kind) {
    case CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR: compute_point(&m, operation[i]); break;
    case CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR: compute_reduction(&m, operation[i]); break;
    case CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR: compute_product(&m, operation[i]); break;
    case CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR: compute_reshape(&m, operation[i]); break;
    default: abort();
    }
  }
  while (m.n > 0) free(m.made[--m.n].x);
}

void fake_cudnn_values(fake_run *run) {
  int64_t n;
  fake_descriptor *const *operation = fake_attribute(run->graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, &n);
  for (int64_t i = 0; i < n; i++)
    for (int k = 0; k < operation[i]->n; k++) {
      const fake_descriptor *d = *(fake_descriptor *const *)operation[i]->attribute[k].value;
      if (d->kind != CUDNN_BACKEND_TENSOR_DESCRIPTOR) continue;
      const tensor t = tensor_of(d);
      if (t.by_value) memcpy(&run->value[t.number], run->at[t.number], sizeof(float));
      if (!t.virtual && !run->at[t.number])
        fake_cudnn_wrong("array %lld has no address", (long long)t.number);
      if (!t.virtual && !t.by_value && (uintptr_t)run->at[t.number] % 16 &&
          t.type != CUDNN_DATA_INT32)
        fake_cudnn_wrong("array %lld is not aligned", (long long)t.number);
    }
}
