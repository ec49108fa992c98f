/* The workspace that a graph plans at capacity must do for every run below it, with
 * dropout on, when no large op hides a shortage. */
#include "common/common.h"
#include "device/any.h"
#include "graph/graph.h"
#include "graph/ops.h"

#include <stdlib.h>

enum { D = 24, V = 11, CAPACITY = 2113 };

/* embedding, dropout shared along segments, norm: the only users of workspace are the
 * masks. */
static void masks_alone(void **state) {
  const int64_t table[2] = {V, D}, gain[1] = {D}, runs[] = {CAPACITY, 2112, 2049, 2048, 33, 1};
  const char *name = any_name("cpu");
  cz_device *device = any_open(any_guard(name) ? any_guard(name) : name);
  cz_params *params;
  cz_param *w, *g1;
  cz_graph *g;
  cz_value out[CZ_OP_OUT];
  OK(cz_params_create(&params, device));
  OK(cz_params_declare(params, &w, "w", 2, table, (cz_init){CZ_INIT_NORMAL, 1}, true));
  OK(cz_params_declare(params, &g1, "g", 1, gain, (cz_init){CZ_INIT_ONE, 1}, false));
  OK(cz_params_allocate(params));
  OK(cz_params_init(params, 1));
  OK(cz_graph_create(&g, params));
  const int64_t tokens = cz_graph_extent(g, "tokens", CAPACITY), one_span[2] = {1, 2};
  const cz_dropout_attr dropout = {.p = 0.5, .share_segment = true};
  const cz_norm_attr norm = {.kind = CZ_NORM_RMS, .eps = 1e-6};
  cz_value ids = cz_graph_input(g, "ids", CZ_I32, 1, &tokens),
           spans = cz_graph_input(g, "spans", CZ_I32, 2, one_span);
  cz_graph_op(g, out, CZ_OP_embedding, "embed", 2, (cz_value[]){cz_graph_param(g, w), ids}, NULL);
  cz_graph_op(g, out, CZ_OP_dropout, "dropout", 2, (cz_value[]){out[0], spans}, &dropout);
  cz_graph_op(g, out, CZ_OP_norm, "norm", 2, (cz_value[]){out[0], cz_graph_param(g, g1)}, &norm);
  cz_graph_keep(g, out[0]);
  OK(cz_graph_finish(g, &(cz_graph_options){0}));
  int32_t *host = calloc(CAPACITY, sizeof *host);
  for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
    const int32_t span[2] = {0, (int32_t)runs[i]};
    OK(cz_graph_set_extent(g, tokens, runs[i]));
    OK(cz_graph_feed_int(g, ids, host, runs[i]));
    OK(cz_graph_feed_int(g, spans, span, 2));
    OK(cz_graph_forward(g, &(cz_graph_run_options){.key = {.seed = 3}, .training = true}));
  }
  free(host);
  cz_graph_destroy(&g);
  cz_params_destroy(&params);
  any_close(&device);
}

/* What rows say they need never falls when a batch grows. */
static void monotone(void **state) {
  const cz_norm_attr attr = {.kind = CZ_NORM_RMS, .eps = 1e-6, .dropout = 0.1};
  cz_device *device = any_open(any_name("cpu"));
  const cz_kernels *kernels = device->kernels(device, CZ_OP_norm, CZ_F32);
  size_t before = 0;
  for (int64_t T = 0; T < 5000 && kernels->workspace; T++) {
    cz_call call = {.attr = &attr, .training = true, .stream = device->stream};
    call.in[CZ_NORM_X] = call.in[CZ_NORM_RESIDUAL] =
        (cz_arg){.dtype = CZ_F32, .ndim = 2, .dim = {T, D}};
    size_t bytes = kernels->workspace(&call, true);
    if (bytes < before)
      fail_msg("norm's backward wants %zu bytes for %lld rows and %zu for one less", bytes,
               (long long)T, before);
    before = bytes;
  }
  any_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(masks_alone), cmocka_unit_test(monotone)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
