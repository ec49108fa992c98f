/* What a CUDA module asks of everything above the device: nobody touches its memory but
 * through it, and nobody takes a kernel that was called for one that has run. A device of
 * that kind (far.h) must train, save and resume to the bits of `cpu`. */
#include "far.h"
#include "small.h"
#include "common/common.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "device/probe.h"
#include "device/random.h"
#include "comm/reducer.h"
#include "training/adder.h"
#include "training/loop.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { TOKENS = 24, SHARDS = 3 };

/* All numbers of a flat block of the model's parameters, on the host. */
static float *numbers(const cz_params *p, const void *flat) {
  float *x = test_calloc((size_t)p->flat, sizeof *x);
  OK(p->device->read(p->device, x, flat, (size_t)p->flat * sizeof *x));
  return x;
}

enum { SEEN = 64 };

typedef struct outcome {
  float *values;
  double loss, flop;
  int ready;
  cz_device *device;
  int waiting,
      n_seen; /* kernels that had not run when a gradient was reported; gradients looked at */
  float seen[SEEN];
  int64_t at[SEEN];
} outcome;

static void same(const outcome *got, const outcome *want, int64_t n) {
  assert_memory_equal(got->values, want->values, (size_t)n * sizeof *got->values);
  assert_true(memcmp(&got->loss, &want->loss, sizeof got->loss) == 0 && got->flop == want->flop &&
              got->ready == want->ready);
}

/* Nobody waits before a gradient is reported, and who reads it has the final one. Every second one
 * is read, so that kernels gather in between. */
static void ready(void *self, const cz_param *param) {
  outcome *o = self;
  if (!o->device->host_memory && far_waiting() > o->waiting) o->waiting = far_waiting();
  if (o->ready++ % 2 || o->n_seen == SEEN) return;
  OK(o->device->read(o->device, &o->seen[o->n_seen], param->grad, sizeof *o->seen));
  o->at[o->n_seen++] = param->offset;
}

/* Every op's time holds its kernels', and their products are counted from spans that only
 * the device has. */
static void look_at_times(outcome *o, const cz_graph *g, bool slow) {
  cz_op_time times[CZ_OPS];
  int n = cz_graph_times(g, times, CZ_OPS);
  assert_true(n > 5);
  for (int i = 0; i < n; i++) {
    o->flop += times[i].forward_flop + times[i].backward_flop;
    if (slow && times[i].forward_s + times[i].backward_s < 1e-3 * (double)times[i].calls)
      fail_msg("%lld calls of %s took %g s", (long long)times[i].calls, times[i].op,
               times[i].forward_s + times[i].backward_s);
    if (!strcmp(times[i].op, "attention"))
      assert_true(times[i].forward_flop > 0 && times[i].backward_flop > 0);
  }
}

static int64_t differentiate(outcome *o, cz_device *device, bool profile) {
  cz_model *m = small_model(device);
  cz_net *net;
  int32_t ids[TOKENS];
  const int32_t spans[] = {0, 10, 10, 11, 11, TOKENS};
  const cz_net_options options = {.capacity_segments = 4,
                                  .capacity_encoder = 2 * TOKENS,
                                  .capacity_decoder = 2 * TOKENS,
                                  .train = true,
                                  .dropout = 0.2};
  const cz_feed feed = {.segments = 3,
                        .encoder.tokens = TOKENS,
                        .decoder.tokens = TOKENS,
                        .n_loss_rows = TOKENS,
                        .encoder.ids = ids,
                        .encoder.spans = spans,
                        .decoder.ids = ids,
                        .decoder.spans = spans,
                        .targets = ids,
                        .denominator = TOKENS};
  const cz_graph_run_options run = {.key = {.seed = 5, .step = 70001, .shard = 3},
                                    .training = true,
                                    .ready = ready,
                                    .ready_self = o};
  for (int i = 0; i < TOKENS; i++) ids[i] = i % SMALL_VOCABULARY;
  *o = (outcome){.device = device};
  OK(cz_net_create(&net, m, &options));
  cz_graph_profile(net->graph, profile);
  OK(cz_net_feed(net, &feed));
  OK(cz_graph_train(net->graph, &run));
  OK(cz_graph_read(net->graph, &o->loss, net->loss, 1));
  if (profile) look_at_times(o, net->graph, !device->host_memory);
  o->values = numbers(m->params, m->params->grads);
  for (int i = 0; i < o->n_seen; i++) assert_true(o->seen[i] == o->values[o->at[i]]);
  int64_t flat = m->params->flat;
  cz_net_destroy(&net);
  cz_model_destroy(&m);
  return flat;
}

/* The gradient of a batch, with and without the clock of ops. */
static void graph(void **state) {
  cz_device *near, far = cz_far;
  OK(cz_device_open(&near, "cpu"));
  for (int profile = 0; profile < 2; profile++) {
    outcome want, got;
    far_slow(profile);
    far_most_waiting(true);
    int64_t flat = differentiate(&want, near, profile);
    differentiate(&got, &far, profile);
    same(&got, &want, flat);
    assert_true(far_clocks() > 30); /* all kernels of the graph: far.c looks at them */
    assert_true(got.ready > 5 && got.n_seen > 2 && got.waiting > 1 && far_most_waiting(false) > 1);
    test_free(got.values), test_free(want.values);
  }
  far_slow(false);
  cz_device_close(&near);
}

/* Fills, copies and events come in the order in which they were called, on every device: each
 * block is filled, copied, filled anew, and event i lies behind the i-th round. Where work waits,
 * awaiting an event runs what came before it and leaves the rest. */
static void check_order(cz_device *d, bool waits) {
  enum { ROUNDS = 9, BYTES = 5003 };
  unsigned char *block, *copies, seen[BYTES];
  cz_event *event[ROUNDS];
  const double began = cz_seconds();
  OK(cz_device_alloc(d, &block, BYTES));
  OK(cz_device_alloc(d, &copies, (size_t)ROUNDS * BYTES));
  for (int i = 0; i < ROUNDS; i++) {
    OK(d->event(d, &event[i]));
    if (i % 3 == 0) OK(d->record(d, event[i])); /* the second record is the one that counts */
    OK(d->fill(d, block, 0x51 + i, BYTES));
    OK(d->fill(d, block + BYTES - 1, 0xF0 + i, 1));
    OK(d->copy(d, copies + (size_t)i * BYTES, block, BYTES));
    OK(d->copy(d, copies + (size_t)i * BYTES, block, 0));
    OK(d->record(d, event[i]));
  }
  for (int i = 0; i < ROUNDS; i += 2) {
    OK(d->await(d, event[i]));
    if (waits) assert_int_equal(far_unfinished(), (ROUNDS - 1 - i) * 5 + (ROUNDS - 1 - i) / 3);
  }
  for (int i = 0; i < ROUNDS; i++) {
    OK(d->read(d, seen, copies + (size_t)i * BYTES, BYTES));
    for (int k = 0; k < BYTES; k++) assert_int_equal(seen[k], k + 1 < BYTES ? 0x51 + i : 0xF0 + i);
    double s = d->between(d, event[0], event[i]);
    assert_true(s >= 0 && s <= cz_seconds() - began && (i > 0 || s == 0));
  }
  for (int i = 0; i < ROUNDS; i++) d->event_free(d, &event[i]);
  assert_null(event[0]);
  d->event_free(d, &event[0]);
  cz_device_free(d, &block, BYTES);
  cz_device_free(d, &copies, (size_t)ROUNDS * BYTES);
}

static void order(void **state) {
  static const char *const names[] = {"cpu", "ref", "guard:cpu", "guard:ref"};
  cz_device far = cz_far;
  check_order(&far, true);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    cz_device *d;
    cz_device_info info;
    OK(cz_device_open(&d, names[i]));
    check_order(d, false);
    OK(d->info(d, &info));
    assert_true(info.name[0] && info.capability[0] && info.cores >= 1 &&
                info.memory > cz_peak_rss_bytes());
    assert_int_equal(info.driver[0], 0);
    cz_device_close(&d);
  }
}

/* Trains a fresh model on DEVICE to STEPS steps, from the folder's checkpoint when there is one. */
static int64_t train_to(outcome *o, cz_device *device, const cz_source *source, int optimizer,
                        int shards, int steps) {
  cz_comm *comm;
  cz_loop_result result;
  cz_model *m = small_model(device);
  OK(cz_comm_open(&comm, "self"));
  cz_loop_job job = small_job(m, comm, source, optimizer);
  job.batch.shards = shards;
  job.train.steps = steps;
  OK(cz_loop_run(&result, &job));
  assert_int_equal(result.steps, steps);
  if (o->values) test_free(o->values);
  o->values = numbers(m->params, m->params->values);
  o->loss = result.loss;
  int64_t flat = m->params->flat;
  cz_model_destroy(&m);
  cz_comm_close(&comm);
  return flat;
}

/* Two steps, a checkpoint, and from it two more with a fresh model. */
static int64_t train(outcome *o, cz_device *device, int optimizer) {
  cz_pairs pairs;
  cz_source source;
  int64_t flat = 0;
  assert_int_equal(make_folder(NULL), 0);
  small_source(&source, &pairs);
  *o = (outcome){.device = device};
  for (int steps = 2; steps <= 4; steps += 2)
    flat = train_to(o, device, &source, optimizer, SHARDS, steps);
  cz_source_destroy(&source);
  cz_pairs_free(&pairs);
  assert_int_equal(drop_folder(NULL), 0);
  return flat;
}

/* What a step moves through the host: batches, losses, a few numbers, and nothing that grows with
 * the model. On the device a gradient, with the losses behind it, is copied where a sum of shards
 * begins, alone not at all, and each shard's loss once. */
static void traffic(void **state) {
  enum { FEW = 2, MORE = 5 };
  cz_device far = cz_far;
  cz_pairs pairs;
  cz_source source;
  small_source(&source, &pairs);
  for (int shards = 1; shards <= 3; shards++) {
    far_traffic moved[2];
    size_t flat = 0;
    for (int i = 0; i < 2; i++) {
      outcome o = {.device = &far};
      assert_int_equal(make_folder(NULL), 0);
      far_moved(true);
      flat = (size_t)train_to(&o, &far, &source, CZ_OPTIMIZER_ADAFACTOR, shards, i ? MORE : FEW) *
             sizeof(float);
      moved[i] = far_moved(true);
      test_free(o.values);
      assert_int_equal(drop_folder(NULL), 0);
    }
    size_t through = moved[1].read + moved[1].written - moved[0].read - moved[0].written;
    if (through > flat / 10) fail_msg("%zu bytes of %zu in %d steps", through, flat, MORE - FEW);
    const size_t losses = (size_t)shards * sizeof(float);
    assert_int_equal(moved[1].copied, MORE * ((size_t)(shards / 2) * (flat + losses) + losses));
  }
  cz_source_destroy(&source);
  cz_pairs_free(&pairs);
}

/* The sum of N shards from FIRST on, each the value of its number, by the definition. */
static float tree(int first, int n, const float *value) {
  int half = 1;
  if (n == 1) return value[first];
  while (2 * half < n) half *= 2;
  float left = tree(first, half, value), right = tree(first + half, n - half, value);
  return left + right;
}

/* A rank alone calls additions and waits for none of them, whatever the number of shards. */
static void sums(void **state) {
  enum { N = 5000, BUCKET = 1000 * sizeof(float), MOST = 9 };
  static float seen[N];
  cz_device far = cz_far;
  cz_comm *comm;
  OK(cz_comm_open(&comm, "self"));
  for (int shards = 1; shards <= MOST; shards++) {
    cz_device_sums with = {.device = &far};
    const cz_adder adder = cz_device_adder(&with);
    cz_reducer *r;
    void *gradient;
    float value[MOST];
    OK(cz_device_alloc(&far, &gradient, sizeof seen));
    OK(cz_reducer_create(&r, comm, &adder, gradient, N, sizeof(float), shards, BUCKET));
    far_moved(true);
    for (int s = 0; s < shards; s++) {
      memset(&value[s], 0x3A + s, sizeof *value); /* 0.0007, 0.003, 0.011, 0.05, 0.19, 0.75, ... */
      OK(far.fill(&far, gradient, 0x3A + s, sizeof seen));
      if (s + 1 < shards) OK(cz_reducer_push(r));
    }
    for (int at = N; at > 0; at -= 250) OK(cz_reducer_ready(r, at - 250, 250));
    OK(cz_reducer_finish(r));
    far_traffic moved = far_moved(true);
    assert_true(moved.read == 0 && moved.written == 0);
    assert_int_equal(moved.copied, (size_t)(shards / 2) * sizeof seen);
    assert_true(far_unfinished() >= shards && (shards == 1) == (far_waiting() == 0));
    OK(far.read(&far, seen, gradient, sizeof seen));
    float want = tree(0, shards, value);
    for (int i = 0; i < N; i++) assert_memory_equal(&seen[i], &want, sizeof want);
    cz_reducer_destroy(&r);
    cz_device_sums_free(&with);
    cz_device_free(&far, &gradient, sizeof seen);
  }
  cz_comm_close(&comm);
}

static void loop(void **state) {
  const int optimizers[] = {CZ_OPTIMIZER_ADAFACTOR, CZ_OPTIMIZER_ADAMW_SCALE};
  cz_device *near, far = cz_far;
  OK(cz_device_open(&near, "cpu"));
  for (int i = 0; i < 2; i++) {
    outcome want, got;
    int64_t flat = train(&want, near, optimizers[i]);
    train(&got, &far, optimizers[i]);
    same(&got, &want, flat);
    test_free(got.values), test_free(want.values);
  }
  cz_device_close(&near);
}

/* A device whose numbers are neither float64 nor float32 is not handed halves as if they
 * were floats. */
static void halves(void **state) {
  for (int reading = 0; reading < 2; reading++) {
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
      double x = 1;
      float y;
      cz_device d = cz_far;
      d.real = CZ_BF16;
      signal(SIGABRT, SIG_DFL);
      if (!freopen("/dev/null", "w", stderr)) _exit(2);
      cz_status st =
          reading ? cz_device_read_real(&d, &x, &y, 1) : cz_device_write_real(&d, &y, &x, 1);
      _exit(st == CZ_OK ? 0 : 1);
    }
    int how;
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
  }
}

static int open_far(void **state) {
  far_open();
  return 0;
}

static int close_far(void **state) {
  far_close();
  return 0;
}

/* Every device of the list opens under its name, or is refused with a reason: none is an
 * unknown name. */
static void every_device_opens(void **state) {
  const cz_device_row *row;
  for (size_t i = 0; (row = cz_device_at(i)); i++) {
    cz_device *d;
    assert_true(row->help && strlen(row->help) > 5);
    if (cz_device_open(&d, row->name) != CZ_OK) {
      assert_false(row->host);
      char what[64]; /* a guard's device is the one that it guards */
      snprintf(what, sizeof what, "device %s: ", row->guard ? "emu" : row->name);
      assert_non_null(strstr(cz_error_message(), what));
      continue;
    }
    assert_true(!strcmp(d->name, row->name) || !strcmp(row->name, "auto"));
    cz_device_close(&d);
  }
  cz_device *guard;
  OK(cz_device_open(&guard, "guard"));
  assert_string_equal(guard->name, "guard:cpu");
  cz_device_close(&guard);
  assert_int_equal(cz_device_open(&guard, "cpi"), CZ_EUSAGE);
  assert_non_null(strstr(cz_error_message(), "did you mean 'cpu'"));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(every_device_opens),
                                     cmocka_unit_test(order),
                                     cmocka_unit_test(graph),
                                     cmocka_unit_test(loop),
                                     cmocka_unit_test(sums),
                                     cmocka_unit_test(traffic),
                                     cmocka_unit_test(halves)};
  cz_log_quiet(true);
  return cmocka_run_group_tests(tests, open_far, close_far);
}
