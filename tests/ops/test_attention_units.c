/* Attention through matrix units, in float32 by oneDNN: segments of any length need few primitives,
 * a workspace measured at capacity serves less, and a product that fails is reported wherever it
 * stands. Values: test_units.c. */
#include "common/common.h"
#include "kernels/attention/attention.h"
#include "kernels/cases.h"
#include "kernels/common/units.h"

#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

enum { K = 8, H = 2, WIDTH = H * K, BUCKETS = 8, MOST = 4096 /* queries or keys */ };

typedef struct arrays {
  float q[MOST * WIDTH], k[MOST * WIDTH], v[MOST * WIDTH], o[MOST * WIDTH], dout[MOST * WIDTH];
  float stats[MOST * H * 2], bias[BUCKETS * H];
  float dq[MOST * WIDTH], dk[MOST * WIDTH], dv[MOST * WIDTH], dbias[BUCKETS * H];
  int32_t q_spans[2], k_spans[2];
  cz_attention_attr attr;
} arrays;

static cz_arg array(void *data, cz_dtype dtype, int64_t rows, int64_t columns) {
  return (cz_arg){.data = data, .dtype = dtype, .ndim = 2, .dim = {rows, columns}};
}

static arrays *make(cz_rand *r) {
  arrays *a = test_calloc(1, sizeof *a);
  float *drawn[] = {a->q, a->k, a->v, a->dout};
  for (int i = 0; i < 4; i++)
    for (int64_t j = 0; j < (int64_t)MOST * WIDTH; j++) drawn[i][j] = (float)cz_rand_normal(r);
  for (int64_t j = 0; j < (int64_t)BUCKETS * H; j++) a->bias[j] = (float)cz_rand_normal(r);
  return a;
}

/* One segment of so many queries and keys. */
static cz_call call_of(arrays *a, cz_units *units, int64_t nq, int64_t nk) {
  cz_call c = {.n_in = 7, .n_out = 2, .attr = &a->attr, .stream = units};
  a->attr = (cz_attention_attr){.heads = H,
                                .mask = CZ_ATTENTION_MASK_CAUSAL,
                                .scale = 0.5,
                                .buckets = BUCKETS,
                                .max_distance = 20};
  a->q_spans[1] = (int32_t)nq, a->k_spans[1] = (int32_t)nk;
  c.in[CZ_ATTENTION_Q] = array(a->q, CZ_F32, nq, WIDTH);
  c.in[CZ_ATTENTION_K] = array(a->k, CZ_F32, nk, WIDTH);
  c.in[CZ_ATTENTION_V] = array(a->v, CZ_F32, nk, WIDTH);
  c.in[CZ_ATTENTION_Q_SPANS] = array(a->q_spans, CZ_I32, 1, 2);
  c.in[CZ_ATTENTION_K_SPANS] = array(a->k_spans, CZ_I32, 1, 2);
  c.in[CZ_ATTENTION_POSITION_BIAS] = array(a->bias, CZ_F32, BUCKETS, H);
  c.out[CZ_ATTENTION_O] = array(a->o, CZ_F32, nq, WIDTH);
  c.out[CZ_ATTENTION_STATS] =
      (cz_arg){.data = a->stats, .dtype = CZ_F32, .ndim = 3, .dim = {nq, H, 2}};
  c.dout[CZ_ATTENTION_O] = array(a->dout, CZ_F32, nq, WIDTH);
  c.din[CZ_ATTENTION_Q] = array(a->dq, CZ_F32, nq, WIDTH);
  c.din[CZ_ATTENTION_K] = array(a->dk, CZ_F32, nk, WIDTH);
  c.din[CZ_ATTENTION_V] = array(a->dv, CZ_F32, nk, WIDTH);
  c.din[CZ_ATTENTION_POSITION_BIAS] = array(a->dbias, CZ_F32, BUCKETS, H);
  for (int i = 0; i < c.n_in; i++) c.mode[i] = c.din[i].data ? CZ_GRAD_WRITE : CZ_GRAD_SKIP;
  return c;
}

enum { GUARD = 128 };

/* In a workspace of so many bytes, 0: as many as it asks for, between guards and full of NaN. */
static void run(cz_call *c, bool backward, size_t bytes) {
  if (!bytes) bytes = cz_attention_workspace_cpu(c, backward);
  unsigned char *memory = aligned_alloc(64, (bytes + GUARD + 63) / 64 * 64);
  assert_non_null(memory);
  memset(memory, 0xff, bytes + GUARD);
  c->workspace = memory, c->workspace_bytes = bytes;
  (backward ? cz_attention_bwd_cpu : cz_attention_fwd_cpu)(c);
  for (int i = 0; i < GUARD; i++) assert_int_equal(memory[bytes + (size_t)i], 0xff);
  free(memory);
}

/* Null where this build has no oneDNN. */
static cz_units *open_float32(void) {
  char why[CZ_UNITS_TEXT] = "";
  cz_units *u = cz_units_open("auto", why, sizeof why);
  assert_non_null(u);
  if (cz_units_take_float32(u)) return u;
  assert_false(CZ_TEST_ONEDNN);
  cz_units_close(&u);
  return NULL;
}

/* Segments of up to 512 queries and keys: 5 sizes of rows times 8 of keys, for scores with scale
 * and without, for products with rows of scores and for sums over queries. */
static void few_primitives(void **state) {
  cz_units *u = open_float32();
  if (!u) return;
  cz_rand r = {.state = test_seed()};
  arrays *a = make(&r);
  for (int i = 0; i < 400; i++) {
    int64_t nq = cz_rand_int(&r, 1, 512), nk = i % 2 ? nq : cz_rand_int(&r, 1, 512);
    cz_call c = call_of(a, u, nq, nk);
    run(&c, false, 0), run(&c, true, 0);
  }
  cz_units_counts n = cz_units_count(u);
  print_message("%lld primitives\n", (long long)n.primitives);
  assert_true(n.primitives > 20 && n.primitives <= 4 * 40);
  assert_int_equal(n.refused, 0);
  test_free(a);
  cz_units_close(&u);
}

/* Measured at capacity and run with less; never smaller for larger sizes. */
static void workspace_at_capacity(void **state) {
  cz_units *u = open_float32();
  if (!u) return;
  cz_rand r = {.state = test_seed()};
  arrays *a = make(&r);
  for (int i = 0; i < 60; i++) {
    int64_t Q = cz_rand_int(&r, 1, 700), N = cz_rand_int(&r, 1, i % 8 ? 900 : MOST);
    cz_call large = call_of(a, u, Q, N);
    size_t room[] = {cz_attention_workspace_cpu(&large, false),
                     cz_attention_workspace_cpu(&large, true)};
    cz_call c = call_of(a, u, cz_rand_int(&r, 1, Q), cz_rand_int(&r, 1, N));
    for (int backward = 0; backward < 2; backward++) {
      assert_true(cz_attention_workspace_cpu(&c, backward) <= room[backward]);
      run(&c, backward, room[backward]);
    }
  }
  test_free(a);
  cz_units_close(&u);
}

typedef struct results {
  float o[MOST * WIDTH], dq[MOST * WIDTH], dk[MOST * WIDTH], dv[MOST * WIDTH], dbias[BUCKETS * H];
} results;

static void compute(results *to, arrays *a, cz_units *u, int64_t nq, int64_t nk) {
  cz_call c = call_of(a, u, nq, nk);
  run(&c, false, 0), run(&c, true, 0);
  memcpy(to->o, a->o, sizeof a->o), memcpy(to->dq, a->dq, sizeof a->dq);
  memcpy(to->dk, a->dk, sizeof a->dk), memcpy(to->dv, a->dv, sizeof a->dv);
  memcpy(to->dbias, a->dbias, sizeof a->dbias);
}

/* Whatever product fails, forward or backward, it is reported, and the next call is whole. */
static void failures(void **state) {
  char text[CZ_UNITS_TEXT] = "";
  cz_units *u = open_float32();
  if (!u) return;
  cz_rand r = {.state = test_seed()};
  arrays *a = make(&r);
  results *first = test_calloc(1, sizeof *first), *again = test_calloc(1, sizeof *again);
  int64_t nq = 300, nk = 2100;
  omp_set_num_threads(2);
  compute(first, a, u, nq, nk);
  assert_false(cz_units_failed(u, text, sizeof text));
  int at = 0;
  for (bool failed = true; failed; at++) {
    cz_units_fail_at(u, at);
    compute(again, a, u, nq, nk);
    failed = cz_units_failed(u, text, sizeof text);
    if (failed) assert_string_equal(text, "oneDNN: made to fail");
    assert_false(cz_units_failed(u, text, sizeof text));
  }
  cz_units_fail_at(u, -1);
  /* per head: 5 tiles of 64 queries or fewer in 2 blocks of 1088 keys, 2 and 5 products each */
  assert_int_equal(at, H * 5 * 2 * 7 + 1);
  compute(again, a, u, nq, nk);
  assert_memory_equal(first, again, sizeof *first);
  test_free(first), test_free(again), test_free(a);
  cz_units_close(&u);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(few_primitives),
                                     cmocka_unit_test(workspace_at_capacity),
                                     cmocka_unit_test(failures)};
  return cmocka_run_group_tests_name("attention_units", tests, NULL, NULL);
}
