#define _GNU_SOURCE /* sched_getaffinity */
#include "device/probe.h"
#include "base/clock.h"
#include "base/mem.h"
#include "kernels/common/bf16.h"
#include "kernels/common/product.h"
#include "kernels/common/units.h"

#include <cblas.h>
#include <omp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The products of a T5-small step, by rows, inner and columns: forward with W [out, in]
 * (N T), input gradient (N N), weight gradient (T N). */
static const struct shape {
  int m, k, n;
} shapes[] = {{4096, 512, 512}, {4096, 512, 2048}, {4096, 2048, 512}, {912, 512, 8192}};
enum {
  N_SHAPES = sizeof shapes / sizeof *shapes,
  MAXIMUM = 4096 * 2048 > 912 * 8192 ? 4096 * 2048 : 912 * 8192
};

struct cz_product_probe {
  void *a, *b, *c;
  cz_dtype dtype;
  cz_units *units; /* null: by the BLAS, in float32 */
  void *scratch;   /* a slice a thread */
  size_t slice;
  int threads;
};

/* The three products of one shape of a step: y = x W^T, dx = dy W, dW = dy^T x. */
enum { FORWARD, DX, DW, PASSES };

/* Of dW the sums are float32, as they are in training; W is the array that is kept packed. */
static cz_product product_of(const cz_product_probe *p, const struct shape *s, int pass) {
  cz_product x = {.c = p->c,
                  .a = p->a,
                  .b = p->b,
                  .dtype = p->dtype,
                  .c_dtype = pass == DW ? CZ_F32 : p->dtype,
                  .a_transposed = pass == DW,
                  .b_transposed = pass == FORWARD,
                  .M = pass == DW ? s->n : s->m,
                  .N = pass == FORWARD ? s->n : s->k,
                  .K = pass == FORWARD ? s->k
                       : pass == DX    ? s->n
                                       : s->m,
                  .alpha = 1,
                  .b_version = pass == DW ? 0 : 1,
                  .units = p->units};
  x.lda = x.a_transposed ? x.M : x.K, x.ldb = x.b_transposed ? x.K : x.N, x.ldc = x.N;
  return x;
}

static cz_status open_scratch(cz_product_probe *p) {
  p->threads = omp_get_max_threads();
  for (int i = 0; i < N_SHAPES * PASSES; i++) {
    cz_product x = product_of(p, &shapes[i / PASSES], i % PASSES);
    size_t bytes = cz_product_tile_scratch(&x);
    if (bytes > p->slice) p->slice = (bytes + 63) / 64 * 64;
  }
  if (p->slice && !(p->scratch = aligned_alloc(64, (size_t)p->threads * p->slice)))
    return CZ_FAIL(CZ_ENOMEM, "%zu bytes for each of %d threads' products", p->slice, p->threads);
  return CZ_OK;
}

/** Makes the operands of the probe: random numbers, since the rate of a product depends on its
 * data. D: whose matrix units multiply DTYPE, if it has some that do; null: float32 by the BLAS. */
cz_status cz_product_probe_create(cz_product_probe **probe, const cz_device *d, cz_dtype dtype) {
  cz_status st;
  CZ_TRY(cz_alloc(probe, 1, sizeof **probe));
  cz_product_probe *p = *probe;
  cz_units *units = d ? cz_device_units(d) : NULL;
  p->units = cz_units_takes(units, dtype) ? units : NULL;
  p->dtype = p->units ? dtype : CZ_F32;
  CZ_GO(st, cz_alloc(&p->a, MAXIMUM, sizeof(float)), fail);
  CZ_GO(st, cz_alloc(&p->b, MAXIMUM, sizeof(float)), fail);
  CZ_GO(st, cz_alloc(&p->c, MAXIMUM, sizeof(float)), fail);
  if (p->units) CZ_GO(st, open_scratch(p), fail);
  uint64_t x = 1;
  for (size_t i = 0; i < MAXIMUM; i++) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    float a = (float)((int32_t)(x >> 32)) * 0x1p-31f, b = (float)((int32_t)(x >> 16)) * 0x1p-31f;
    if (p->dtype == CZ_BF16)
      ((cz_bf16 *)p->a)[i] = cz_bf16_nearest(a), ((cz_bf16 *)p->b)[i] = cz_bf16_nearest(b);
    else
      ((float *)p->a)[i] = a, ((float *)p->b)[i] = b;
  }
  return CZ_OK;
fail:
  cz_product_probe_destroy(probe);
  return st;
}

/** Frees the probe, before its device is closed; clears the pointer, accepts null. */
void cz_product_probe_destroy(cz_product_probe **probe) {
  cz_product_probe *p = *probe;
  *probe = NULL;
  if (!p) return;
  if (p->units && p->b) cz_units_forget(p->units, p->b, MAXIMUM * sizeof(float));
  free(p->a), free(p->b), free(p->c), free(p->scratch);
  free(p);
}

static void by_blas(const cz_product *x) {
  cblas_sgemm(CblasRowMajor, x->a_transposed ? CblasTrans : CblasNoTrans,
              x->b_transposed ? CblasTrans : CblasNoTrans, (int)x->M, (int)x->N, (int)x->K, 1, x->a,
              (int)x->lda, x->b, (int)x->ldb, 0, x->c, (int)x->ldc);
}

static void by_units(const cz_product_probe *p, const cz_product *x) {
#pragma omp parallel for schedule(dynamic) num_threads(p->threads)
  for (int64_t tile = 0; tile < cz_product_tiles(x); tile++)
    (void)cz_product_tile(x, tile, (char *)p->scratch + (size_t)omp_get_thread_num() * p->slice);
}

/** One round over the shapes and transpositions of a T5-small training step, with all threads: the
 * rate in GFLOP/s (multiply and add counted as two). Half a second on two cores in float32. */
double cz_product_probe_round(cz_product_probe *p) {
  double flop = 0, began = cz_seconds();
  for (int i = 0; i < N_SHAPES * PASSES; i++) {
    cz_product x = product_of(p, &shapes[i / PASSES], i % PASSES);
    if (p->units)
      by_units(p, &x);
    else
      by_blas(&x);
    flop += 2.0 * (double)x.M * (double)x.N * (double)x.K;
  }
  return 1e-9 * flop / (cz_seconds() - began);
}

/** What multiplies, for reports. Static. */
const char *cz_product_probe_by(const cz_product_probe *p) {
  return !p->units             ? "float32 by the BLAS"
         : p->dtype == CZ_BF16 ? "bfloat16 by matrix units, weights packed"
                               : "float32 by oneDNN, weights packed";
}

/** The peak of this process's resident memory, bytes. */
int64_t cz_peak_rss_bytes(void) {
  struct rusage u;
  getrusage(RUSAGE_SELF, &u);
  return (int64_t)u.ru_maxrss * 1024;
}

/** The machine's memory, bytes. */
int64_t cz_memory_bytes(void) { return (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE); }

/** The processors that this process may run on; 1 when the system does not tell. */
int cz_processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) ? 1 : CPU_COUNT(&set);
}

/** The processor's name as the kernel tells it, "unknown" when it does not. */
cz_status cz_cpu_model(char *out, size_t n) {
  char line[512];
  snprintf(out, n, "unknown");
  FILE *f = fopen("/proc/cpuinfo", "r");
  if (!f) return CZ_OK;
  while (fgets(line, sizeof line, f)) {
    char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) || !colon) continue;
    colon[strcspn(colon, "\n")] = '\0';
    snprintf(out, n, "%s", colon + 2);
    break;
  }
  fclose(f);
  return CZ_OK;
}
