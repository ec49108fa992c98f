/* What the tests of the engine share: tiny models, random batches, and a run's loss and
 * gradients. */
#ifndef CZ_TESTS_GRAPH_TEST_H
#define CZ_TESTS_GRAPH_TEST_H

#include "common/common.h"
#include "device/any.h"
#include "graph/ops.h"
#include "kernels/cases.h"
#include "nn/net.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TOKENS = 64, MOST_SEGMENTS = 8 };

/* A random batch of one net: owns the arrays that the feed points to. */
typedef struct batch {
  int32_t enc[MOST_TOKENS], enc_spans[2 * MOST_SEGMENTS], dec[MOST_TOKENS],
      dec_spans[2 * MOST_SEGMENTS];
  int32_t prefix[MOST_SEGMENTS], targets[MOST_TOKENS], loss_rows[MOST_TOKENS];
  cz_feed feed;
} batch;

/* What a training run leaves: the loss and the gradients of all parameters in order of
 * declaration, as float64. */
typedef struct outcome {
  double loss;
  double *grad;
  int64_t n;
} outcome;

/* In which dtype a net is run: the device's own, or its products and, but for the wide ones, the
 * residual stream in 16 bits. ROUNDED: in the device's own, with matrices that 16 bits could hold.
 */
typedef enum arithmetic {
  IN_REAL,
  IN_BF16,
  IN_BF16_WIDE_STREAM,
  IN_F16,
  IN_F16_WIDE_STREAM,
  ROUNDED_TO_BF16,
  ROUNDED_TO_F16
} arithmetic;

extern bool runs_once;     /* an outcome is of one run, not of two: where each takes long */
extern bool smooth_models; /* tiny models have no kink: GELU in place of ReLU */
extern bool eight_models;  /* their heads have 8 numbers, which cuDNN takes */

bool tried_in(const char *device, arithmetic how);
const char *name_of(arithmetic how);
cz_model *tiny_model(const char *name, cz_device *device, uint64_t seed);
void random_batch(batch *b, cz_rand *r, const cz_model *m, int64_t segments, bool loss_rows);
cz_net_options net_options(double dropout);
void outcome_of_params(outcome *o, cz_params *p);
void outcome_of_net(outcome *o, const char *device, const char *model,
                    const cz_net_options *options, const batch *b, uint64_t seed);
void outcome_in(outcome *o, const char *device, const char *model, const cz_net_options *options,
                const batch *b, uint64_t seed, arithmetic how);
void outcome_on(outcome *o, cz_device *device, const char *model, const cz_net_options *options,
                const batch *b, uint64_t seed, arithmetic how);
void outcome_free(outcome *o);
void same_bits(const char *what, const outcome *got, const outcome *want);
void nearly(const char *what, const outcome *got, const outcome *want, double tolerance);
void fill_param(cz_param *p, cz_device *device, cz_rand *r, double deviation);

#endif
