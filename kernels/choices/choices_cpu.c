/* Choices in float32. A batch has some hundred tokens: plain loops, in double. */
#include "kernels/choices/choices_hinge.h"
#include "kernels/common/rows.h"

/** Loss and scores: each summed in double and rounded once. Contract: choices.h. */
void cz_choices_fwd_cpu(const cz_call *call) {
  const cz_choices c = cz_choices_of(call);
  double loss = 0;
  for (int64_t k = 0; k < c.K; k++) {
    const int64_t begin = c.rows[2 * k], end = c.rows[2 * k + 1];
    double sum = 0;
    for (int64_t i = begin; i < end; i++) sum += c.nll[i];
    c.scores[k] = (float)(0 - sum / cz_choices_divisor(&c, end - begin));
  }
  for (int64_t b = 0; b < c.B; b++) loss += cz_choices_loss(&c, b);
  *c.loss = c.right ? (float)(loss / *c.denominator) : 0;
}

static void clear_rows(const cz_choices *c, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end && !c->add; i++) c->dnll[i] = 0;
}

/** Gradient of nll in float32. Contract: choices.h. */
void cz_choices_bwd_cpu(const cz_call *call) {
  const cz_choices c = cz_choices_of(call);
  if (call->mode[CZ_CHOICES_NLL] == CZ_GRAD_SKIP) return;
  if (c.K == 0) cz_grad_begin(call, CZ_CHOICES_NLL);
  for (int64_t k = 0; k < c.K; k++) {
    const cz_span s = cz_span_of(c.rows, c.K, k, c.R);
    const float g = cz_choices_gradient(&c, k, s.end - s.begin);
    clear_rows(&c, s.before, s.begin);
    clear_rows(&c, s.end, s.after);
    for (int64_t i = s.begin; i < s.end; i++) c.dnll[i] = c.add ? c.dnll[i] + g : g;
  }
}
