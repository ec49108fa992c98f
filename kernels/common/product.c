#include "kernels/common/product.h"

#include <cblas.h>
#include <string.h>

/* OpenBLAS runs products of at most 2^18 multiplications on one thread. */
static const double one_tile = 262144;

static int64_t strips(int64_t length) { return length >= 2048 ? 8 : length >= 512 ? 4 : 2; }

static int64_t strip_length(int64_t length) {
  int64_t each = (length + strips(length) - 1) / strips(length);
  return length < 32 ? each : (each + 15) / 16 * 16; /* whole register tiles */
}

static bool cut_rows(const cz_product *p) { return p->M >= p->N; }

/** How many tiles the product is cut into; a function of its sizes alone. 0 when there is nothing to compute. */
int64_t cz_product_tiles(const cz_product *p) {
  if (p->M <= 0 || p->N <= 0) return 0;
  if ((double)p->M * (double)p->N * (double)p->K <= one_tile) return 1;
  int64_t length = cut_rows(p) ? p->M : p->N, each = strip_length(length);
  return (length + each - 1) / each;
}

/** Computes one tile on the calling thread and says which part of c it was. */
cz_product_part cz_product_tile(const cz_product *p, int64_t tile) {
  cz_product_part part = {0, p->M, 0, p->N};
  if (cz_product_tiles(p) > 1) {
    int64_t length = cut_rows(p) ? p->M : p->N, each = strip_length(length), from = tile * each;
    int64_t n = length - from < each ? length - from : each;
    if (cut_rows(p)) part.m0 = from, part.m = n;
    else part.n0 = from, part.n = n;
  }
  float *c = p->c + part.m0 * p->ldc + part.n0;
  if (p->K == 0) {
    for (int64_t m = 0; m < part.m && p->beta == 0; m++) memset(c + m * p->ldc, 0, (size_t)part.n * sizeof *c);
    return part;
  }
  const float *a = p->a + (p->a_transposed ? part.m0 : part.m0 * p->lda), *b = p->b + (p->b_transposed ? part.n0 * p->ldb : part.n0);
  cblas_sgemm(CblasRowMajor, p->a_transposed ? CblasTrans : CblasNoTrans, p->b_transposed ? CblasTrans : CblasNoTrans, (int)part.m,
              (int)part.n, (int)p->K, p->alpha, a, (int)p->lda, b, (int)p->ldb, p->beta, c, (int)p->ldc);
  return part;
}
