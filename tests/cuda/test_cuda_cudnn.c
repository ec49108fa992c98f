/* Attention by cuDNN over a library that holds its caller to the manual and computes the graph as
 * it stands (fake_cudnn.h): plans for what is asked, what is refused and how, groups of segments,
 * workspace, spans that cuDNN cannot be told of. The numbers are the op test's: it runs over the
 * same library (test_cuda_cudnn_values). */
#include "card.h"
#include "fake_cudnn.h"
#include "kernels/attention_cudnn/attention_cudnn.h"
#include "numbers.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

enum { CZ_TEST_GROUP = 256 }; /* CZ_CUDNN_GROUP */

static fake_cudnn_state *library, fresh_library;

static int load(void **state) {
  if (load_card(state) || setenv("CZ_CUDNN", CZ_FAKE "/libcudnn_fake.so", 1)) return 1;
  void *opened = dlopen(CZ_FAKE "/libcudnn_fake.so", RTLD_NOW | RTLD_LOCAL);
  if (!opened) return 1;
  library = dlsym(opened, "fake_cudnn");
  if (library) fresh_library = *library;
  return !library;
}

static void begin(void) {
  new_card();
  *library = fresh_library;
  setenv("CZ_CUDNN", CZ_FAKE "/libcudnn_fake.so", 1);
}

/* A call on arrays of the card. */
typedef struct attention {
  cz_attention_cudnn_attr attr;
  cz_call call;
  int32_t spans[2][2 * (CZ_TEST_GROUP + 1)];
  int64_t bytes[2 * (CZ_OP_IN + CZ_OP_OUT) + 1];
  void *at[2 * (CZ_OP_IN + CZ_OP_OUT) + 1];
  int n;
} attention;

static void take(cz_device *d, attention *a, cz_arg *arg) {
  const size_t bytes = (size_t)cz_numel(arg) * cz_dtype_bytes(arg->dtype);
  OK(cz_device_alloc(d, &arg->data, bytes));
  a->bytes[a->n] = (int64_t)bytes;
  a->at[a->n++] = arg->data;
}

/* B segments of NQ queries and NK keys; 2 heads of HEAD. */
static void make(cz_device *d, attention *a, int64_t B, int64_t nq, int64_t nk, int head) {
  const int64_t n[] = {nq, nk};
  *a = (attention){.attr = {.heads = 2, .scale = 0.25, .longest_q = nq, .longest_k = nk}};
  cz_call *c = &a->call;
  *c = (cz_call){.n_in = 5, .n_out = 2, .attr = &a->attr, .stream = d->stream};
  for (int i = 0; i <= CZ_ATTENTION_CUDNN_V; i++) {
    c->in[i] = (cz_arg){.dtype = CZ_BF16, .ndim = 2, .dim = {B * n[i > 0], 2 * head}};
    c->din[i] = c->in[i];
    c->mode[i] = CZ_GRAD_WRITE;
    take(d, a, &c->in[i]);
    take(d, a, &c->din[i]);
  }
  for (int i = 0; i < 2; i++) {
    cz_arg *s = &c->in[CZ_ATTENTION_CUDNN_Q_SPANS + i];
    *s = (cz_arg){.dtype = CZ_I32, .ndim = 2, .dim = {B, 2}};
    take(d, a, s);
    for (int64_t b = 0; b < B; b++)
      a->spans[i][2 * b] = (int32_t)(b * n[i]), a->spans[i][2 * b + 1] = (int32_t)((b + 1) * n[i]);
    OK(d->write(d, s->data, a->spans[i], (size_t)B * 8));
  }
  c->out[0] = c->dout[0] = c->in[0];
  c->out[1] = (cz_arg){.dtype = CZ_F32, .ndim = 2, .dim = {B * nq, 2}};
  take(d, a, &c->out[0]);
  take(d, a, &c->dout[0]);
  take(d, a, &c->out[1]);
}

static void drop(cz_device *d, attention *a) {
  for (int i = 0; i < a->n; i++) cz_device_free(d, &a->at[i], (size_t)a->bytes[i]);
}

static const cz_kernels *kernels(cz_device *d, const attention *a) {
  const cz_kernels *k;
  OK(cz_device_kernels(d, &k, CZ_OP_attention_cudnn, &a->call, false));
  return k;
}

/* Runs a pass with the workspace that it asks for; the bytes of that. */
static size_t run(cz_device *d, attention *a, bool backward) {
  const cz_kernels *k = kernels(d, a);
  cz_arg work = {.dtype = CZ_I32, .ndim = 1};
  const size_t bytes = k->workspace(&a->call, backward);
  work.dim[0] = (int64_t)(bytes / 4 + 1);
  take(d, a, &work);
  a->call.workspace = work.data, a->call.workspace_bytes = bytes;
  (backward ? k->backward : k->forward)(&a->call);
  return bytes;
}

static void finish(cz_device **d, attention *a) {
  drop(*d, a);
  close_card(d);
  if (library->wrong) fail_msg("%d calls that cuDNN forbids: %s", library->wrong, library->why);
  assert_int_equal(library->handles, 0);
  assert_int_equal(library->descriptors, 0);
}

/* One plan for a pass of one kind, whatever is in the segments; nothing runs before its turn. */
static void plans(void **state) {
  attention a;
  cz_device_info info;
  begin();
  cz_device *d = open_card();
  make(d, &a, 3, 5, 9, 8);
  assert_int_equal(library->handles, 0);
  const size_t forward = run(d, &a, false), backward = run(d, &a, true);
  assert_true(forward >= 1000 && backward >= forward + (size_t)3 * 2 * 64 * 4);
  OK(d->failed(d));
  assert_int_equal(library->plans, 2);
  (void)run(d, &a, false);
  assert_int_equal(library->plans, 2);
  a.attr.longest_q = 60; /* of the same class */
  (void)run(d, &a, false);
  assert_int_equal(library->plans, 2);
  a.attr.longest_q = 65, a.attr.causal = true;
  (void)run(d, &a, false);
  assert_int_equal(library->plans, 3);
  OK(d->info(d, &info));
  assert_non_null(strstr(info.libraries, ", cuDNN 9.19.0, 3 plans made in "));
  OK(d->sync(d));
  assert_int_equal(library->runs, 5);
  finish(&d, &a);
}

static void says(const char *what) {
  cz_device_info info;
  cz_device *d = open_card();
  OK(d->info(d, &info));
  if (!strstr(info.libraries, what)) fail_msg("'%s' is not in: %s", what, info.libraries);
  close_card(&d);
  assert_int_equal(library->handles, 0);
}

/* Of the library, where nothing has used it. */
static void versions(void **state) {
  begin();
  says("cuBLASLt 13.1.0, cuDNN 9.19.0");
  library->version = 100200;
  says("cuBLASLt 13.1.0, cuDNN 10.2.0, which is not used");
  setenv("CZ_CUDNN", "/nowhere/libcudnn.so.9", 1);
  says("cuBLASLt 13.1.0, no cuDNN");
}

/* More segments than forward takes at once, each of one query and one key: o is v. */
static void groups(void **state) {
  enum { B = CZ_TEST_GROUP + 1, WIDTH = 16 };
  static uint16_t v[B * WIDTH], o[B * WIDTH];
  attention a;
  begin();
  cz_device *d = open_card();
  make(d, &a, B, 1, 1, WIDTH / 2);
  for (int i = 0; i < B * WIDTH; i++) put_number(v, i, CZ_BF16, (float)(i % 251));
  OK(d->fill(d, a.call.in[CZ_ATTENTION_CUDNN_Q].data, 0, sizeof v));
  OK(d->fill(d, a.call.in[CZ_ATTENTION_CUDNN_K].data, 0, sizeof v));
  OK(d->write(d, a.call.in[CZ_ATTENTION_CUDNN_V].data, v, sizeof v));
  (void)run(d, &a, false);
  assert_int_equal(library->plans, 1);
  assert_int_equal(library->runs, 2);
  OK(d->read(d, o, a.call.out[0].data, sizeof o));
  assert_memory_equal(o, v, sizeof v);
  finish(&d, &a);
}

static void refusal(cz_device *d, attention *a, bool backward, const char *why) {
  const cz_kernels *k = kernels(d, a);
  assert_int_equal(k->workspace(&a->call, backward), 0);
  (backward ? k->backward : k->forward)(&a->call);
  FAILS(d->failed(d), CZ_EIO, why);
  OK(d->sync(d));
}

static void refusals(void **state) {
  attention a;
  begin();
  cz_device *d = open_card();
  make(d, &a, 2, 4, 4, 16);
  library->refuse_plans = true;
  refusal(d, &a, true,
          "cuda: attention by cuDNN: 2 heads of 16 in bf16, 2 segments of 64 queries and 64 keys: "
          "cuDNN makes no plan of its engines: no such engine");
  refusal(d, &a, true, "cuDNN makes no plan"); /* the answer is kept */
  library->refuse_plans = false;
  library->engines = 0;
  refusal(d, &a, false, "no engine of cuDNN computes it on this card");
  library->engines = 2;
  library->random_engine = 0; /* is passed over */
  a.attr.causal = true;
  (void)run(d, &a, false);
  OK(d->sync(d));
  assert_int_equal(library->engine, 1);
  library->engines = 1;
  a.attr.longest_q = 200;
  refusal(d, &a, false, "cuDNN makes no plan of its engines");
  library->refuse_runs = true;
  a.attr.longest_q = 4;
  (void)run(d, &a, false);
  FAILS(d->failed(d), CZ_EIO, "attention by cuDNN forward failed: it failed (5000)");
  library->refuse_runs = false;
  a.call.workspace_bytes = 100;
  kernels(d, &a)->forward(&a.call);
  FAILS(d->failed(d), CZ_EIO, "bytes of workspace, there are 100");
  finish(&d, &a);
}

/* What stands in the way of all attentions. */
static void without(const char *why) {
  attention a;
  cz_device *d = open_card();
  make(d, &a, 1, 1, 1, 8);
  refusal(d, &a, false, why);
  drop(d, &a);
  close_card(&d);
}

static void no_library(void **state) {
  const cz_kernels *k;
  begin();
  setenv("CZ_CUDNN", "/nowhere/libcudnn.so.9", 1);
  without("cuda: attention by cuDNN: CZ_CUDNN is /nowhere/libcudnn.so.9: "
          "/nowhere/libcudnn.so.9: cannot open shared object file");
  setenv("CZ_CUDNN", CZ_FAKE "/libcloze_cuda.so", 1);
  without("has no cudnnGetVersion");
  setenv("CZ_CUDNN", CZ_FAKE "/libcudnn_fake.so", 1);
  library->version = 91801;
  without("attention by cuDNN: version 9.18.1 is there, 9.19.0 or a later 9 is needed");
  library->version = 100000;
  without("version 10.0.0 is there");
  library->version = 92100;
  library->refuse_create = true;
  without("attention by cuDNN: it does not start: words of cuDNN");
  library->refuse_create = false;
  card->major = 8, card->card = "Fake A100";
  without("the Fake A100 has compute capability 8.0; cuDNN's deterministic backward over segments "
          "needs 9.0");
  card->major = 10, card->card = "Fake B200"; /* later ones are not tried */
  without("the Fake B200 has compute capability 10.0; ");
  card->major = 9, card->minor = 1;
  without("has compute capability 9.1; ");
  card->minor = 0;
  cz_device *d = open_card();
  attention a;
  make(d, &a, 1, 1, 1, 8);
  for (int i = 0; i <= CZ_ATTENTION_CUDNN_V; i++) a.call.in[i].dtype = CZ_F32;
  a.call.out[0].dtype = CZ_F32;
  FAILS(cz_device_kernels(d, &k, CZ_OP_attention_cudnn, &a.call, false), CZ_EINVAL,
        "op attention_cudnn has no f32 forward kernel on cuda");
  a.call.in[0].dtype = CZ_BF16;
  a.call.in[0].dim[0] = (int64_t)1 << 40;
  refusal(d, &a, false, "rows of 16 numbers are more than its offsets count");
  finish(&d, &a);
}

/* A kernel finds them on the card; the outputs stay as they were. */
static void bad_spans(void **state) {
  static const struct {
    int which, at, to, blamed;
  } rows[] = {{0, 0, 1, 0}, {0, 1, 0, 0}, {1, 2, 2, 1}, {1, 5, 11, 2}, {0, 3, 9, 2}};
  unsigned char before[128], after[128];
  attention a;
  begin();
  cz_device *d = open_card();
  make(d, &a, 3, 4, 4, 8);
  a.attr.longest_q = 4;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char why[64];
    int32_t *x = &a.spans[rows[i].which][rows[i].at], was = *x;
    void *at = a.call.in[CZ_ATTENTION_CUDNN_Q_SPANS + rows[i].which].data;
    *x = rows[i].to;
    OK(d->write(d, at, a.spans[rows[i].which], 24));
    OK(d->read(d, before, a.call.out[0].data, sizeof before));
    (void)run(d, &a, false);
    snprintf(why, sizeof why, "attention_cudnn: segment %d is empty, too long", rows[i].blamed);
    FAILS(d->sync(d), CZ_EIO, why);
    OK(d->sync(d));
    OK(d->read(d, after, a.call.out[0].data, sizeof after));
    assert_memory_equal(before, after, sizeof after);
    *x = was;
    OK(d->write(d, at, a.spans[rows[i].which], 24));
  }
  (void)run(d, &a, false);
  OK(d->sync(d));
  finish(&d, &a);
}

/* Until the kernel ran nobody knows; the node that is named then may be another. Where launches are
 * waited for it is the one. */
static void blamed(void **state) {
  for (int waits = 0; waits < 2; waits++) {
    attention a;
    begin();
    if (waits) assert_int_equal(setenv("CZ_CUDA_SYNC", "1", 1), 0);
    cz_device *d = open_card();
    make(d, &a, 3, 4, 4, 8);
    a.spans[0][1] = 0;
    OK(d->write(d, a.call.in[CZ_ATTENTION_CUDNN_Q_SPANS].data, a.spans[0], 24));
    (void)run(d, &a, false);
    if (!waits) {
      OK(d->failed(d));
      FAILS(d->sync(d), CZ_EIO,
            "op attention takes such spans. It was found in this node or in one before it");
    } else {
      cz_status st = d->failed(d);
      assert_null(strstr(cz_error_message(), "It was found"));
      FAILS(st, CZ_EIO, "op attention takes such spans");
    }
    finish(&d, &a);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(plans),      cmocka_unit_test(versions),
                                     cmocka_unit_test(groups),     cmocka_unit_test(refusals),
                                     cmocka_unit_test(no_library), cmocka_unit_test(bad_spans),
                                     cmocka_unit_test(blamed)};
  return cmocka_run_group_tests_name("cuda cudnn", tests, load, unload_card);
}
