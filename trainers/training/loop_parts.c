/* What stands around the steps of a loop: opening its parts where a checkpoint left them,
 * closing them, and the sums for the result. */
#include "training/loop_parts.h"
#include "training/late.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>

/* Gradients are reduced in pieces of so many bytes, while backward still makes others. */
enum { BUCKET_BYTES = 4 << 20 };

/* All ranks must reduce the same gradients in the same order, so all must have planned
 * the same graph. */
static cz_status check_plans(const cz__loop *l) {
  uint64_t hash = cz_graph_hash(l->net->graph);
  int64_t both[2] = {(int64_t)(hash >> 1), -(int64_t)(hash >> 1)};
  CZ_TRY(cz_comm_max_i64(l->job->comm, both, 2));
  if (both[0] == -both[1]) return CZ_OK;
  return CZ_FAIL(CZ_EINVAL,
                 "%s: the ranks planned different graphs; do all run the same program and files?",
                 l->job->what);
}

static cz_status resume(cz__loop *l) {
  cz_state_origin from;
  CZ_TRY(cz_state_load(&l->state, &from, &l->state_of));
  if (!from.path[0] && l->job->train.began_in)
    return CZ_FAIL(CZ_EUSAGE, "train.began_in is %s, and %s has no checkpoint to go on from",
                   cz_precision_names[l->state_of.began_in], l->job->folder);
  if (!from.path[0]) return CZ_OK;
  cz_log("%s: going on at step %lld of %lld (%s)", l->job->what, (long long)l->state.step,
         (long long)l->job->train.steps, from.path);
  if (from.precision != l->state_of.precision)
    cz_log("%s: it was trained in %s so far, and goes on in %s", l->job->what,
           cz_precision_names[from.precision], cz_precision_names[l->state_of.precision]);
  if (cz__loop_is_first(l) && from.processor[0])
    cz_device_warn_of_kind(l->job->model->params->device, from.path, from.processor);
  return CZ_OK;
}

/* A run in float32 is what a log without a word of it means. */
static void say_precision(const cz_loop_job *j) {
  const char *path =
      j->train.precision == CZ_PRECISION_BF16 ? cz_device_path(j->model->params->device) : "";
  if (j->train.precision != CZ_PRECISION_F32)
    cz_log("%s: computes in %s%s%s, with float32 masters", j->what,
           cz_precision_names[j->train.precision], *path ? " by " : "", path);
}

static void say_attention(const cz_loop_job *j) {
  char why[512];
  (void)cz_loop_takes_cudnn(&j->train, j->model, why, sizeof why);
  if (*why) cz_log("%s: %s", j->what, why);
}

/** ST; where the device's memory did not hold a part, with what else the job wants, and with what
 * makes it less. */
cz_status cz__loop_note_memory(const cz__loop *l, cz_status st) {
  const cz_loop_job *j = l->job;
  const cz_params *p = j->model->params;
  const size_t real = cz_dtype_bytes(p->device->real),
               copy = p->compute == p->device->real ? 0 : cz_dtype_bytes(p->compute);
  const double mega = 1e-6 * (double)real;
  char activations[64] = "";
  if (st != CZ_ENOMEM) return st;
  if (l->net)
    snprintf(activations, sizeof activations, " and %.1f MB for activations and workspace",
             1e-6 * (double)cz_graph_bytes(l->net->graph));
  return CZ_NOTE(
      st,
      "%s wants %.1f MB for parameters, %.1f MB for gradients, %.1f MB for the states of %s%s; "
      "activations are fewer with less batch.input_tokens and batch.target_tokens, with more "
      "batch.shards, and with train.recompute=true; all of it is less for a smaller model",
      j->what, 1e-6 * (double)p->flat * (double)(real + copy), mega * (double)p->trained,
      mega * (double)cz_optimizer_elements(&j->optimizer, p), cz_optimizer_names[j->optimizer.name],
      activations);
}

/* How much is trained, and the arenas' sizes. */
static void say_memory(const cz__loop *l) {
  const cz_params *p = l->job->model->params;
  int64_t trained = 0;
  char some[64] = "";
  for (size_t i = 0; i < p->n; i++) trained += p->list[i]->trainable ? p->list[i]->count : 0;
  if (trained < p->count) snprintf(some, sizeof some, ", %lld of them trained", (long long)trained);
  cz_log("%s: %lld parameters%s; memory: parameters and gradients %.1f MB, activations and "
         "workspace %.1f MB",
         l->job->what, (long long)p->count, some,
         1e-6 * (double)(cz_params_bytes(p) + cz_params_trained_bytes(p)),
         1e-6 * (double)cz_graph_bytes(l->net->graph));
}

static cz_status open_parts(cz__loop *l) {
  const cz_loop_job *j = l->job;
  cz_params *p = j->model->params;
  const size_t real = cz_dtype_bytes(p->device->real);
  const cz_batch_plan plan = cz_loop_plan(j);
  CZ_TRY(cz_params_allocate_grads(p, j->batch.shards));
  CZ_TRY(cz_loop_net(&l->net, j, true));
  say_memory(l);
  say_precision(j);
  say_attention(j);
  CZ_TRY(check_plans(l));
  CZ_TRY(cz_optimizer_create(&l->optimizer, &j->optimizer, p));
  cz_optimizer_bind(l->optimizer, cz__loop_losses(l), j->batch.shards,
                    cz_graph_loss_seed(l->net->graph));
  if (cz_loop_scale(&j->train) > 0)
    CZ_TRY(cz_optimizer_scale(l->optimizer, cz_loop_scale(&j->train), j->train.loss_scale_steps));
  l->sums.device = p->device;
  const cz_adder adder = cz_device_adder(&l->sums);
  CZ_TRY(cz_reducer_create(&l->reducer, j->comm, &adder, p->grads, p->trained + j->batch.shards,
                           real, j->batch.shards, BUCKET_BYTES));
  CZ_TRY(cz__late_open(l));
  l->state_of = (cz_state_of){.folder = j->folder,
                              .config_hash = j->config_hash,
                              .params = p,
                              .optimizer = l->optimizer,
                              .precision = (cz_precision)j->train.precision,
                              .began_in = cz_loop_began_in(&j->train)};
  CZ_TRY(resume(l));
  CZ_TRY(cz_batches_open(&l->batches, j->source, &plan, &l->state.cursor));
  return cz__loop_is_first(l) ? cz_record_open(&l->record, j->folder, j->what, l->state.step)
                              : CZ_OK;
}

/** Creates graph, optimizer and reducer, resumes from the folder's checkpoint when there is
 * one, and opens batches and records where it says. Collective. The caller closes the parts,
 * also after a failure. */
cz_status cz__loop_open(cz__loop *l) { return cz__loop_note_memory(l, open_parts(l)); }

/** Closes the parts. Returns the first failure: ST, the loop's own, or one of closing the
 * records. */
cz_status cz__loop_close(cz__loop *l, cz_status st) {
  cz_status closed = cz_record_close(&l->record);
  cz_batches_close(&l->batches);
  cz_reducer_destroy(&l->reducer);
  cz_device_sums_free(&l->sums);
  cz_optimizer_destroy(&l->optimizer);
  cz_net_destroy(&l->net);
  cz__late_close(l);
  return st != CZ_OK ? st : closed;
}

/** What the steps so far come to; before the parts are closed. */
cz_loop_result cz__loop_result(const cz__loop *l) {
  const cz_state *s = &l->state;
  return (cz_loop_result){.steps = s->step - s->skipped,
                          .skipped = s->skipped,
                          .loss = s->smooth_loss,
                          .last_loss = s->last_loss,
                          .input_tokens = s->input_tokens,
                          .target_tokens = s->target_tokens,
                          .examples = s->examples,
                          .cut = s->examples_cut,
                          .text_tokens = s->text_tokens,
                          .mean_inputs = (double)s->input_sum / (double)s->examples,
                          .mean_targets = (double)s->target_sum / (double)s->examples,
                          .seconds = cz_seconds() - l->progress.began,
                          .waited = cz_batches_waited(l->batches)};
}
