/* cuBLASLt as its manual says: matrices by columns, op(A) op(B), a bias for each row of the result.
 * Products are computed by three loops when their turn in the stream comes. */
#include "fake.h"
#include "numbers.h"

#include <cublasLt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct layout {
  int32_t type;
  uint64_t rows, columns;
  int64_t ld;
} layout;

typedef struct operation {
  int32_t transposed_a, transposed_b, bias_type;
  uint32_t epilogue;
  int64_t aux_ld;
  const void *bias;
  void *aux;
} operation;

typedef struct preference {
  uint32_t schemes;
} preference;

_Static_assert(sizeof(layout) <= sizeof(cublasLtMatrixLayoutOpaque_t), "");
_Static_assert(sizeof(operation) <= sizeof(cublasLtMatmulDescOpaque_t), "");

static const layout *layout_of(const void *opaque) { return opaque; }
static operation *operation_of(void *opaque) { return opaque; }

struct cublasLtContext {
  int unused;
};

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle) {
  *handle = calloc(1, sizeof **handle);
  fake.handles++;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) {
  free(handle);
  fake.handles--;
  return CUBLAS_STATUS_SUCCESS;
}

size_t cublasLtGetVersion(void) { return fake.library; }

const char *cublasLtGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported" : "failed in the library";
}

/* ---- descriptions ---- */

cublasStatus_t cublasLtMatrixLayoutInit_internal(cublasLtMatrixLayout_t l, size_t bytes,
                                                 cudaDataType type, uint64_t rows, uint64_t columns,
                                                 int64_t ld) {
  const layout is = {type, rows, columns, ld};
  if (ld < (int64_t)rows)
    fake_wrong("columns of %llu numbers %lld apart", (unsigned long long)rows, (long long)ld);
  memcpy(l, &is, sizeof is);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescInit_internal(cublasLtMatmulDesc_t desc, size_t bytes,
                                               cublasComputeType_t compute, cudaDataType_t scale) {
  const operation is = {.epilogue = CUBLASLT_EPILOGUE_DEFAULT, .bias_type = -1};
  if (compute != CUBLAS_COMPUTE_32F || scale != CUDA_R_32F) fake_wrong("sums not in float32");
  memcpy(desc, &is, sizeof is);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t desc,
                                              cublasLtMatmulDescAttributes_t what,
                                              const void *value, size_t bytes) {
  operation *o = operation_of(desc);
  const struct {
    cublasLtMatmulDescAttributes_t what;
    void *member;
    size_t bytes;
  } rows[] = {{CUBLASLT_MATMUL_DESC_TRANSA, &o->transposed_a, 4},
              {CUBLASLT_MATMUL_DESC_TRANSB, &o->transposed_b, 4},
              {CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, &o->bias_type, 4},
              {CUBLASLT_MATMUL_DESC_EPILOGUE, &o->epilogue, 4},
              {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &o->aux_ld, 8},
              {CUBLASLT_MATMUL_DESC_BIAS_POINTER, &o->bias, 8},
              {CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &o->aux, 8}};
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    if (rows[i].what == what && rows[i].bytes == bytes) {
      memcpy(rows[i].member, value, bytes);
      return CUBLAS_STATUS_SUCCESS;
    }
  fake_wrong("attribute %d of an operation in %zu bytes", (int)what, bytes);
  return CUBLAS_STATUS_INVALID_VALUE;
}

cublasStatus_t cublasLtMatmulPreferenceInit_internal(cublasLtMatmulPreference_t p, size_t bytes) {
  const preference is = {CUBLASLT_REDUCTION_SCHEME_MASK};
  memset(p, 0, bytes);
  memcpy(p, &is, sizeof is);
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t p,
                                                    cublasLtMatmulPreferenceAttributes_t what,
                                                    const void *value, size_t bytes) {
  const bool wide = what == CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
  uint32_t number;
  if (bytes != (wide ? 8u : 4u)) fake_wrong("preference %d in %zu bytes", (int)what, bytes);
  memcpy(&number, value, sizeof number);
  if (what == CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK) memcpy(p, &number, sizeof number);
  if (what >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES &&
      what <= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES && (!number || (number & (number - 1))))
    fake_wrong("an alignment of %u", number);
  return CUBLAS_STATUS_SUCCESS;
}

/* ---- algorithms: the first word is 0xa190, the second their number ---- */

enum { MAGIC = 0xa190 };

static const fake_algorithm *algorithm_of(const cublasLtMatmulAlgo_t *a) {
  return a->data[0] == MAGIC && a->data[1] < (uint64_t)fake.algorithms ? &fake.algorithm[a->data[1]]
                                                                       : NULL;
}

cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *a,
                                                    cublasLtMatmulAlgoConfigAttributes_t what,
                                                    void *value, size_t bytes, size_t *written) {
  const fake_algorithm *is = algorithm_of(a);
  if (what != CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME || bytes != 4 || !is)
    return CUBLAS_STATUS_INVALID_VALUE;
  memcpy(value, &is->scheme, 4);
  *written = 4;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t p, int most,
                                              cublasLtMatmulHeuristicResult_t found[], int *n) {
  uint32_t schemes;
  memcpy(&schemes, p, sizeof schemes);
  fake.heuristics++;
  *n = 0;
  if (fake.refuse_epilogues && operation_of(desc)->epilogue != CUBLASLT_EPILOGUE_DEFAULT)
    return CUBLAS_STATUS_NOT_SUPPORTED;
  for (int i = 0; i < fake.algorithms && *n < most; i++) {
    if (i > 0 && fake.algorithm[i].scheme == CUBLASLT_REDUCTION_SCHEME_INPLACE && !(schemes & 1))
      continue; /* the first is proposed all the same */
    memset(&found[*n], 0, sizeof found[*n]);
    found[*n].algo.data[0] = MAGIC;
    found[(*n)++].algo.data[1] = (uint64_t)i;
  }
  return *n ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

cublasStatus_t cublasLtMatmulAlgoCheck(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc,
                                       cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                       cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                       const cublasLtMatmulAlgo_t *algorithm,
                                       cublasLtMatmulHeuristicResult_t *result) {
  const fake_algorithm *is = algorithm_of(algorithm);
  memset(result, 0, sizeof *result);
  if (!is || (is->most_m && layout_of(c)->columns > (uint64_t)is->most_m))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  return CUBLAS_STATUS_SUCCESS;
}

/* ---- products ---- */

static cz_dtype dtype_of(int32_t type) {
  return type == CUDA_R_32F ? CZ_F32 : type == CUDA_R_16BF ? CZ_BF16 : CZ_F16;
}

static float number_of(const void *p, int64_t i, int32_t type) {
  return number_at(p, i, dtype_of(type));
}

static void put(void *p, int64_t i, int32_t type, float x) { put_number(p, i, dtype_of(type), x); }

typedef struct product {
  operation o;
  layout a, b, c;
  const void *at_a, *at_b;
  void *at_c;
  float alpha, beta;
  int64_t k;
  int algorithm;
} product;

static float activated(float x, uint32_t epilogue) {
  if (epilogue & 2) return x > 0 ? x : 0;
  if (epilogue & 32)
    return 0.5f * x * (1 + tanhf(0.7978845608028654f * (x + 0.044715f * x * x * x)));
  return x;
}

static void run_product(void *argument) {
  product p;
  memcpy(&p, argument, sizeof p);
  for (int64_t i = 0; i < (int64_t)p.c.rows; i++)
    for (int64_t j = 0; j < (int64_t)p.c.columns; j++) {
      double sum = 0;
      for (int64_t l = 0; l < p.k; l++)
        sum += (double)number_of(p.at_a, p.o.transposed_a ? l + i * p.a.ld : i + l * p.a.ld,
                                 p.a.type) *
               number_of(p.at_b, p.o.transposed_b ? j + l * p.b.ld : l + j * p.b.ld, p.b.type);
      float x = p.alpha * (float)sum;
      if (p.beta != 0) x += p.beta * number_of(p.at_c, i + j * p.c.ld, p.c.type);
      if (p.o.epilogue & 4) x += number_of(p.o.bias, i, p.o.bias_type);
      if (p.o.epilogue & 128) put(p.o.aux, i + j * p.o.aux_ld, p.c.type, x);
      put(p.at_c, i + j * p.c.ld, p.c.type, activated(x, p.o.epilogue));
    }
  fake.last_algorithm = p.algorithm;
}

/* What the manual demands of shapes and of the epilogue. */
static void check(const product *p) {
  const uint64_t m = p->o.transposed_a ? p->a.columns : p->a.rows,
                 n = p->o.transposed_b ? p->b.rows : p->b.columns,
                 l = p->o.transposed_b ? p->b.columns : p->b.rows;
  if (m != p->c.rows || n != p->c.columns || l != (uint64_t)p->k) fake_wrong("shapes do not fit");
  if ((p->o.epilogue & 4) && (p->o.bias_type != p->c.type || !p->o.bias))
    fake_wrong("no bias of the result's type");
  if ((p->o.epilogue & 128) && (p->o.aux_ld % 8 || p->o.aux_ld < (int64_t)m || !p->o.aux))
    fake_wrong("no place for what is before the activation");
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t handle, cublasLtMatmulDesc_t desc, const void *alpha,
                              const void *a, cublasLtMatrixLayout_t la, const void *b,
                              cublasLtMatrixLayout_t lb, const void *beta, const void *c,
                              cublasLtMatrixLayout_t lc, void *d, cublasLtMatrixLayout_t ld,
                              const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t bytes,
                              cudaStream_t stream) {
  static int turn;
  const fake_algorithm *is = algorithm_of(algorithm);
  product p = {.o = *operation_of(desc),
               .a = *layout_of(la),
               .b = *layout_of(lb),
               .c = *layout_of(lc),
               .at_a = a,
               .at_b = b,
               .at_c = d};
  memcpy(&p.alpha, alpha, 4);
  memcpy(&p.beta, beta, 4);
  if (fake.refuse_products) return CUBLAS_STATUS_EXECUTION_FAILED;
  if (!is || !is->runs) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (c != d || lc != ld) fake_wrong("C is not D");
  if (!workspace || !bytes) fake_wrong("there is no workspace");
  p.k = (int64_t)(p.o.transposed_a ? p.a.rows : p.a.columns);
  p.algorithm = (int)algorithm->data[1];
  check(&p);
  fake.host += fake.submission;
  const double seconds = is->seconds[turn++ % 3 == 2] * (fake.cold > 0 ? 5 : 1);
  if (fake.cold > 0) fake.cold--;
  fake_put(run_product, &p, sizeof p, seconds, true);
  return CUBLAS_STATUS_SUCCESS;
}
