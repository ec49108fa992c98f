/* Batches without padding: flat lists of tokens, segment boundaries, shards, and a stream
 * that fills the next batch while the step runs.
 *
 * Budgets are those of the whole global batch. A batch is cut into a fixed number of
 * shards, each with its exact part of the budgets, so a graph is planned at that capacity
 * and every rank reads the same stream and takes its shards. */
#ifndef CZ_DATA_BATCH_H
#define CZ_DATA_BATCH_H

#include "data/source.h"

/* A target that the loss leaves out; the number that torch's cross_entropy ignores by
 * default. */
enum { CZ_NOT_COUNTED = -100 };

typedef enum cz_layout {
  CZ_LAYOUT_ENCDEC, /* inputs to the encoder, targets to the decoder */
  CZ_LAYOUT_STACK   /* one stack reads inputs and targets as one segment */
} cz_layout;

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
 * With STACK the encoder's list is empty. */
typedef struct cz_shard {
  int64_t segments; /* B; 0 when a short last batch has no example left for this shard */
  cz_stack_tokens encoder, decoder;
  int32_t *targets;      /* [decoder.tokens] the token that each decoder position predicts, or
                            CZ_NOT_COUNTED */
  int32_t *prefix;       /* [B] positions of each decoder segment that a prefix LM sees from
                            everywhere in it; 0 with ENCDEC */
  int32_t *loss_rows;    /* [n_loss_rows] decoder positions whose target counts, ascending */
  int32_t *loss_targets; /* [n_loss_rows] their targets */
  int64_t n_loss_rows;
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
  int64_t text_tokens;           /* raw text that the examples were made of */
  int64_t input_sum, target_sum; /* tokens of the examples, EOS included, whatever the layout */
  int64_t padded_positions; /* target positions of the padded recipe (batch x length), t5.md 0.7:
                               the budget, not what was filled */
  int64_t cut;              /* examples cut short, CZ_LONG_CUT */
  cz_cursor after;          /* where the following batch begins */
} cz_batch;

/* How batches are made. Two runs with equal plans, sources and cursors read the same
 * batches, whatever the number of ranks, threads or interruptions. */
typedef struct cz_batch_plan {
  cz_layout layout;
  bool loss_on_inputs;                 /* STACK: targets cover inputs too */
  int32_t start;                       /* id that begins each decoder segment */
  int64_t input_tokens, target_tokens; /* budgets of the global batch, multiples of shards */
  int64_t max_inputs, max_targets;     /* caps of one example with EOS; 0: a shard's budget */
  int64_t shards;
  int64_t window; /* batches that are filled together, so that steps cost alike */
  cz_long on_long;
  uint32_t passes; /* epochs; 0: endless */
} cz_batch_plan;

/* A stream: a thread of its own reads ahead while the caller computes. One caller at a
 * time; a batch is borrowed until the next call, after which its memory holds another
 * one. */
typedef struct cz_batches cz_batches;

int64_t cz_batch_cap(int64_t cap, int64_t budget, int64_t shards);
CZ_MUST cz_status cz_batches_check(const cz_batch_plan *plan);
CZ_MUST cz_status cz_batches_open(cz_batches **b, const cz_source *source,
                                  const cz_batch_plan *plan, const cz_cursor *from);
CZ_MUST cz_status cz_batches_next(cz_batches *b, const cz_batch **batch);
double cz_batches_waited(const cz_batches *b);
void cz_batches_close(cz_batches **b);

#endif
