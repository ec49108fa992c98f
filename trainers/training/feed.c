#include "training/feed.h"

#include <stdlib.h>

/** Frees the lists. */
void cz_flat_batch_free(cz_flat_batch *b) {
  free(b->enc.data);
  free(b->enc_spans.data);
  free(b->dec.data);
  free(b->dec_spans.data);
  free(b->targets.data);
  free(b->prefix.data);
}

/** Sets the capacities of OPTIONS to what B takes, leaving the rest, and points FEED at
 * B's lists, which must outlive it. The loss is the sum over counted positions divided
 * by DENOMINATOR. */
void cz_flat_batch_fit(cz_net_options *options, cz_feed *feed, const cz_flat_batch *b,
                       double denominator) {
  options->max_segments = b->segments;
  options->max_inputs = b->enc.len ? (int64_t)b->enc.len : 1;
  options->max_targets = (int64_t)b->dec.len;
  *feed = (cz_feed){.segments = b->segments,
                    .enc_tokens = (int64_t)b->enc.len,
                    .dec_tokens = (int64_t)b->dec.len,
                    .rows = (int64_t)b->dec.len,
                    .enc_ids = b->enc.data,
                    .enc_spans = b->enc_spans.data,
                    .dec_ids = b->dec.data,
                    .dec_spans = b->dec_spans.data,
                    .prefix = b->prefix.data,
                    .targets = b->targets.data,
                    .denominator = denominator};
}
