#include "card.h"
#include "base/log.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

fake_state *card;
bool (*multiply)(void *stream, const cz_cuda_product *product);
static void *module;
static fake_state fresh; /* as it was loaded */

int load_card(void **state) {
  if (make_folder(state)) return 1;
  if (setenv("CZ_MODULE_PATH", CZ_FAKE, 1)) return 1;
  module = dlopen(CZ_FAKE "/libcloze_cuda.so", RTLD_NOW | RTLD_LOCAL);
  if (!module) {
    print_error("%s\n", dlerror());
    return 1;
  }
  card = dlsym(module, "fake");
  void *symbol = dlsym(module, "fake_multiply");
  memcpy(&multiply, &symbol, sizeof multiply);
  if (card) fresh = *card;
  cz_log_quiet(true);
  return !card || !multiply || setenv("XDG_CACHE_HOME", under("cache"), 1) ||
         setenv("CZ_CUDA_ALGORITHMS", under("committed"), 1);
}

int unload_card(void **state) {
  dlclose(module);
  return drop_folder(state);
}

void new_card(void) {
  *card = fresh;
  remove_tree("cache");
  remove_tree("committed");
  unsetenv("CZ_CUDA_SYNC");
}

cz_device *open_card(void) {
  cz_device *d;
  OK(cz_device_open(&d, "cuda"));
  return d;
}

void close_card(cz_device **d) {
  cz_device_close(d);
  if (card->wrong) fail_msg("%d calls that CUDA forbids: %s", card->wrong, card->why);
  assert_int_equal(card->used, 0);
  assert_int_equal(card->pinned, 0);
  assert_int_equal(card->events, 0);
  assert_int_equal(card->streams, 0);
  assert_int_equal(card->handles, 0);
  assert_int_equal(card->unpinned, 0);
}

void new_log(void) {
  cz_log_close();
  unlink(under("log"));
  OK(cz_log_open(under("log")));
}

bool logged(const char *text) {
  static char all[1 << 16];
  FILE *f = fopen(under("log"), "r");
  if (!f) fail_msg("there is no log");
  all[fread(all, 1, sizeof all - 1, f)] = 0;
  fclose(f);
  new_log();
  return strstr(all, text);
}

float *floats(cz_device *d, int64_t n, float first) {
  float *p, *host = test_malloc((size_t)(n + 1) * sizeof *host);
  for (int64_t i = 0; i < n; i++) host[i] = first + (float)i;
  OK(cz_device_alloc(d, &p, (size_t)n * sizeof *p));
  OK(d->write(d, p, host, (size_t)n * sizeof *p));
  test_free(host);
  return p;
}

void add(cz_device *d, float *y, const float *a, const float *b, int64_t n, bool backward) {
  cz_call call = {.n_in = 2, .n_out = 1, .stream = d->stream};
  const cz_kernels *k;
  const cz_arg arg = {.dtype = CZ_F32, .ndim = 1, .dim = {n}};
  call.in[0] = call.in[1] = call.out[0] = call.din[0] = call.dout[0] = arg;
  call.in[CZ_ADD_A].data = (void *)a, call.in[CZ_ADD_B].data = (void *)b;
  call.out[0].data = y;
  call.din[0].data = (void *)a, call.dout[0].data = (void *)b;
  OK(cz_device_kernels(d, &k, CZ_OP_add, &call, backward));
  if (backward)
    k->backward(&call);
  else
    k->forward(&call);
}
