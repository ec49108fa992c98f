/* The loop learns: small copying tasks for every architecture and optimizer, and greedy
 * and beam search write what was learned. Schedules against the paper's numbers; no
 * allocation in a step; what the loop does at the end of its data and with numbers that
 * are not finite. */
#include "train_test.h"

#include "base/log.h"
#include "device/random.h"
#include "training/loop.h"
#include "training/optimizer.h"
#include "decoding/search.h"
#include "kernels/common/units.h"

#include <math.h>
#include <omp.h>
#include <unistd.h>

enum { EOS = 1, FIRST = 2, V = 12, LONGEST = 4, PAIRS = 3000 };

/* Calls of the allocator by this project's code in this thread; see --wrap in
 * CMakeLists.txt. */
static _Thread_local long allocations;
void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_mmap(void *p, size_t n, int protection, int flags, int fd, off_t at);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_mmap(void *p, size_t n, int protection, int flags, int fd, off_t at);

void *__wrap_malloc(size_t n) {
  allocations++;
  return __real_malloc(n);
}

void *__wrap_calloc(size_t n, size_t size) {
  allocations++;
  return __real_calloc(n, size);
}

void *__wrap_realloc(void *p, size_t n) {
  allocations++;
  return __real_realloc(p, n);
}

void *__wrap_mmap(void *p, size_t n, int protection, int flags, int fd, off_t at) {
  allocations++;
  return __real_mmap(p, n, protection, flags, fd, at);
}

/* A device, a model and pairs to copy: 1 to LONGEST different tokens, the target the
 * same. */
typedef struct bench {
  cz_device *device;
  cz_comm *comm;
  cz_model *model;
  cz_pairs pairs;
  cz_source source;
} bench;

static int64_t draw_word(int32_t *word, cz_stream *s) {
  int32_t all[V - FIRST];
  for (int32_t i = 0; i < V - FIRST; i++) all[i] = FIRST + i;
  cz_stream_shuffle(s, all, V - FIRST);
  int64_t n = 1 + (int64_t)cz_stream_below(s, LONGEST);
  memcpy(word, all, (size_t)n * sizeof *word);
  return n;
}

static cz_model *make_model(cz_device *device, const char *name, int64_t vocabulary,
                            int64_t width) {
  cz_model_config c;
  cz_model *m;
  OK(cz_model_config_named(&c, name));
  c.vocab_size = vocabulary, c.d_model = width, c.d_kv = width / 4, c.d_ff = 2 * width,
  c.n_layers = c.n_decoder_layers = c.family->architecture == CZ_ENCODER_DECODER ? 1 : 2,
  c.n_heads = 4;
  c.buckets = 16, c.max_distance = 20, c.dropout = 0;
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, 4));
  return m;
}

static void open_bench(bench *b, const char *name) {
  cz_stream s;
  int32_t word[LONGEST];
  memset(b, 0, sizeof *b);
  cz_stream_init(&s, 9, "words", 0, 0);
  OK(cz_device_open(&b->device, "cpu"));
  OK(cz_comm_open(&b->comm, "self"));
  b->model = make_model(b->device, name, V, 32);
  for (int i = 0; i < PAIRS; i++) {
    int64_t n = draw_word(word, &s);
    OK(cz_pairs_add(&b->pairs, word, n, word, n));
  }
  OK(cz_source_pairs(&b->source, &b->pairs, EOS, 7));
}

static void close_bench(bench *b) {
  cz_source_destroy(&b->source);
  cz_pairs_free(&b->pairs);
  cz_model_destroy(&b->model);
  cz_comm_close(&b->comm);
  cz_device_close(&b->device);
}

static cz_loop_job job_of(const bench *b, int optimizer, double rate, int64_t steps) {
  bool pair = b->model->config.family->architecture == CZ_ENCODER_DECODER;
  return (cz_loop_job){
      .what = "learn",
      .folder = under("run"),
      .comm = b->comm,
      .model = b->model,
      .source = &b->source,
      .layout = pair ? CZ_LAYOUT_ENCDEC : CZ_LAYOUT_STACK,
      .seed = 3,
      .examples = PAIRS,
      .batch = {.input_tokens = 384,
                .target_tokens = 384,
                .shards = 2,
                .window = 4,
                .on_long = CZ_LONG_REFUSE},
      .optimizer = {.name = optimizer,
                    .schedule = CZ_SCHEDULE_LINEAR,
                    .learning_rate = rate,
                    .warmup_steps = 10,
                    .beta1 = 0.9,
                    .beta2 = 0.98,
                    .epsilon = 1e-8,
                    .decay_exponent = 0.8,
                    .clip_threshold = 1},
      .train = {
          .steps = steps, .checkpoint_seconds = 1e9, .log_steps = 1000000, .nonfinite_limit = 5}};
}

static bool same(const cz_ids *got, const int32_t *want, int64_t n) {
  for (int64_t i = 0; i < n && i < (int64_t)got->len; i++)
    if (got->data[i] != want[i]) return false;
  return (int64_t)got->len == n;
}

/* The share of new words that come back right. */
static double copied(const bench *b, int64_t beams) {
  enum { N = 60 };
  cz_ids inputs[N] = {{0}}, outputs[N] = {{0}};
  cz_stream s;
  cz_search_options o = {
      .beams = beams, .length_penalty = 0.6, .max_length = LONGEST + 3, .batch_tokens = 50};
  int right = 0;
  cz_stream_init(&s, 9, "new words", 0, 0);
  for (int i = 0; i < N; i++) {
    int32_t word[LONGEST];
    int64_t n = draw_word(word, &s);
    for (int64_t k = 0; k < n; k++) OK(cz_ids_add(&inputs[i], word[k]));
    OK(cz_ids_add(&inputs[i], EOS));
  }
  OK(cz_search(outputs, NULL, b->model, inputs, N, &o, NULL, NULL));
  for (int i = 0; i < N; i++) {
    right += same(&outputs[i], inputs[i].data, (int64_t)inputs[i].len - 1);
    free(inputs[i].data);
    free(outputs[i].data);
  }
  return (double)right / N;
}

#ifdef CZ_SANITIZED
enum {
  SHORTER = 10
}; /* twenty times slower: there it is memory that is watched, and the loss need only fall */
#else
enum { SHORTER = 1 };
#endif

static void learn(const char *name, int optimizer, double rate, int64_t steps) {
  bench b;
  cz_loop_result first, end;
  open_bench(&b, name);
  cz_loop_job job = job_of(&b, optimizer, rate, 1);
  remove_tree("run");
  OK(cz_fs_make_dirs(under("run")));
  OK(cz_loop_run(&first, &job));
  remove_tree("run");
  OK(cz_fs_make_dirs(under("run")));
  OK(cz_params_init(b.model->params, 4));
  job.train.steps = steps / SHORTER;
  OK(cz_loop_run(&end, &job));
  double greedy = copied(&b, 1), beam = copied(&b, 4);
  print_message(
      "%s, optimizer %d: loss %.3f -> %.4f, copied %.2f greedy, %.2f with 4 beams; %.2f s\n", name,
      optimizer, first.last_loss, end.last_loss, greedy, beam, end.seconds);
  assert_int_equal(end.steps, steps / SHORTER);
  assert_true(first.last_loss > 2 && end.last_loss < (SHORTER == 1 ? 0.3 : 0.8 * first.last_loss));
  assert_true(SHORTER > 1 || (greedy > 0.9 && beam > 0.9));
  close_bench(&b);
}

static void adafactor(void **state) { learn("t5-nano", CZ_OPTIMIZER_ADAFACTOR, 0.03, 250); }
static void adamw(void **state) { learn("t5-v1_1-nano", CZ_OPTIMIZER_ADAMW, 0.01, 300); }
static void adamw_scale(void **state) { learn("t5-nano", CZ_OPTIMIZER_ADAMW_SCALE, 0.05, 300); }
static void language_model(void **state) { learn("lm-nano", CZ_OPTIMIZER_ADAMW_SCALE, 0.05, 350); }
static void prefix_lm(void **state) {
  learn("prefix-lm-nano", CZ_OPTIMIZER_ADAMW_SCALE, 0.05, 350);
}

/* The paper's rates: docs/t5.md, appendix C. */
static void schedules(void **state) {
  const cz_optimizer_keys t5 = {
      .schedule = CZ_SCHEDULE_RSQRT, .learning_rate = 1, .warmup_steps = 10000};
  const struct {
    int64_t step;
    double rate;
  } paper[] = {{0, 0.01}, {10000, 0.01}, {40000, 0.005}, {524287, 0.00138107}};
  for (size_t i = 0; i < sizeof paper / sizeof *paper; i++)
    if (!(fabs(cz_schedule_rate(&t5, paper[i].step, 1 << 19) - paper[i].rate) <= 5e-9))
      fail_msg("rate of step %lld", (long long)paper[i].step);
  cz_optimizer_keys k = {
      .schedule = CZ_SCHEDULE_LINEAR, .learning_rate = 2, .warmup_steps = 4, .final_rate = 0.25};
  assert_true(cz_schedule_rate(&k, 0, 11) == 0.5 && cz_schedule_rate(&k, 3, 11) == 2 &&
              cz_schedule_rate(&k, 4, 11) == 2);
  assert_true(cz_schedule_rate(&k, 7, 11) == 1.25 && cz_schedule_rate(&k, 10, 11) == 0.5);
  k.schedule = CZ_SCHEDULE_COSINE;
  assert_true(fabs(cz_schedule_rate(&k, 7, 11) - 1.25) < 1e-15 &&
              fabs(cz_schedule_rate(&k, 10, 11) - 0.5) < 1e-15);
  k.schedule = CZ_SCHEDULE_CONSTANT;
  assert_true(cz_schedule_rate(&k, 1, 11) == 1 && cz_schedule_rate(&k, 10, 11) == 2);
  /* get_linear_schedule_with_warmup(4, 12): s / 4, then (12 - s) / 8 */
  k = (cz_optimizer_keys){
      .schedule = CZ_SCHEDULE_TRANSFORMERS_LINEAR, .learning_rate = 2, .warmup_steps = 4};
  assert_true(cz_schedule_rate(&k, 0, 12) == 0 && cz_schedule_rate(&k, 3, 12) == 1.5);
  assert_true(cz_schedule_rate(&k, 4, 12) == 2 && cz_schedule_rate(&k, 11, 12) == 0.25);
  k.warmup_steps = 0; /* pet.md 1.3: learning_rate (1 - i / T) */
  assert_true(cz_schedule_rate(&k, 0, 8) == 2 && cz_schedule_rate(&k, 7, 8) == 0.25);
  assert_true(cz_schedule_rate(&k, 0, 1) == 2);
}

static long allocations_of(const bench *b, int64_t steps) {
  cz_loop_job job = job_of(b, CZ_OPTIMIZER_ADAFACTOR, 0.01, steps);
  cz_loop_result r;
  remove_tree("run");
  OK(cz_fs_make_dirs(under("run")));
  long before = allocations;
  OK(cz_loop_run(&r, &job));
  return allocations - before;
}

/* Sixty steps ask for memory no more often than twenty: none does. (The reader's thread
 * sorts a window of batches now and then.) One thread computes: of several, the one that meets a
 * shape first makes the library's plan of it, which would be this one or another by chance. */
static void no_allocation(void **state) {
  const int threads = omp_get_max_threads();
  bench b;
  omp_set_num_threads(1);
  open_bench(&b, "t5-nano");
  for (int i = 0; i < 2; i++) {
    const cz_precision precision = i ? CZ_PRECISION_BF16 : CZ_PRECISION_F32;
    OK(cz_model_compute(b.model, precision, false));
    (void)allocations_of(&b, 60); /* a library makes a plan of each shape that it meets first */
    long few = allocations_of(&b, 20), many = allocations_of(&b, 60);
    print_message("%s: allocations: %ld for 20 steps, %ld for 60\n", cz_precision_names[precision],
                  few, many);
    assert_int_equal(few, many);
  }
  close_bench(&b);
  omp_set_num_threads(threads);
}

/* Data that end before the steps do; updates that lead nowhere leave the last checkpoint
 * whole. */
static void ends(void **state) {
  bench b;
  cz_loop_result r, whole;
  open_bench(&b, "t5-nano");
  cz_loop_job job = job_of(&b, CZ_OPTIMIZER_ADAFACTOR, 0.01, 100000);
  job.passes = 1;
  remove_tree("run");
  OK(cz_fs_make_dirs(under("run")));
  assert_int_equal(cz_loop_run(&r, &job), CZ_EINVAL);
  assert_non_null(strstr(cz_error_message(), "learn: the data ended after"));

  job = job_of(&b, CZ_OPTIMIZER_ADAMW, 0.01, 12);
  job.optimizer.schedule = CZ_SCHEDULE_CONSTANT;
  remove_tree("run");
  OK(cz_fs_make_dirs(under("run")));
  OK(cz_params_init(b.model->params, 4));
  OK(cz_loop_run(&whole, &job));
  remove_tree("run");
  OK(cz_fs_make_dirs(under("run")));
  OK(cz_params_init(b.model->params, 4));
  job.train.steps = 6;
  OK(cz_loop_run(&r, &job));
  job.train.steps = 12, job.optimizer.learning_rate = 1e38, job.train.checkpoint_steps = 1;
  assert_int_equal(cz_loop_run(&r, &job), CZ_ENUMERIC);
  assert_non_null(strstr(cz_error_message(), "the last checkpoint is good"));
  job.train.checkpoint_steps = 0;
  assert_int_equal(cz_loop_run(&r, &job), CZ_ENUMERIC);
  assert_non_null(strstr(cz_error_message(), "5 steps in a row"));
  job.optimizer.learning_rate = 0.01;
  OK(cz_loop_run(&r, &job));
  assert_true(r.loss == whole.loss && r.last_loss == whole.last_loss &&
              r.examples == whole.examples && r.steps == 12 && r.skipped == 0);
  close_bench(&b);
}

static void begin_run(const bench *b) {
  remove_tree("run");
  OK(cz_fs_make_dirs(under("run")));
  OK(cz_params_init(b->model->params, 4));
}

/* Weights are packed anew for every step: training by oneDNN goes the way of training by the BLAS,
 * but for the order of additions. With the weights of step 0 it would stay where it began. */
static void packed_again(void **state) {
  enum { STEPS = 12 };
  bench b;
  cz_loop_result by_blas, by_units;
  open_bench(&b, "t5-nano");
  cz_loop_job job = job_of(&b, CZ_OPTIMIZER_ADAMW, 0.01, STEPS);
  begin_run(&b);
  OK(cz_loop_run(&by_blas, &job));
  cz_units *units = cz_device_units(b.device);
  if (cz_units_take_float32(units)) {
    begin_run(&b);
    OK(cz_loop_run(&by_units, &job));
    print_message("last loss %.7g by the BLAS, %.7g by oneDNN\n", by_blas.last_loss,
                  by_units.last_loss);
    assert_true(fabs(by_units.last_loss - by_blas.last_loss) <= 1e-4 * by_blas.last_loss);
    cz_units_counts counts = cz_units_count(units);
    assert_true(counts.packed > 0);
    assert_int_equal(counts.packings, counts.packed * STEPS);
  }
  close_bench(&b);
}

/* What drives the matrix units fails in the middle of a step: the run ends with the op's name, and
 * goes on from its last checkpoint to what it would have been. */
static void library_fails(void **state) {
  bench b;
  cz_loop_result r, whole;
  open_bench(&b, "t5-nano");
  if (!cz_units_take_float32(cz_device_units(b.device))) {
    assert_false(CZ_TEST_ONEDNN);
    close_bench(&b);
    return;
  }
  cz_loop_job job = job_of(&b, CZ_OPTIMIZER_ADAMW, 0.01, 12);
  job.train.checkpoint_steps = 1;
  begin_run(&b);
  OK(cz_loop_run(&whole, &job));
  /* ever later, until the first step is over: twelve of them are never passed over so */
  for (int64_t at = 400; at == 400 || access(under("run/checkpoint.h5"), R_OK); at *= 2) {
    begin_run(&b);
    cz_units_fail_at(cz_device_units(b.device), at);
    FAILS(cz_loop_run(&r, &job), CZ_EIO, "oneDNN: made to fail");
    assert_non_null(strstr(cz_error_message(), " of op "));
    cz_error_clear();
  }
  OK(cz_loop_run(&r, &job));
  assert_true(r.loss == whole.loss && r.last_loss == whole.last_loss && r.steps == 12);
  close_bench(&b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(adafactor),      cmocka_unit_test(adamw),     cmocka_unit_test(adamw_scale),
      cmocka_unit_test(language_model), cmocka_unit_test(prefix_lm), cmocka_unit_test(schedules),
      cmocka_unit_test(no_allocation),  cmocka_unit_test(ends),      cmocka_unit_test(packed_again),
      cmocka_unit_test(library_fails)};
  cz_log_quiet(true);
  return cmocka_run_group_tests(tests, make_runs, drop_runs);
}
