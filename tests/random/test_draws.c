/* Draws by number against what their formulas give in libm, against their distributions, and
 * against themselves in pieces: an element is the same whoever draws it.
 *
 * Statistics use a fresh seed (CZ_TEST_SEED replays it) and bounds of six standard deviations. */
#include "common/common.h"
#include "base/hash.h"
#include "device/draws.h"
#include "device/random.h"
#include "kernels/common/philox.h"
#include "tensor/params.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 200000 };

typedef struct kind {
  const char *name;
  cz_draw_fn draw;
  double variance, fourth; /* moments */
  double limit;
} kind;

static const kind kinds[] = {{"normal", cz_draw_normal, 1, 3, 9},
                             {"uniform", cz_draw_uniform, 1 / 3.0, 0.2, 1}};
enum { KINDS = sizeof kinds / sizeof *kinds };

static double *drawn(const kind *k, uint64_t seed, const char *name, int64_t first, int64_t n) {
  double *x = calloc((size_t)n + 1, sizeof *x);
  assert_non_null(x);
  x[n] = 77;
  k->draw(x, cz_draw_key_of(seed, name), first, n);
  assert_true(x[n] == 77);
  return x;
}

/* The mean of N draws of VARIANCE is near WANT. */
static void near(const kind *k, const char *what, double got, double want, double variance) {
  if (!(fabs(got - want) < 6 * sqrt(variance / N)))
    fail_msg("%s: %s is %.6g, should be %.6g", k->name, what, got, want);
}

static void moments(void **state) {
  for (const kind *k = kinds; k < kinds + KINDS; k++) {
    double *x = drawn(k, test_seed(), "moments", 0, N), m[5] = {0}, lagged = 0;
    for (int64_t i = 0; i < N; i++) {
      double p = 1;
      assert_true(fabs(x[i]) <= k->limit);
      for (int j = 1; j <= 4; j++) m[j] += (p *= x[i]) / N;
      if (i) lagged += x[i] * x[i - 1] / N;
    }
    near(k, "mean", m[1], 0, k->variance);
    near(k, "variance", m[2], k->variance, k->fourth - k->variance * k->variance);
    near(k, "product of neighbours", lagged, 0, k->variance * k->variance);
    if (k->draw != cz_draw_normal) {
      free(x);
      continue;
    }
    near(k, "third moment", m[3], 0, 15);
    near(k, "fourth moment", m[4], 3, 96);
    for (int e = -2; e <= 2; e++) {
      double below = 0, p = 0.5 * erfc(-e / sqrt(2));
      for (int64_t i = 0; i < N; i++) below += (x[i] < e) / (double)N;
      near(k, "share below an edge", below, p, p * (1 - p));
    }
    free(x);
  }
}

/* Box and Muller's formula with libm's functions and long doubles. log_of and cos_of_turn are
 * within a few ulp each, the root halves log's: 1e-15 of |x|, and near a zero of the cosine of
 * the root, whose angle is known to 2^-53. */
static void formula(void **state) {
  const cz_key key = {.seed = test_seed(), .op = cz_draw_key_of(0, "formula").name};
  double *x = drawn(&kinds[0], key.seed, "formula", 0, N), worst = 0;
  for (int64_t i = 0; i < N; i++) {
    uint32_t w[4];
    cz_philox_quad(w, &key, (uint64_t)i);
    long double u = 1 - (((uint64_t)w[0] << 32 | w[1]) >> 11) * 0x1p-53L,
                v = (((uint64_t)w[2] << 32 | w[3]) >> 11) * 0x1p-53L, root = sqrtl(-2 * logl(u)),
                want = root * cosl(6.283185307179586476925L * v);
    double error = (double)(fabsl(x[i] - want) / root);
    worst = fmax(worst, error);
  }
  free(x);
  print_message("largest difference from libm: %.2g of the radius\n", worst);
  assert_true(worst < 1e-15);
}

/* The bits of one processor are those of all, and of every compiler: a hash of 100,000 draws. */
static void same_everywhere(void **state) {
  static const uint64_t known[] = {0xf4a28781003694d5u, 0xdd9b9d0a22fb9d73u};
  for (int k = 0; k < KINDS; k++) {
    double *x = drawn(&kinds[k], 1, "known", 0, 100000);
    uint64_t hash = cz_hash64(x, 100000 * sizeof *x, 0);
    if (hash != known[k])
      fail_msg("%s: hash %016llx, elsewhere %016llx", kinds[k].name, (unsigned long long)hash,
               (unsigned long long)known[k]);
    free(x);
  }
}

static void pieces(void **state) {
  cz_stream s;
  cz_stream_init(&s, test_seed(), "pieces", 0, 0);
  for (const kind *k = kinds; k < kinds + KINDS; k++) {
    double *whole = drawn(k, test_seed(), "a", 0, 3000);
    for (int i = 0; i < 200; i++) {
      int64_t first = (int64_t)cz_stream_below(&s, 3000),
              n = (int64_t)cz_stream_below(&s, (uint64_t)(3001 - first));
      double *x = drawn(k, test_seed(), "a", first, n);
      assert_memory_equal(x, whole + first, (size_t)n * sizeof *x);
      free(x);
    }
    free(whole);
    /* beyond 2^32 elements nothing repeats, and pieces still meet */
    const int64_t far = (1LL << 32) - 10;
    double *x = drawn(k, test_seed(), "a", far, 20), *y = drawn(k, test_seed(), "a", far + 10, 10),
           *near_0 = drawn(k, test_seed(), "a", 0, 10);
    assert_memory_equal(x + 10, y, 10 * sizeof *x);
    assert_memory_not_equal(y, near_0, 10 * sizeof *x);
    free(x), free(y), free(near_0);
  }
}

/* Other names, other seeds: other numbers. */
static void keyed(void **state) {
  for (const kind *k = kinds; k < kinds + KINDS; k++) {
    double *a = drawn(k, test_seed(), "a", 0, 1000);
    const struct {
      uint64_t seed;
      const char *name;
    } other[] = {{test_seed(), "b"}, {test_seed() + 1, "a"}, {test_seed() ^ 1ULL << 40, "a"}};
    for (int j = 0; j < 3; j++) {
      double *b = drawn(k, other[j].seed, other[j].name, 0, 1000);
      int same = 0;
      for (int i = 0; i < 1000; i++) same += (a[i] < 0) == (b[i] < 0);
      assert_true(abs(same - 500) < 6 * sqrt(250));
      free(b);
    }
    free(a);
  }
}

/* What 1, 2 and 7 threads draw for parameters of awkward sizes. */
static void threads(void **state) {
  static const int counts[] = {1, 2, 7};
  static const int64_t dims[] = {1, 4095, 4097, 262144, 262145, 600000};
  enum { PARAMS = sizeof dims / sizeof *dims };
  cz_device *device;
  cz_params *p[3];
  const int before = omp_get_max_threads();
  OK(cz_device_open(&device, "cpu"));
  for (int t = 0; t < 3; t++) {
    OK(cz_params_create(&p[t], device));
    for (int i = 0; i < PARAMS; i++) {
      char name[16];
      cz_param *q;
      snprintf(name, sizeof name, "p%d", i);
      OK(cz_params_declare(p[t], &q, name, 1, &dims[i], (cz_init){CZ_INIT_NORMAL + i % 3, 0.5},
                           true));
    }
    OK(cz_params_allocate(p[t]));
    omp_set_num_threads(counts[t]);
    OK(cz_params_init(p[t], test_seed()));
    assert_memory_equal(p[t]->values, p[0]->values, cz_params_bytes(p[0]));
  }
  omp_set_num_threads(before);
  const cz_param *last = p[0]->list[PARAMS - 1];
  double want;
  cz_draw_uniform(&want, cz_draw_key_of(test_seed(), last->name), last->count - 1, 1);
  assert_true(((const float *)last->value)[last->count - 1] == (float)(0.5 * want));
  for (int t = 0; t < 3; t++) cz_params_destroy(&p[t]);
  cz_device_close(&device);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(moments), cmocka_unit_test(formula),
                                     cmocka_unit_test(pieces),  cmocka_unit_test(same_everywhere),
                                     cmocka_unit_test(keyed),   cmocka_unit_test(threads)};
  return cmocka_run_group_tests_name("draws", tests, NULL, NULL);
}
