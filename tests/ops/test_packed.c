/* Arrays in an order of oneDNN's with blocks and padding, as the units use on processors with
 * instructions for bfloat16: packed in panels by several threads they have the bytes of one
 * reorder of the whole. */
#include "common/common.h"
#include "kernels/cases.h"
#include "kernels/common/units_packed.h"

#include <omp.h>
#include <string.h>

enum { K = 81, MOST = 700 };

typedef struct fixture {
  cz__packs packs;
  pthread_mutex_t lock;
  cz_units_counts counts;
  dnnl_engine_t engine;
  float *array; /* [K, MOST] or [MOST, K] */
} fixture;

static void draw(fixture *f, cz_rand *r) {
  for (int64_t i = 0; i < K * MOST; i++) f->array[i] = (float)cz_rand_normal(r);
}

static void open_fixture(fixture *f, cz_rand *r) {
  memset(f, 0, sizeof *f);
  assert_int_equal(dnnl_engine_create(&f->engine, dnnl_cpu, 0), dnnl_success);
  pthread_mutex_init(&f->lock, NULL);
  cz__packs_open(&f->packs, f->engine, &f->lock, &f->counts);
  f->array = test_calloc((size_t)K * MOST, sizeof(float));
  draw(f, r);
}

static void close_fixture(fixture *f) {
  cz__packs_close(&f->packs);
  pthread_mutex_destroy(&f->lock);
  dnnl_engine_destroy(f->engine);
  test_free(f->array);
}

/* [K, N] of the array in ORDER by one reorder, in memory of zeros. */
static float *whole(const fixture *f, const cz__onednn_job *j, const dnnl_memory_desc_t *order) {
  dnnl_memory_desc_t from;
  dnnl_primitive_desc_t pd;
  dnnl_primitive_t primitive;
  dnnl_memory_t a, b;
  dnnl_stream_t stream;
  float *room = test_calloc(dnnl_memory_desc_get_size(order), 1);
  assert_int_equal(cz__plain(&from, CZ_F32, K, j->N, j->b_transposed, j->ldb), dnnl_success);
  assert_int_equal(
      dnnl_reorder_primitive_desc_create(&pd, &from, f->engine, order, f->engine, NULL),
      dnnl_success);
  assert_int_equal(dnnl_primitive_create(&primitive, pd), dnnl_success);
  assert_int_equal(dnnl_stream_create(&stream, f->engine, dnnl_stream_default_flags), 0);
  assert_int_equal(dnnl_memory_create(&a, &from, f->engine, f->array), dnnl_success);
  assert_int_equal(dnnl_memory_create(&b, order, f->engine, room), dnnl_success);
  dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, a}, {DNNL_ARG_TO, b}};
  assert_int_equal(dnnl_primitive_execute(primitive, stream, 2, args), dnnl_success);
  assert_int_equal(dnnl_stream_wait(stream), dnnl_success);
  dnnl_memory_destroy(a), dnnl_memory_destroy(b), dnnl_stream_destroy(stream);
  dnnl_primitive_destroy(primitive), dnnl_primitive_desc_destroy(pd);
  return room;
}

/* What THREADS that need VERSION at the same time see. */
static void fill(fixture *f, cz__packed *w, uint64_t version, int threads) {
  int failed = 0;
#pragma omp parallel num_threads(threads) reduction(+ : failed)
  {
    pthread_mutex_lock(&f->lock);
    failed += cz__packed_fill(&f->packs, w, version) != dnnl_success;
    pthread_mutex_unlock(&f->lock);
  }
  assert_int_equal(failed, 0);
}

static void check(fixture *f, cz_rand *r, int64_t N, bool transposed, dnnl_format_tag_t tag) {
  dnnl_memory_desc_t order;
  cz__packed *w = NULL;
  const cz__onednn_job j = {.b = f->array,
                            .dtype = CZ_F32,
                            .N = N,
                            .K = K,
                            .ldb = transposed ? K : MOST,
                            .b_transposed = transposed};
  assert_int_equal(dnnl_memory_desc_init_by_tag(&order, 2, (dnnl_dims_t){K, N}, dnnl_f32, tag), 0);
  pthread_mutex_lock(&f->lock);
  assert_int_equal(cz__packs_find(&f->packs, &w, &j, &order), dnnl_success);
  pthread_mutex_unlock(&f->lock);
  for (int version = 1; version <= 3; version++) {
    draw(f, r);
    const int64_t before = f->counts.packings;
    fill(f, w, (uint64_t)version, 1 + version);
    float *want = whole(f, &j, &order);
    assert_memory_equal(cz__packed_data(w), want, dnnl_memory_desc_get_size(&order));
    test_free(want);
    assert_int_equal(f->counts.packings, before + 1);
  }
  pthread_mutex_lock(&f->lock);
  cz__packs_forget(&f->packs, f->array, sizeof(float));
  pthread_mutex_unlock(&f->lock);
  assert_int_equal(f->counts.packed, 0);
}

static void panels_of_blocks(void **state) {
  static const int64_t columns[] = {1, 63, 64, 70, 128, 513, 600, MOST};
  static const dnnl_format_tag_t tags[] = {dnnl_ab, dnnl_BA16a16b, dnnl_BA16a48b, dnnl_BA16a64b};
  cz_rand r = {.state = test_seed()};
  fixture f;
  open_fixture(&f, &r);
  for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
    for (size_t t = 0; t < sizeof tags / sizeof *tags; t++)
      for (int transposed = 0; transposed < 2; transposed++)
        check(&f, &r, columns[i], transposed, tags[t]);
  close_fixture(&f);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(panels_of_blocks)};
  return cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}
