/* Filling a graph's inputs: from a shard that the data reader laid out, or from lists
 * that a program made itself, without a corpus. */
#ifndef CZ_TRAINING_FEED_H
#define CZ_TRAINING_FEED_H

#include "data/batch.h"
#include "nn/net.h"

typedef struct cz_token_lists {
  cz_ids ids, spans; /* spans: pairs of begin and end */
} cz_token_lists;

/* A batch without padding, built by hand. Zero-initialised is empty. A single stack reads
 * neither the encoder's lists nor, unless it is a prefix LM, `prefix`. */
typedef struct cz_flat_batch {
  cz_token_lists encoder, decoder;
  cz_ids targets; /* one for each decoder token */
  cz_ids types;   /* of each decoder token, or empty: all 0 */
  cz_ids prefix;  /* one for each segment */
  int64_t segments;
} cz_flat_batch;

/* A feed borrows: the arrays must stay until the graph has run. The denominator is the
 * caller's, since it is that of the whole global batch while a feed is one shard. */
void cz_feed_shard(cz_feed *feed, const cz_shard *shard, bool loss_rows, double denominator);
void cz_feed_heads(cz_feed *feed, cz_net_head_feed *heads, const cz_net_options *options,
                   const cz_shard *shard, double tokens, double classes);
void cz_feed_flat_batch(cz_feed *feed, const cz_flat_batch *b, double denominator);

CZ_MUST cz_status cz_token_lists_close(cz_token_lists *lists, size_t begin);
void cz_flat_batch_capacities(cz_net_options *options, const cz_flat_batch *b);
void cz_flat_batch_free(cz_flat_batch *b);

#endif
