#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "far.h"
#include "hidden.h"
#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { CALLS = 8192 };

struct cz_event { /* reached when as many entries have run as were called before it */
  uint64_t place;
  double at; /* when it was reached; 0: not yet */
};

typedef struct waiting { /* a kernel, write, late read, fill, copy or record, as they were called */
  cz_kernel kernel;      /* of the near device */
  cz_call call;
  unsigned char attr[CZ_ATTR_BYTES] __attribute__((aligned(16)));
  void *to; /* of a copy, write or late read; of a fill when `from` is null */
  const void *from;
  void *taken; /* the bytes of a write, which is freed */
  int byte;
  size_t bytes;
  cz_event *event;
} waiting;

static struct {
  cz_device *near;
  int first, end, kernels, most_kernels; /* call[first .. end) have not run */
  uint64_t called, clocks;
  waiting call[CALLS];
  bool slow;
  int calls[CZ_OPS];
  far_waits waits;
  far_traffic traffic;
} all;

static char stream; /* its address is the stream */

static void show(bool shown) { assert_true(hidden_show(shown)); }

static waiting *add(void) {
  if (all.end == CALLS) { /* what has run makes room */
    memmove(all.call, all.call + all.first, (size_t)(all.end - all.first) * sizeof *all.call);
    all.end -= all.first, all.first = 0;
  }
  assert_true(all.end < CALLS);
  waiting *w = &all.call[all.end++];
  *w = (waiting){0};
  all.called++;
  return w;
}

/* A kernel that draws numbers reads step and shard in the device's memory. */
static void check_clock(const cz_call *call) {
  if (!call->clock || !call->training) return; /* no graph's; draws nothing */
  assert_int_equal(call->clock->step, call->key.step);
  assert_int_equal(call->clock->shard, call->key.shard);
  all.clocks++;
}

static void run(waiting *w) {
  if (w->kernel) {
    check_clock(&w->call);
    w->call.attr = w->call.attr ? w->attr : NULL;
    w->kernel(&w->call);
    if (all.slow) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    all.kernels--;
  } else if (w->event) {
    w->event->at = cz_seconds();
  } else if (w->from) {
    memcpy(w->to, w->from, w->bytes);
    if (w->taken) test_free(w->taken);
  } else {
    memset(w->to, w->byte, w->bytes);
  }
}

/* Until as many have run as were called when it was PLACE, and no more. */
static void run_until(uint64_t place) {
  if (all.called - (uint64_t)(all.end - all.first) >= place) return;
  show(true);
  while (all.called - (uint64_t)(all.end - all.first) < place) run(&all.call[all.first++]);
  show(false);
  if (all.first == all.end) all.first = all.end = 0;
}

static void run_all(void) { run_until(all.called); }

static cz_status far_sync(cz_device *d) {
  all.waits.whole++;
  run_all();
  return CZ_OK;
}

static cz_status far_alloc(cz_device *d, void **out, size_t bytes) {
  *out = hidden_alloc(bytes);
  assert_non_null(*out);
  return CZ_OK;
}

static void far_release(cz_device *d, void *p, size_t bytes) {
  if (far_sync(d) != CZ_OK) fail();
  if (!hidden_release(p)) fail_msg("%p is no memory of this device", p);
}

/* Takes the bytes; they are in place when the device comes to it. */
static cz_status far_write(cz_device *d, void *to, const void *host, size_t bytes) {
  waiting *w = add();
  w->from = w->taken = test_malloc(bytes + 1);
  if (bytes) memcpy(w->taken, host, bytes);
  w->to = to, w->bytes = bytes;
  all.traffic.written += bytes;
  return CZ_OK;
}

static cz_status far_read(cz_device *d, void *host, const void *from, size_t bytes) {
  all.traffic.read += bytes;
  CZ_TRY(far_sync(d));
  show(true);
  if (bytes) memcpy(host, from, bytes);
  show(false);
  return CZ_OK;
}

/* Until the device comes to it, HOST holds NaN, and a byte that nobody can take for the result. */
static cz_status far_read_later(cz_device *d, void *host, const void *from, size_t bytes,
                                uint64_t *ticket) {
  waiting *w = add();
  assert_non_null(from);
  if (bytes) memset(host, 0xFF, bytes);
  w->to = host, w->from = from, w->bytes = bytes;
  *ticket = all.called;
  all.traffic.read += bytes;
  return CZ_OK;
}

static cz_status far_arrived(cz_device *d, uint64_t ticket, bool wait, bool *there) {
  assert_true(ticket > 0 && ticket <= all.called);
  const uint64_t done = all.called - (uint64_t)(all.end - all.first);
  if (wait && done < ticket) {
    all.waits.late++;
    if (all.called == ticket) all.waits.idle++;
    run_until(ticket);
  }
  *there = wait || done >= ticket;
  return CZ_OK;
}

static cz_status far_fill(cz_device *d, void *to, int byte, size_t bytes) {
  waiting *w = add();
  w->to = to, w->byte = byte, w->bytes = bytes;
  return CZ_OK;
}

static cz_status far_copy(cz_device *d, void *to, const void *from, size_t bytes) {
  waiting *w = add();
  assert_non_null(from);
  w->to = to, w->from = from, w->bytes = bytes;
  all.traffic.copied += bytes;
  return CZ_OK;
}

static cz_status far_event(cz_device *d, cz_event **event) {
  *event = test_calloc(1, sizeof **event);
  return CZ_OK;
}

static void far_event_free(cz_device *d, cz_event **event) {
  if (far_sync(d) != CZ_OK) fail(); /* it may wait to be reached */
  if (*event) test_free(*event);
  *event = NULL;
}

static cz_status far_record(cz_device *d, cz_event *event) {
  add()->event = event;
  event->place = all.called;
  event->at = 0;
  return CZ_OK;
}

static cz_status far_await(cz_device *d, cz_event *event) {
  all.waits.events++;
  if (!event->place) return CZ_FAIL(CZ_EINVAL, "an event that was not recorded is awaited");
  run_until(event->place);
  return CZ_OK;
}

static double far_between(cz_device *d, const cz_event *first, const cz_event *second) {
  if (!(first->at > 0 && second->at > 0)) fail_msg("an event is read that was not reached");
  return second->at - first->at;
}

static cz_status far_info(cz_device *d, cz_device_info *info) {
  CZ_TRY(all.near->info(all.near, info));
  snprintf(info->name, sizeof info->name, "far");
  return CZ_OK;
}

static void put(cz_op op, bool backward, const cz_call *call) {
  assert_ptr_equal(call->stream, &stream);
  waiting *w = add();
  if (++all.kernels > all.most_kernels) all.most_kernels = all.kernels;
  const cz_kernels *near = all.near->kernels(all.near, op, cz_call_dtype(call));
  all.calls[op]++;
  w->kernel = backward ? near->backward : near->forward;
  w->call = *call;
  w->call.stream = all.near->stream;
  if (call->attr)
    memcpy(w->attr, call->attr,
           cz_op_rows[op]
               ->attr_bytes); /* as a launch does: the caller's may be gone when the kernel runs */
}

static size_t room(cz_op op, bool backward, const cz_call *call) {
  assert_ptr_equal(call->stream, &stream);
  cz_call near = *call;
  near.stream = all.near->stream;
  return all.near->kernels(all.near, op, cz_call_dtype(call))->workspace(&near, backward);
}

#define CZ_OP(name)                                                                                \
  static void fwd_##name(const cz_call *call) { put(CZ_OP_##name, false, call); }                  \
  static void bwd_##name(const cz_call *call) { put(CZ_OP_##name, true, call); }                   \
  static size_t room_##name(const cz_call *call, bool b) { return room(CZ_OP_##name, b, call); }
#include "kernels/ops.def"
#undef CZ_OP

/* A table of the device's own: kernels that wait, and the near device's workspaces. */
static const cz_kernels *far_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  static const cz_kernels own[CZ_OPS] = {
#define CZ_OP(name) [CZ_OP_##name] = {fwd_##name, bwd_##name, room_##name},
#include "kernels/ops.def"
#undef CZ_OP
  };
  static cz_kernels table[CZ_DTYPES][CZ_OPS];
  const cz_kernels *near = all.near->kernels(all.near, op, dtype);
  if (!near || !near->forward) return NULL;
  cz_kernels *k = &table[dtype][op];
  *k = own[op];
  if (!near->backward) k->backward = NULL;
  if (!near->workspace) k->workspace = NULL;
  return k;
}

static cz_status never(cz_device *d) { return CZ_OK; }

static void nothing(cz_device *d) {}

/** The device. */
const cz_device cz_far = {.name = "far",
                          .real = CZ_F32,
                          .stream = &stream,
                          .processor = "far",
                          .alloc = far_alloc,
                          .release = far_release,
                          .write = far_write,
                          .read = far_read,
                          .read_later = far_read_later,
                          .arrived = far_arrived,
                          .kernels = far_kernels,
                          .sync = far_sync,
                          .failed = never,
                          .fill = far_fill,
                          .copy = far_copy,
                          .event = far_event,
                          .event_free = far_event_free,
                          .record = far_record,
                          .await = far_await,
                          .between = far_between,
                          .info = far_info,
                          .close = nothing};

/** Opens what the device is made of. */
void far_open(void) {
  if (cz_device_open(&all.near, "cpu") != CZ_OK) fail_msg("%s", cz_error_message());
}

/** Closes it; all memory must have been released. */
void far_close(void) {
  assert_int_equal(hidden.n, 0);
  cz_device_close(&all.near);
}

/** From now on every kernel takes a millisecond more. */
void far_slow(bool on) { all.slow = on; }

/** How often somebody waited since this was last told to forget. */
far_waits far_waited(bool forget) {
  far_waits waits = all.waits;
  if (forget) all.waits = (far_waits){0};
  return waits;
}

/** How often kernels of OP were called since this was asked last. */
int far_calls(cz_op op) {
  int n = all.calls[op];
  all.calls[op] = 0;
  return n;
}

/** What the device is made of; its table of kernels may be replaced while far is open. */
cz_device *far_near(void) { return all.near; }

/** Kernels that had a clock when they ran, since this was asked last. */
uint64_t far_clocks(void) {
  uint64_t n = all.clocks;
  all.clocks = 0;
  return n;
}

/** Kernels that were called and have not run. */
int far_waiting(void) { return all.kernels; }

/** Kernels, fills, copies and records that were called and have not run. */
int far_unfinished(void) { return all.end - all.first; }

/** The most that there were at once since it was last told to forget. */
int far_most_waiting(bool forget) {
  int most = all.most_kernels;
  if (forget) all.most_kernels = 0;
  return most;
}

/** Bytes that write, read and copy were asked to move since it was last told to forget. */
far_traffic far_moved(bool forget) {
  far_traffic moved = all.traffic;
  if (forget) all.traffic = (far_traffic){0};
  return moved;
}
