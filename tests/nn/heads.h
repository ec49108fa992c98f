/* What the tests of heads share: a small model of any family, three texts, and derivatives. */
#ifndef CZ_TESTS_NN_HEADS_H
#define CZ_TESTS_NN_HEADS_H

#include "common/common.h"
#include "kernels/cases.h"
#include "nn/net.h"

enum { V = 31, TEXTS = 3, TOKENS = 17, C = 3, POSITIONS = 12 };

extern const int32_t ids[TOKENS], spans[2 * TEXTS], types[TOKENS];
extern const cz_graph_run_options keyed; /* with the dropout of training */

cz_model *model_of(const char *name, cz_device *device);
cz_model *model_with(const char *name, cz_device *device, int64_t labels);
cz_feed batch_of(const cz_model *m, const cz_net_head_feed *heads);
double *gradients(const cz_model *m);
void near(const char *what, double got, double want, double tolerance);
void check_derivative(cz_model *m, cz_rand *r, double (*loss)(void *self), void *self, bool all);

#endif
