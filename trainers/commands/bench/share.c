#include "base/mem.h"
#include "commands/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/** Prints what a bench has found, and takes it; null is a CZ_ENOMEM too. */
cz_status cz_bench_print(json_t *taken) {
  char *text =
      taken ? json_dumps(taken, JSON_INDENT(1) | JSON_PRESERVE_ORDER | JSON_REAL_PRECISION(6))
            : NULL;
  if (text) puts(text);
  json_decref(taken);
  free(text);
  return text ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "no memory for the report");
}

/** The median of X [N], N at least 1, which is sorted for it. */
double cz_bench_median(double *x, int64_t n) {
  qsort(x, (size_t)n, sizeof *x, ascending);
  return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

/** The speed of a step as a share of the products' speed, where N steps of GFLOP each took SECONDS
 * [N] and CEILINGS [N + 1] are GFLOP/s of the products that ran before the first step and after
 * each. A step is compared with the products on both sides of it, and the share is the median of
 * the N ratios: a machine that becomes faster or slower between two steps changes both sides, and
 * in the middle of a step only that ratio. */
cz_status cz_bench_share(double *share, const double *seconds, const double *ceilings, double gflop,
                         int64_t n) {
  double *ratios;
  CZ_TRY(cz_alloc(&ratios, (size_t)n, sizeof *ratios));
  for (int64_t i = 0; i < n; i++)
    ratios[i] = gflop / seconds[i] / (0.5 * (ceilings[i] + ceilings[i + 1]));
  *share = cz_bench_median(ratios, n);
  free(ratios);
  return CZ_OK;
}
