/* Incremental decoding: one graph encodes, one graph decodes a few tokens at a time over
 * key/value caches that live between its runs. Both are built by the functions of
 * layers.h that build training graphs, so their logits are those of the whole sequence at
 * once.
 *
 * A decoder is started with a batch of encoder segments; a step gives each sequence at
 * least one new token and returns the logits behind its newest one; reordering lets
 * sequences continue what others have read (beam search). */
#ifndef CZ_NN_DECODE_H
#define CZ_NN_DECODE_H

#include "graph/graph.h"
#include "nn/net.h"

typedef struct cz_decoder cz_decoder;

typedef struct cz_decoder_options {
  int64_t capacity_segments, capacity_encoder; /* of one encoder batch: segments, tokens */
  int64_t max_beams;                           /* sequences decoded at once */
  int64_t max_length;                          /* tokens of one decoded sequence, prompt included */
} cz_decoder_options;

/* A decoder belongs to one thread. Sequences are numbered 0 to n - 1 in every call; the
 * caller keeps scores and texts (trainers/decoding). Cache memory: max_beams x max_length
 * x 2 H K numbers for each decoder layer, taken at create. */
CZ_MUST cz_status cz_decoder_create(cz_decoder **decoder, cz_model *model,
                                    const cz_decoder_options *options);
void cz_decoder_destroy(cz_decoder **decoder);
CZ_MUST cz_status cz_decoder_start(cz_decoder *d, const cz_feed *feed);
CZ_MUST cz_status cz_decoder_step(cz_decoder *d, float *logits, const int32_t *ids,
                                  const int32_t *lengths, const int32_t *segment,
                                  const int32_t *prefix, int64_t n);
CZ_MUST cz_status cz_decoder_reorder(cz_decoder *d, const int32_t *parent, int64_t n);

#endif
