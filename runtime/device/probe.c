#define _GNU_SOURCE /* sched_getaffinity */
#include "device/probe.h"
#include "base/clock.h"
#include "base/mem.h"

#include <cblas.h>
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
  float *a, *b, *c;
};

/** Makes the operands of the probe: random numbers, since the rate of a product depends
 * on its data. */
cz_status cz_product_probe_create(cz_product_probe **probe) {
  cz_status st;
  CZ_TRY(cz_alloc(probe, 1, sizeof **probe));
  cz_product_probe *p = *probe;
  CZ_GO(st, cz_alloc(&p->a, MAXIMUM, sizeof *p->a), fail);
  CZ_GO(st, cz_alloc(&p->b, MAXIMUM, sizeof *p->b), fail);
  CZ_GO(st, cz_alloc(&p->c, MAXIMUM, sizeof *p->c), fail);
  uint64_t x = 1;
  for (size_t i = 0; i < MAXIMUM; i++) {
    x = x * 6364136223846793005ULL + 1442695040888963407ULL;
    p->a[i] = (float)((int32_t)(x >> 32)) * 0x1p-31f;
    p->b[i] = (float)((int32_t)(x >> 16)) * 0x1p-31f;
  }
  return CZ_OK;
fail:
  cz_product_probe_destroy(probe);
  return st;
}

/** Frees the probe; clears the pointer, accepts null. */
void cz_product_probe_destroy(cz_product_probe **probe) {
  if (!*probe) return;
  free((*probe)->a);
  free((*probe)->b);
  free((*probe)->c);
  free(*probe);
  *probe = NULL;
}

/** One round of plain cblas_sgemm with all its threads over the shapes and transpositions
 * of a T5-small training step: the rate in GFLOP/s (multiply and add counted as two).
 * About half a second on two cores. */
double cz_product_probe_round(cz_product_probe *p) {
  double flop = 0, began = cz_seconds();
  for (int i = 0; i < N_SHAPES; i++) {
    int m = shapes[i].m, k = shapes[i].k, n = shapes[i].n;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1, p->a, k, p->b, k, 0, p->c, n);
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, k, n, 1, p->a, n, p->b, k, 0, p->c,
                k);
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, n, k, m, 1, p->a, n, p->b, k, 0, p->c, k);
    flop += 3 * 2.0 * m * k * n;
  }
  return 1e-9 * flop / (cz_seconds() - began);
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
