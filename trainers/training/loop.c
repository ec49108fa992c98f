#include "training/loop_parts.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/stop.h"
#include "checkpoint/checkpoint.h"
#include "training/late.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* The learning rate of STEP, from 0. */
static double rate_of(const cz__loop *l, int64_t step) {
  const cz_loop_job *j = l->job;
  const int64_t steps = j->rate_steps ? j->rate_steps : j->train.steps;
  return step < steps ? cz_schedule_rate(&j->optimizer, step, steps) : 0;
}

/* Reading a batch. */

/* A batch larger than the data repeats examples within one step. It is allowed, and most
 * likely a mistake. The text names no model, so that of many it is said once. */
static void warn_of_repeats(cz__loop *l, const cz_batch *b) {
  if (!cz__loop_is_first(l) || l->warned_of_repeats || b->segments <= l->job->examples) return;
  cz_warn("a batch of %lld examples repeats some where training has only %lld; a smaller one would "
          "do",
          (long long)b->segments, (long long)l->job->examples);
  l->warned_of_repeats = true;
}

static cz_status next_batch(cz__loop *l, const cz_batch **batch) {
  CZ_TRY(cz_batches_next(l->batches, batch));
  if (!*batch || (*batch)->segments == 0)
    return CZ_FAIL(CZ_EINVAL, "%s: the data ended after %lld of %lld steps", l->job->what,
                   (long long)l->state.step, (long long)l->job->train.steps);
  warn_of_repeats(l, *batch);
  return CZ_OK;
}

/* Running it: forward, backward, reduction. */

/* The gradient of P is final: its part of the flat gradient, with the gap behind it, may
 * be reduced while backward still runs. */
static void gradient_ready(void *self, const cz_param *p) {
  cz__loop *l = self;
  if (l->ready_status == CZ_OK) l->ready_status = cz_reducer_ready(l->reducer, p->offset, p->room);
}

/* Parameters that the loss does not reach keep a gradient of zero, and no step of backward
 * reports them; what is frozen has none. */
static cz_status report_unreached(cz__loop *l) {
  const cz_params *params = l->job->model->params;
  for (size_t i = 0; i < params->n; i++) {
    cz_value v = cz_graph_param(l->net->graph, params->list[i]);
    if (params->list[i]->grad && cz_graph_grad(l->net->graph, v) == CZ_ABSENT)
      gradient_ready(l, params->list[i]);
  }
  return l->ready_status;
}

/* Forward and backward of shard S, and its loss to its place among the losses. */
static cz_status run_shard(cz__loop *l, const cz_batch *batch, int64_t s, bool last) {
  const cz_loop_job *j = l->job;
  cz_device *d = j->model->params->device;
  const size_t real = cz_dtype_bytes(d->real);
  cz_net_head_feed heads[CZ_NET_HEADS];
  cz_feed feed;
  cz_loop_feed(&feed, heads, j, l->net, batch, s);
  CZ_TRY(cz_net_feed(l->net, &feed));
  cz_graph_run_options run = {.key = {.seed = j->seed ^ cz_hash_text(j->what),
                                      .step = (uint32_t)l->state.step,
                                      .shard = (uint32_t)s},
                              .training = true,
                              .ready = last ? gradient_ready : NULL,
                              .ready_self = l};
  CZ_TRY(cz_graph_train(l->net->graph, &run));
  CZ_TRY(d->fill(d, cz__loop_losses(l), 0, (size_t)j->batch.shards * real));
  return cz_graph_put_loss(l->net->graph, (char *)cz__loop_losses(l) + (size_t)s * real);
}

/* Forward and backward of the rank's shards; then the gradient is the sum over all shards
 * of all ranks, and every rank has all shards' losses in order. */
static cz_status run_shards(cz__loop *l, const cz_batch *batch) {
  const cz_loop_job *j = l->job;
  int64_t first, count;
  CZ_TRY(cz_comm_shards(j->comm, &first, &count, j->batch.shards));
  l->ready_status = CZ_OK;
  for (int64_t s = first; s < first + count; s++) {
    bool last = s == first + count - 1;
    CZ_TRY(run_shard(l, batch, s, last));
    if (!last) CZ_TRY(cz_reducer_push(l->reducer));
  }
  CZ_TRY(report_unreached(l));
  CZ_TRY(cz_reducer_ready(l->reducer, j->model->params->trained, j->batch.shards));
  CZ_TRY(cz_reducer_finish(l->reducer));
  double stops = cz_stop_requested();
  CZ_TRY(cz_comm_sum_f64(j->comm, &stops, 1));
  l->stop = stops > 0;
  return CZ_OK;
}

static void count_step(cz__loop *l, const cz_batch *b) {
  cz_state *s = &l->state;
  s->step++;
  s->cursor = b->after;
  s->input_tokens += b->encoder_tokens;
  s->target_tokens += b->decoder_tokens;
  s->examples += b->segments;
  s->examples_cut += b->cut;
  s->text_tokens += b->text_tokens;
  s->input_sum += b->input_sum;
  s->target_sum += b->target_sum;
  l->units += (double)(b->encoder_tokens + b->decoder_tokens);
}

static bool checkpoint_due(const cz__loop *l) {
  const cz_train_keys *t = &l->job->train;
  if (t->checkpoint_steps > 0 && l->state.step % t->checkpoint_steps == 0) return true;
  return cz_seconds() - l->saved >= t->checkpoint_seconds;
}

/* A finite gradient can still lead to parameters that are not, which no later step can
 * mend: such a state is not saved over a good one. */
static cz_status check_parameters(cz__loop *l) {
  const cz_loop_job *j = l->job;
  bool finite;
  CZ_TRY(cz__late_handle(l, 0));
  CZ_TRY(cz_optimizer_finite(l->optimizer, &finite));
  if (!finite)
    return CZ_FAIL(CZ_ENUMERIC,
                   "%s: the parameters are not finite after step %lld (learning rate %g); %s: %s",
                   j->what, (long long)l->state.step, rate_of(l, l->state.step - 1), j->folder,
                   cz__loop_what_is_saved(l));
  return CZ_OK;
}

static cz_status save(cz__loop *l) {
  CZ_TRY(check_parameters(l));
  if (cz__loop_is_first(l)) CZ_TRY(cz_state_save(&l->state, &l->state_of));
  l->saved = cz_seconds();
  return CZ_OK;
}

/* One step: batch, run, reduce, clip and update. While the device works on it, the record of the
 * step before is handled. */
static cz_status one_step(cz__loop *l) {
  const cz_batch *batch;
  const double rate = rate_of(l, l->state.step);
  CZ_TRY(next_batch(l, &batch));
  CZ_TRY(run_shards(l, batch));
  CZ_TRY(cz_optimizer_step(l->optimizer, l->state.step, rate));
  count_step(l, batch);
  CZ_TRY(cz__late_add(l, rate, l->job->excess ? l->job->excess(l->job, batch) : 0));
  return cz__late_handle(l, 1);
}

static cz_status all_steps(cz__loop *l) {
  while (l->state.step < l->job->train.steps) {
    CZ_TRY(one_step(l));
    bool last = l->state.step == l->job->train.steps;
    if (last && l->job->transient)
      CZ_TRY(check_parameters(l));
    else if (last || l->stop || checkpoint_due(l))
      CZ_TRY(save(l));
    if (l->stop && !last)
      return CZ_FAIL(CZ_EINTERRUPT,
                     "%s: stopped at step %lld of %lld; run the same command again to go on",
                     l->job->what, (long long)l->state.step, (long long)l->job->train.steps);
  }
  return CZ_OK;
}

/* The steps before the one that failed with ST: what they failed with comes first. When that is of
 * one kind it is one failure, a device's that fails from then on in whatever it is asked, and ST's
 * message says more of it. */
static cz_status earlier_steps(cz__loop *l, cz_status st) {
  char *said = strdup(cz_error_message());
  const cz_status earlier = cz__late_handle(l, 0);
  if (earlier != CZ_OK && earlier == st && said) st = CZ_FAIL(st, "%s", said);
  free(said);
  return earlier == CZ_OK ? st : earlier;
}

/** Trains JOB->model to JOB->train.steps updates, going on from the folder's checkpoint
 * when there is one: the same bits as without the interruption, for any number of ranks
 * that the shards allow. Writes metrics.jsonl, TensorBoard events and checkpoints (rank
 * 0). CZ_EINTERRUPT after a signal, with the state saved; CZ_ENUMERIC when too many
 * steps in a row are not finite. Collective. */
cz_status cz_loop_run(cz_loop_result *result, const cz_loop_job *job) {
  cz__loop l = {.job = job, .saved = cz_seconds()};
  cz_status st = cz_comm_agree(job->comm, cz__loop_open(&l));
  if (st == CZ_OK) {
    l.progress = (cz_progress){.what = job->what,
                               .item = "step",
                               .unit = "tokens",
                               .total = job->train.steps,
                               .done = l.state.step,
                               .first = l.state.step,
                               .loss = NAN,
                               .began = cz_seconds()};
    st = cz__loop_note_memory(&l, all_steps(&l)); /* a step's first ops want workspace */
    if (st != CZ_OK) st = earlier_steps(&l, st);
    *result = cz__loop_result(&l);
  }
  return cz__loop_close(&l, st);
}
