/* What a process of --jobs takes, what the system says is left, and that more processes than that
 * holds are refused with both before one is started. */
#include "few_shot_test.h"

#include "base/memory_free.h"
#include "nn/hf.h"
#include "stages/memory.h"
#include "training/optimizer.h"

#include <inttypes.h>

static const cz_member_shape shape = {
    .temperature = 1, .lm = 0.1, .classes = 3, .width = 2, .max_length = 40, .score_tokens = 400};

static cz_loop_job job_of(const char *freeze, int precision) {
  return (cz_loop_job){.what = "memory",
                       .batch = {.examples = 6, .shards = 1, .window = 1},
                       .optimizer = {.name = CZ_OPTIMIZER_ADAMW},
                       .train = {.steps = 1, .freeze = freeze, .precision = precision}};
}

/* The bytes are those of the buffers that are made when it comes to it. */
static void as_taken(void **state) {
  static const struct {
    const char *freeze;
    int precision;
  } rows[] = {{"", CZ_PRECISION_F32}, {"body", CZ_PRECISION_F32}, {"", CZ_PRECISION_BF16}};
  char folder[600];
  double all = 0;
  snprintf(folder, sizeof folder, "%s", under("bert"));
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    cz_device *device;
    cz_member_memory m;
    cz_optimizer *o;
    cz_model *model;
    const cz_hf_options masked = {.heads = CZ_HEAD_BIT(CZ_HEAD_MASKED_LM)};
    const cz_loop_job job = job_of(rows[i].freeze, rows[i].precision);
    OK(cz_device_open(&device, "cpu"));
    OK(cz_member_memory_find(&m, device, folder, &job, &shape));
    OK(cz_hf_open_with(&model, folder, device, &masked));
    OK(cz_loop_take_model(model, &job.train));
    OK(cz_optimizer_create(&o, &job.optimizer, model->params));
    assert_true(m.gradients == (double)cz_params_trained_bytes(model->params));
    assert_true(m.states == (double)cz_optimizer_bytes(o));
    assert_true(m.parameters == (rows[i].precision == CZ_PRECISION_F32 ? 1 : 1.5) *
                                    (double)cz_params_bytes(model->params));
    /* a vocabulary of 400 reads each of six texts of 40 tokens: its logits alone */
    assert_true(m.activations > 6.0 * 40 * 400 * (rows[i].precision == CZ_PRECISION_F32 ? 4 : 2));
    if (i == 1) assert_true(m.gradients < all / 4);
    all = m.gradients;
    cz_optimizer_destroy(&o);
    cz_model_destroy(&model);
    cz_device_close(&device);
  }
}

static void has_left(const char *root, int64_t bytes, const char *says) {
  cz_memory_free m;
  OK(cz_memory_free_find(&m, root));
  if (m.bytes != bytes || strcmp(m.says, says))
    fail_msg("%s has %" PRId64 ", not %" PRId64, m.says, m.bytes, bytes);
}

static void put(const char *name, const char *text) {
  char path[600], *slash;
  snprintf(path, sizeof path, "%s", under(name));
  slash = strrchr(path, '/');
  *slash = '\0';
  OK(cz_fs_make_dirs(path));
  write_text(name, text);
}

/* What a system says, made up; the figure of the group is a limit less what is used, of which
 * files that lie idle are given back. */
static void says_what_is_left(void **state) {
  char root[600];
  snprintf(root, sizeof root, "%s", under("system"));
  has_left(root, INT64_MAX, "nothing");
  put("system/proc/meminfo", "MemTotal:       1000 kB\nMemFree: 20 kB\nMemAvailable:    700 kB\n");
  has_left(root, 700 * 1024, "/proc/meminfo");
  put("system/proc/self/cgroup", "0::/job/7\n");
  put("system/sys/fs/cgroup/memory.max", "max\n");
  put("system/sys/fs/cgroup/memory.current", "99\n");
  has_left(root, 700 * 1024, "/proc/meminfo");
  put("system/sys/fs/cgroup/job/7/memory.max", "500000\n");
  put("system/sys/fs/cgroup/job/7/memory.current", "300000\n");
  put("system/sys/fs/cgroup/job/7/memory.stat", "anon 7\ninactive_file 40000\n");
  has_left(root, 240000, "the control group");
  put("system/proc/self/cgroup", "9:name=systemd:/\n4:memory:/other\n0::/\n");
  has_left(root, 700 * 1024, "/proc/meminfo"); /* not this process's group */
  put("system/sys/fs/cgroup/memory/memory.limit_in_bytes", "1000\n");
  put("system/sys/fs/cgroup/memory/memory.usage_in_bytes", "1200\n");
  has_left(root, 0, "the control group");
  cz_memory_free m;
  setenv("CZ_MEMORY", "123456", 1);
  has_left(root, 123456, "CZ_MEMORY");
  setenv("CZ_MEMORY", "2 GB", 1);
  FAILS(cz_memory_free_find(&m, root), CZ_EUSAGE, "CZ_MEMORY: '2 GB' is no number of bytes");
  unsetenv("CZ_MEMORY");
}

/* Three processes where two fit; two that may not; and the same where there is room. */
static void too_many(void **state) {
#define WORDS "classify @/pet.yaml classify.repetitions=1 train.steps=4 "
  char folder[600], bytes[32], fit[32];
  cz_device *device;
  cz_member_memory m;
  cz_member_shape own = shape;
  own.lm = 0, own.score_tokens = 4096;
  const cz_loop_job job = job_of("", CZ_PRECISION_F32);
  snprintf(folder, sizeof folder, "%s", under("bert"));
  OK(cz_device_open(&device, "cpu"));
  OK(cz_member_memory_find(&m, device, folder, &job, &own));
  cz_device_close(&device);
  const double sure = m.parameters + m.gradients + m.states;
  snprintf(bytes, sizeof bytes, "%.0f", 2.5 * sure);
  snprintf(fit, sizeof fit, "; --jobs 2 would do");
  setenv("CZ_MEMORY", bytes, 1);
  expect(2, WORDS "--jobs 3 --out @/three", "--jobs 3: each takes ");
  assert_non_null(strstr(said(), " for the states of adamw, and up to "));
  assert_non_null(strstr(said(), " MB at least, and CZ_MEMORY has "));
  assert_non_null(strstr(said(), fit));
  assert_false(cz_fs_exists(under("three/members")));
  run_into(&(start){0}, WORDS "--jobs 2", "two");
  assert_non_null(strstr(said(), "warning: --jobs 2: each takes "));
  run_into(&(start){0}, WORDS "train.freeze=body --jobs 3", "frozen"); /* and with less each */
  snprintf(bytes, sizeof bytes, "%.0f", 0.5 * sure);
  setenv("CZ_MEMORY", bytes, 1);
  expect(2, WORDS "--jobs 2 --out @/none", "CZ_MEMORY has ");
  assert_null(strstr(said(), "would do"));
  unsetenv("CZ_MEMORY");
  run_into(&(start){0}, WORDS "--jobs 2", "room");
  assert_null(strstr(said(), "each takes"));
  same_file("two/logits.h5", "room/logits.h5");
#undef WORDS
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(as_taken), cmocka_unit_test(says_what_is_left), cmocka_unit_test(too_many)};
  return cmocka_run_group_tests(tests, make_few_shot, drop_runs);
}
