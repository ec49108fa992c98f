/* What the program makes of modules: one that fits computes in memory that the host cannot touch,
 * one that does not is refused by the name of what differs, and a launch that fails is the
 * failure of its op and node. */
#include "common/common.h"
#include "base/log.h"
#include "device/module.h"
#include "graph/graph.h"

#include <stdlib.h>
#include <string.h>

static void use(const char *folder, const char *stub) {
  char path[1024];
  snprintf(path, sizeof path, "%s/%s", CZ_MODULES, folder);
  assert_int_equal(setenv("CZ_MODULE_PATH", path, 1), 0);
  assert_int_equal(setenv("STUB", stub, 1), 0);
}

static void refused(const char *folder, const char *stub, const char *why) {
  cz_device *device;
  use(folder, stub);
  assert_int_equal(cz_device_open(&device, "cuda"), CZ_EUSAGE);
  assert_null(device);
  if (!strstr(cz_error_message(), why) || !strstr(cz_error_message(), "device cuda: "))
    fail_msg("'%s' is not in: %s", why, cz_error_message());
}

static void unfit(void **state) {
  char want[200];
  refused("stub", "version",
          "libcloze_cuda.so: it was built for version 10 of modules, the program has version 4");
  snprintf(want, sizeof want, "it was built for another cz_call: %zu bytes, the program's has %zu",
           sizeof(cz_call), sizeof(cz_call) + 16);
  refused("stub", "call", want);
  refused("stub", "ops", "it was built for other ops: embedding linear norm ");
  refused("stub", "ops", "; the program has: linear norm ");
  refused("stub", "card", "libcloze_cuda.so: no card for cuda");
  refused("no", "", "this is no module: it has no cz_module_device");
  refused("nowhere", "", "there is no CUDA module: libcloze_cuda.so was looked for in ");
}

/* Versions, sizes, ops: what one side sees of the other when both are this tree. */
static void list_of_ops(void **state) {
  const char *at = cz_module_ops;
  for (int op = 0; op < CZ_OPS; op++) {
    size_t n = strlen(cz_op_rows[op]->name);
    assert_true(!strncmp(at, cz_op_rows[op]->name, n) && at[n] == ' ');
    at += n + 1;
  }
  assert_int_equal(*at, 0);
}

enum { N = 1000 };

typedef struct sum { /* z = (x + y) + y */
  cz_graph *graph;
  cz_params *params;
  cz_value x, y, z;
} sum;

static cz_status build(sum *s, cz_device *device) {
  const int64_t dim[] = {1, N};
  OK(cz_params_create(&s->params, device));
  OK(cz_params_allocate(s->params));
  OK(cz_graph_create(&s->graph, s->params));
  cz_value half[CZ_OP_OUT], whole[CZ_OP_OUT];
  s->x = cz_graph_input(s->graph, "x", CZ_F32, 2, dim);
  s->y = cz_graph_input(s->graph, "y", CZ_F32, 2, dim);
  cz_graph_op(s->graph, half, CZ_OP_add, "first", 2, (cz_value[]){s->x, s->y}, NULL);
  cz_graph_op(s->graph, whole, CZ_OP_add, "second", 2, (cz_value[]){half[0], s->y}, NULL);
  cz_graph_keep(s->graph, s->z = whole[0]);
  return cz_graph_finish(s->graph, &(cz_graph_options){0});
}

static void drop(sum *s) {
  cz_graph_destroy(&s->graph);
  cz_params_destroy(&s->params);
}

static cz_status run(sum *s, double *z) {
  double x[N], y[N];
  for (int i = 0; i < N; i++) x[i] = i, y[i] = -0.25 * i * i;
  OK(cz_graph_feed_real(s->graph, s->x, x, N));
  OK(cz_graph_feed_real(s->graph, s->y, y, N));
  CZ_TRY(cz_graph_forward(s->graph, &(cz_graph_run_options){0}));
  return cz_graph_read(s->graph, z, s->z, N);
}

static void computes(void **state) {
  cz_device *device;
  double z[N];
  sum s;
  use("stub", "");
  OK(cz_device_open(&device, "cuda"));
  assert_string_equal(device->name, "stub");
  assert_false(device->host_memory);
  OK(build(&s, device));
  OK(run(&s, z));
  for (int i = 0; i < N; i++) assert_true(z[i] == i - 0.5 * i * i);
  drop(&s);
  cz_device_close(&device);
}

static void launch_fails(void **state) {
  cz_device *device;
  double z[N];
  sum s;
  use("stub", "launch");
  OK(cz_device_open(&device, "cuda"));
  OK(build(&s, device));
  assert_int_equal(run(&s, z), CZ_EIO);
  assert_string_equal(cz_error_message(), "error 701 of stub: too many resources requested\n"
                                          "  (forward of op add, node second)");
  if (!strstr(cz_error_chain(), "stub_module.c"))
    fail_msg("no place in the module: %s", cz_error_chain());
  drop(&s);
  cz_device_close(&device);
}

/* The clock of ops reads the module's events when the run has ended: half a second for each
 * launch. An event that fails is the run's failure. */
static void profiled(void **state) {
  cz_device *device;
  cz_device_info info;
  cz_op_time times[CZ_OPS];
  double z[N];
  sum s;
  use("stub", "");
  OK(cz_device_open(&device, "cuda"));
  OK(device->info(device, &info));
  assert_string_equal(info.name, "stub card");
  assert_true(info.cores == 3 && info.memory == 1 << 20);
  OK(build(&s, device));
  cz_graph_profile(s.graph, true);
  OK(run(&s, z));
  OK(run(&s, z));
  assert_int_equal(cz_graph_times(s.graph, times, CZ_OPS), 1);
  assert_true(times[0].calls == 4 && times[0].forward_s == 2 && times[0].backward_s == 0);
  assert_int_equal(setenv("STUB", "record", 1), 0);
  assert_int_equal(run(&s, z), CZ_EIO);
  assert_string_equal(cz_error_message(), "error 702 of stub: no events left");
  drop(&s);
  cz_device_close(&device);
}

/* Ops that the module does not have are named when they are asked for. */
static void lacks_a_kernel(void **state) {
  cz_device *device;
  const cz_kernels *kernels;
  cz_call call = {.in[0] = {.dtype = CZ_BF16, .ndim = 1, .dim = {1}}};
  use("stub", "");
  OK(cz_device_open(&device, "cuda"));
  assert_int_equal(cz_device_kernels(device, &kernels, CZ_OP_add, &call, false), CZ_EINVAL);
  assert_string_equal(cz_error_message(), "op add has no bf16 forward kernel on stub");
  cz_device_close(&device);
}

int main(void) {
  cz_log_quiet(true);
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(unfit),    cmocka_unit_test(list_of_ops),  cmocka_unit_test(computes),
      cmocka_unit_test(profiled), cmocka_unit_test(launch_fails), cmocka_unit_test(lacks_a_kernel)};
  return cmocka_run_group_tests_name("module", tests, NULL, NULL);
}
