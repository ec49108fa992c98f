#include "commands/bench/unwaited.h"
#include "base/clock.h"
#include "commands/bench/bench.h"

enum { HOLD_BYTES = 64 << 20, ROUNDS = 5 };
static const double MOST_SECONDS = 0.25; /* of copies: a host that is slower than that is no host of
                                           a card */

/** Makes what holds the device: two arrays and two events. */
cz_status cz_bench_hold_open(cz_bench_hold *h, cz_device *device) {
  *h = (cz_bench_hold){.device = device, .copies = 1};
  CZ_TRY(device->event(device, &h->begin));
  CZ_TRY(device->event(device, &h->end));
  CZ_TRY(cz_device_alloc(device, &h->from, HOLD_BYTES));
  CZ_TRY(cz_device_alloc(device, &h->to, HOLD_BYTES));
  return device->fill(device, h->from, 0x3c, HOLD_BYTES);
}

/** Frees it; does nothing when it was not opened. */
void cz_bench_hold_close(cz_bench_hold *h) {
  if (!h->device) return;
  h->device->event_free(h->device, &h->begin);
  h->device->event_free(h->device, &h->end);
  cz_device_free(h->device, &h->from, HOLD_BYTES);
  cz_device_free(h->device, &h->to, HOLD_BYTES);
  h->device = NULL;
}

static cz_status copy(cz_bench_hold *h, int64_t n) {
  for (int64_t i = 0; i < n; i++) CZ_TRY(h->device->copy(h->device, h->to, h->from, HOLD_BYTES));
  return CZ_OK;
}

/** Gives the device its copies; what is called from here on is timed. */
cz_status cz_bench_hold_begin(cz_bench_hold *h) {
  CZ_TRY(copy(h, h->copies));
  return h->device->record(h->device, h->begin);
}

/** Waits for what was called, whose SECONDS on the device are those behind the copies. */
cz_status cz_bench_hold_end(cz_bench_hold *h, double *seconds) {
  CZ_TRY(h->device->record(h->device, h->end));
  CZ_TRY(h->device->await(h->device, h->begin));
  CZ_TRY(h->device->await(h->device, h->end));
  *seconds = h->device->between(h->device, h->begin, h->end);
  return h->device->failed(h->device);
}

/* As many copies as take SECONDS. */
static cz_status fit(cz_bench_hold *h, double seconds) {
  double one;
  h->copies = 0;
  CZ_TRY(cz_bench_hold_begin(h));
  CZ_TRY(copy(h, 2));
  CZ_TRY(cz_bench_hold_end(h, &one));
  if (seconds > MOST_SECONDS) seconds = MOST_SECONDS;
  h->copies = (int64_t)(seconds / (0.5 * one + 1e-6)) + 1;
  return CZ_OK;
}

static cz_status time_host(double *seconds, cz_device *d, const cz_bench_work *w, int64_t *step) {
  double each[ROUNDS];
  for (int i = 0; i < ROUNDS; i++) {
    CZ_TRY(d->sync(d));
    const double began = cz_seconds();
    CZ_TRY(w->feed(w->self));
    CZ_TRY(w->submit(w->self, (*step)++));
    each[i] = cz_seconds() - began;
  }
  *seconds = cz_bench_median(each, ROUNDS);
  return d->sync(d);
}

/* What feeds the device lies before the copies: it may wait for room. */
static cz_status time_device(double *seconds, cz_bench_hold *h, const cz_bench_work *w,
                             int64_t *step) {
  double each[ROUNDS];
  for (int i = 0; i < ROUNDS; i++) {
    CZ_TRY(w->feed(w->self));
    CZ_TRY(cz_bench_hold_begin(h));
    CZ_TRY(w->submit(w->self, (*step)++));
    CZ_TRY(cz_bench_hold_end(h, &each[i]));
  }
  *seconds = cz_bench_median(each, ROUNDS);
  return CZ_OK;
}

/** Times a step of W, whose first one has run, by STEPS steps and a few more. */
cz_status cz_bench_time_unwaited(cz_bench_unwaited *t, cz_bench_hold *h, const cz_bench_work *w,
                                 int64_t steps) {
  cz_device *d = h->device;
  int64_t step = 1;
  CZ_TRY(time_host(&t->host, d, w, &step));
  CZ_TRY(fit(h, 2 * t->host));
  CZ_TRY(time_device(&t->device, h, w, &step));
  CZ_TRY(d->sync(d));
  const double began = cz_seconds();
  for (int64_t i = 0; i < steps; i++) {
    CZ_TRY(w->feed(w->self));
    CZ_TRY(w->submit(w->self, step++));
  }
  CZ_TRY(d->sync(d));
  t->step = (cz_seconds() - began) / (double)steps;
  return CZ_OK;
}
