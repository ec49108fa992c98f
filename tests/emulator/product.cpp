/* cz_cuda_multiply as the emulated module has it: operands widened to float32, a product by CBLAS,
 * and one rounding to the result's dtype, which is what cuBLASLt promises but for the order of the
 * sum. It has the epilogues that cuBLASLt has, unless the environment's CZ_EMULATOR_EPILOGUES is 0:
 * then callers have to do without. */
#include "emulator/emulator.h"

#include "kernels/activation/activation.h"

#include <cblas.h>
#include <omp.h>

typedef std::vector<float> numbers;

static float number_at(const void *p, int64_t i, cz_dtype dtype) {
  if (dtype == CZ_F32) return static_cast<const float *>(p)[i];
  if (dtype == CZ_BF16) return __bfloat162float(static_cast<const __nv_bfloat16 *>(p)[i]);
  return __half2float(static_cast<const __half *>(p)[i]);
}

static void put(void *p, int64_t i, cz_dtype dtype, float x) {
  if (dtype == CZ_F32)
    static_cast<float *>(p)[i] = x;
  else if (dtype == CZ_BF16)
    static_cast<__nv_bfloat16 *>(p)[i] = __float2bfloat16_rn(x);
  else
    static_cast<__half *>(p)[i] = __float2half_rn(x);
}

static numbers dense(const void *p, int64_t rows, int64_t columns, int64_t ld, cz_dtype dtype) {
  numbers x((size_t)(rows * columns));
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++)
      x[(size_t)(i * columns + j)] = number_at(p, i * ld + j, dtype);
  return x;
}

static float activated(float x, int kind) {
  if (kind == CZ_ACTIVATION_RELU) return x > 0 || x != x ? x : 0;
  if (kind == CZ_ACTIVATION_NONE) return x;
  const float u = 0.7978845608028654f * (x + 0.044715f * x * x * x);
  return 0.5f * x * (1 + tanhf(u));
}

/* The sum A B, [m, n]. One thread: its order is then that of the shapes alone. */
static numbers sum(const cz_cuda_product *p) {
  const int64_t ra = p->transposed_a ? p->k : p->m, ca = p->transposed_a ? p->m : p->k,
                rb = p->transposed_b ? p->n : p->k, cb = p->transposed_b ? p->k : p->n;
  const numbers a = dense(p->a, ra, ca, p->lda, p->in), b = dense(p->b, rb, cb, p->ldb, p->in);
  numbers c((size_t)(p->m * p->n));
  if (p->k == 0 || c.empty()) return c;
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  cblas_sgemm(CblasRowMajor, p->transposed_a ? CblasTrans : CblasNoTrans,
              p->transposed_b ? CblasTrans : CblasNoTrans, (int)p->m, (int)p->n, (int)p->k, 1,
              a.data(), (int)ca, b.data(), (int)cb, 0, c.data(), (int)p->n);
  omp_set_num_threads(threads);
  return c;
}

static bool offered(const cz_cuda_epilogue *e) {
  const bool any = e->bias || e->pre || e->activation != CZ_ACTIVATION_NONE;
  if (any && !emu_environment_now().epilogues) return false;
  if (e->pre && e->activation != CZ_ACTIVATION_GELU_TANH) return false;
  return e->activation == CZ_ACTIVATION_NONE || e->activation == CZ_ACTIVATION_RELU ||
         e->activation == CZ_ACTIVATION_GELU_TANH;
}

bool cz_cuda_multiply(void *stream, const cz_cuda_product *p) {
  const cz_cuda_epilogue *e = &p->epilogue;
  if (!offered(e)) return false;
  const numbers c = sum(p);
  for (int64_t i = 0; i < p->m; i++)
    for (int64_t j = 0; j < p->n; j++) {
      const int64_t at = i * p->ldc + j;
      float x = p->alpha * c[(size_t)(i * p->n + j)];
      if (p->beta != 0) x += p->beta * number_at(p->c, at, p->out);
      if (e->bias) x += number_at(e->bias, j, p->out);
      if (e->pre) put(e->pre, at, p->out, x);
      put(p->c, at, p->out, activated(x, e->activation));
    }
  return true;
}
