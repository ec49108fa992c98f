/* Matrix products of either dtype against sums in double: every flag, gaps between rows, sizes on
 * both sides of each cut; the same through oneDNN, in float32 on every processor and in bfloat16
 * where there are units for it; packed weights, failures, and what asks for a path. */
#include "common/common.h"
#include "kernels/cases.h"
#include "kernels/common/bf16.h"
#include "kernels/common/cpu.h"
#include "kernels/common/units.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUARD = 64 };

typedef struct array { /* rows of ld numbers, in either dtype and as double */
  void *data;
  double *value;
  cz_dtype dtype;
  int64_t n;
} array;

typedef struct problem {
  cz_product p;
  array a, b, c;
  float *bias;
  double *want, *size; /* the result and the sum of its terms' absolute values */
} problem;

static void put(array *x, int64_t i, double v) {
  if (x->dtype == CZ_F32)
    ((float *)x->data)[i] = (float)v;
  else
    ((cz_bf16 *)x->data)[i] = cz_bf16_nearest((float)v);
}

static double get(const array *x, int64_t i) {
  return x->dtype == CZ_F32 ? (double)((float *)x->data)[i]
                            : (double)cz_bf16_value(((cz_bf16 *)x->data)[i]);
}

static array draw(cz_rand *r, cz_dtype dtype, int64_t rows, int64_t ld) {
  array x = {.dtype = dtype, .n = rows * ld};
  x.data = test_calloc((size_t)x.n + GUARD, sizeof(float));
  x.value = test_calloc((size_t)x.n + 1, sizeof(double));
  for (int64_t i = 0; i < x.n; i++) put(&x, i, cz_rand_normal(r)), x.value[i] = get(&x, i);
  return x;
}

static void free_array(array *x) { test_free(x->data), test_free(x->value); }

static void free_problem(problem *q) {
  free_array(&q->a), free_array(&q->b), free_array(&q->c);
  test_free(q->bias), test_free(q->want), test_free(q->size);
}

static void compute_want(problem *q) {
  const cz_product *p = &q->p;
  for (int64_t m = 0; m < p->M; m++) {
    for (int64_t n = 0; n < p->N; n++) {
      double sum = 0, size = 0, before = q->c.value[m * p->ldc + n];
      for (int64_t k = 0; k < p->K; k++) {
        double t = q->a.value[p->a_transposed ? k * p->lda + m : m * p->lda + k] *
                   q->b.value[p->b_transposed ? n * p->ldb + k : k * p->ldb + n];
        sum += t, size += fabs(t);
      }
      double bias = p->bias ? p->bias[n] : 0, old = p->beta == 0 ? 0 : before;
      q->want[m * p->N + n] = p->alpha * sum + bias + old;
      q->size[m * p->N + n] = fabs(p->alpha) * size + fabs(bias) + fabs(old);
    }
  }
}

static int64_t gap(cz_rand *r) { return cz_rand_int(r, 0, 2) ? 0 : cz_rand_int(r, 1, 9); }

static problem make(cz_rand *r, cz_dtype dtype, int64_t M, int64_t N, int64_t K) {
  cz_product p = {.dtype = dtype, .c_dtype = dtype, .M = M, .N = N, .K = K, .alpha = 1};
  if (dtype == CZ_BF16 && cz_rand_int(r, 0, 1)) p.c_dtype = CZ_F32;
  p.a_transposed = cz_rand_int(r, 0, 1), p.b_transposed = cz_rand_int(r, 0, 1);
  if (cz_rand_int(r, 0, 1)) p.alpha = (float)cz_rand_real(r, -2, 2);
  p.beta = (float)cz_rand_int(r, 0, 1);
  p.lda = (p.a_transposed ? M : K) + gap(r), p.ldb = (p.b_transposed ? K : N) + gap(r);
  p.ldc = N + gap(r);
  problem q = {.a = draw(r, dtype, p.a_transposed ? K : M, p.lda),
               .b = draw(r, dtype, p.b_transposed ? N : K, p.ldb),
               .c = draw(r, p.c_dtype, M, p.ldc),
               .bias = test_calloc((size_t)N + 1, sizeof(float)),
               .want = test_calloc((size_t)(M * N) + 1, sizeof(double)),
               .size = test_calloc((size_t)(M * N) + 1, sizeof(double))};
  for (int64_t n = 0; n < N; n++) q.bias[n] = (float)cz_rand_normal(r);
  if (p.beta == 0 && cz_rand_int(r, 0, 1)) p.bias = q.bias;
  p.a = q.a.data, p.b = q.b.data, p.c = q.c.data;
  q.p = p;
  compute_want(&q);
  return q;
}

/* All tiles, on so many threads, each with scratch of its own between guards. */
static void run(const cz_product *p, int threads) {
  size_t each = cz_product_tile_scratch(p), room = (each + 127) / 64 * 64;
  unsigned char *scratch = aligned_alloc(64, room * (size_t)threads);
  assert_non_null(scratch);
  memset(scratch, 0xff, room * (size_t)threads);
  int64_t tiles = cz_product_tiles(p);
  int before = omp_get_max_threads();
  if (p->dtype == CZ_F32) omp_set_num_threads(threads);
#pragma omp parallel for schedule(dynamic) num_threads(threads)
  for (int64_t i = 0; i < tiles; i++)
    cz_product_tile(p, i, scratch + (size_t)omp_get_thread_num() * room);
  omp_set_num_threads(before);
  for (size_t t = 0; t < (size_t)threads; t++)
    for (size_t i = each; i < room; i++) assert_int_equal(scratch[t * room + i], 0xff);
  free(scratch);
}

static void restore(problem *q) {
  for (int64_t i = 0; i < q->c.n; i++) put(&q->c, i, q->c.value[i]);
  if (q->p.beta != 0) return;
  for (int64_t m = 0; m < q->p.M; m++) /* what lies in c is not read */
    for (int64_t n = 0; n < q->p.N; n++) put(&q->c, m * q->p.ldc + n, NAN);
}

/* A sum of K terms in float32, alpha, bias, what was there; then one rounding to bfloat16, of 8
 * bits. Numbers between the rows of c stay. */
static void check(const problem *q, const char *what) {
  const cz_product *p = &q->p;
  double each = (double)(p->K + 4) * 0x1p-24, last = p->c_dtype == CZ_BF16 ? 0x1p-8 : 0x1p-24;
  for (int64_t m = 0; m < p->M; m++) {
    for (int64_t n = 0; n < p->ldc; n++) {
      double got = get(&q->c, m * p->ldc + n);
      bool inside = n < p->N;
      double want = inside ? q->want[m * p->N + n] : q->c.value[m * p->ldc + n],
             limit = inside ? each * q->size[m * p->N + n] + last * fabs(want) : 0;
      if (!(fabs(got - want) <= limit))
        fail_msg("%s, %s to %s, M %lld N %lld K %lld, a %d b %d, ld %lld %lld %lld, alpha %g beta "
                 "%g bias %d: c[%lld, %lld] is %.9g, not %.9g, limit %.3g",
                 what, cz_dtype_names[p->dtype], cz_dtype_names[p->c_dtype], (long long)p->M,
                 (long long)p->N, (long long)p->K, p->a_transposed, p->b_transposed,
                 (long long)p->lda, (long long)p->ldb, (long long)p->ldc, (double)p->alpha,
                 (double)p->beta, p->bias != NULL, (long long)m, (long long)n, got, want, limit);
    }
  }
}

static void check_product(problem *q, const char *what) {
  size_t bytes = (size_t)q->c.n * cz_dtype_bytes(q->p.c_dtype);
  void *first = test_calloc(bytes + 1, 1);
  for (int threads = 1; threads <= 3; threads++) {
    restore(q);
    run(&q->p, threads);
    check(q, what);
    if (threads == 1) memcpy(first, q->c.data, bytes);
    assert_memory_equal(first, q->c.data, bytes);
  }
  test_free(first);
}

/* Sizes at which cuts, blocks of 512 and 1024, and pieces of 32, 64, 512 and 2048 begin or end. */
static const int64_t hand[][3] = {{1, 1, 1},      {1, 1537, 33},  {3, 70, 513},   {4, 65, 1040},
                                  {5, 9, 0},      {0, 5, 3},      {64, 64, 64},   {63, 31, 640},
                                  {65, 1025, 20}, {769, 17, 40},  {513, 600, 31}, {130, 2049, 12},
                                  {40, 24, 2049}, {33, 40, 2700}, {200, 7, 511}};

static void check_dtype(cz_dtype dtype, cz_units *units, const char *what) {
  cz_rand r = {.state = test_seed() + (uint64_t)dtype};
  for (int i = 0; i < 60; i++) {
    bool fixed = i < (int)(sizeof hand / sizeof *hand);
    int64_t M = fixed ? hand[i][0] : cz_rand_size(&r, 300),
            N = fixed ? hand[i][1] : cz_rand_size(&r, 300),
            K = fixed ? hand[i][2] : cz_rand_size(&r, 600);
    problem q = make(&r, dtype, M, N, K);
    q.p.units = units;
    if (units && cz_rand_int(&r, 0, 1)) q.p.b_version = (uint64_t)i + 1;
    check_product(&q, what);
    if (units) cz_units_forget(units, q.b.data, (size_t)q.b.n * sizeof(float));
    free_problem(&q);
  }
}

static void in_float32(void **state) { check_dtype(CZ_F32, NULL, "sgemm"); }

static void in_panels(void **state) { check_dtype(CZ_BF16, NULL, "panels"); }

static cz_units *open_units(const char *wish) {
  char why[CZ_UNITS_TEXT] = "";
  cz_units *u = cz_units_open(wish, why, sizeof why);
  if (!u) print_message("%s\n", why);
  return u;
}

/* Null where this build has no oneDNN, as clang's; nowhere else. */
static cz_units *open_float32(void) {
  cz_units *u = open_units("auto");
  assert_non_null(u);
  if (cz_units_take_float32(u)) return u;
  assert_false(CZ_TEST_ONEDNN);
  assert_string_equal(cz_units_library(), "built without oneDNN");
  cz_units_close(&u);
  return NULL;
}

static void by_onednn(void **state) {
  cz_units *u = open_float32();
  if (!u) return;
  check_dtype(CZ_F32, u, "oneDNN");
  assert_true(cz_units_count(u).primitives > 0 && cz_units_count(u).packings > 0);
  assert_int_equal(cz_units_count(u).packed, 0); /* all forgotten */
  assert_int_equal(cz_units_count(u).packed_bytes, 0);
  if (cz_units_path_of(u) == CZ_UNITS_ONEDNN)
    check_dtype(CZ_BF16, u, "oneDNN");
  else
    print_message("bfloat16 not by oneDNN: %s\n", cz_units_reason(u));
  cz_units_close(&u);
}

static cz_product forward_of(problem *q, cz_units *u, uint64_t version) {
  cz_product p = q->p;
  p.units = u, p.b_version = version;
  return p;
}

/* A packed array serves until it has another version, whatever lies there; another version takes
 * its memory, and nothing more is made. Threads that ask for it at the same time pack it together,
 * once. */
static void packed_by_version(void **state) {
  cz_units *u = open_float32();
  if (!u) return;
  cz_rand r = {.state = test_seed()};
  problem q = make(&r, CZ_F32, 900, 600, 80);
  q.p = (cz_product){.c = q.c.data,
                     .a = q.a.data,
                     .b = q.b.data,
                     .dtype = CZ_F32,
                     .c_dtype = CZ_F32,
                     .b_transposed = true,
                     .M = 900,
                     .N = 600,
                     .K = 80,
                     .lda = 80,
                     .ldb = 80,
                     .ldc = 600,
                     .alpha = 1};
  cz_product p = forward_of(&q, u, 7);
  compute_want(&q);
  run(&p, 2), check(&q, "version 7");
  cz_units_counts first = cz_units_count(u);
  assert_int_equal(first.packings, 1);
  for (int64_t i = 0; i < q.b.n; i++) put(&q.b, i, cz_rand_normal(&r)); /* behind its back */
  run(&p, 2), check(&q, "version 7 again");
  for (int64_t i = 0; i < q.b.n; i++) q.b.value[i] = get(&q.b, i);
  compute_want(&q);
  p.b_version = 8;
  run(&p, 4), check(&q, "version 8");
  cz_units_counts then = cz_units_count(u);
  assert_int_equal(then.packings, 2);
  assert_int_equal(then.primitives, first.primitives);
  assert_int_equal(then.packed, 1);
  assert_int_equal(then.packed_bytes, first.packed_bytes);
  free_problem(&q);
  cz_units_close(&u);
}

/* Batches of all sizes need a bounded number of primitives: rows are cut into pieces. */
static void few_primitives(void **state) {
  cz_units *u = open_float32();
  if (!u) return;
  cz_rand r = {.state = test_seed()};
  array a = draw(&r, CZ_F32, 700, 64), b = draw(&r, CZ_F32, 700, 64), c = draw(&r, CZ_F32, 700, 64);
  for (int64_t T = 1; T <= 700; T++) {
    cz_product p = {.c = c.data,
                    .a = a.data,
                    .b = b.data,
                    .dtype = CZ_F32,
                    .c_dtype = CZ_F32,
                    .M = T,
                    .N = 64,
                    .K = 64,
                    .lda = 64,
                    .ldb = 64,
                    .ldc = 64,
                    .alpha = 1,
                    .b_version = 1,
                    .units = u};
    run(&p, 1);
    p.b_version = 0, p.a_transposed = true, p.M = 64, p.K = T;
    run(&p, 1);
  }
  cz_units_counts n = cz_units_count(u);
  /* rows: multiples of 64 in a tile and six powers of two; sums: multiples of 32 up to 512,
   * written, and those of what is left above 512, added */
  if (n.primitives > 11 + 6 + 16 + 6) fail_msg("%lld primitives", (long long)n.primitives);
  free_array(&a), free_array(&b), free_array(&c);
  cz_units_close(&u);
}

/* The first failure is kept until it is asked for, and one says nothing of the next. */
static void failures(void **state) {
  char text[CZ_UNITS_TEXT] = "";
  cz_units *u = open_float32();
  if (!u) return;
  cz_rand r = {.state = test_seed()};
  problem q = make(&r, CZ_F32, 40, 30, 20);
  q.p.units = u;
  assert_false(cz_units_failed(u, text, sizeof text));
  cz_units_fail_at(u, 1);
  run(&q.p, 1);
  assert_false(cz_units_failed(u, text, sizeof text));
  run(&q.p, 1);
  assert_true(cz_units_failed(u, text, sizeof text));
  assert_non_null(strstr(text, "oneDNN"));
  assert_false(cz_units_failed(u, text, sizeof text));
  restore(&q), run(&q.p, 1), check(&q, "after a failure");
  free_problem(&q);
  cz_units_close(&u);
}

/* What cannot be had is refused with the reason, and so is a word that means nothing. */
static void wishes(void **state) {
  char why[CZ_UNITS_TEXT] = "";
  assert_null(cz_units_open("fast", why, sizeof why));
  assert_string_equal(why, "CZ_BF16 is 'fast', not auto, panels or onednn");
  cz_units *u = open_units("panels");
  assert_int_equal(cz_units_path_of(u), CZ_UNITS_PANELS);
  assert_false(cz_units_takes(u, CZ_BF16));
  cz_units_close(&u);
  u = cz_units_open(NULL, why, sizeof why);
  assert_non_null(u);
  bool fast = cz_units_path_of(u) == CZ_UNITS_ONEDNN;
  assert_int_equal(cz_units_takes(u, CZ_BF16), fast);
  assert_false(cz_units_takes(u, CZ_F32));
  print_message("bfloat16 by %s: %s; the processor has %s; %s\n",
                cz_units_path_names[cz_units_path_of(u)], cz_units_reason(u), cz_cpu_extensions(),
                cz_units_library());
  assert_true(strlen(cz_units_reason(u)) > 10);
  cz_units_close(&u);
  u = cz_units_open("onednn", why, sizeof why);
  assert_int_equal(u != NULL, fast);
  if (!u) assert_non_null(strstr(why, "CZ_BF16=onednn cannot be had: "));
  cz_units_close(&u);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(in_float32),     cmocka_unit_test(in_panels),
      cmocka_unit_test(by_onednn),      cmocka_unit_test(packed_by_version),
      cmocka_unit_test(few_primitives), cmocka_unit_test(failures),
      cmocka_unit_test(wishes)};
  return cmocka_run_group_tests_name("product", tests, NULL, NULL);
}
