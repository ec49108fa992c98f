/* What the host learns of a step, when it has run: loss, norm and whether the update was made. A
 * step is launched, its numbers are read into a ring of records without waiting for them, and the
 * next step's call handles them: counts, writes down, and ends a run whose losses are no numbers.
 * So a device always has a step to work on. */
#include "training/late.h"
#include "base/log.h"
#include "checkpoint/checkpoint.h"
#include "kernels/clip/clip.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t numbers_of(const cz__loop *l) { return l->job->batch.shards + CZ_HYPERS; }

/** Takes the host memory of the records. */
cz_status cz__late_open(cz__loop *l) {
  const char *wait = getenv("CZ_LOOP_WAIT");
  l->waits = wait && !strcmp(wait, "1");
  for (int i = 0; i < CZ__LATE; i++)
    CZ_TRY(cz_alloc(&l->late[i].numbers, (size_t)numbers_of(l),
                    cz_dtype_bytes(l->job->model->params->device->real)));
  return CZ_OK;
}

/** What is said of the checkpoint in a message that ends a run. */
const char *cz__loop_what_is_saved(const cz__loop *l) {
  return cz_checkpoint_exists(l->job->folder) ? "the last checkpoint is good"
                                              : "there is no checkpoint yet";
}

/* A loss scale that can halve takes the blame. */
static void halved(const cz__late *r, double loss, double norm, double scale) {
  cz_warn(
      "step %lld: loss %g, gradient norm %g: update skipped, the loss scale is %g from now on%s",
      (long long)r->step, loss, norm, scale / 2,
      scale / 2 > CZ_CLIP_SCALE_MINIMUM ? "" : ", its floor");
}

static cz_status skipped(cz__loop *l, const cz__late *r, double loss, double norm, double scale) {
  cz_state *s = &l->state;
  s->skipped++;
  if (cz_loop_scale(&l->job->train) > 0 && scale > CZ_CLIP_SCALE_MINIMUM) {
    halved(r, loss, norm, scale);
    return CZ_OK;
  }
  s->skipped_in_a_row++;
  cz_warn("step %lld: loss %g, gradient norm %g: update skipped (%lld in a row)",
          (long long)r->step, loss, norm, (long long)s->skipped_in_a_row);
  if (s->skipped_in_a_row < l->job->train.nonfinite_limit) return CZ_OK;
  return CZ_FAIL(CZ_ENUMERIC,
                 "%s: %lld steps in a row had a loss or gradient that is not finite (last: loss "
                 "%g, norm %g); %s: %s",
                 l->job->what, (long long)s->skipped_in_a_row, loss, norm, l->job->folder,
                 cz__loop_what_is_saved(l));
}

/* The smoothed loss starts at the first finite one and then moves by 2 % of the difference
 * each step. */
static void smooth(cz_state *s, int64_t step, double loss) {
  s->smooth_loss = step == s->skipped ? loss : 0.98 * s->smooth_loss + 0.02 * loss;
}

static cz_status write_down(cz__loop *l, const cz__late *r, double norm, double scale) {
  const cz_state *s = &l->state;
  const cz_train_keys *t = &l->job->train;
  const int64_t step = r->step + 1;
  if (!l->record || !cz_record_due(t, step)) return CZ_OK;
  const cz_record_value values[] = {{"loss", s->last_loss},
                                    {"smooth_loss", s->smooth_loss},
                                    {"gradient_norm", norm},
                                    {"learning_rate", r->rate},
                                    {"input_tokens", (double)r->input_tokens},
                                    {"target_tokens", (double)r->target_tokens},
                                    {"loss_scale", scale}};
  const size_t n = sizeof values / sizeof *values;
  return cz_record_step(l->record, step, values, cz_loop_scale(t) > 0 ? n : n - 1);
}

static void show(cz__loop *l, const cz__late *r) {
  l->progress.done = r->step + 1;
  l->progress.units = r->units;
  l->progress.loss = l->state.smooth_loss;
  if (cz__loop_is_first(l)) cz_progress_show(&l->progress, r->step + 1 == l->job->train.steps);
}

static double number(const cz__loop *l, const cz__late *r, int64_t i) {
  return l->job->model->params->device->real == CZ_F64 ? ((const double *)r->numbers)[i]
                                                       : ((const float *)r->numbers)[i];
}

/* The oldest record, whose numbers are there. */
static cz_status handle(cz__loop *l, const cz__late *r) {
  const int64_t shards = l->job->batch.shards;
  cz_state *s = &l->state;
  const double scale = number(l, r, shards + CZ_HYPER_SCALE),
               norm = cz_clip_norm(number(l, r, shards + CZ_HYPER_SUMSQ), scale);
  double loss = -r->excess;
  for (int64_t k = 0; k < shards; k++) loss += number(l, r, k);
  s->last_loss = loss;
  if (number(l, r, shards + CZ_HYPER_KEEP) == 0) {
    CZ_TRY(skipped(l, r, loss, norm, scale));
  } else {
    s->skipped_in_a_row = 0;
    smooth(s, r->step, loss);
  }
  CZ_TRY(write_down(l, r, norm, scale));
  show(l, r);
  return CZ_OK;
}

/** Asks for the numbers of the step that was launched last, which STATE counts already. Its loss is
 * reported less EXCESS. */
cz_status cz__late_add(cz__loop *l, double rate, double excess) {
  cz_params *p = l->job->model->params;
  cz_device *d = p->device;
  const size_t real = cz_dtype_bytes(d->real), losses = (size_t)l->job->batch.shards * real;
  cz__late *r = &l->late[l->launched++ % CZ__LATE];
  r->step = l->state.step - 1;
  r->rate = rate;
  r->excess = excess;
  r->input_tokens = l->state.input_tokens;
  r->target_tokens = l->state.target_tokens;
  r->units = l->units;
  CZ_TRY(d->read_later(d, r->numbers, cz__loop_losses(l), losses, &r->ticket));
  r->pending = true;
  return d->read_later(d, (char *)r->numbers + losses, cz_optimizer_hyper(l->optimizer),
                       CZ_HYPERS * real, &r->ticket);
}

/* Waits until the numbers of a record are there: reads arrive in their order. */
static cz_status await(const cz__loop *l, cz__late *r) {
  cz_device *d = l->job->model->params->device;
  bool there;
  r->pending = false;
  CZ_TRY(d->arrived(d, r->ticket, true, &there));
  CZ_CHECK(there);
  return CZ_OK;
}

/** Handles the records of all steps but the LEFT that were launched last; with CZ_LOOP_WAIT none is
 * left. After a failure nothing is left to handle. */
cz_status cz__late_handle(cz__loop *l, int64_t left) {
  if (l->waits) left = 0;
  while (l->launched - l->handled > left) {
    cz__late *r = &l->late[l->handled++ % CZ__LATE];
    cz_status st = await(l, r);
    if (st == CZ_OK) st = handle(l, r);
    if (st != CZ_OK) l->handled = l->launched;
    CZ_TRY(st);
  }
  return CZ_OK;
}

/** Frees the records, when the device writes to none of them. */
void cz__late_close(cz__loop *l) {
  for (int i = 0; i < CZ__LATE; i++) {
    if (l->late[i].pending) (void)!await(l, &l->late[i]); /* the loop's own failure counts */
    free(l->late[i].numbers);
  }
}
