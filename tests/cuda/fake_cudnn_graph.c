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

/* Arrays on the host, in the order of their dimensions. */
typedef struct values {
  int64_t number;
  double *x;
} values;

typedef struct machine {
  fake_run run;
  values made[VALUES];
  int n;
} machine;

/* An array in memory, and where its segments begin there. */
typedef struct place {
  tensor t;
  void *data;
  const int32_t *first; /* null: the segments are one behind another */
  int row;              /* which dimension counts rows: that of the larger stride */
  cz_dtype dtype;
} place;

static place place_of(const machine *m, const tensor *t) {
  place p = {.t = *t, .data = m->run.at[t->number], .row = t->stride[2] >= t->stride[3] ? 2 : 3};
  p.dtype = t->type == CUDNN_DATA_FLOAT      ? CZ_F32
            : t->type == CUDNN_DATA_BFLOAT16 ? CZ_BF16
            : t->type == CUDNN_DATA_HALF     ? CZ_F16
                                             : CZ_I32;
  if (t->begin) p.first = m->run.at[tensor_of(t->begin).number];
  return p;
}

/* Stores a segment's numbers X, or loads them. Those behind its end, where the next one begins, are
 * none: they are read as 0 and not written. */
static void move_segment(const place *p, double *x, int64_t b, bool store) {
  const int64_t *dim = p->t.dim, *stride = p->t.stride,
                base = p->first ? p->first[b] : b * stride[0],
                rows = p->first ? (p->first[b + 1] - base) / stride[p->row] : INT64_MAX;
  for (int64_t h = 0, i = 0; h < dim[1]; h++)
    for (int64_t r = 0; r < dim[2]; r++)
      for (int64_t c = 0; c < dim[3]; c++, i++) {
        const int64_t at = base + h * stride[1] + r * stride[2] + c * stride[3];
        const bool there = (p->row == 2 ? r : c) < rows;
        if (store && there) put_number(p->data, at, p->dtype, (float)x[i]);
        if (store) continue;
        x[i] = !there               ? 0
               : p->dtype == CZ_I32 ? ((const int32_t *)p->data)[at]
                                    : (double)number_at(p->data, at, p->dtype);
      }
}

static void move(const machine *m, const tensor *t, double *x, bool store) {
  const place p = place_of(m, t);
  const int64_t segment = count(t) / t->dim[0];
  for (int64_t b = 0; b < t->dim[0]; b++) move_segment(&p, x + b * segment, b, store);
}

static double rounded(double x, int type) {
  unsigned char bytes[2];
  const cz_dtype dtype = type == CUDNN_DATA_BFLOAT16 ? CZ_BF16 : CZ_F16;
  if (type == CUDNN_DATA_INT32 || type == CUDNN_DATA_BOOLEAN) return x;
  if (type == CUDNN_DATA_FLOAT) return (double)(float)x;
  put_number(bytes, 0, dtype, (float)x);
  return (double)number_at(bytes, 0, dtype);
}

static double *add_values(machine *m, int64_t number, double *x) {
  if (m->n == VALUES) abort();
  m->made[m->n++] = (values){number, x};
  return x;
}

/* The array's numbers; read from memory when no operation made them. */
static double *numbers(machine *m, const fake_descriptor *d) {
  const tensor t = tensor_of(d);
  for (int i = 0; i < m->n; i++)
    if (m->made[i].number == t.number && t.virtual) return m->made[i].x;
  if (t.virtual) abort();
  double *x = add_values(m, t.number, malloc((size_t)count(&t) * sizeof *x));
  if (t.by_value)
    *x = (double)m->run.value[t.number];
  else
    move(m, &t, x, false);
  return x;
}

/* Takes X as what an operation made of D: rounded, and written where it has memory. */
static void keep(machine *m, const fake_descriptor *d, double *x) {
  const tensor t = tensor_of(d);
  add_values(m, t.number, x);
  for (int64_t i = 0; i < count(&t); i++) x[i] = rounded(x[i], t.type);
  if (!t.virtual) move(m, &t, x, true);
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

/* Y = function(X, B, T), where B is spread over X's dimensions. */
static void map(int mode, double *y, const tensor *tx, const double *x, const tensor *tb,
                const double *b, const double *t) {
  int64_t step[4], i = 0, all = 1; /* of B along X's dimensions */
  for (int k = 3; k >= 0; k--) step[k] = tb->dim[k] == 1 ? 0 : all, all *= tb->dim[k];
  for (int64_t s = 0; s < tx->dim[0]; s++)
    for (int64_t h = 0; h < tx->dim[1]; h++)
      for (int64_t r = 0; r < tx->dim[2]; r++)
        for (int64_t c = 0; c < tx->dim[3]; c++, i++)
          y[i] =
              function(mode, x[i], b[s * step[0] + h * step[1] + r * step[2] + c * step[3]], t[i]);
}

/* The number of each element along AXIS. */
static void number_along(double *y, const tensor *t, int64_t axis) {
  int64_t below = 1; /* elements in one of AXIS */
  for (int64_t k = axis + 1; k < 4; k++) below *= t->dim[k];
  for (int64_t i = 0; i < count(t); i++) y[i] = (double)(i / below % t->dim[axis]);
}

static void compute_point(machine *m, const fake_descriptor *d) {
  const fake_descriptor *how = other(d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR),
                        *of_x = other(d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC),
                        *of_b = other(d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC),
                        *of_t = other(d, CUDNN_ATTR_OPERATION_POINTWISE_TDESC);
  const int mode = word(how, CUDNN_ATTR_POINTWISE_MODE);
  const tensor tx = tensor_of(of_x), tb = of_b ? tensor_of(of_b) : tx;
  double *y = malloc((size_t)count(&tx) * sizeof *y);
  if (mode == CUDNN_POINTWISE_GEN_INDEX) {
    number_along(y, &tx, *(const int64_t *)fake_attribute(how, CUDNN_ATTR_POINTWISE_AXIS, NULL));
  } else {
    const double *x = numbers(m, of_x), *b = of_b ? numbers(m, of_b) : x;
    map(mode, y, &tx, x, &tb, b, of_t ? numbers(m, of_t) : x);
  }
  keep(m, other(d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC), y);
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
