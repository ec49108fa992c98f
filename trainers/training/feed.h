/* A batch put together by hand, as flat lists without padding: for programs that run one
 * batch through a net and have no corpus to read it from. */
#ifndef CZ_TRAINING_FEED_H
#define CZ_TRAINING_FEED_H

#include "data/example.h"
#include "nn/net.h"

/* Zero-initialised is empty. Spans are pairs of begin and end; a single stack reads
 * neither the encoder's lists nor, unless it is a prefix LM, `prefix`. */
typedef struct cz_flat_batch {
  cz_ids enc, enc_spans, dec, dec_spans, targets, prefix;
  int64_t segments;
} cz_flat_batch;

void cz_flat_batch_free(cz_flat_batch *b);
void cz_flat_batch_fit(cz_net_options *options, cz_feed *feed, const cz_flat_batch *b,
                       double denominator);

#endif
