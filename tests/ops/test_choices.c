/* The hinge of choices in worked numbers, by every kernel of the host: at the kink, where neither a
 * central difference nor a limit of rounding says what is right, with ties, by sums and by means.
 * Losses and gradients are those of PET's lines under autograd (torch 2.15):
 *
 *     h = 1 + nll_right - nll_wrong;  h[h < 0] = 0;  loss = h.sum() / denominator */
#include "common/common.h"
#include "kernels/choices/choices.h"

enum { R = 8, K = 6, B = 2, ARRAYS = 7 };

/* One question with a wrong candidate on the kink, one that ties with the right one, of two tokens,
 * and one far behind; one question that is not counted; a row of no candidate. */
static const double nll[R] = {2, 3, 1, 1, 4, 9, 0.5, 7};
static const int32_t rows[K * 2] = {0, 1, 1, 2, 2, 4, 4, 5, 6, 7, 7, 8},
                              groups[B * 2] = {0, 4, 4, 6}, right[B] = {0, -100};

typedef struct numbers {
  double nll[R], denominator[1], loss[1], scores[K], dloss[1], dscores[K], dnll[R];
} numbers;

static void convert(void *to, const double *from, int64_t n, cz_dtype dtype) {
  for (int64_t i = 0; i < n; i++) {
    if (dtype == CZ_F64)
      ((double *)to)[i] = from[i];
    else
      ((float *)to)[i] = (float)from[i];
  }
}

static void convert_back(double *to, const void *from, int64_t n, cz_dtype dtype) {
  for (int64_t i = 0; i < n; i++)
    to[i] = dtype == CZ_F64 ? ((const double *)from)[i] : (double)((const float *)from)[i];
}

static cz_arg pairs_of(const int32_t *spans, int64_t n) {
  return (cz_arg){.data = (void *)spans, .dtype = CZ_I32, .ndim = 2, .dim = {n, 2}};
}

/* Forward, then backward in MODE, of X by the kernels in DTYPE. */
static void compute(numbers *x, cz_dtype dtype, bool mean, cz_grad_mode mode) {
  double *const array[ARRAYS] = {x->nll,   x->denominator, x->loss, x->scores,
                                 x->dloss, x->dscores,     x->dnll};
  static const int64_t n[ARRAYS] = {R, 1, 1, K, 1, K, R};
  double memory[ARRAYS][R];
  cz_arg a[ARRAYS];
  for (int i = 0; i < ARRAYS; i++) {
    convert(memory[i], array[i], n[i], dtype);
    a[i] = (cz_arg){.data = memory[i], .dtype = dtype, .ndim = 1, .dim = {n[i]}};
  }
  cz_choices_attr attr = {.mean = mean};
  cz_call call = {.n_in = 5, .n_out = 2, .attr = &attr};
  call.in[CZ_CHOICES_NLL] = a[0], call.in[CZ_CHOICES_ROWS] = pairs_of(rows, K);
  call.in[CZ_CHOICES_GROUPS] = pairs_of(groups, B);
  call.in[CZ_CHOICES_RIGHT] =
      (cz_arg){.data = (void *)right, .dtype = CZ_I32, .ndim = 1, .dim = {B}};
  call.in[CZ_CHOICES_DENOMINATOR] = a[1];
  call.out[CZ_CHOICES_LOSS] = a[2], call.out[CZ_CHOICES_SCORES] = a[3];
  call.dout[CZ_CHOICES_LOSS] = a[4], call.dout[CZ_CHOICES_SCORES] = a[5];
  call.din[CZ_CHOICES_NLL] = a[6], call.mode[CZ_CHOICES_NLL] = mode;
  cz_op_rows[CZ_OP_choices]->kernels[dtype].forward(&call);
  cz_op_rows[CZ_OP_choices]->kernels[dtype].backward(&call);
  for (int i = 0; i < ARRAYS; i++) convert_back(array[i], memory[i], n[i], dtype);
}

static numbers given(void) {
  numbers x = {.denominator = {2}, .dloss = {1}};
  memcpy(x.nll, nll, sizeof nll);
  return x;
}

static void same(const double *got, const double *want, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (got[i] != want[i]) fail_msg("number %lld is %g, not %g", (long long)i, got[i], want[i]);
}

static void by_sums(void **state) {
  static const double scores[K] = {-2, -3, -2, -4, -0.5, -7}, loss = 0.5, /* (0 + 1 + 0) / 2 */
      dnll[R] = {1, -0.5, -0.5, -0.5, 0, 0, 0, 0};
  for (cz_dtype t = CZ_F64; t <= CZ_F32; t++) {
    numbers x = given();
    compute(&x, t, false, CZ_GRAD_WRITE);
    same(x.scores, scores, K), same(x.loss, &loss, 1), same(x.dnll, dnll, R);
  }
}

/* The candidate of two tokens is now ahead by 1, and each of them has half of its slope. */
static void by_means(void **state) {
  static const double scores[K] = {-2, -3, -1, -4, -0.5, -7}, loss = 1, /* (0 + 2 + 0) / 2 */
      dnll[R] = {1, -0.5, -0.25, -0.25, 0, 0, 0, 0};
  for (cz_dtype t = CZ_F64; t <= CZ_F32; t++) {
    numbers x = given();
    compute(&x, t, true, CZ_GRAD_WRITE);
    same(x.scores, scores, K), same(x.loss, &loss, 1), same(x.dnll, dnll, R);
  }
}

/* Scores pass on what arrives, of questions that are not counted too; what is there is added to. */
static void by_scores(void **state) {
  static const double dscores[K] = {1, 2, 3, 4, 5, 6}, dnll[R] = {10, 7.5, 6.5, 6.5, 6, 10, 5, 4};
  for (cz_dtype t = CZ_F64; t <= CZ_F32; t++) {
    numbers x = given();
    memcpy(x.dscores, dscores, sizeof dscores);
    for (int i = 0; i < R; i++) x.dnll[i] = 10;
    compute(&x, t, false, CZ_GRAD_ADD);
    same(x.dnll, dnll, R);
    memcpy(x.dscores, dscores, sizeof dscores);
    memset(x.dnll, 0, sizeof x.dnll);
    compute(&x, t, false, CZ_GRAD_SKIP);
    same(x.dnll, (double[R]){0}, R);
  }
}

static void refusal(const char *text, int ndim, cz_dtype nll_dtype, bool denominator) {
  cz_arg in[CZ_OP_IN] = {0}, out[CZ_OP_OUT] = {0};
  char why[256] = "";
  in[CZ_CHOICES_NLL] = (cz_arg){.dtype = nll_dtype, .ndim = 1, .dim = {R}};
  in[CZ_CHOICES_ROWS] = pairs_of(NULL, K);
  in[CZ_CHOICES_GROUPS] = pairs_of(NULL, B);
  in[CZ_CHOICES_GROUPS].ndim = ndim;
  if (denominator) in[CZ_CHOICES_DENOMINATOR] = (cz_arg){.dtype = nll_dtype, .ndim = 1, .dim = {1}};
  bool took = cz_op_rows[CZ_OP_choices]->shape(out, in, &(cz_choices_attr){0}, why, sizeof why);
  if (took || !strstr(why, text)) fail_msg("'%s' is not in '%s'", text, why);
}

static void refused(void **state) {
  refusal("nll is bf16, which has too few digits", 2, CZ_BF16, false);
  refusal("denominator is given without right", 2, CZ_F32, true);
  refusal("groups", 1, CZ_F32, false);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(by_sums), cmocka_unit_test(by_means),
                                     cmocka_unit_test(by_scores), cmocka_unit_test(refused)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
