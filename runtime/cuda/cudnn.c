#include "cuda/cudnn.h"

#include "base/clock.h"
#include "cuda/classes.h"
#include "kernels/add/add.h"
#include "kernels/attention_cudnn/attention_cudnn.h"
#include "kernels/common/launch.h"
#include "kernels/common/workspace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct cz_cudnn cudnn;

static const char *const passes[] = {"attention by cuDNN forward", "attention by cuDNN backward"};

/* ---- the library on this device ---- */

static void say(cudnn *d, const char *what) {
  char why[512] = "";
  d->library.GetLastErrorString(why, sizeof why);
  snprintf(d->why, sizeof d->why, "attention by cuDNN: %s%s%s", what, *why ? ": " : "", why);
}

static void open_library(cudnn *d, cz_cuda *c) {
  void *pinned;
  if (!cz_cudnn_library_open(&d->library, CZ_CUDNN_FILE, d->why, sizeof d->why)) return;
  if (c->card.major != 9 || c->card.minor != 0) {
    snprintf(d->why, sizeof d->why,
             "attention by cuDNN: the %s has compute capability %d.%d; cuDNN's deterministic "
             "backward over segments needs 9.0",
             c->card.name, c->card.major, c->card.minor);
  } else if (d->library.Create(&d->handle) != CUDNN_STATUS_SUCCESS) {
    d->handle = NULL;
    say(d, "it does not start");
  } else if (d->library.SetStream(d->handle, c->stream) != CUDNN_STATUS_SUCCESS) {
    say(d, "it does not take the stream");
  } else if (cudaHostAlloc(&pinned, sizeof *d->wrong, cudaHostAllocDefault) != cudaSuccess) {
    (void)cudaGetLastError();
    snprintf(d->why, sizeof d->why, "attention by cuDNN: no pinned memory of the host");
  } else {
    d->wrong = pinned;
    *d->wrong = 0;
  }
}

/* Null when there is no memory for it. */
static cudnn *opened(cz_cuda *c) {
  if (c->cudnn) return c->cudnn;
  c->cudnn = calloc(1, sizeof *c->cudnn);
  if (c->cudnn) open_library(c->cudnn, c);
  return c->cudnn;
}

static void forget_plans(cudnn *d) {
  while (d->plans > 0) {
    cz_cudnn_plan_free(d->plan[--d->plans], &d->library);
    free(d->plan[d->plans]);
  }
}

static void close_cudnn(cz_cuda *c) {
  cudnn *d = c->cudnn;
  forget_plans(d);
  if (d->handle) (void)d->library.Destroy(d->handle);
  if (d->wrong) (void)cudaFreeHost(d->wrong);
  free(d);
  c->cudnn = NULL;
}

/* Its version, and what was made with it. Where nothing was, the library alone is opened, which has
 * no part in the card. */
static void account(const cz_cuda *c, char *text, size_t n) {
  cz_cudnn_library library = {0};
  char why[1024], version[32];
  const bool used = c->cudnn && c->cudnn->handle,
             there = used || cz_cudnn_library_open(&library, CZ_CUDNN_FILE, why, sizeof why);
  if (used) library = c->cudnn->library;
  if (!library.BackendExecute) { /* the last of its functions */
    snprintf(text, n, "no cuDNN");
    return;
  }
  cz_cudnn_library_version(&library, version, sizeof version);
  if (used)
    snprintf(text, n, "cuDNN %s, %d plans made in %.2f s", version, c->cudnn->made,
             c->cudnn->seconds);
  else
    snprintf(text, n, "cuDNN %s%s", version, there ? "" : ", which is not used");
}

/* The kernel that looks at spans wrote into the host's memory, when it ran: by then the host may be
 * at a later op, to whose name this is put. */
static const char *wrong(cz_cuda *c) {
  static char text[320];
  cudnn *d = c->cudnn;
  const int32_t segment = d->wrong ? *(volatile int32_t *)d->wrong : 0;
  if (!segment) return NULL;
  *d->wrong = 0;
  snprintf(text, sizeof text,
           "attention_cudnn: segment %d is empty, too long, or does not begin where the one before "
           "it ends; op attention takes such spans%s",
           segment - 1,
           c->errors.exact ? ""
                           : ". It was found in this node or in one before it; with CZ_CUDA_SYNC=1 "
                             "in the environment the message names the one");
  return text;
}

/* ---- plans ---- */

/* Rows of a segment of T rows in all, none longer than LONGEST unless that is 0. */
static int64_t rows_of(int64_t T, int64_t longest) {
  const int64_t n = longest ? longest : cz_cuda_class(T, 1);
  return (n + 63) / 64 * 64;
}

static cz_cudnn_shape shape_of(const cz_call *call, bool backward) {
  const cz_attention_cudnn_attr *a = call->attr;
  const cz_arg *q = &call->in[CZ_ATTENTION_CUDNN_Q];
  cz_cudnn_shape s = {.queries = rows_of(q->dim[0], a->longest_q),
                      .keys = rows_of(call->in[CZ_ATTENTION_CUDNN_K].dim[0], a->longest_k),
                      .heads = a->heads,
                      .head = (int)(q->dim[1] / a->heads),
                      .dtype = q->dtype,
                      .causal = a->causal,
                      .backward = backward};
  int64_t most = CZ_CUDNN_GROUP;
  if (backward && !(a->longest_q && a->longest_k)) most = 1; /* fewer rows never want more memory */
  while (backward && most > 1 &&
         (double)most * a->heads * (double)s.queries * (double)s.keys * 2 > CZ_CUDNN_DS)
    most /= 2;
  const int64_t n = cz_cuda_class(call->in[CZ_ATTENTION_CUDNN_Q_SPANS].dim[0], 1);
  s.segments = n < most ? n : most;
  return s;
}

static bool same(const cz_cudnn_shape *a, const cz_cudnn_shape *b) {
  return a->segments == b->segments && a->queries == b->queries && a->keys == b->keys &&
         a->heads == b->heads && a->head == b->head && a->dtype == b->dtype &&
         a->causal == b->causal && a->backward == b->backward;
}

/* The plan of SHAPE, made when it is asked for first; null when there is no memory. */
static const cz_cudnn_plan *find_plan(cz_cuda *c, const cz_cudnn_shape *shape) {
  cudnn *d = c->cudnn;
  const cz_cudnn_place place = {.handle = d->handle};
  for (int i = 0; i < d->plans; i++)
    if (same(&d->plan[i]->shape, shape)) return d->plan[i];
  if (d->plans == CZ_CUDNN_PLANS) { /* sizes that come no more */
    (void)cudaStreamSynchronize(c->stream);
    forget_plans(d);
  }
  cz_cudnn_plan *made = calloc(1, sizeof *made);
  if (!made) return NULL;
  const double began = cz_seconds();
  cz_cudnn_plan_make(made, &d->library, &place, shape);
  d->seconds += cz_seconds() - began;
  d->made++;
  return d->plan[d->plans++] = made;
}

/* ---- the call ---- */

static bool empty(const cz_call *call) {
  return !call->in[CZ_ATTENTION_CUDNN_Q].dim[0] || !call->in[CZ_ATTENTION_CUDNN_Q_SPANS].dim[0];
}

/* What lies in the call's workspace. */
typedef struct work {
  cz_attention_cudnn_segments segments;
  void *stats;                              /* forward's where nobody wants them */
  void *d;                                  /* backward's, as those that follow */
  void *gradient[CZ_ATTENTION_CUDNN_V + 1]; /* that is not written where it belongs */
  void *plan;
  size_t bytes;
} work;

/* Arrays begin at multiples of 256 bytes of the workspace, as allocations of the card do. */
static void *take(uintptr_t *at, size_t bytes) { return cz_take(at, (bytes + 255) / 256 * 256); }

static work cut(const cz_call *call, const cz_cudnn_plan *plan, void *base) {
  const cz_cudnn_shape *s = &plan->shape;
  const int64_t B = call->in[CZ_ATTENTION_CUDNN_Q_SPANS].dim[0];
  work w = {.bytes = 0};
  uintptr_t at = (uintptr_t)base;
  cz_attention_cudnn_segments *of = &w.segments;
  of->group = s->segments, of->groups = (B + of->group - 1) / of->group;
  of->stride = (of->group + 4) / 4 * 4; /* each group's arrays are aligned to 16 bytes */
  int32_t **const numbers[] = {&of->q_begin, &of->k_begin, &of->stats_begin, &of->q_length,
                               &of->k_length};
  of->longest_q = s->queries, of->longest_k = s->keys;
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
    *numbers[i] = take(&at, (size_t)(of->groups * of->stride) * sizeof(int32_t));
  if (!s->backward && !call->out[CZ_ATTENTION_CUDNN_STATS].data)
    w.stats = take(&at, (size_t)(call->in[CZ_ATTENTION_CUDNN_Q].dim[0] * s->heads) * sizeof(float));
  if (s->backward) {
    w.d = take(&at, (size_t)(s->segments * s->heads * s->queries) * sizeof(float));
    for (int i = 0; i <= CZ_ATTENTION_CUDNN_V; i++)
      if (call->mode[i] != CZ_GRAD_WRITE)
        w.gradient[i] =
            take(&at, (size_t)cz_numel(&call->in[i]) * cz_dtype_bytes(call->in[i].dtype));
  }
  w.plan = take(&at, plan->workspace);
  w.bytes = at - (uintptr_t)base;
  return w;
}

/* A plan for the call, or null with WHY. */
static const cz_cudnn_plan *plan_of(const cz_call *call, bool backward, char *why, size_t n) {
  cz_cuda *c = call->stream;
  const cz_arg *q = &call->in[CZ_ATTENTION_CUDNN_Q], *k = &call->in[CZ_ATTENTION_CUDNN_K];
  const int64_t rows = q->dim[0] > k->dim[0] ? q->dim[0] : k->dim[0];
  cudnn *d = opened(c);
  if (!d || *d->why) return snprintf(why, n, "%s", d ? d->why : "no memory for cuDNN"), NULL;
  if (rows * q->dim[1] > INT32_MAX)
    return snprintf(why, n, "%lld rows of %lld numbers are more than its offsets count",
                    (long long)rows, (long long)q->dim[1]),
           NULL;
  const cz_cudnn_shape shape = shape_of(call, backward);
  const cz_cudnn_plan *plan = find_plan(c, &shape);
  if (!plan) return snprintf(why, n, "no memory for a plan"), NULL;
  if (plan->plan) return plan;
  snprintf(why, n,
           "attention by cuDNN: %d heads of %d in %s, %lld segments of %lld queries and %lld keys: "
           "%s",
           shape.heads, shape.head, cz_dtype_names[shape.dtype], (long long)shape.segments,
           (long long)shape.queries, (long long)shape.keys, plan->why);
  return NULL;
}

/* Without a plan none: what is wrong is told when the call is made. */
static size_t workspace(const cz_call *call, bool backward) {
  char why[1200];
  if (empty(call)) return 0;
  const cz_cudnn_plan *plan = plan_of(call, backward, why, sizeof why);
  return plan ? cut(call, plan, NULL).bytes : 0;
}

static void *gradient(const cz_call *call, const work *w, int input) {
  return w->gradient[input] ? w->gradient[input] : call->din[input].data;
}

/* Runs the plan for a GROUP of segments. */
static void run_group(const cz_call *call, const cz_cudnn_plan *plan, const work *w,
                      int64_t group) {
  cz_cuda *c = call->stream;
  const int64_t first = group * w->segments.stride;
  float scale = (float)((const cz_attention_cudnn_attr *)call->attr)->scale, lowest = -INFINITY,
        one = 1;
  void *const at[CZ_CUDNN_ARRAYS] = {
      [CZ_CUDNN_Q] = call->in[CZ_ATTENTION_CUDNN_Q].data,
      [CZ_CUDNN_K] = call->in[CZ_ATTENTION_CUDNN_K].data,
      [CZ_CUDNN_V] = call->in[CZ_ATTENTION_CUDNN_V].data,
      [CZ_CUDNN_O] = call->out[CZ_ATTENTION_CUDNN_O].data,
      [CZ_CUDNN_STATS] = w->stats ? w->stats : call->out[CZ_ATTENTION_CUDNN_STATS].data,
      [CZ_CUDNN_DO] = call->dout[CZ_ATTENTION_CUDNN_O].data,
      [CZ_CUDNN_DQ] = gradient(call, w, CZ_ATTENTION_CUDNN_Q),
      [CZ_CUDNN_DK] = gradient(call, w, CZ_ATTENTION_CUDNN_K),
      [CZ_CUDNN_DV] = gradient(call, w, CZ_ATTENTION_CUDNN_V),
      [CZ_CUDNN_D] = w->d,
      [CZ_CUDNN_Q_BEGIN] = w->segments.q_begin + first,
      [CZ_CUDNN_K_BEGIN] = w->segments.k_begin + first,
      [CZ_CUDNN_STATS_BEGIN] = w->segments.stats_begin + first,
      [CZ_CUDNN_Q_LENGTH] = w->segments.q_length + first,
      [CZ_CUDNN_K_LENGTH] = w->segments.k_length + first,
      [CZ_CUDNN_SCALE] = &scale,
      [CZ_CUDNN_LOWEST] = &lowest,
      [CZ_CUDNN_ONE] = &one};
  const cudnnStatus_t st =
      cz_cudnn_plan_run(plan, &c->cudnn->library, c->cudnn->handle, at, w->plan);
  const cz_cuda_launch launch = {.kernel = passes[plan->shape.backward], .m = -1};
  char why[256] = "";
  if (st == CUDNN_STATUS_SUCCESS) {
    cz_cuda_note(c, &launch, cudaSuccess);
    return;
  }
  c->cudnn->library.GetLastErrorString(why, sizeof why);
  if (cz_cuda_waited(c, cudaStreamSynchronize(c->stream), c->errors.launched) != CZ_OK)
    cz_host->clear();
  else
    cz_cuda_refused(c, "%s: %s failed: %s (%d)", c->device.name, launch.kernel, why, (int)st);
}

static bool run(const cz_call *call, bool backward, work *w) {
  cz_cuda *c = call->stream;
  char why[1200];
  if (*c->errors.cause) return false;
  const cz_cudnn_plan *plan = plan_of(call, backward, why, sizeof why);
  if (!plan) {
    cz_cuda_refused(c, "%s: %s", c->device.name, why);
    return false;
  }
  *w = cut(call, plan, call->workspace);
  if (w->bytes > call->workspace_bytes) {
    cz_cuda_refused(c, "%s: attention by cuDNN wants %zu bytes of workspace, there are %zu",
                    c->device.name, w->bytes, call->workspace_bytes);
    return false;
  }
  w->segments.wrong = c->cudnn->wrong;
  cz_attention_cudnn_segments_cuda(call, &w->segments);
  for (int64_t i = 0; i < w->segments.groups; i++) run_group(call, plan, w, i);
  return true;
}

static void forward(const cz_call *call) {
  work w;
  if (!empty(call)) (void)run(call, false, &w);
}

/* din += MADE. */
static void add_gradient(const cz_call *call, int input, void *made) {
  cz_call sum = {.n_in = 2, .n_out = 1, .stream = call->stream};
  sum.in[CZ_ADD_A] = sum.out[0] = call->din[input];
  sum.in[CZ_ADD_B] = call->din[input];
  sum.in[CZ_ADD_B].data = made;
  cz_add_fwd_cuda(&sum);
}

static void backward(const cz_call *call) {
  work w;
  if (empty(call) || !call->dout[CZ_ATTENTION_CUDNN_O].data) {
    for (int i = 0; i <= CZ_ATTENTION_CUDNN_V; i++) cz_cuda_zero_gradient(call, i);
    return;
  }
  if (!run(call, true, &w)) return;
  for (int i = 0; i <= CZ_ATTENTION_CUDNN_V; i++)
    if (call->mode[i] == CZ_GRAD_ADD) add_gradient(call, i, w.gradient[i]);
}

extern const cz_cuda_cudnn cz_cudnn_kernels;
const cz_cuda_cudnn cz_cudnn_kernels = {
    .kernels = {.forward = forward, .backward = backward, .workspace = workspace},
    .close = close_cudnn,
    .account = account,
    .wrong = wrong,
    .describe = cz_cudnn_library_describe};
