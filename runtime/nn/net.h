/* The one builder: a model's graph for training or scoring, with its inputs. Single
 * stacks and encoder-decoders come from the same rows. */
#ifndef CZ_NN_NET_H
#define CZ_NN_NET_H

#include "graph/graph.h"
#include "nn/model.h"

/* A head of a net. All stand on one body; each has rows of its own, targets, and the denominator
 * of its loss, and a net's loss is their sum. */
typedef enum cz_net_head_kind {
  CZ_NET_VOCABULARY,    /* masked or causal LM: cross-entropy over all words, by cross_entropy */
  CZ_NET_LABEL_WORDS,   /* the same states scored for a few words a class, by label_words */
  CZ_NET_CLASSIFIER,    /* the classification head: pooler, and a row of `classifier` a class */
  CZ_NET_NEXT_SENTENCE, /* likewise with two classes */
  CZ_NET_SENTENCE,      /* the mean of each segment's last states, as sentence encoders have it; it
                           reads all rows and has no loss */
  CZ_NET_CHOICES        /* answers of several tokens: the sum of their log-probabilities over all
                           words, each at a mask of its own, and by choices a hinge over a
                           segment's answers (net_choices.c) */
} cz_net_head_kind;

enum { CZ_NET_HEADS = 4, CZ_NET_TOGETHER = 16 }; /* of one net; rows of one answer, at most */

typedef struct cz_net_head_options {
  cz_net_head_kind kind;
  int64_t capacity_rows;  /* rows that it reads at most, of all segments */
  bool no_loss;           /* scores or logits alone */
  bool logits;            /* VOCABULARY: keep those of its rows, [rows, V] */
  bool soft;              /* the others: targets are weights of classes, [rows, C] */
  double temperature;     /* the others: of label_words; 0: 1 */
  int64_t classes, words; /* LABEL_WORDS: C, and W words of a class at most; CHOICES: C answers,
                             and M tokens of one, of a segment at most */
  int64_t together;       /* CLASSIFIER: K rows, one behind the other, make one answer: what is
                             pooled of them is added before the classes are scored (Radford et al.
                             2018, 3.3, similarity); 0: 1 */
  bool choice;            /* with `together`: the rows are the classes instead. The classifier has
                             one number for each, and softmax is over those (multiple choice) */
} cz_net_head_options;

/* Capacities are maxima of one run (a shard, when training); memory is planned for them,
 * and the time of a run follows what is fed. */
typedef struct cz_net_options {
  int64_t capacity_segments;                  /* B */
  int64_t capacity_encoder, capacity_decoder; /* tokens of either stack */
  bool train;                                 /* differentiate */
  bool logits;                                /* keep the logits [n_loss_rows, V] */
  bool loss_rows; /* the head computes only the decoder positions that the feed lists */
  bool recompute; /* keep only the blocks' borders for backward */
  bool padded;    /* an encoder's segments may end in padding, which sees the tokens in front of it
                     and is seen by nobody; the feed's prefix says how many those are */
  bool no_reuse, no_fusion;
  double dropout;         /* replaces the model's when >= 0 */
  bool dropout_per_token; /* false: one mask along each segment, as the published runs drew it
                             (t5.md 0.8) */
  double z_loss, label_smoothing; /* of VOCABULARY heads */
  int n_heads; /* 0: one VOCABULARY head, with the rows and targets of the feed itself */
  cz_net_head_options heads[CZ_NET_HEADS];
  bool cudnn; /* attentions without a relative bias by cuDNN (nn/attention.h), which is told: */
  int64_t longest_encoder, longest_decoder; /* tokens of a segment at most; 0: not known */
} cz_net_options;

/* What one stack reads. */
typedef struct cz_stack_input {
  const int32_t *ids;   /* [tokens] */
  const int32_t *spans; /* [segments, 2] begin and end of each segment */
  int64_t tokens;
  const int32_t *types; /* [tokens] token types, of families that have them; null: all 0 */
} cz_stack_input;

/* What a head of the options reads; a segment may have no row, or several. */
typedef struct cz_net_head_feed {
  const int32_t *rows; /* [n_rows] positions in the flat tokens; A K of a head with `together`;
                          CHOICES: masks, ascending, those of one segment being one question */
  int64_t n_rows;
  const int32_t *targets; /* [A] tokens or classes; negative: not counted. A is n_rows without
                             `together`. CHOICES: the number of the right answer, at each of a
                             question's rows the same */
  const int64_t *numbers; /* CHOICES with several sets of answers: [segments] each one's set */
  const double *soft;     /* [A, C] in place of targets where the head has soft ones */
  double denominator;     /* positive, also where there is no row */
} cz_net_head_feed;

/* One batch as the graph wants it: flat tokens, segment spans, no padding; borrowed. The
 * words are those of cz_shard (data/batch.h). */
typedef struct cz_feed {
  int64_t segments;
  cz_stack_input encoder;        /* empty for a single stack */
  cz_stack_input decoder;        /* ids already shifted by one */
  const int32_t *prefix;         /* [segments], prefix LM, and options.padded: not padding */
  const int32_t *loss_rows;      /* [n_loss_rows] decoder positions that the loss reads, with
                                    options.loss_rows; without, it reads all of them */
  const int32_t *targets;        /* [n_loss_rows]; negative: not counted */
  int64_t n_loss_rows;           /* without options.loss_rows: decoder.tokens */
  double denominator;            /* the loss is the sum over counted rows divided by this */
  const cz_net_head_feed *heads; /* [options.n_heads]; then the four before it are not read */
} cz_feed;

/* What a head with `together` is fed besides; the last three where it chooses. */
typedef struct cz_net_together {
  cz_value parts[CZ_NET_TOGETHER];   /* [A] the k-th row of each answer among its rows */
  cz_value columns[CZ_NET_TOGETHER]; /* [K, 1] 1 at k: where the k-th number stands among K */
  cz_value unit, first;              /* [K, K]; [1, 1] the classifier's one row */
  bool fed;                          /* what never changes */
} cz_net_together;

typedef struct cz_net_choices cz_net_choices; /* what CHOICES has besides */

/* A head in the graph; inputs, then outputs, CZ_ABSENT where it has none. nll [rows] is in nats, 0
 * where a target is not counted. The rows of CHOICES are the tokens of all answers to all questions
 * that are counted, in this order, and so are its scores, one for each answer. */
typedef struct cz_net_head {
  cz_net_head_options options;
  const char *name;
  int64_t n_rows, n_answers; /* extents; one but for `together` */
  int64_t classes;
  cz_net_together together;
  cz_value rows, places, targets, soft, denominator, words;
  cz_value spans; /* [segments, 2] which of its rows are of each segment; CZ_ABSENT where the last
                     block is computed of all tokens */
  cz_value loss, nll, logits, scores; /* scores [A, C], logits [rows, V] */
  cz_value sentences;                 /* SENTENCE: [segments, D] */
  cz_net_choices *choices;
  bool has_words; /* were fed */
} cz_net_head;

/* The graph with the values that a caller feeds and reads. One batch at a time:
 * cz_net_feed, then cz_graph_forward or cz_graph_train on `graph`, then reads of the
 * outputs. nll [n_loss_rows] is in nats, 0 where a target is not counted; encoded [S, D]
 * is the encoder's output. */
typedef struct cz_net {
  cz_graph *graph;
  cz_model *model; /* borrowed */
  cz_net_options options;
  int64_t segments, encoder_tokens, decoder_tokens; /* extents */
  struct {
    cz_value ids, spans, positions, types; /* the last two where the model has them */
  } encoder, decoder;                      /* inputs */
  cz_value prefix;
  cz_value seen; /* [segments, 2], the keys of each; CZ_ABSENT unless options.padded */
  cz_net_head heads[CZ_NET_HEADS];
  int n_heads;
  /* outputs; CZ_ABSENT when not made. loss, nll and logits are those of the first head */
  cz_value loss, nll, logits, encoded;
  int32_t *numbers, *places; /* scratch of the feed: of tokens or spans, [most rows of a head] */
} cz_net;

CZ_MUST cz_status cz_net_create(cz_net **net, cz_model *model, const cz_net_options *options);
void cz_net_destroy(cz_net **net);
CZ_MUST cz_status cz_net_feed(cz_net *net, const cz_feed *feed);
CZ_MUST cz_status cz_net_positions(int32_t *out, const cz_model_config *c, const char *what,
                                   const cz_stack_input *stack, int64_t segments);
CZ_MUST cz_status cz_net_set_words(cz_net *net, int head, const int32_t *words);
CZ_MUST cz_status cz_net_set_answers(cz_net *net, int head, const int32_t *answers, int64_t sets);
void cz_net_pooled_rows(int32_t *rows, const cz_model_config *c, const int32_t *spans,
                        int64_t segments);

#endif
