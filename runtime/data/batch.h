/* Batches without padding: flat lists of tokens, segment boundaries, shards, and a stream
 * that fills the next batch while the step runs.
 *
 * Budgets are those of the whole global batch. A batch is cut into a fixed number of
 * shards, each with its exact part of the budgets, so a graph is planned at that capacity
 * and every rank reads the same stream and takes its shards. */
#ifndef CZ_DATA_BATCH_H
#define CZ_DATA_BATCH_H

#include "data/source.h"

typedef enum cz_layout {
  CZ_LAYOUT_ENCDEC, /* inputs to the encoder, targets to the decoder */
  CZ_LAYOUT_STACK,  /* one stack reads inputs and targets as one segment */
  CZ_LAYOUT_TOKENS  /* one stack reads the inputs as they are; labels and classes are aligned */
} cz_layout;

/* Where a batch of a fixed number of examples stands at the end of an epoch (pet.md 1.3 and
 * 1.6). A shard is the micro-batch of the published loops, a batch their update. */
typedef enum cz_ends {
  CZ_ENDS_JOIN,   /* the next epoch fills it up */
  CZ_ENDS_SHORT,  /* the shard is left short, the next epoch begins with the next shard: the
                     released code from 2021 on, which counts micro-batches over epochs */
  CZ_ENDS_RESTART /* the batch is left out unless it is whole, or with `whole` goes into the next
                     one: the code before, which counts them anew in each epoch. An epoch of fewer
                     micro-batches makes no update */
} cz_ends;

extern const char *const cz_ends_names[];

/* What happens to an example that is longer than its caps: an error, or cut and
 * counted. */
typedef enum cz_long { CZ_LONG_REFUSE, CZ_LONG_CUT } cz_long;

/* What one stack reads of a shard. */
typedef struct cz_stack_tokens {
  int32_t *ids;   /* [tokens] */
  int32_t *spans; /* [B, 2] first token, one past the last */
  int64_t tokens;
} cz_stack_tokens;

/* One shard. With ENCDEC the n-th decoder segment belongs to the n-th encoder segment.
 * With STACK and TOKENS the encoder's list is empty.
 *
 * With TOKENS the decoder's list holds the ids as they are, no start id, nothing shifted.
 * A segment without labels or rows has no entry in the lists of them, and a shard may have
 * none at all. Where the plan has soft classes every row with a class has its distribution
 * in `soft`, that of a hard class being 1 for it; a row of an unknown class is all zeros. Where
 * the plan's examples have several texts, these are segments one behind the other, whose rows make
 * one answer, A = n_class_rows / texts of them, in order. */
typedef struct cz_shard {
  int64_t segments; /* B; 0 when a short last batch has no example left for this shard */
  cz_stack_tokens encoder, decoder;
  int32_t *targets;      /* [decoder.tokens] the token that each decoder position predicts, or
                            CZ_NOT_COUNTED */
  int32_t *prefix;       /* [B] positions of each decoder segment that a prefix LM sees from
                            everywhere in it; 0 with ENCDEC; with TOKENS those that are not
                            padding, which nobody sees */
  int32_t *loss_rows;    /* [n_loss_rows] decoder positions whose target counts, ascending */
  int32_t *loss_targets; /* [n_loss_rows] their targets */
  int64_t n_loss_rows;
  int64_t *numbers; /* [B] number of each example in its set (cz_example), -1: none */
  /* With TOKENS: */
  int32_t *types;      /* [decoder.tokens] */
  int32_t *class_rows; /* [n_class_rows] decoder positions that the head of classes reads,
                          ascending */
  int32_t *classes;    /* [A] the class; CZ_NOT_COUNTED: soft, or not known */
  double *soft;        /* [A, C] where the plan has soft classes, else null */
  int64_t n_class_rows, n_classes, n_known; /* rows of the head of classes; answers of a
                                               known class; examples of these */
} cz_shard;

/* A place in a stream, saved in checkpoints as it stands. Zero-initialised is the
 * start. */
typedef struct cz_cursor {
  uint64_t index;   /* example of `epoch` that the current window begins with */
  uint64_t batches; /* taken since the start */
  uint32_t epoch;
  uint32_t taken; /* batches taken of the current window */
} cz_cursor;

/* One global batch, all shards; a rank computes some of them. Sums are over all, so that
 * every rank logs the same numbers without asking another. */
typedef struct cz_batch {
  int64_t n_shards;
  cz_shard *shards;
  int64_t segments, encoder_tokens, decoder_tokens, n_loss_rows; /* of all shards */
  int64_t n_class_rows, n_classes; /* rows of the head of classes; answers of a known class, which
                                      its loss is divided by as the other is by n_loss_rows */
  int64_t n_known;                 /* examples that have such rows, one or more each */
  int64_t text_tokens;             /* raw text that the examples were made of */
  int64_t input_sum, target_sum;   /* tokens of the examples, EOS included, whatever the layout */
  int64_t padded_positions; /* target positions of the padded recipe (batch x length), t5.md 0.7:
                               the budget, not what was filled */
  int64_t cut;              /* examples cut short, CZ_LONG_CUT */
  cz_cursor after;          /* where the following batch begins */
} cz_batch;

/* How batches are made. Two runs with equal plans, sources and cursors read the same
 * batches, whatever the number of ranks, threads or interruptions.
 *
 * TOKENS has one list and one budget, that of the inputs. With `examples` a batch is so many
 * examples in the source's order, divided over the shards in order, and its budgets are what
 * so many of the longest take; without, the budgets fill it. */
typedef struct cz_batch_plan {
  cz_layout layout;
  bool loss_on_inputs;                 /* STACK: targets cover inputs too */
  int32_t start;                       /* id that begins each decoder segment */
  int64_t input_tokens, target_tokens; /* budgets of the global batch, multiples of shards */
  int64_t max_inputs, max_targets;     /* caps of one example with EOS; 0: a shard's budget */
  int64_t shards;
  int64_t window; /* batches that are filled together, so that steps cost alike */
  cz_long on_long;
  uint32_t passes;  /* epochs; 0: endless */
  int64_t examples; /* of a global batch, a multiple of shards; 0: as many as the budgets hold */
  int ends;         /* cz_ends, with examples */
  int64_t whole;    /* RESTART: shards that an epoch must fill to make a batch; the others have room
                       for those that the epoch before has left over, which come first. 0: all */
  int64_t soft_classes; /* TOKENS: C of the distributions that examples may have; 0: none */
  int64_t texts;        /* TOKENS: of each example; 0: one. max_inputs is that of all together */
} cz_batch_plan;

/* Maxima of one shard, for whom memory is planned. */
typedef struct cz_shard_room {
  int64_t segments, encoder_tokens, decoder_tokens;
} cz_shard_room;

/* A stream: a thread of its own reads ahead while the caller computes. One caller at a
 * time; a batch is borrowed until the next call, after which its memory holds another
 * one. */
typedef struct cz_batches cz_batches;

int64_t cz_batch_cap(int64_t cap, int64_t budget, int64_t shards);
void cz_batch_budgets(cz_batch_plan *plan);
cz_shard_room cz_batch_room(const cz_batch_plan *plan);
CZ_MUST cz_status cz_batches_check(const cz_batch_plan *plan);
CZ_MUST cz_status cz_batches_open(cz_batches **b, const cz_source *source,
                                  const cz_batch_plan *plan, const cz_cursor *from);
CZ_MUST cz_status cz_batches_next(cz_batches *b, const cz_batch **batch);
double cz_batches_waited(const cz_batches *b);
void cz_batches_close(cz_batches **b);

#endif
