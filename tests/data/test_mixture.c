/* Mixtures: rates as worked out by hand, shares exact over any number of blocks, every
 * example of a task once before any twice. */
#include "setup.h"

#include <math.h>

int run_mixture_tests(void);

static void expect_rates(const cz_mixing *rule, const int64_t *examples, const double *expected,
                         int n) {
  double rates[8];
  OK(cz_mixing_rates(rates, examples, n, rule));
  for (int i = 0; i < n; i++)
    if (!(fabs(rates[i] - expected[i]) < 1e-15))
      fail_msg("task %d: %.17g, expected %.17g", i, rates[i], expected[i]);
}

static void test_rates(void **state) {
  const int64_t examples[] = {100, 2500, 90000};
  expect_rates(&(cz_mixing){.rule = CZ_MIXING_EQUAL}, examples, (double[]){1 / 3., 1 / 3., 1 / 3.},
               3);
  expect_rates(&(cz_mixing){.temperature = 1}, examples,
               (double[]){100 / 92600., 2500 / 92600., 90000 / 92600.}, 3);
  expect_rates(&(cz_mixing){.temperature = 1, .limit = 2000}, examples,
               (double[]){100 / 4100., 2000 / 4100., 2000 / 4100.}, 3);
  expect_rates(&(cz_mixing){.temperature = 2}, examples,
               (double[]){10 / 360., 50 / 360., 300 / 360.}, 3);
  expect_rates(&(cz_mixing){.temperature = 2, .limit = 10000}, examples,
               (double[]){10 / 160., 50 / 160., 100 / 160.}, 3);
  double rates[3];
  FAILS(cz_mixing_rates(rates, examples, 3, &(cz_mixing){.temperature = 0.5}), CZ_EINVAL,
        "temperature 0.5");
  FAILS(cz_mixing_rates(rates, examples, 3, &(cz_mixing){.temperature = NAN}), CZ_EINVAL,
        "temperature nan");
  FAILS(cz_mixing_rates(rates, (int64_t[]){1, 0}, 2, &(cz_mixing){.rule = CZ_MIXING_EQUAL}),
        CZ_EINVAL, "task 1 has 0 examples");
}

/* A task whose epoch E has sizes[E % 3] examples; an example tells its task, epoch and
 * index. */
typedef struct task {
  int32_t id;
  uint64_t sizes[3];
} task;

static cz_status task_count(void *self, uint64_t *n, uint32_t epoch) {
  *n = ((task *)self)->sizes[epoch % 3];
  return CZ_OK;
}

static cz_status task_get(void *self, cz_example *out, uint32_t epoch, uint64_t index) {
  out->inputs.len = out->targets.len = 0;
  assert_true(index < ((task *)self)->sizes[epoch % 3]);
  CZ_TRY(cz_ids_add(&out->targets, ((task *)self)->id));
  CZ_TRY(cz_ids_add(&out->targets, (int32_t)epoch));
  return cz_ids_add(&out->targets, (int32_t)index);
}

static void task_destroy(void *self) { (void)self; }

enum { TASKS = 3 };

static cz_source mix(task *tasks, const double *rates) {
  cz_source parts[TASKS], s;
  for (int i = 0; i < TASKS; i++)
    parts[i] = (cz_source){
        .self = &tasks[i], .count = task_count, .get = task_get, .destroy = task_destroy};
  OK(cz_source_mixture(&s, parts, rates, TASKS, test_seed()));
  return s;
}

static void test_shares(void **state) {
  task tasks[TASKS] = {{0, {7, 7, 7}}, {1, {1000, 0, 300}}, {2, {1 << 20, 1 << 20, 1 << 20}}};
  const double rates[TASKS] = {100 / 4100., 2000 / 4100., 2000 / 4100.};
  cz_source s = mix(tasks, rates);
  int64_t drawn[TASKS] = {0}, runs = 0;
  int32_t at_epoch[TASKS] = {0}, at_index[TASKS] = {0}, before = -1;
  cz_example e = {0};
  for (uint32_t block = 0; block < 3; block++) {
    for (uint64_t i = 0; i < CZ_MIX_BLOCK; i++) {
      OK(s.get(s.self, &e, block, i));
      int32_t m = e.targets.data[0];
      while ((uint64_t)at_index[m] == tasks[m].sizes[at_epoch[m] % 3])
        at_epoch[m]++, at_index[m] = 0;
      assert_int_equal(e.targets.data[1], at_epoch[m]);
      assert_int_equal(e.targets.data[2], at_index[m]++);
      drawn[m]++;
      runs += m != before;
      before = m;
    }
    for (int m = 0; m < TASKS; m++) {
      double expected = rates[m] * CZ_MIX_BLOCK * (block + 1);
      if (!(fabs((double)drawn[m] - expected) < 1.001))
        fail_msg("task %d: %lld draws, expected %.3f", m, (long long)drawn[m], expected);
    }
  }
  /* In random order a draw differs from the one before with probability 1 - sum of
   * squares = 0.5235. */
  double changes = (double)runs / (3.0 * CZ_MIX_BLOCK);
  if (!(fabs(changes - 0.5235) < 0.01)) fail_msg("%.4f of the draws change the task", changes);
  free_example(&e);
  cz_source_destroy(&s);
}

/* A draw is the same whether the ones before were asked for or not. */
static void test_any_order(void **state) {
  task tasks[TASKS] = {{0, {7, 9, 2}}, {1, {1000, 0, 300}}, {2, {50000, 1, 1}}};
  cz_source a = mix(tasks, (double[]){0.25, 0.25, 0.5}),
            b = mix(tasks, (double[]){0.25, 0.25, 0.5});
  cz_example x = {0}, y = {0};
  cz_stream s;
  cz_stream_init(&s, test_seed(), "any order", 0, 0);
  for (int k = 0; k < 40; k++) {
    uint32_t block = (uint32_t)draw(&s, 0, 5);
    uint64_t index = (uint64_t)draw(&s, 0, CZ_MIX_BLOCK - 20);
    for (uint64_t i = index; i < index + 10; i++) OK(a.get(a.self, &x, block, i));
    OK(b.get(b.self, &y, block, index + 9));
    assert_memory_equal(x.targets.data, y.targets.data, 3 * sizeof(int32_t));
    cz_source_destroy(&b);
    b = mix(tasks, (double[]){0.25, 0.25, 0.5});
  }
  free_example(&x);
  free_example(&y);
  cz_source_destroy(&a);
  cz_source_destroy(&b);
}

static void test_bad_mixtures(void **state) {
  task tasks[2] = {{0, {0, 0, 0}}, {1, {5, 5, 5}}};
  cz_source parts[2], s;
  for (int i = 0; i < 2; i++)
    parts[i] = (cz_source){
        .self = &tasks[i], .count = task_count, .get = task_get, .destroy = task_destroy};
  FAILS(cz_source_mixture(&s, parts, (double[]){0.5, 0.4}, 2, 0), CZ_EINVAL, "sum to 0.9");
  FAILS(cz_source_mixture(&s, parts, (double[]){1e-5, 1 - 1e-5}, 2, 0), CZ_EINVAL,
        "task 0 has rate 1e-05");
  FAILS(cz_source_mixture(&s, parts, (double[]){NAN, 1}, 2, 0), CZ_EINVAL, "task 0 has rate nan");
  FAILS(cz_source_mixture(&s, parts, NULL, 0, 0), CZ_EINVAL, "0 tasks");
  OK(cz_source_mixture(&s, parts, (double[]){0.5, 0.5}, 2, 0));
  cz_example e = {0};
  cz_status st = CZ_OK;
  for (uint64_t i = 0; i < 100 && st == CZ_OK; i++) st = s.get(s.self, &e, 0, i);
  FAILS(st, CZ_EINVAL, "has no examples");
  free_example(&e);
  cz_source_destroy(&s);
}

/** Runs the tests of this file. */
int run_mixture_tests(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_rates), cmocka_unit_test(test_shares),
                                     cmocka_unit_test(test_any_order),
                                     cmocka_unit_test(test_bad_mixtures)};
  return cmocka_run_group_tests_name("mixtures", tests, make_folder, drop_folder);
}
