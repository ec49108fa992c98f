/* How well a net predicts, without training it: negative log likelihoods over a stream. */
#ifndef CZ_TRAINING_NLL_H
#define CZ_TRAINING_NLL_H

#include "data/batch.h"
#include "nn/net.h"

CZ_MUST cz_status cz_nll_sum(double *sum, int64_t *tokens, cz_net *net, const cz_source *source,
                             const cz_batch_plan *plan, int64_t maximum);

#endif
