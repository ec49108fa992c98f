/* What a job asks for: the keys of the sections `batch` and `train`, and the batches and the
 * graph that follow from them. */
#include "training/loop.h"
#include "kernels/clip/clip.h"
#include "nn/attention.h"
#include "training/feed.h"

#include <math.h>

static const char *const long_rules[] = {"refuse", "cut", NULL};
static const cz_key_spec batch_keys[] = {
    CZ_KEY(cz_batch_plan, input_tokens, INT, .fallback = "0", .min = 0, .max = 1 << 26,
           .unit = "tokens",
           .help = "encoder tokens of a global batch, all shards together; all tokens of a stack "
                   "that reads them as they are; must be given unless examples is"),
    CZ_KEY(cz_batch_plan, target_tokens, INT, .fallback = "0", .min = 0, .max = 1 << 26,
           .unit = "tokens",
           .help = "decoder tokens of a global batch; must be given unless examples is, or a stack "
                   "reads tokens as they are"),
    CZ_KEY(cz_batch_plan, examples, INT, .fallback = "0", .min = 0, .max = 1 << 20,
           .unit = "examples",
           .help = "a global batch is exactly so many examples in the data's order, a multiple of "
                   "shards, whatever their lengths, with room for so many of max_inputs and "
                   "max_targets; 0: as many as the tokens hold"),
    CZ_KEY_AS("epoch_ends", cz_batch_plan, ends, ENUM, .fallback = "join", .choices = cz_ends_names,
              .help = "with examples, at the end of an epoch: the next one fills the batch up "
                      "(join); its last shard is short and the next epoch begins with the next "
                      "shard (short) or a batch that lacks shards is left out (restart), as PET's "
                      "code of 2021 and the one before do with micro-batches"),
    CZ_KEY(cz_batch_plan, max_inputs, INT, .fallback = "0", .min = 0, .max = 1 << 20,
           .unit = "tokens",
           .help = "longest input of one example with EOS; 0: the shard's budget"),
    CZ_KEY(cz_batch_plan, max_targets, INT, .fallback = "0", .min = 0, .max = 1 << 20,
           .unit = "tokens",
           .help = "longest target of one example with EOS; 0: the shard's budget"),
    CZ_KEY(cz_batch_plan, shards, INT, .fallback = "1", .min = 1, .max = 1 << 16,
           .help = "fixed parts of a batch; the number of ranks must divide it"),
    CZ_KEY(cz_batch_plan, window, INT, .fallback = "32", .min = 1, .max = 1 << 16,
           .unit = "batches", .help = "batches that are filled together so that steps cost alike"),
    CZ_KEY_AS("long", cz_batch_plan, on_long, ENUM, .fallback = "cut", .choices = long_rules,
              .help = "an example over its cap: refuse it with an error, or cut and count it"),
};
const cz_section cz_batch_section = CZ_SECTION("batch", "How examples become batches.", batch_keys);

static const char *const beginnings[] = {"same", CZ_PRECISION_NAMES, NULL};
static const char *const streams[] = {"as_precision", "f32", NULL};
static const char *const normalisations[] = {"counted", "padded", "constant", NULL};
static const cz_key_spec train_keys[] = {
    CZ_KEY(cz_train_keys, steps, INT, .min = 1, .max = 1e12, .unit = "steps",
           .help = "optimizer updates"),
    CZ_KEY(cz_train_keys, loss_normalisation, ENUM, .fallback = "counted",
           .choices = normalisations,
           .help = "the loss is a sum divided by the counted positions, by the positions of the "
                   "padded batch as "
                   "the published code does, or by loss_denominator"),
    CZ_KEY(cz_train_keys, loss_denominator, REAL, .fallback = "1", .min = 1e-9, .max = INFINITY,
           .unit = "positions", .help = "of loss_normalisation: constant"),
    CZ_KEY(cz_train_keys, z_loss, REAL, .fallback = "1e-4", .min = 0, .max = 1,
           .help = "weight of log^2 Z, training only"),
    CZ_KEY(cz_train_keys, label_smoothing, REAL, .fallback = "0", .min = 0, .max = 0.99,
           .help = "weight of the uniform distribution in the targets"),
    CZ_KEY(cz_train_keys, loss_on_inputs, BOOL, .fallback = "true",
           .help = "single stacks: predict the inputs too"),
    CZ_KEY(cz_train_keys, freeze, TEXT, .fallback = "",
           .help = "parameters that stay as they are and have no gradient and no state of an "
                   "optimizer: `body`, all that is no head's, or names, with * for any part of "
                   "one, comma-separated; empty: none"),
    CZ_KEY(cz_train_keys, recompute, BOOL, .fallback = "false",
           .help = "keep only block borders for backward: less memory, one more forward"),
    CZ_KEY(cz_train_keys, precision, ENUM, .fallback = "f32", .choices = cz_precision_names,
           .help = "of products and activations; parameters, gradients, statistics and losses stay "
                   "in float32, and checkpoints and models hold those"),
    CZ_KEY(cz_train_keys, attention, ENUM, .fallback = "own", .choices = cz_attention_choices,
           .help =
               "attention without a relative bias by our own kernels or by NVIDIA's cuDNN; auto "
               "says in the log what it takes"),
    CZ_KEY(cz_train_keys, began_in, ENUM, .fallback = "same", .choices = beginnings,
           .help = "the precision that a checkpoint to go on from was trained in, when that is "
                   "another one: without it such a checkpoint is refused"),
    CZ_KEY(cz_train_keys, residual_stream, ENUM, .fallback = "as_precision", .choices = streams,
           .help = "of the sums that a stack's blocks add to: the precision's dtype, or float32 "
                   "beside it"),
    CZ_KEY(cz_train_keys, checkpoint_steps, INT, .fallback = "0", .min = 0, .max = 1e12,
           .unit = "steps", .help = "save every so many steps; 0: by time only"),
    CZ_KEY(cz_train_keys, checkpoint_seconds, REAL, .fallback = "60", .min = 0, .max = INFINITY,
           .unit = "seconds", .help = "save when this much time has passed since the last"),
    CZ_KEY(cz_train_keys, log_steps, INT, .fallback = "10", .min = 1, .max = 1e9, .unit = "steps",
           .help = "one line of metrics every so many steps"),
    CZ_KEY(cz_train_keys, nonfinite_limit, INT, .fallback = "10", .min = 1, .max = 1e9,
           .unit = "steps",
           .help =
               "steps in a row with a gradient that is not finite that end the run, which knows "
               "of a step when the next one is under way; steps that a loss scale above 1 skips "
               "are not counted"),
    CZ_KEY(cz_train_keys, loss_scale, REAL, .fallback = "0", .min = 0, .max = CZ_CLIP_SCALE_MAXIMUM,
           .help =
               "first loss scale, a power of two: it halves at a step that is not finite, down to "
               "1, and doubles after loss_scale_steps that are; 0: none, in precision fp16 65536"),
    CZ_KEY(cz_train_keys, loss_scale_steps, INT, .fallback = "2000", .min = 1, .max = 1 << 24,
           .unit = "steps", .help = "finite steps after which the loss scale doubles"),
};
const cz_section cz_train_section = CZ_SECTION("train", "The training loop.", train_keys);

/* The budgets that the layout reads, where they do not follow from a number of examples. */
static cz_status check_shards(const cz_batch_plan *b) {
  const bool targets = b->layout != CZ_LAYOUT_TOKENS;
  if (b->examples) return CZ_OK; /* cz_batches_check knows */
  if (!b->input_tokens || (targets && !b->target_tokens))
    return CZ_FAIL(CZ_EUSAGE, "batch: %s is missing: how many tokens, or examples, are a batch",
                   b->input_tokens ? "target_tokens" : "input_tokens");
  if (b->input_tokens >= b->shards && (!targets || b->target_tokens >= b->shards)) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE,
                 "batch: %lld input and %lld target tokens cannot be cut into %lld shards",
                 (long long)b->input_tokens, (long long)b->target_tokens, (long long)b->shards);
}

/** The plan of the job's batches. */
cz_batch_plan cz_loop_plan(const cz_loop_job *j) {
  cz_batch_plan plan = j->batch;
  plan.layout = j->layout;
  plan.loss_on_inputs = j->train.loss_on_inputs;
  plan.start = j->start_id;
  plan.passes = j->passes;
  cz_batch_budgets(&plan);
  return plan;
}

/** The precision that a checkpoint to go on from was trained in. */
cz_precision cz_loop_began_in(const cz_train_keys *t) {
  return t->began_in ? (cz_precision)(t->began_in - 1) /* behind "same" */
                     : (cz_precision)t->precision;
}

/** The loss scale at the first step; 0: none. Half precision cannot do without: its smallest number
 * is 6e-8, and many gradients of T5 are smaller. */
double cz_loop_scale(const cz_train_keys *t) {
  return t->loss_scale == 0 && t->precision == CZ_PRECISION_F16 ? 65536 : t->loss_scale;
}

/* Only a power of two moves no digit of a gradient. */
/** CZ_EUSAGE when the loss scale is none. */
cz_status cz_loop_check_scale(const cz_train_keys *t) {
  const double scale = t->loss_scale;
  int exponent;
  if (scale == 0 || (scale >= 1 && frexp(scale, &exponent) == 0.5)) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "the loss scale %g is no power of two from 1 on", scale);
}

/** CZ_EUSAGE when the job's batches can't be made, whatever its data: budgets, shards and
 * caps that do not fit together; or when its loss scale is none. */
cz_status cz_loop_check(const cz_loop_job *job) {
  const cz_batch_plan plan = cz_loop_plan(job);
  CZ_TRY(cz_loop_check_scale(&job->train));
  CZ_TRY(check_shards(&plan));
  return cz_batches_check(&plan);
}

/** Makes MODEL what a job of TRAIN wants: without what `freeze` names among its trained parameters,
 * and computing in its precision. Before the model's first graph. Errors as of cz_model_freeze and
 * cz_model_compute. */
cz_status cz_loop_take_model(cz_model *model, const cz_train_keys *t) {
  CZ_TRY(cz_model_freeze(model, t->freeze));
  return cz_model_compute(model, (cz_precision)t->precision, t->residual_stream == CZ_STREAM_F32);
}

/** Whether cuDNN computes MODEL's attentions without a relative bias; WHY: in one line, or empty.
 */
bool cz_loop_takes_cudnn(const cz_train_keys *train, const cz_model *model, char *why, size_t n) {
  const cz_attention_wish wish =
      cz_attention_wish_of(model, cz_model_dropout(&model->config, CZ_FACT_ATTENTION_DROPOUT));
  return cz_attention_takes_cudnn((cz_attention_choice)train->attention, &wish, why, n);
}

/* What cuDNN is told of the longest segments, where it computes attentions. */
static void take_cudnn(cz_net_options *o, const cz_loop_job *job, const cz_batch_plan *plan) {
  char why[512];
  if (!cz_loop_takes_cudnn(&job->train, job->model, why, sizeof why)) return;
  const int64_t inputs = cz_batch_cap(plan->max_inputs, plan->input_tokens, plan->shards),
                targets = cz_batch_cap(plan->max_targets, plan->target_tokens, plan->shards);
  o->cudnn = true;
  o->longest_encoder = inputs;
  o->longest_decoder = plan->layout == CZ_LAYOUT_STACK    ? inputs + targets
                       : plan->layout == CZ_LAYOUT_TOKENS ? inputs
                                                          : targets;
}

/* Heads read texts, one row or more of each, or tokens: no more than there are tokens. */
static void take_heads(cz_net_options *o, const cz_loop_job *job) {
  o->n_heads = job->n_heads;
  for (int i = 0; i < job->n_heads; i++) {
    o->heads[i] = job->heads[i].net;
    o->heads[i].capacity_rows = o->capacity_decoder;
  }
}

static cz_status set_words(cz_net *net, const cz_loop_job *job) {
  for (int i = 0; i < job->n_heads; i++) {
    const cz_loop_head *h = &job->heads[i];
    if (!h->words) continue;
    CZ_TRY(h->net.kind == CZ_NET_CHOICES ? cz_net_set_answers(net, i, h->words, h->sets)
                                         : cz_net_set_words(net, i, h->words));
  }
  return CZ_OK;
}

/** Builds the graph that one shard of the job fits, to TRAIN or to score, on its model. In an
 * encoder-decoder the loss reads every decoder position, in a single stack only those that
 * count; of the job's heads each its own rows. */
cz_status cz_loop_net(cz_net **net, const cz_loop_job *job, bool train) {
  const cz_batch_plan plan = cz_loop_plan(job);
  CZ_TRY(check_shards(&plan));
  const cz_shard_room room = cz_batch_room(&plan);
  cz_net_options o = {.capacity_segments = room.segments,
                      .capacity_encoder = room.encoder_tokens,
                      .capacity_decoder = room.decoder_tokens,
                      .train = train,
                      .loss_rows = plan.layout != CZ_LAYOUT_ENCDEC,
                      .recompute = job->train.recompute,
                      .padded = job->padded,
                      .dropout = -1,
                      .dropout_per_token = job->dropout_mask == CZ_DROPOUT_TOKEN,
                      .z_loss = job->train.z_loss,
                      .label_smoothing = job->train.label_smoothing};
  take_cudnn(&o, job, &plan);
  take_heads(&o, job);
  CZ_TRY(cz_net_create(net, job->model, &o));
  cz_status st = set_words(*net, job);
  if (st != CZ_OK) cz_net_destroy(net);
  return st;
}

/** What the loss of batch B is divided by, by the key loss_normalisation: a number of
 * positions. */
double cz_loop_denominator(const cz_loop_job *j, const cz_batch *b) {
  switch ((cz_normalisation)j->train.loss_normalisation) {
  case CZ_NORMALISE_COUNTED: return b->n_loss_rows > 0 ? (double)b->n_loss_rows : 1;
  case CZ_NORMALISE_PADDED: return (double)b->padded_positions;
  case CZ_NORMALISE_CONSTANT: return j->train.loss_denominator;
  }
  return 1;
}

/** What the sum of the shards' losses is divided by with shard_means: those of a whole update. */
double cz_loop_mean_of(const cz_loop_job *j) {
  return (double)(j->batch.whole ? j->batch.whole : j->batch.shards);
}

/** What the loss of head number HEAD on shard S is divided by, by its weight: the targets, rows or
 * texts of batch B that count for it, or with shard_means the shard's, times the shards. */
double cz_loop_head_denominator(const cz_loop_job *j, int head, const cz_batch *b, int64_t s) {
  const cz_loop_head *h = &j->heads[head];
  const cz_shard *own = &b->shards[s];
  const bool means = j->shard_means;
  double counted;
  switch (h->net.kind) {
  case CZ_NET_VOCABULARY:
    counted = means ? (double)own->n_loss_rows : cz_loop_denominator(j, b);
    break;
  case CZ_NET_CHOICES: counted = (double)(means ? own->n_known : b->n_known); break;
  default: counted = (double)(means ? own->n_classes : b->n_classes); break;
  }
  return (counted > 0 ? counted : 1) * (means ? cz_loop_mean_of(j) : 1) / h->weight;
}

/** Points FEED and its HEADS [CZ_NET_HEADS] at shard S of BATCH, as NET, the job's, reads it. All
 * must outlive FEED. Heads of one kind have one denominator, by their weight. */
void cz_loop_feed(cz_feed *feed, cz_net_head_feed *heads, const cz_loop_job *j, const cz_net *net,
                  const cz_batch *batch, int64_t s) {
  double tokens = cz_loop_denominator(j, batch), classes = 1;
  for (int i = 0; i < j->n_heads; i++)
    *(j->heads[i].net.kind == CZ_NET_VOCABULARY ? &tokens : &classes) =
        cz_loop_head_denominator(j, i, batch, s);
  if (j->n_heads)
    cz_feed_heads(feed, heads, &net->options, &batch->shards[s], tokens, classes);
  else
    cz_feed_shard(feed, &batch->shards[s], net->options.loss_rows, tokens);
}
