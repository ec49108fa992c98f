/* The one builder: a model's graph for training or scoring, with its inputs. Single
 * stacks and encoder-decoders come from the same rows. */
#ifndef CZ_NN_NET_H
#define CZ_NN_NET_H

#include "graph/graph.h"
#include "nn/model.h"

/* Capacities are maxima of one run (a shard, when training); memory is planned for them,
 * and the time of a run follows what is fed. */
typedef struct cz_net_options {
  int64_t capacity_segments;                  /* B */
  int64_t capacity_encoder, capacity_decoder; /* tokens of either stack */
  bool train;                                 /* differentiate */
  bool logits;                                /* keep the logits [n_loss_rows, V] */
  bool loss_rows; /* the head computes only the decoder positions that the feed lists */
  bool recompute; /* keep only the blocks' borders for backward */
  bool no_reuse, no_fusion;
  double dropout;         /* replaces the model's when >= 0 */
  bool dropout_per_token; /* false: one mask along each segment, as the published runs drew it
                             (t5.md 0.8) */
  double z_loss, label_smoothing;
  bool cudnn; /* attentions without a relative bias by cuDNN (nn/attention.h), which is told: */
  int64_t longest_encoder, longest_decoder; /* tokens of a segment at most; 0: not known */
} cz_net_options;

/* What one stack reads. */
typedef struct cz_stack_input {
  const int32_t *ids;   /* [tokens] */
  const int32_t *spans; /* [segments, 2] begin and end of each segment */
  int64_t tokens;
} cz_stack_input;

/* One batch as the graph wants it: flat tokens, segment spans, no padding; borrowed. The
 * words are those of cz_shard (data/batch.h). */
typedef struct cz_feed {
  int64_t segments;
  cz_stack_input encoder;   /* empty for a single stack */
  cz_stack_input decoder;   /* ids already shifted by one */
  const int32_t *prefix;    /* [segments], prefix LM only */
  const int32_t *loss_rows; /* [n_loss_rows] decoder positions that the loss reads, with
                               options.loss_rows; without, it reads all of them */
  const int32_t *targets;   /* [n_loss_rows]; negative: not counted */
  int64_t n_loss_rows;      /* without options.loss_rows: decoder.tokens */
  double denominator;       /* the loss is the sum over counted rows divided by this */
} cz_feed;

/* The graph with the values that a caller feeds and reads. One batch at a time:
 * cz_net_feed, then cz_graph_forward or cz_graph_train on `graph`, then reads of the
 * outputs. nll [n_loss_rows] is in nats, 0 where a target is not counted; encoded [S, D]
 * is the encoder's output. */
typedef struct cz_net {
  cz_graph *graph;
  cz_model *model; /* borrowed */
  cz_net_options options;
  int64_t segments, encoder_tokens, decoder_tokens, n_loss_rows; /* extents */
  struct {
    cz_value ids, spans, positions; /* positions: made from the spans where the model has them */
  } encoder, decoder;               /* inputs, as the following */
  cz_value prefix, loss_rows, targets, denominator;
  cz_value loss, nll, logits, encoded; /* outputs; CZ_ABSENT when not made */
  int32_t *positions;                  /* [larger capacity], scratch of the feed */
} cz_net;

CZ_MUST cz_status cz_net_create(cz_net **net, cz_model *model, const cz_net_options *options);
void cz_net_destroy(cz_net **net);
CZ_MUST cz_status cz_net_feed(cz_net *net, const cz_feed *feed);
CZ_MUST cz_status cz_net_positions(int32_t *out, const cz_model_config *c, const char *what,
                                   const int32_t *spans, int64_t segments);

#endif
