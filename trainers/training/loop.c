#include "training/loop.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "comm/reducer.h"
#include "metrics/events.h"
#include "metrics/jsonl.h"
#include "training/feed.h"
#include "training/optimizer.h"

#include <math.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static volatile sig_atomic_t stop_asked, say_so;

static void ask_stop(int signal_number) {
  static const char said[] = "\ncloze: saving after this step; once more stops without\n";
  if (stop_asked)
    _Exit(128 + signal_number); /* asked twice: at once; the last checkpoint is whole */
  stop_asked = 1;
  ssize_t n = say_so ? write(STDERR_FILENO, said, sizeof said - 1) : 0;
  (void)n; /* nobody to tell */
}

/** From now on the first SIGINT or SIGTERM makes loops save a checkpoint and end with
 * CZ_EINTERRUPT; the second ends the process at once. SAY: a message tells what happens;
 * of several processes none can know whether the signal is the user's or ends it because
 * another one failed. */
void cz_loop_catch_signals(bool say) {
  say_so = say;
  struct sigaction a = {.sa_handler = ask_stop};
  sigaction(SIGINT, &a, NULL);
  sigaction(SIGTERM, &a, NULL);
}

/** CZ_EINTERRUPT when a signal has asked the run to stop: for work that is not a loop and
 * can't be resumed in the middle. */
cz_status cz_loop_go_on(const char *what) {
  return stop_asked ? CZ_FAIL(CZ_EINTERRUPT, "%s: stopped; run the same command again", what)
                    : CZ_OK;
}

/* What a checkpoint holds besides parameters and optimizer, and what a step changes. */
typedef struct counters {
  int64_t step, skipped,
      in_a_row; /* updates done; non-finite ones, all and the last ones running */
  int64_t input_tokens, target_tokens, examples, cut;
  double smooth_loss, last_loss;
  cz_cursor cursor;
} counters;

/* Under which name a checkpoint keeps each of them, so that neither order nor layout of
 * the struct matters. */
static const struct {
  const char *name;
  size_t offset;
} kept_ints[] = {{"step", offsetof(counters, step)},
                 {"skipped", offsetof(counters, skipped)},
                 {"skipped_in_a_row", offsetof(counters, in_a_row)},
                 {"input_tokens", offsetof(counters, input_tokens)},
                 {"target_tokens", offsetof(counters, target_tokens)},
                 {"examples", offsetof(counters, examples)},
                 {"examples_cut", offsetof(counters, cut)}},
  kept_reals[] = {{"smooth_loss", offsetof(counters, smooth_loss)},
                  {"last_loss", offsetof(counters, last_loss)}};
enum {
  N_INTS = sizeof kept_ints / sizeof *kept_ints,
  N_REALS = sizeof kept_reals / sizeof *kept_reals,
  CURSOR_FIELDS = 4
};

typedef struct loop {
  const cz_loop_job *job;
  cz_net *net;
  cz_optimizer *optimizer;
  cz_reducer *reducer;
  void *gradient; /* what the reducer adds, in host memory: the parameters' own or, where that is
                     not the host's, a copy */
  cz_batches *batches;
  cz_jsonl *lines;
  cz_events *events;
  double *losses; /* [shards + 1]; the last one carries the wish to stop */
  counters at;
  cz_progress progress;
  double saved; /* when the last checkpoint was written */
  bool repeats; /* said that a batch holds more than all data */
  cz_status ready_status;
  bool stop;
} loop;

static cz_status check_shards(const cz_batch_plan *b) {
  if (b->input_tokens >= b->shards && b->target_tokens >= b->shards) return CZ_OK;
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
  return plan;
}

/** CZ_EUSAGE when the job's batches can't be made, whatever its data: budgets, shards and
 * caps that do not fit together. */
cz_status cz_loop_check(const cz_loop_job *job) {
  const cz_batch_plan plan = cz_loop_plan(job);
  CZ_TRY(check_shards(&job->batch));
  return cz_batches_check(&plan);
}

/** Builds the graph that one shard of the recipe fits, to train (TRAIN_GRAPH) or to
 * score. Encoder-decoders read every decoder position; single stacks gather the counted
 * ones. */
cz_status cz_loop_net(cz_net **net, cz_model *model, const cz_batch_plan *batch,
                      const cz_train_keys *train, int dropout_mask, cz_layout layout,
                      bool train_graph) {
  int64_t inputs = batch->input_tokens / batch->shards,
          targets = batch->target_tokens / batch->shards;
  CZ_TRY(check_shards(batch));
  cz_net_options options = {.capacity_segments = targets,
                            .capacity_encoder = inputs,
                            .capacity_decoder =
                                layout == CZ_LAYOUT_STACK ? inputs + targets : targets,
                            .train = train_graph,
                            .loss_rows = layout == CZ_LAYOUT_STACK,
                            .recompute = train->recompute,
                            .dropout = -1,
                            .dropout_per_token = dropout_mask == CZ_DROPOUT_TOKEN,
                            .z_loss = train->z_loss,
                            .label_smoothing = train->label_smoothing};
  return cz_net_create(net, model, &options);
}

static double denominator_of(const cz_loop_job *j, const cz_batch *b) {
  switch ((cz_normalisation)j->train.loss_normalisation) {
  case CZ_NORMALISE_COUNTED: return b->n_loss_rows > 0 ? (double)b->n_loss_rows : 1;
  case CZ_NORMALISE_PADDED: return (double)b->padded_positions;
  case CZ_NORMALISE_CONSTANT: return j->train.loss_denominator;
  }
  return 1;
}

/* Brings COUNT elements of the gradient from the device to where the reducer adds, if
 * they are not there. */
static cz_status fetch(loop *l, int64_t first, int64_t count) {
  const cz_params *p = l->job->model->params;
  size_t size = cz_dtype_bytes(p->device->real), at = (size_t)first * size;
  if (p->device->host_memory) return CZ_OK;
  return p->device->read(p->device, (char *)l->gradient + at, (const char *)p->grads + at,
                         (size_t)count * size);
}

/* Puts the sum where the optimizer reads it, if it is not there. */
static cz_status put_back(loop *l) {
  const cz_params *p = l->job->model->params;
  if (p->device->host_memory) return CZ_OK;
  return p->device->write(p->device, p->grads, l->gradient,
                          (size_t)p->flat * cz_dtype_bytes(p->device->real));
}

/* The parameter's part of the flat gradient, the gap behind it included. */
static void announce(loop *l, const cz_param *p) {
  if (l->ready_status == CZ_OK) l->ready_status = fetch(l, p->offset, p->room);
  if (l->ready_status == CZ_OK) l->ready_status = cz_reducer_ready(l->reducer, p->offset, p->room);
}

static void gradient_ready(void *self, const cz_param *p) { announce(self, p); }

/* Parameters that the loss does not reach are final from the start; they keep a zero
 * gradient. */
static cz_status announce_unreached(loop *l) {
  const cz_params *params = l->job->model->params;
  for (size_t i = 0; i < params->n; i++) {
    cz_value v = cz_graph_param(l->net->graph, params->list[i]);
    if (cz_graph_grad(l->net->graph, v) == CZ_ABSENT) announce(l, params->list[i]);
  }
  return l->ready_status;
}

/* Forward and backward of the rank's shards; leaves the sum of all shards' gradients, and
 * their losses in order. */
static cz_status run_shards(loop *l, const cz_batch *batch) {
  const cz_loop_job *j = l->job;
  int64_t first, count;
  CZ_TRY(cz_comm_shards(j->comm, &first, &count, j->batch.shards));
  memset(l->losses, 0, (size_t)(j->batch.shards + 1) * sizeof *l->losses);
  l->ready_status = CZ_OK;
  for (int64_t s = first; s < first + count; s++) {
    bool last = s == first + count - 1;
    cz_feed feed;
    cz_feed_shard(&feed, &batch->shards[s], l->net->options.loss_rows, denominator_of(j, batch));
    CZ_TRY(cz_net_feed(l->net, &feed));
    cz_graph_run_options run = {.key = {.seed = j->seed ^ cz_hash_text(j->what),
                                        .step = (uint32_t)l->at.step,
                                        .shard = (uint32_t)s},
                                .training = true,
                                .ready = last ? gradient_ready : NULL,
                                .ready_self = l};
    CZ_TRY(cz_graph_train(l->net->graph, &run));
    CZ_TRY(cz_graph_read(l->net->graph, &l->losses[s], l->net->loss, 1));
    if (last) break;
    CZ_TRY(fetch(l, 0, j->model->params->flat));
    CZ_TRY(cz_reducer_push(l->reducer));
  }
  CZ_TRY(announce_unreached(l));
  CZ_TRY(cz_reducer_finish(l->reducer));
  CZ_TRY(put_back(l));
  l->losses[j->batch.shards] = stop_asked;
  CZ_TRY(cz_comm_sum_f64(j->comm, l->losses, (size_t)j->batch.shards + 1));
  l->stop = l->losses[j->batch.shards] > 0;
  return CZ_OK;
}

static const char *what_is_left(const loop *l) {
  return cz_checkpoint_exists(l->job->folder) ? "the last checkpoint is good"
                                              : "there is no checkpoint yet";
}

static cz_status refuse_nonfinite(loop *l, double loss, double norm) {
  l->at.skipped++;
  l->at.in_a_row++;
  cz_warn("step %lld: loss %g, gradient norm %g: update skipped (%lld in a row)",
          (long long)l->at.step, loss, norm, (long long)l->at.in_a_row);
  if (l->at.in_a_row < l->job->train.nonfinite_limit) return CZ_OK;
  return CZ_FAIL(CZ_ENUMERIC,
                 "%s: %lld steps in a row had a loss or gradient that is not finite (last: loss "
                 "%g, norm %g); %s: %s",
                 l->job->what, (long long)l->at.in_a_row, loss, norm, l->job->folder,
                 what_is_left(l));
}

/* Clips and updates, or skips a step whose gradient is not finite. The loss of the batch
 * goes into the smoothed loss. */
static cz_status update(loop *l, double *norm) {
  const cz_loop_job *j = l->job;
  double loss = 0, scale = 1;
  for (int64_t s = 0; s < j->batch.shards; s++) loss += l->losses[s];
  CZ_TRY(cz_optimizer_norm(l->optimizer, norm));
  l->at.last_loss = loss;
  if (!isfinite(loss) || !isfinite(*norm)) return refuse_nonfinite(l, loss, *norm);
  l->at.in_a_row = 0;
  l->at.smooth_loss = l->at.step == l->at.skipped ? loss : 0.98 * l->at.smooth_loss + 0.02 * loss;
  if (j->optimizer.clip_norm > 0 && *norm > j->optimizer.clip_norm)
    scale = j->optimizer.clip_norm / *norm;
  return cz_optimizer_step(l->optimizer, l->at.step,
                           cz_schedule_rate(&j->optimizer, l->at.step, j->train.steps), scale);
}

static cz_status save_counters(const counters *at, cz_checkpoint_writer *w) {
  const uint64_t cursor[CURSOR_FIELDS] = {at->cursor.epoch, at->cursor.index, at->cursor.taken,
                                          at->cursor.batches};
  const int64_t n = CURSOR_FIELDS;
  for (int i = 0; i < N_INTS; i++)
    CZ_TRY(cz_checkpoint_put_int(w, kept_ints[i].name,
                                 *(const int64_t *)((const char *)at + kept_ints[i].offset)));
  for (int i = 0; i < N_REALS; i++)
    CZ_TRY(cz_checkpoint_put_real(w, kept_reals[i].name,
                                  *(const double *)((const char *)at + kept_reals[i].offset)));
  return cz_checkpoint_put(w, "cursor", CZ_CHECKPOINT_U64, cursor, &n, 1);
}

static cz_status load_counters(counters *at, cz_checkpoint *c) {
  uint64_t cursor[CURSOR_FIELDS];
  const int64_t n = CURSOR_FIELDS;
  for (int i = 0; i < N_INTS; i++)
    CZ_TRY(
        cz_checkpoint_get_int(c, (int64_t *)((char *)at + kept_ints[i].offset), kept_ints[i].name));
  for (int i = 0; i < N_REALS; i++)
    CZ_TRY(cz_checkpoint_get_real(c, (double *)((char *)at + kept_reals[i].offset),
                                  kept_reals[i].name));
  CZ_TRY(cz_checkpoint_get(c, cursor, "cursor", CZ_CHECKPOINT_U64, &n, 1));
  at->cursor = (cz_cursor){.epoch = (uint32_t)cursor[0],
                           .index = cursor[1],
                           .taken = (uint32_t)cursor[2],
                           .batches = cursor[3]};
  return CZ_OK;
}

static cz_status save(loop *l) {
  const cz_loop_job *j = l->job;
  const cz_params *p = j->model->params;
  cz_checkpoint_writer *w;
  cz_status st;
  bool finite;
  CZ_TRY(
      cz_optimizer_finite(l->optimizer, &finite)); /* a finite gradient may still have led nowhere,
                                                      and then no later step can mend it */
  if (!finite)
    return CZ_FAIL(CZ_ENUMERIC,
                   "%s: the parameters are not finite after step %lld (learning rate %g); %s: %s",
                   j->what, (long long)l->at.step,
                   cz_schedule_rate(&j->optimizer, l->at.step - 1, j->train.steps), j->folder,
                   what_is_left(l));
  if (j->comm->rank != 0)
    return l->saved = cz_seconds(), CZ_OK; /* every rank holds the same state */
  size_t bytes = (size_t)p->flat * cz_dtype_bytes(j->model->device->real);
  CZ_TRY(
      cz_checkpoint_begin(&w, j->folder, j->config_hash, bytes + cz_optimizer_bytes(l->optimizer)));
  CZ_GO(st, cz_checkpoint_put_params(w, "parameters", p, p->values), fail);
  CZ_GO(st, save_counters(&l->at, w), fail);
  CZ_GO(st, cz_optimizer_save(l->optimizer, w), fail);
  CZ_TRY(cz_checkpoint_commit(&w));
  l->saved = cz_seconds();
  return CZ_OK;
fail:
  cz_checkpoint_discard(&w);
  return st;
}

static cz_status resume(loop *l) {
  const cz_loop_job *j = l->job;
  const cz_params *p = j->model->params;
  cz_checkpoint *c;
  cz_status st;
  if (!cz_checkpoint_exists(j->folder)) return CZ_OK;
  CZ_TRY(cz_checkpoint_open(&c, j->folder));
  CZ_GO(st, cz_checkpoint_check_config(c, j->config_hash), done);
  CZ_GO(st, cz_checkpoint_get_params(c, "parameters", p, p->values), done);
  CZ_GO(st, load_counters(&l->at, c), done);
  CZ_GO(st, cz_optimizer_load(l->optimizer, c), done);
  cz_log("%s: going on at step %lld of %lld (%s)", j->what, (long long)l->at.step,
         (long long)j->train.steps, cz_checkpoint_path(c));
done:
  cz_checkpoint_close(&c);
  return st;
}

/* All ranks must reduce the same gradients in the same order, so all must have planned
 * the same graph. */
static cz_status check_plans(const loop *l) {
  uint64_t hash = cz_graph_hash(l->net->graph);
  int64_t both[2] = {(int64_t)(hash >> 1), -(int64_t)(hash >> 1)};
  CZ_TRY(cz_comm_max_i64(l->job->comm, both, 2));
  return both[0] == -both[1]
             ? CZ_OK
             : CZ_FAIL(
                   CZ_EINVAL,
                   "%s: the ranks planned different graphs; do all run the same program and files?",
                   l->job->what);
}

static cz_status open_parts(loop *l) {
  const cz_loop_job *j = l->job;
  cz_device *device = j->model->device;
  CZ_TRY(cz_loop_net(&l->net, j->model, &j->batch, &j->train, j->dropout_mask, j->layout, true));
  cz_log("%s: %lld parameters; memory: parameters and gradients %.1f MB, activations and workspace "
         "%.1f MB",
         j->what, (long long)j->model->params->count,
         2e-6 * (double)j->model->params->flat * (double)cz_dtype_bytes(device->real),
         1e-6 * (double)cz_graph_bytes(l->net->graph));
  CZ_TRY(check_plans(l));
  CZ_TRY(cz_optimizer_create(&l->optimizer, &j->optimizer, j->model->params));
  const cz_params *p = j->model->params;
  l->gradient = p->grads;
  if (!device->host_memory)
    CZ_TRY(cz_alloc(&l->gradient, (size_t)p->flat, cz_dtype_bytes(device->real)));
  CZ_TRY(cz_reducer_create(&l->reducer, j->comm, l->gradient, p->flat, cz_dtype_bytes(device->real),
                           j->batch.shards, 4 << 20));
  CZ_TRY(cz_alloc(&l->losses, (size_t)j->batch.shards + 1, sizeof *l->losses));
  CZ_TRY(resume(l));
  const cz_batch_plan plan = cz_loop_plan(j);
  CZ_TRY(cz_batches_open(&l->batches, j->source, &plan, &l->at.cursor));
  if (j->comm->rank != 0) return CZ_OK;
  char path[4096];
  CZ_TRY(cz_fs_join(path, sizeof path, j->folder, "metrics.jsonl"));
  CZ_TRY(cz_jsonl_resume(path, l->at.step));
  CZ_TRY(cz_jsonl_open(&l->lines, path));
  return cz_events_open(&l->events, j->folder, l->at.step + 1);
}

/* Returns the first failure: the loop's own, or one of closing the metrics. */
static cz_status close_parts(loop *l, cz_status st) {
  cz_status events = cz_events_close(&l->events), lines = cz_jsonl_close(&l->lines);
  cz_batches_close(&l->batches);
  cz_reducer_destroy(&l->reducer);
  if (!l->job->model->device->host_memory) free(l->gradient);
  cz_optimizer_destroy(&l->optimizer);
  cz_net_destroy(&l->net);
  free(l->losses);
  return st != CZ_OK ? st : events != CZ_OK ? events : lines;
}

typedef struct scalar {
  const char *name;
  double value;
} scalar;

/* One line of metrics.jsonl and one point of each TensorBoard curve, when the step is
 * due. */
static cz_status write_metrics(loop *l, double norm) {
  const cz_loop_job *j = l->job;
  bool due =
      l->at.step % j->train.log_steps == 0 || l->at.step == j->train.steps || l->at.step == 1;
  if (j->comm->rank != 0 || !due) return CZ_OK;
  const scalar values[] = {
      {"loss", l->at.last_loss},
      {"smooth_loss", l->at.smooth_loss},
      {"gradient_norm", norm},
      {"learning_rate", cz_schedule_rate(&j->optimizer, l->at.step - 1, j->train.steps)},
      {"input_tokens", (double)l->at.input_tokens},
      {"target_tokens", (double)l->at.target_tokens}};
  CZ_TRY(cz_jsonl_begin(l->lines));
  CZ_TRY(cz_jsonl_int(l->lines, "step", l->at.step));
  for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
    char tag[64];
    snprintf(tag, sizeof tag, "%s/%s", j->what, values[i].name);
    CZ_TRY(cz_jsonl_real(l->lines, values[i].name, values[i].value));
    CZ_TRY(cz_events_scalar(l->events, tag, l->at.step, values[i].value));
  }
  return cz_jsonl_end(l->lines);
}

static void count_batch(loop *l, const cz_batch *b) {
  l->at.cursor = b->after;
  l->at.input_tokens += b->encoder_tokens;
  l->at.target_tokens += b->decoder_tokens;
  l->at.examples += b->segments;
  l->at.cut += b->cut;
}

static bool checkpoint_due(const loop *l) {
  const cz_train_keys *t = &l->job->train;
  if (t->checkpoint_steps > 0 && l->at.step % t->checkpoint_steps == 0) return true;
  return cz_seconds() - l->saved >= t->checkpoint_seconds;
}

/* Fewer data than a batch holds are no error, since they come again and again, but nobody
 * means it. */
static void warn_of_repeats(loop *l, const cz_batch *b) {
  if (l->job->comm->rank != 0 || l->repeats || b->segments <= l->job->examples) return;
  cz_warn("%s: a batch of %lld examples repeats the %lld that there are; a smaller batch would do",
          l->job->what, (long long)b->segments, (long long)l->job->examples);
  l->repeats = true;
}

static cz_status one_step(loop *l) {
  const cz_batch *batch;
  double norm;
  CZ_TRY(cz_batches_next(l->batches, &batch));
  if (!batch || batch->segments == 0)
    return CZ_FAIL(CZ_EINVAL, "%s: the data ended after %lld of %lld steps", l->job->what,
                   (long long)l->at.step, (long long)l->job->train.steps);
  warn_of_repeats(l, batch);
  CZ_TRY(run_shards(l, batch));
  CZ_TRY(update(l, &norm));
  count_batch(l, batch);
  l->at.step++;
  l->progress.done = l->at.step;
  l->progress.units += (double)(batch->encoder_tokens + batch->decoder_tokens);
  l->progress.loss = l->at.smooth_loss;
  CZ_TRY(write_metrics(l, norm));
  if (l->job->comm->rank == 0) cz_progress_show(&l->progress, l->at.step == l->job->train.steps);
  return CZ_OK;
}

static cz_status all_steps(loop *l) {
  while (l->at.step < l->job->train.steps) {
    CZ_TRY(one_step(l));
    bool last = l->at.step == l->job->train.steps;
    if (last || l->stop || checkpoint_due(l)) CZ_TRY(save(l));
    if (l->stop && !last)
      return CZ_FAIL(CZ_EINTERRUPT,
                     "%s: stopped at step %lld of %lld; run the same command again to go on",
                     l->job->what, (long long)l->at.step, (long long)l->job->train.steps);
  }
  return CZ_OK;
}

/** Trains JOB->model to JOB->train.steps updates, going on from the folder's checkpoint
 * when there is one: the same bits as without the interruption, for any number of ranks
 * that the shards allow. Writes metrics.jsonl, TensorBoard events and checkpoints (rank
 * 0). CZ_EINTERRUPT after a signal, with the state saved; CZ_ENUMERIC when too many
 * steps in a row are not finite. Collective. */
cz_status cz_loop_run(cz_loop_result *result, const cz_loop_job *job) {
  loop l = {.job = job, .saved = cz_seconds()};
  cz_status st = open_parts(&l);
  if (st == CZ_OK) {
    l.progress = (cz_progress){.what = job->what,
                               .item = "step",
                               .unit = "tokens",
                               .total = job->train.steps,
                               .done = l.at.step,
                               .first = l.at.step,
                               .loss = NAN,
                               .began = cz_seconds()};
    st = all_steps(&l);
    *result = (cz_loop_result){.steps = l.at.step - l.at.skipped,
                               .skipped = l.at.skipped,
                               .loss = l.at.smooth_loss,
                               .last_loss = l.at.last_loss,
                               .input_tokens = l.at.input_tokens,
                               .target_tokens = l.at.target_tokens,
                               .examples = l.at.examples,
                               .cut = l.at.cut,
                               .seconds = cz_seconds() - l.progress.began,
                               .waited = cz_batches_waited(l.batches)};
  }
  return close_parts(&l, st);
}
