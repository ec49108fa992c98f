/* cz_cuda_multiply over a library that computes what cuBLASLt's manual says: every product is
 * compared with three loops over row-major arrays. Numbers have so few digits that all is exact,
 * but for the GELU. */
#include "card.h"
#include "kernels/activation/activation.h"
#include "numbers.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct array { /* on the card, and what it should be */
  void *at;
  unsigned char *host;
  size_t bytes;
  int64_t rows, columns, ld;
  cz_dtype dtype;
} array;

static uint64_t state_of_draws;

static int64_t draw(int64_t least, int64_t most) {
  state_of_draws = state_of_draws * 6364136223846793005u + 1442695040888963407u;
  return least + (int64_t)((state_of_draws >> 33) % (uint64_t)(most - least + 1));
}

/* ROWS x COLUMNS numbers of -2 to 2 whose rows are further apart than they are long. */
static array make(cz_device *d, int64_t rows, int64_t columns, int64_t ld, cz_dtype dtype) {
  array x = {.rows = rows, .columns = columns, .ld = ld, .dtype = dtype};
  x.bytes = (size_t)(rows * x.ld) * cz_dtype_bytes(dtype);
  x.host = test_malloc(x.bytes + 1);
  for (int64_t i = 0; i < rows * x.ld; i++) put_number(x.host, i, dtype, (float)draw(-2, 2));
  OK(cz_device_alloc(d, &x.at, x.bytes));
  OK(d->write(d, x.at, x.host, x.bytes));
  return x;
}

static void drop(cz_device *d, array *x) {
  if (!x->host) return;
  cz_device_free(d, &x->at, x->bytes);
  test_free(x->host);
}

static float at(const array *x, bool transposed, int64_t i, int64_t j) {
  return number_at(x->host, transposed ? j * x->ld + i : i * x->ld + j, x->dtype);
}

static float activated(float x, int kind) {
  if (kind == CZ_ACTIVATION_RELU) return x > 0 ? x : 0;
  return kind == CZ_ACTIVATION_NONE ? x : (float)cz_activation_value(x, kind);
}

typedef struct problem {
  cz_cuda_product p;
  array a, b, c, bias, pre;
} problem;

static problem draw_problem(cz_device *d) {
  static const cz_dtype types[][2] = {
      {CZ_F32, CZ_F32}, {CZ_BF16, CZ_BF16}, {CZ_BF16, CZ_F32}, {CZ_F16, CZ_F16}, {CZ_F16, CZ_F32}};
  static const int kinds[] = {CZ_ACTIVATION_NONE, CZ_ACTIVATION_RELU, CZ_ACTIVATION_GELU_TANH};
  static const float alphas[] = {1, 0.5f, -1}, betas[] = {0, 1, 0.5f};
  const int64_t type = draw(0, 4), m = draw(1, 19), n = draw(1, 19), k = draw(1, 13);
  problem q = {.p = {.m = m,
                     .n = n,
                     .k = k,
                     .in = types[type][0],
                     .out = types[type][1],
                     .transposed_a = draw(0, 1),
                     .transposed_b = draw(0, 1),
                     .alpha = alphas[draw(0, 2)],
                     .beta = betas[draw(0, 2)]}};
  cz_cuda_product *p = &q.p;
  p->epilogue.activation = kinds[draw(0, 2)];
  const bool keeps = p->epilogue.activation == CZ_ACTIVATION_GELU_TANH && draw(0, 1);
  q.a = make(d, p->transposed_a ? k : m, p->transposed_a ? m : k,
             (p->transposed_a ? m : k) + draw(0, 3), p->in);
  q.b = make(d, p->transposed_b ? n : k, p->transposed_b ? k : n,
             (p->transposed_b ? k : n) + draw(0, 3), p->in);
  p->ldc = keeps ? (n + 7) / 8 * 8 + 8 * draw(0, 1) : n + draw(0, 3);
  q.c = make(d, m, n, p->ldc, p->out);
  if (draw(0, 1)) q.bias = make(d, 1, n, n, p->out);
  if (keeps) q.pre = make(d, m, n, p->ldc, p->out);
  p->a = q.a.at, p->b = q.b.at, p->c = q.c.at;
  p->lda = q.a.ld, p->ldb = q.b.ld;
  p->epilogue.bias = q.bias.at, p->epilogue.pre = q.pre.at;
  return q;
}

static void drop_problem(cz_device *d, problem *q) {
  array *const all[] = {&q->a, &q->b, &q->c, &q->bias, &q->pre};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) drop(d, all[i]);
}

static float before_activation(const problem *q, int64_t i, int64_t j) {
  const cz_cuda_product *p = &q->p;
  float sum = 0;
  for (int64_t l = 0; l < p->k; l++)
    sum += at(&q->a, p->transposed_a, i, l) * at(&q->b, p->transposed_b, l, j);
  sum *= p->alpha;
  if (p->beta != 0) sum += p->beta * at(&q->c, false, i, j);
  return q->bias.host ? sum + number_at(q->bias.host, j, q->p.out) : sum;
}

static void same(const array *got, int64_t i, int64_t j, float want, bool exact, const problem *q) {
  const float is = at(got, false, i, j);
  const bool equal = exact ? is == want : fabsf(is - want) <= 0.01f * fabsf(want) + 1e-3f;
  if (!equal)
    fail_msg("[%lld, %lld, %lld] a%s b%s in %s out %s activation %d: (%lld, %lld) is %g, not %g",
             (long long)q->p.m, (long long)q->p.n, (long long)q->p.k, q->p.transposed_a ? "^T" : "",
             q->p.transposed_b ? "^T" : "", cz_dtype_names[q->p.in], cz_dtype_names[q->p.out],
             q->p.epilogue.activation, (long long)i, (long long)j, (double)is, (double)want);
}

/* What is read back of X; between its rows nothing may have changed. */
static array fetched(cz_device *d, const array *x) {
  array back = *x;
  back.host = test_malloc(x->bytes + 1);
  OK(d->read(d, back.host, x->at, x->bytes));
  for (int64_t i = 0; i < x->rows; i++)
    for (int64_t j = x->columns; j < x->ld; j++)
      if (at(&back, false, i, j) != at(x, false, i, j)) fail_msg("a gap between rows was written");
  return back;
}

static void check(cz_device *d, const problem *q) {
  const int kind = q->p.epilogue.activation;
  array c = fetched(d, &q->c), pre = q->pre.host ? fetched(d, &q->pre) : (array){0};
  for (int64_t i = 0; i < q->p.m; i++)
    for (int64_t j = 0; j < q->p.n; j++) {
      const float before = before_activation(q, i, j);
      same(&c, i, j, activated(before, kind), kind != CZ_ACTIVATION_GELU_TANH, q);
      if (pre.host) same(&pre, i, j, before, true, q);
    }
  test_free(c.host);
  if (pre.host) test_free(pre.host);
}

static void products(void **state) {
  new_card();
  cz_device *d = open_card();
  state_of_draws = test_seed();
  for (int i = 0; i < 400; i++) {
    problem q = draw_problem(d);
    assert_true(multiply(d->stream, &q.p));
    OK(d->failed(d));
    check(d, &q);
    drop_problem(d, &q);
  }
  close_card(&d);
}

/* Nothing to multiply: no call of the library. */
static void empty(void **state) {
  new_card();
  card->algorithms = 0;
  cz_device *d = open_card();
  array c = make(d, 3, 5, 7, CZ_BF16);
  cz_cuda_product p = {.m = 3,
                       .n = 5,
                       .ldc = 7,
                       .lda = 1,
                       .ldb = 5,
                       .in = CZ_BF16,
                       .out = CZ_BF16,
                       .c = c.at,
                       .alpha = 1,
                       .beta = 1};
  assert_true(multiply(d->stream, &p));
  array back = fetched(d, &c);
  assert_memory_equal(back.host, c.host, c.bytes);
  test_free(back.host);
  p.beta = 0;
  assert_true(multiply(d->stream, &p));
  back = fetched(d, &c);
  for (int64_t i = 0; i < 15; i++) assert_true(at(&back, false, i / 5, i % 5) == 0);
  test_free(back.host);
  OK(d->failed(d));
  p.beta = 0.5f;
  assert_true(multiply(d->stream, &p));
  FAILS(d->failed(d), CZ_EIO, "a product over no terms with beta 0.5 is not made");
  p.epilogue.activation = CZ_ACTIVATION_RELU;
  assert_false(multiply(d->stream, &p));
  p.m = 0, p.k = 9;
  assert_true(multiply(d->stream, &p));
  OK(d->failed(d));
  assert_int_equal(card->heuristics, 0);
  drop(d, &c);
  close_card(&d);
}

static bool offered(cz_device *d, int kind, bool bias, bool pre, int64_t ldc) {
  array c = make(d, 4, 8, ldc, CZ_F32), a = make(d, 4, 8, 8, CZ_F32),
        v = make(d, 4, 8, ldc, CZ_F32);
  const cz_cuda_product p = {.c = c.at,
                             .a = a.at,
                             .b = a.at,
                             .m = 4,
                             .n = 8,
                             .k = 4,
                             .ldc = ldc,
                             .lda = 8,
                             .ldb = 8,
                             .in = CZ_F32,
                             .out = CZ_F32,
                             .alpha = 1,
                             .epilogue = {bias ? v.at : NULL, pre ? v.at : NULL, kind}};
  const bool there = multiply(d->stream, &p);
  OK(d->failed(d));
  array back = fetched(d, &c);
  const bool untouched = !memcmp(back.host, c.host, c.bytes);
  assert_int_equal(there, !untouched);
  test_free(back.host);
  drop(d, &c), drop(d, &a), drop(d, &v);
  return there;
}

/* An epilogue that there is none of is refused, and nothing is done. */
static void epilogues(void **state) {
  new_card();
  cz_device *d = open_card();
  state_of_draws = 5;
  assert_true(offered(d, CZ_ACTIVATION_RELU, true, false, 8));
  assert_true(offered(d, CZ_ACTIVATION_GELU_TANH, true, true, 16));
  assert_false(offered(d, CZ_ACTIVATION_GELU_TANH, false, true, 9)); /* pre's rows */
  assert_false(offered(d, CZ_ACTIVATION_RELU, false, true, 8));
  assert_false(offered(d, CZ_ACTIVATION_NONE, false, true, 8));
  assert_false(offered(d, CZ_ACTIVATION_GELU, false, false, 8)); /* the exact one */
  assert_false(offered(d, CZ_ACTIVATION_TANH, true, false, 8));
  card->refuse_epilogues = true;
  assert_false(offered(d, CZ_ACTIVATION_NONE, true, false, 8));
  const int asked = card->heuristics;
  assert_false(offered(d, CZ_ACTIVATION_NONE, true, false, 8));
  assert_int_equal(card->heuristics, asked); /* the answer is kept */
  assert_true(offered(d, CZ_ACTIVATION_NONE, false, false, 8));
  close_card(&d);
}

static void failures(void **state) {
  new_card();
  cz_device *d = open_card();
  array x = make(d, 8, 8, 8, CZ_F16);
  cz_cuda_product p = {.c = x.at,
                       .a = x.at,
                       .b = x.at,
                       .m = 8,
                       .n = 7,
                       .k = 6,
                       .ldc = 8,
                       .lda = 8,
                       .ldb = 8,
                       .in = CZ_F16,
                       .out = CZ_F16,
                       .alpha = 1};
  assert_true(multiply(d->stream, &p));
  OK(d->failed(d));
  card->refuse_products = true;
  assert_true(multiply(d->stream, &p));
  FAILS(d->failed(d), CZ_EIO,
        "cuda: the product [8, 6] x [6, 7] of f16 into f16 failed: failed in the library");
  card->refuse_products = false;
  card->algorithms = 0;
  p.n = 8;
  assert_true(multiply(d->stream, &p));
  FAILS(d->failed(d), CZ_EIO, "of f16 into f16 failed: cuBLASLt has no algorithm");
  card->algorithms = 1;
  assert_true(multiply(d->stream, &p));
  OK(d->sync(d));
  card->fail_at = card->kernels + 1;
  assert_true(multiply(d->stream, &p));
  FAILS(d->sync(d), CZ_EIO,
        "in the kernel cuBLASLt product [8, 6] x [6, 8], the only launch since");
  assert_true(multiply(d->stream, &p));
  drop(d, &x);
  cz_device_close(&d);
  new_card();
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(products), cmocka_unit_test(empty),
                                     cmocka_unit_test(epilogues), cmocka_unit_test(failures)};
  return cmocka_run_group_tests_name("cuda product", tests, load_card, unload_card);
}
