/* `cloze bench`: speed of a training step against the machine's own product rate, of each op
 * against copies and products, what the objectives cost, and speed of tokenizers. */
#ifndef CZ_BENCH_H
#define CZ_BENCH_H

#include "commands/commands.h"

#include <jansson.h>
#include <stdint.h>

CZ_MUST cz_status cz_bench_step(int argc, char **argv);
CZ_MUST cz_status cz_bench_kernels(int argc, char **argv);
CZ_MUST cz_status cz_bench_objectives(int argc, char **argv);
CZ_MUST cz_status cz_bench_tokenize(int argc, char **argv);

CZ_MUST cz_status cz_bench_print(json_t *taken);
double cz_bench_median(double *x, int64_t n);
CZ_MUST cz_status cz_bench_share(double *share, const double *seconds, const double *ceilings,
                                 double gflop, int64_t n);

#endif
