#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "far.h"
#include "hidden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { CALLS = 4096 };

typedef struct waiting {
  cz_kernel kernel; /* of the near device */
  cz_call call;
  unsigned char attr[CZ_ATTR_BYTES] __attribute__((aligned(16)));
} waiting;

static struct {
  cz_device *near;
  int calls, most_calls;
  waiting call[CALLS];
  bool slow;
} all;

static char stream; /* its address is the stream */

static void show(bool shown) { assert_true(hidden_show(shown)); }

static cz_status far_sync(cz_device *d) {
  if (!all.calls) return CZ_OK;
  show(true);
  for (int i = 0; i < all.calls; i++) {
    waiting *w = &all.call[i];
    w->call.attr = w->call.attr ? w->attr : NULL;
    w->kernel(&w->call);
    if (all.slow) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  all.calls = 0;
  show(false);
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

static cz_status copy(cz_device *d, void *to, const void *from, size_t bytes) {
  CZ_TRY(far_sync(d));
  show(true);
  if (bytes) memcpy(to, from, bytes);
  show(false);
  return CZ_OK;
}

static void put(cz_op op, bool backward, const cz_call *call) {
  assert_ptr_equal(call->stream, &stream);
  assert_true(all.calls < CALLS);
  waiting *w = &all.call[all.calls++];
  if (all.calls > all.most_calls) all.most_calls = all.calls;
  const cz_kernels *near = all.near->kernels(all.near, op, cz_call_dtype(call));
  w->kernel = backward ? near->backward : near->forward;
  w->call = *call;
  if (call->attr)
    memcpy(w->attr, call->attr,
           cz_op_rows[op]
               ->attr_bytes); /* as a launch does: the caller's may be gone when the kernel runs */
}

#define CZ_OP(name)                                                                                \
  static void fwd_##name(const cz_call *call) { put(CZ_OP_##name, false, call); }                  \
  static void bwd_##name(const cz_call *call) { put(CZ_OP_##name, true, call); }
#include "kernels/ops.def"
#undef CZ_OP

/* A table of the device's own: kernels that wait, and the near device's workspaces. */
static const cz_kernels *far_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  static cz_kernels table[CZ_OPS] = {
#define CZ_OP(name) [CZ_OP_##name] = {fwd_##name, bwd_##name, NULL},
#include "kernels/ops.def"
#undef CZ_OP
  };
  const cz_kernels *near = all.near->kernels(all.near, op, dtype);
  if (!near) return NULL;
  if (!near->backward) table[op].backward = NULL;
  table[op].workspace = near->workspace;
  return &table[op];
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
                          .write = copy,
                          .read = copy,
                          .kernels = far_kernels,
                          .sync = far_sync,
                          .failed = never,
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

/** Kernels that were called and have not run. */
int far_waiting(void) { return all.calls; }

/** The most that there were at once since it was last told to forget. */
int far_most_waiting(bool forget) {
  int most = all.most_calls;
  if (forget) all.most_calls = 0;
  return most;
}
