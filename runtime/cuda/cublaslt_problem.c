/* Row-major products for a library that counts by columns.
 *
 * A row-major array [r, c] with rows LD apart is, read by columns, its transpose [c, r] with
 * columns LD apart. So the library, asked for C^T = B^T A^T, is given our b as its a and our a as
 * its b, all as they lie: its result [n, m] is our c, and what we store transposed it takes
 * transposed. The bias, one number for each column of c, is what it calls the bias: one for each
 * row of its result, in its result's type (cublasLt.h, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE). */
#include "cuda/cublaslt.h"

#include "cuda/classes.h"
#include "kernels/activation/activation.h"

#include <string.h>

static cudaDataType_t type_of(int32_t dtype) {
  return dtype == CZ_F32 ? CUDA_R_32F : dtype == CZ_BF16 ? CUDA_R_16BF : CUDA_R_16F;
}

/** The library's name for the epilogue of P; false when it has none: it keeps what is before a GELU
 * alone, and knows ReLU and the GELU by tanh. */
bool cz_cuda_epilogue_of(const cz_cuda_product *p, int32_t *epilogue) {
  const cz_cuda_epilogue *e = &p->epilogue;
  const bool gelu = e->activation == CZ_ACTIVATION_GELU_TANH;
  if (e->pre && !gelu) return false;
  if (e->pre && p->ldc % 8 != 0) return false; /* CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD */
  if (!gelu && e->activation != CZ_ACTIVATION_NONE && e->activation != CZ_ACTIVATION_RELU)
    return false;
  if (gelu)
    *epilogue = e->pre ? CUBLASLT_EPILOGUE_GELU_AUX : CUBLASLT_EPILOGUE_GELU;
  else if (e->activation == CZ_ACTIVATION_RELU)
    *epilogue = CUBLASLT_EPILOGUE_RELU;
  else
    *epilogue = e->bias ? 0 : CUBLASLT_EPILOGUE_DEFAULT;
  if (e->bias) *epilogue |= CUBLASLT_EPILOGUE_BIAS;
  return true;
}

/* The largest power of two, 16 at most, that divides the addresses P and Q (or null) and the
 * distance of rows. */
static int32_t alignment(const void *p, const void *q, int64_t row_bytes) {
  const uint64_t bits = (uint64_t)((uintptr_t)p | (uintptr_t)q) | (uint64_t)row_bytes | 16;
  return (int32_t)(bits & (~bits + 1));
}

static int64_t stored_rows(int64_t rows, int64_t columns, int32_t transposed) {
  return transposed ? columns : rows;
}

/** The key of P with its own sizes. */
cz_cuda_key cz_cuda_key_of(const cz_cuda_product *p, int32_t epilogue) {
  const int64_t in = (int64_t)cz_dtype_bytes(p->in), out = (int64_t)cz_dtype_bytes(p->out);
  cz_cuda_key key;
  memset(&key, 0, sizeof key);
  key.m = p->m, key.n = p->n, key.k = p->k;
  key.lda = p->lda, key.ldb = p->ldb, key.ldc = p->ldc;
  key.in = p->in, key.out = p->out;
  key.transposed_a = p->transposed_a, key.transposed_b = p->transposed_b;
  key.align_a = alignment(p->a, NULL, p->lda * in);
  key.align_b = alignment(p->b, NULL, p->ldb * in);
  key.align_c = alignment(p->c, p->epilogue.pre, p->ldc * out);
  key.align_bias = p->epilogue.bias ? alignment(p->epilogue.bias, NULL, 0) : 0;
  key.epilogue = epilogue;
  key.adds = p->beta != 0;
  return key;
}

enum { LEAST = 16 }; /* class of sizes: those of one are tuned as one, at its largest */

/** The key that an algorithm is chosen for when the product has this KEY. */
cz_cuda_key cz_cuda_key_choice(const cz_cuda_key *key) {
  cz_cuda_key choice = *key;
  choice.m = cz_cuda_class(key->m, LEAST);
  choice.k = cz_cuda_class(key->k, LEAST);
  choice.lda = choice.ldb = choice.ldc = 0;
  return choice;
}

static cublasStatus_t set(cublasLtMatmulDesc_t to, cublasLtMatmulDescAttributes_t what,
                          const void *value, size_t bytes) {
  return cublasLtMatmulDescSetAttribute(to, what, value, bytes);
}

#define SET(to, what, value)                                                                       \
  do {                                                                                             \
    const cublasStatus_t set_ = set(to, CUBLASLT_MATMUL_DESC_##what, &(value), sizeof(value));     \
    if (set_ != CUBLAS_STATUS_SUCCESS) return set_;                                                \
  } while (0)

static cublasStatus_t open_operation(cz_cuda_problem *q) {
  const cz_cuda_key *key = &q->key;
  const int32_t a = key->transposed_b ? CUBLAS_OP_T : CUBLAS_OP_N,
                b = key->transposed_a ? CUBLAS_OP_T : CUBLAS_OP_N, bias = type_of(key->out);
  const uint32_t epilogue = (uint32_t)key->epilogue;
  const cublasStatus_t st = cublasLtMatmulDescInit(&q->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);
  if (st != CUBLAS_STATUS_SUCCESS) return st;
  SET(&q->operation, TRANSA, a);
  SET(&q->operation, TRANSB, b);
  SET(&q->operation, EPILOGUE, epilogue);
  if (key->align_bias) SET(&q->operation, BIAS_DATA_TYPE, bias);
  if (key->epilogue & CZ_CUDA_EPILOGUE_PRE) SET(&q->operation, EPILOGUE_AUX_LD, key->ldc);
  return CUBLAS_STATUS_SUCCESS;
}

/* Where bias and pre lie is part of the operation. */
static cublasStatus_t point(cz_cuda_problem *q, const cz_cuda_operands *at) {
  if (at->bias) SET(&q->operation, BIAS_POINTER, at->bias);
  if (at->pre) SET(&q->operation, EPILOGUE_AUX_POINTER, at->pre);
  return CUBLAS_STATUS_SUCCESS;
}

static cublasStatus_t layout(cublasLtMatrixLayoutOpaque_t *l, int32_t dtype, int64_t rows,
                             int64_t columns, int64_t ld) {
  return cublasLtMatrixLayoutInit(l, type_of(dtype), (uint64_t)columns, (uint64_t)rows, ld);
}

/** Describes the product of KEY to the library; AT is where a first one lies. */
cublasStatus_t cz_cuda_problem_open(cz_cuda_problem *q, const cz_cuda_key *key,
                                    const cz_cuda_operands *at) {
  memset(q, 0, sizeof *q);
  q->key = *key;
  cublasStatus_t st = open_operation(q);
  if (st == CUBLAS_STATUS_SUCCESS) st = point(q, at);
  if (st == CUBLAS_STATUS_SUCCESS)
    st = layout(&q->a, key->in, stored_rows(key->k, key->n, key->transposed_b),
                stored_rows(key->n, key->k, key->transposed_b), key->ldb);
  if (st == CUBLAS_STATUS_SUCCESS)
    st = layout(&q->b, key->in, stored_rows(key->m, key->k, key->transposed_a),
                stored_rows(key->k, key->m, key->transposed_a), key->lda);
  if (st == CUBLAS_STATUS_SUCCESS) st = layout(&q->c, key->out, key->m, key->n, key->ldc);
  return st;
}

/** Puts the product into the stream. */
cublasStatus_t cz_cuda_problem_run(cz_cuda_problem *q, cz_cuda *c, const cz_cuda_operands *at,
                                   float alpha, float beta) {
  const cublasStatus_t st = point(q, at);
  if (st != CUBLAS_STATUS_SUCCESS) return st;
  return cublasLtMatmul(c->products->library, &q->operation, &alpha, at->b, &q->a, at->a, &q->b,
                        &beta, at->c, &q->c, at->c, &q->c, &q->algorithm, c->products->workspace,
                        CZ_CUDA_WORKSPACE, c->stream);
}

/* Whether all parts of a sum are added in float32 and in one order. */
static bool in_order(const cublasLtMatmulAlgo_t *algorithm) {
  uint32_t scheme = CUBLASLT_REDUCTION_SCHEME_MASK;
  size_t written;
  if (cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                           &scheme, sizeof scheme,
                                           &written) != CUBLAS_STATUS_SUCCESS)
    return false;
  return scheme == CUBLASLT_REDUCTION_SCHEME_NONE ||
         scheme == CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
}

/** Whether ALGORITHM makes the problem, as the library says, and sums in one order; it is the
 * problem's then. */
bool cz_cuda_problem_accepts(cz_cuda *c, cz_cuda_problem *q,
                             const cublasLtMatmulAlgo_t *algorithm) {
  cublasLtMatmulHeuristicResult_t result;
  if (cublasLtMatmulAlgoCheck(c->products->library, &q->operation, &q->a, &q->b, &q->c, &q->c,
                              algorithm, &result) != CUBLAS_STATUS_SUCCESS)
    return false;
  if (result.workspaceSize > CZ_CUDA_WORKSPACE || !in_order(algorithm)) return false;
  q->algorithm = *algorithm;
  return true;
}

static cublasStatus_t prefer(cublasLtMatmulPreference_t p, const cz_cuda_key *key) {
  const uint64_t workspace = CZ_CUDA_WORKSPACE;
  const uint32_t schemes = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  const uint32_t align[] = {(uint32_t)key->align_b, (uint32_t)key->align_a, (uint32_t)key->align_c};
  const struct {
    cublasLtMatmulPreferenceAttributes_t what;
    const void *value;
    size_t bytes;
  } rows[] = {
      {CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &workspace, sizeof workspace},
      {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &schemes, sizeof schemes},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &align[0], sizeof *align},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &align[1], sizeof *align},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &align[2], sizeof *align},
      {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &align[2], sizeof *align},
  };
  cublasStatus_t st = cublasLtMatmulPreferenceInit(p);
  for (size_t i = 0; st == CUBLAS_STATUS_SUCCESS && i < sizeof rows / sizeof *rows; i++)
    st = cublasLtMatmulPreferenceSetAttribute(p, rows[i].what, rows[i].value, rows[i].bytes);
  return st;
}

/** The algorithms that the library proposes, its best guess first, without those that sum in no
 * order; how many. 0: it has none. */
int cz_cuda_problem_candidates(cz_cuda *c, cz_cuda_problem *q,
                               cublasLtMatmulHeuristicResult_t found[CZ_CUDA_CANDIDATES]) {
  cublasLtMatmulPreferenceOpaque_t preference;
  int n = 0, kept = 0;
  if (prefer(&preference, &q->key) != CUBLAS_STATUS_SUCCESS) return 0;
  if (cublasLtMatmulAlgoGetHeuristic(c->products->library, &q->operation, &q->a, &q->b, &q->c,
                                     &q->c, &preference, CZ_CUDA_CANDIDATES, found,
                                     &n) != CUBLAS_STATUS_SUCCESS)
    return 0;
  for (int i = 0; i < n; i++)
    if (found[i].state == CUBLAS_STATUS_SUCCESS && in_order(&found[i].algo))
      found[kept++] = found[i];
  return kept;
}
