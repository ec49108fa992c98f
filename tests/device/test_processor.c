/* What the cpu device makes of its processor: one OpenMP runtime, threads and cores, the path that
 * bfloat16 takes, and matrix units that fail in the middle of a graph. */
#include "common/common.h"
#include "base/log.h"
#include "device/device.h"
#include "device/probe.h"
#include "device/threads.h"
#include "graph/graph.h"
#include "graph/ops.h"
#include "kernels/common/units.h"

#include <dlfcn.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void two_runtimes(void **state) {
  cz_device *device;
  OK(cz_device_open(&device, "cpu"));
  cz_device_close(&device);
  void *second = dlopen(CZ_SECOND_OPENMP, RTLD_NOW);
  if (!second) fail_msg("%s", dlerror());
  FAILS(cz_device_open(&device, "cpu"), CZ_EUSAGE, " OpenMP runtimes are loaded: ");
  assert_non_null(strstr(cz_error_message(), "libiomp5.so"));
  cz_error_clear();
  assert_null(device);
  OK(cz_device_open(&device, "ref")); /* serial */
  cz_device_close(&device);
  assert_int_equal(dlclose(second), 0);
  OK(cz_device_open(&device, "cpu"));
  cz_device_close(&device);
}

static int count(const char *text, const char *what) {
  int n = 0;
  while ((text = strstr(text, what))) n++, text++;
  return n;
}

/* It works all the same, and is said once. */
static void more_threads_than_cores(void **state) {
  cz_device *device;
  char text[4096] = "";
  int before = omp_get_max_threads();
  OK(cz_log_open(under("log.txt")));
  omp_set_num_threads(cz_processors() + 1);
  for (int i = 0; i < 2; i++) {
    OK(cz_device_open(&device, "cpu"));
    cz_device_close(&device);
  }
  omp_set_num_threads(before);
  cz_log_close();
  FILE *f = fopen(under("log.txt"), "r");
  assert_non_null(f);
  text[fread(text, 1, sizeof text - 1, f)] = '\0';
  fclose(f);
  assert_int_equal(count(text, "take turns: set OMP_NUM_THREADS to"), 1);
}

/* Advice is given only where it helps and was not taken. */
static void waiting_beside_others(void **state) {
  const char *policy = getenv("OMP_WAIT_POLICY"), *spins = getenv("GOMP_SPINCOUNT");
  char *before = policy ? strdup(policy) : NULL, *count_before = spins ? strdup(spins) : NULL;
  assert_int_equal(unsetenv("OMP_WAIT_POLICY") | unsetenv("GOMP_SPINCOUNT"), 0);
  assert_true(cz_threads_should_sleep(2, 2, 2.5));
  assert_false(cz_threads_should_sleep(2, 2, 1.9));
  assert_false(cz_threads_should_sleep(1, 2, 5));
  assert_int_equal(setenv("OMP_WAIT_POLICY", "passive", 1), 0);
  assert_false(cz_threads_should_sleep(2, 2, 2.5));
  if (!before) assert_int_equal(unsetenv("OMP_WAIT_POLICY"), 0);
  if (before) assert_int_equal(setenv("OMP_WAIT_POLICY", before, 1), 0);
  if (count_before) assert_int_equal(setenv("GOMP_SPINCOUNT", count_before, 1), 0);
  free(before), free(count_before);
}

static void path_by_environment(void **state) {
  cz_device *device;
  cz_device_info info;
  assert_int_equal(setenv("CZ_BF16", "panels", 1), 0);
  OK(cz_device_open(&device, "cpu"));
  OK(device->info(device, &info));
  assert_non_null(strstr(info.libraries, "bf16 by panels"));
  cz_device_close(&device);
  assert_int_equal(setenv("CZ_BF16", "quick", 1), 0);
  FAILS(cz_device_open(&device, "cpu"), CZ_EUSAGE,
        "CZ_BF16 is 'quick', not auto, panels or onednn");
  cz_error_clear();
  assert_int_equal(unsetenv("CZ_BF16"), 0);
}

enum { T = 70, WIDTH = 40 };

/* y = (x W^T) W^T */
typedef struct chain {
  cz_graph *graph;
  cz_params *params;
  cz_value x, y;
} chain;

static void build(chain *c, cz_device *device) {
  const int64_t dim[] = {T, WIDTH}, square[] = {WIDTH, WIDTH};
  const cz_linear_attr attr = {.layout = CZ_LINEAR_OUT_IN, .alpha = 1};
  cz_value one[CZ_OP_OUT], two[CZ_OP_OUT];
  OK(cz_params_create(&c->params, device));
  OK(cz_params_allocate(c->params));
  OK(cz_graph_create(&c->graph, c->params));
  c->x = cz_graph_input(c->graph, "x", CZ_F32, 2, dim);
  cz_value w = cz_graph_input(c->graph, "w", CZ_F32, 2, square);
  cz_graph_op(c->graph, one, CZ_OP_linear, "first", 3, (cz_value[]){c->x, w, CZ_ABSENT}, &attr);
  cz_graph_op(c->graph, two, CZ_OP_linear, "second", 3, (cz_value[]){one[0], w, CZ_ABSENT}, &attr);
  cz_graph_keep(c->graph, c->y = two[0]);
  OK(cz_graph_finish(c->graph, &(cz_graph_options){0}));
  double x[T * WIDTH], identity[WIDTH * WIDTH] = {0};
  for (int i = 0; i < T * WIDTH; i++) x[i] = i % 7 - 3;
  for (int i = 0; i < WIDTH; i++) identity[i * WIDTH + i] = 2;
  OK(cz_graph_feed_real(c->graph, c->x, x, T * WIDTH));
  OK(cz_graph_feed_real(c->graph, w, identity, WIDTH * WIDTH));
}

/* A library that fails in the middle fails the run, by op and node; the next run is whole. */
static void units_fail(void **state) {
  cz_device *device;
  chain c;
  double y[T * WIDTH];
  OK(cz_device_open(&device, "cpu"));
  if (!cz_units_take_float32(device->stream)) {
    assert_false(CZ_TEST_ONEDNN);
    assert_string_equal(cz_units_library(), "built without oneDNN");
    cz_device_close(&device);
    return;
  }
  build(&c, device);
  cz_units_fail_at(device->stream, 1); /* each op is one tile */
  cz_status st = cz_graph_forward(c.graph, &(cz_graph_run_options){0});
  assert_int_equal(st, CZ_EIO);
  assert_string_equal(cz_error_message(),
                      "oneDNN: made to fail\n  (forward of op linear, node second)");
  cz_error_clear();
  OK(cz_graph_forward(c.graph, &(cz_graph_run_options){0}));
  OK(cz_graph_read(c.graph, y, c.y, T * WIDTH));
  for (int i = 0; i < T * WIDTH; i++) assert_true(y[i] == 4 * (i % 7 - 3));
  assert_true(cz_units_count(device->stream).primitives > 0);
  cz_graph_destroy(&c.graph);
  cz_params_destroy(&c.params);
  cz_device_close(&device);
}

/* The ceiling is that of what multiplies: sgemm, or the units with the weights packed once. */
static void ceiling_by_units(void **state) {
  cz_device *device;
  cz_product_probe *probe;
  OK(cz_device_open(&device, "cpu"));
  OK(cz_product_probe_create(&probe, device, CZ_F32));
  assert_string_equal(cz_product_probe_by(probe), "float32 by the BLAS");
  assert_true(cz_product_probe_round(probe) > 0);
  cz_product_probe_destroy(&probe);
  if (cz_units_take_float32(device->stream)) {
    OK(cz_product_probe_create(&probe, device, CZ_F32));
    assert_true(cz_product_probe_round(probe) > 0 && cz_product_probe_round(probe) > 0);
    cz_units_counts counts = cz_units_count(device->stream);
    assert_int_equal(counts.packings,
                     8); /* W of four shapes, for y and for dx, in the first round */
    cz_product_probe_destroy(&probe);
    assert_int_equal(cz_units_count(device->stream).packed, 0);
    char text[CZ_UNITS_TEXT];
    assert_false(cz_units_failed(device->stream, text, sizeof text));
  }
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(two_runtimes),
      cmocka_unit_test_setup_teardown(more_threads_than_cores, make_folder, drop_folder),
      cmocka_unit_test(waiting_beside_others),
      cmocka_unit_test(path_by_environment),
      cmocka_unit_test(units_fail),
      cmocka_unit_test(ceiling_by_units)};
  return cmocka_run_group_tests_name("processor", tests, NULL, NULL);
}
