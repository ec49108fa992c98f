/* Products at T5-small's shapes, a batch of 8 x 512 and 8 x 114 tokens: float32 and bfloat16 one
 * after the other in each round, since a machine's speed changes; medians of the rates and of
 * their ratios. For whoever changes common/product.c or units.c.
 *
 *   bench_products [ROUNDS] */
#include "base/clock.h"
#include "kernels/common/bf16.h"
#include "kernels/common/units.h"

#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ROUNDS = 101 };

typedef struct shape {
  const char *name;
  int64_t M, N, K;
  bool a_transposed, b_transposed; /* dW and forward; dX has neither */
} shape;

static const shape shapes[] = {
    {"forward", 4096, 512, 512, false, true},  {"dX", 4096, 512, 512, false, false},
    {"dW", 512, 512, 4096, true, false},       {"forward", 4096, 2048, 512, false, true},
    {"dX", 4096, 512, 2048, false, false},     {"dW", 2048, 512, 4096, true, false},
    {"forward", 4096, 512, 2048, false, true}, {"dX", 4096, 2048, 512, false, false},
    {"dW", 512, 2048, 4096, true, false},      {"forward", 912, 32128, 512, false, true},
    {"dX", 912, 512, 32128, false, false},     {"dW", 32128, 512, 912, true, false},
};

static void *fill(int64_t n, cz_dtype dtype) {
  size_t bytes = (size_t)n * cz_dtype_bytes(dtype);
  void *x = aligned_alloc(64, (bytes + 63) / 64 * 64);
  if (!x) abort(); /* a machine without memory */
  uint64_t state = 1;
  for (int64_t i = 0; i < n; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    float v = (float)(state >> 40) * 0x1p-23F - 1;
    if (dtype == CZ_F32)
      ((float *)x)[i] = v;
    else
      ((cz_bf16 *)x)[i] = cz_bf16_nearest(v);
  }
  return x;
}

static double seconds_of(const cz_product *p, char *scratch, size_t each) {
  double began = cz_seconds();
  int64_t tiles = cz_product_tiles(p);
#pragma omp parallel for schedule(dynamic)
  for (int64_t i = 0; i < tiles; i++)
    cz_product_tile(p, i, scratch + (size_t)omp_get_thread_num() * each);
  return cz_seconds() - began;
}

static int ascending(const void *x, const void *y) {
  return *(const double *)x < *(const double *)y ? -1 : *(const double *)x > *(const double *)y;
}

static double median(double *x, int n) {
  qsort(x, (size_t)n, sizeof *x, ascending);
  return x[n / 2];
}

static cz_product make(const shape *s, cz_dtype dtype, cz_units *units) {
  cz_product p = {.dtype = dtype, .M = s->M, .N = s->N, .K = s->K, .alpha = 1, .units = units};
  p.a_transposed = s->a_transposed, p.b_transposed = s->b_transposed;
  p.c_dtype = s->a_transposed ? CZ_F32 : dtype; /* gradients of weights are float32 */
  p.lda = p.a_transposed ? p.M : p.K, p.ldb = p.b_transposed ? p.K : p.N, p.ldc = p.N;
  p.b_version = !p.a_transposed; /* weights */
  p.a = fill(p.M * p.K, dtype), p.b = fill(p.K * p.N, dtype), p.c = fill(p.M * p.N, p.c_dtype);
  return p;
}

static void release(cz_product *p) { free((void *)p->a), free((void *)p->b), free(p->c); }

static void measure(const shape *s, cz_units *units, int rounds) {
  double wide[MOST_ROUNDS], narrow[MOST_ROUNDS], ratio[MOST_ROUNDS],
      flop = 2.0 * (double)s->M * (double)s->N * (double)s->K;
  cz_product f = make(s, CZ_F32, NULL), h = make(s, CZ_BF16, units);
  size_t each = cz_product_tile_scratch(&h);
  char *scratch = aligned_alloc(64, each * (size_t)omp_get_max_threads() + 64);
  if (!scratch) abort();
  for (int i = -1; i < rounds; i++) {
    double a = seconds_of(&f, NULL, 0), b = seconds_of(&h, scratch, each);
    if (i >= 0) wide[i] = flop / a / 1e9, narrow[i] = flop / b / 1e9, ratio[i] = a / b;
  }
  printf("%-8s %5lld x %5lld x %5lld  f32 %7.1f  bf16 %7.1f GFLOP/s  ratio %.3f\n", s->name,
         (long long)s->M, (long long)s->K, (long long)s->N, median(wide, rounds),
         median(narrow, rounds), median(ratio, rounds));
  fflush(stdout);
  release(&f), release(&h), free(scratch);
  if (units) cz_units_forget(units, h.b, 1);
}

int main(int argc, char **argv) {
  char why[CZ_UNITS_TEXT] = "";
  int rounds = argc > 1 ? atoi(argv[1]) : 7;
  cz_units *units = cz_units_open(getenv("CZ_BF16"), why, sizeof why);
  if (!units || rounds < 1 || rounds > MOST_ROUNDS) {
    fprintf(stderr, "bench_products: %s\n", units ? "usage: bench_products [ROUNDS]" : why);
    cz_units_close(&units);
    return 1;
  }
  printf("%d threads; bfloat16 by %s: %s\n", omp_get_max_threads(),
         cz_units_path_names[cz_units_path_of(units)], cz_units_reason(units));
  for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) measure(&shapes[i], units, rounds);
  cz_units_close(&units);
  return 0;
}
