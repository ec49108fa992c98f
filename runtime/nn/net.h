/* The one builder: a model's graph for training or scoring, with its inputs. Single
 * stacks and encoder-decoders come from the same rows. */
#ifndef CZ_NN_NET_H
#define CZ_NN_NET_H

#include "graph/graph.h"
#include "nn/model.h"

typedef struct cz_net_options {
  int64_t max_segments, max_inputs,
      max_targets; /* capacities: segments, encoder tokens, decoder tokens of one run */
  bool train;      /* differentiate */
  bool logits;     /* keep the logits [decoder tokens or gathered rows, V] */
  bool gather;     /* the loss reads only the rows that the feed lists */
  bool recompute;  /* keep only the blocks' borders for backward */
  bool no_reuse, no_fusion;
  double dropout;         /* replaces the model's when >= 0 */
  bool dropout_per_token; /* false: one mask along each segment, as the published runs drew it
                             (t5.md 0.8) */
  double z_loss, label_smoothing;
} cz_net_options;

/* One batch as the graph wants it: flat tokens, segment spans, no padding. Single stacks
 * leave the encoder fields empty. */
typedef struct cz_feed {
  int64_t segments, enc_tokens, dec_tokens, rows;
  const int32_t *enc_ids, *enc_spans; /* [enc_tokens], [segments, 2] begin and end */
  const int32_t *dec_ids, *dec_spans; /* decoder inputs: already shifted */
  const int32_t *prefix;              /* [segments], prefix LM only */
  const int32_t *gather;  /* [rows] decoder rows that the loss reads, with options.gather */
  const int32_t *targets; /* [rows]; negative: not counted. Without gather rows = dec_tokens */
  double denominator;     /* the loss is the sum over counted rows divided by this */
} cz_feed;

typedef struct cz_net {
  cz_graph *graph;
  cz_model *model; /* borrowed */
  cz_net_options options;
  int64_t segments, inputs, tokens, rows; /* extents */
  cz_value enc_ids, enc_spans, dec_ids, dec_spans, prefix, gather, targets,
      denominator;                     /* inputs */
  cz_value loss, nll, logits, encoded; /* outputs; CZ_ABSENT when not made */
} cz_net;

CZ_MUST cz_status cz_net_create(cz_net **net, cz_model *model, const cz_net_options *options);
void cz_net_destroy(cz_net **net);
CZ_MUST cz_status cz_net_feed(cz_net *net, const cz_feed *feed);

#endif
