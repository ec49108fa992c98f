/* The folder training: what pretraining and fine-tuning share. They differ only in where
 * examples come from.
 *
 * Data go through it like this: data/batch.h hands over a batch, cut into shards; feed.c
 * points the graph's inputs at a shard; the graph runs forward and backward;
 * comm/reducer.h sums the gradients of all shards of all ranks; optimizer.c clips and
 * updates; record.c writes metrics.jsonl and TensorBoard curves; state.c saves and
 * resumes. loop.c is the story of such a step, loop_parts.c opens and closes what it
 * works with, job.c derives batches, graph and divisor of the loss from a job's keys, and
 * flops.c counts the arithmetic of a step from the model's shape. A request to stop
 * (base/stop.h) is answered between two steps.
 *
 * Inside a step nothing waits for the device: what the host wants to know of it, loss, norm and
 * whether the update was made, late.c reads while the next step runs. With CZ_LOOP_WAIT=1 in the
 * environment every step is waited for; not a bit of any file depends on it. */
#ifndef CZ_TRAINING_LOOP_H
#define CZ_TRAINING_LOOP_H

#include "comm/comm.h"
#include "data/batch.h"
#include "nn/net.h"
#include "recipe/recipe.h"
#include "training/optimizer.h"

/* What the loss of a batch is divided by (t5.md 0.7): targets that count; positions of
 * the padded batch, as the published runs did; or a constant. The last two let short
 * batches weigh less. */
typedef enum cz_normalisation {
  CZ_NORMALISE_COUNTED,
  CZ_NORMALISE_PADDED,
  CZ_NORMALISE_CONSTANT
} cz_normalisation;

/* The dtype of what blocks add to: that of the products, or float32 beside them. */
typedef enum cz_residual_stream { CZ_STREAM_AS_PRECISION, CZ_STREAM_F32 } cz_residual_stream;

typedef struct cz_train_keys {
  int64_t steps;
  int loss_normalisation;  /* cz_normalisation */
  double loss_denominator; /* CONSTANT: positions */
  double z_loss, label_smoothing;
  bool loss_on_inputs; /* single stacks */
  const char *freeze;  /* as cz_model_freeze takes it */
  bool recompute;
  int precision;       /* cz_precision */
  int attention;       /* cz_attention_choice */
  int residual_stream; /* cz_residual_stream */
  int began_in;        /* 0: in `precision`; else cz_precision + 1, of a checkpoint to go on from */
  int64_t checkpoint_steps, log_steps;
  double checkpoint_seconds;
  int64_t nonfinite_limit; /* skipped steps in a row that end the run */
  double loss_scale;       /* the key; cz_loop_scale says what it means */
  int64_t loss_scale_steps;
} cz_train_keys;

/* The sections `batch`, of a cz_batch_plan, and `train`. */
extern const cz_section cz_batch_section, cz_train_section;

/* A head of a stack that reads tokens as they are (CZ_LAYOUT_TOKENS), and its part of the loss. */
typedef struct cz_loop_head {
  cz_net_head_options net; /* capacity_rows is the loop's to find */
  double weight;           /* positive; the loss is the sum of weight times the head's own */
  const int32_t *words;    /* [C, W] of LABEL_WORDS, [sets, C, W] of CHOICES; borrowed */
  int64_t sets; /* of CHOICES: 1, or one for each number of an example that has a class */
} cz_loop_head;

/* Everything that a training run depends on. Two jobs with equal members, sources and
 * parameters train the same bits on one kind of processor, whatever the number of
 * ranks. */
typedef struct cz_loop_job {
  const char *what;   /* "pretrain", "finetune": progress line and metrics */
  const char *folder; /* metrics.jsonl, events, checkpoint.h5 */
  cz_comm *comm;      /* borrowed, as all that follows */
  cz_model *model;
  const cz_source *source;
  cz_layout layout;
  cz_batch_plan batch; /* the keys; cz_loop_plan gives the rest */
  cz_optimizer_keys optimizer;
  cz_train_keys train;
  int dropout_mask; /* cz_dropout_sharing */
  int32_t start_id; /* begins each decoder segment */
  uint64_t seed, config_hash;
  uint32_t passes;    /* over the data; 0: endless */
  int64_t examples;   /* that an epoch has */
  bool transient;     /* the end is not saved: what is wanted of the model is taken at once, and a
                         killed run goes on from the last checkpoint by time */
  int64_t rate_steps; /* those that the schedule counts, where more are made: their rate is 0; 0:
                         all */
  bool padded;        /* TOKENS: examples may end in padding (cz_net_options) */
  bool shard_means; /* the loss is the mean over the shards of each one's own, by its own counts */
  double (*excess)(const struct cz_loop_job *job, const cz_batch *batch); /* what the loss that is
                         reported is less than the one computed; null: nothing */
  int n_heads; /* 0: one loss over the vocabulary, of weight 1 */
  cz_loop_head heads[CZ_NET_HEADS];
} cz_loop_job;

typedef struct cz_loop_result {
  int64_t steps, skipped; /* updates made; steps with a gradient that was not finite */
  double loss;            /* smoothed over about the last 50 steps, as the metrics have it */
  double last_loss;
  int64_t input_tokens, target_tokens, examples, cut;
  int64_t text_tokens;              /* raw text of the examples (cz_example) */
  double mean_inputs, mean_targets; /* tokens of an example as it was fed, EOS included */
  double seconds, waited;           /* of this process; waited: for the reader */
} cz_loop_result;

/* check refuses, before any memory is taken, what run would refuse. run is collective; it
 * resumes from the folder's checkpoint when there is one, and a signal ends it between
 * two steps with a checkpoint written and CZ_EINTERRUPT. */
cz_batch_plan cz_loop_plan(const cz_loop_job *job);
cz_precision cz_loop_began_in(const cz_train_keys *t);
double cz_loop_scale(const cz_train_keys *train);
double cz_loop_denominator(const cz_loop_job *job, const cz_batch *batch);
double cz_loop_mean_of(const cz_loop_job *job);
double cz_loop_head_denominator(const cz_loop_job *job, int head, const cz_batch *batch,
                                int64_t shard);
CZ_MUST cz_status cz_loop_check_scale(const cz_train_keys *t);
CZ_MUST cz_status cz_loop_check(const cz_loop_job *job);
CZ_MUST cz_status cz_loop_take_model(cz_model *model, const cz_train_keys *train);
CZ_MUST cz_status cz_loop_run(cz_loop_result *result, const cz_loop_job *job);
bool cz_loop_takes_cudnn(const cz_train_keys *train, const cz_model *model, char *why, size_t n);
CZ_MUST cz_status cz_loop_net(cz_net **net, const cz_loop_job *job, bool train);
void cz_loop_feed(cz_feed *feed, cz_net_head_feed *heads, const cz_loop_job *job, const cz_net *net,
                  const cz_batch *batch, int64_t shard);

#endif
