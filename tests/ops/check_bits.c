/* Bits: what may not change a result at all. Threads, working in place, data that
 * backward said it does not read, saved outputs that are not made, what is made again. */
#include "ops_test.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void same_bits(const problem *p, const char *set, const char *what, const char *tensor,
                      const cz_arg *got, const cz_arg *want) {
  if (!got->data || !want->data) return;
  size_t size = cz_dtype_bytes(want->dtype), bytes = (size_t)cz_numel(want) * size;
  if (bytes == 0 || memcmp(got->data, want->data, bytes) == 0) return;
  size_t at = 0;
  while (((const char *)got->data)[at] == ((const char *)want->data)[at]) at++;
  fail_case(p, "%s, %s: other bits in %s from element %zu on", set, what, tensor, at / size);
}

static void same_results(const run *got, const run *want, bool backward, const char *what) {
  const problem *p = want->p;
  const char *set = want->on->name;
  bool outputs = !backward || p->row->fused_backward;
  for (int i = 0; outputs && i < p->row->n_out; i++)
    same_bits(p, set, what, p->row->out_name[i], &got->call.out[i], &want->call.out[i]);
  for (int i = 0; backward && i < p->row->n_in; i++) {
    char name[64];
    snprintf(name, sizeof name, "d%s", p->row->in_name[i]);
    if (want->v.mode[i] != CZ_GRAD_SKIP)
      same_bits(p, set, what, name, &got->call.din[i], &want->call.din[i]);
  }
}

static void expect_same(const run *want, variant v, bool backward, const char *what) {
  run r;
  if (backward ? run_backward(&r, want->p, want->on, v) : run_forward(&r, want->p, want->on, v))
    same_results(&r, want, backward, what);
  run_free(&r);
}

static bool same_size(const cz_arg *a, const cz_arg *b) {
  return cz_present(a) && cz_present(b) && cz_numel(a) == cz_numel(b);
}

/* Of unlike dtypes, one array cannot take the place of the other. */
static bool fits(const run *want, int output, int input, bool gradient) {
  const problem *p = want->p;
  cz_dtype o = output_dtype(p, want->on, output),
           i = gradient ? gradient_dtype(p, want->on, input) : input_dtype(p, want->on, input);
  return o == i && same_size(&p->out[output], &p->c.in[input]);
}

static void check_threads(const run *want, bool backward) {
  if (want->on == ref || !want->p->row->deterministic) return;
  for (int threads = 1; threads <= 3; threads++) {
    variant v = want->v;
    char what[64];
    v.threads = threads;
    snprintf(what, sizeof what, "%s on %d threads", backward ? "backward" : "forward", threads);
    expect_same(want, v, backward, what);
  }
}

static void check_in_place(const run *want) {
  const problem *p = want->p;
  for (int i = 0; i < p->row->n_out; i++) {
    if (!p->row->may_alias[i] || !cz_present(&p->out[i])) continue;
    variant v = want->v;
    v.alias_out = i;
    if (fits(want, i, p->row->may_alias[i] - 1, false))
      expect_same(want, v, false, "forward in place");
    else
      now.not_aliased++;
  }
}

static void check_gradients_in_place(const run *want) {
  const problem *p = want->p;
  for (int i = 0; i < p->row->n_in; i++) {
    int o = p->row->may_alias_grad[i] - 1;
    if (o < 0 || !problem_yields(p, i) || !(want->v.dout >> o & 1)) continue;
    variant v = want->v;
    v.alias_grad = i;
    if (fits(want, o, i, true))
      expect_same(want, v, true, "backward in place");
    else
      now.not_aliased++;
  }
}

/* What the row calls recomputable comes out, bit for bit, of a call that reads what
 * recompute_in says and makes nothing else. */
static void check_again(const run *want) {
  const cz_op_row *row = want->p->row;
  for (int o = 0; o < row->n_out; o++) {
    const cz_arg *out = &want->call.out[o];
    if (!(row->recompute >> o & 1) || !cz_present(out)) continue;
    size_t bytes = (size_t)cz_numel(out) * cz_dtype_bytes(out->dtype);
    cz_call again = want->call;
    void *made = malloc(bytes + 1);
    if (!made) abort();        /* a test machine without memory */
    memset(made, 0xFF, bytes); /* NaN where the call writes nothing */
    for (int k = 0; k < row->n_in; k++) {
      int from = row->recompute_in[k];
      if (from > 0 && cz_present(&want->call.out[from - 1])) again.in[k] = want->call.out[from - 1];
      if (from < 0) again.in[k] = (cz_arg){0};
    }
    for (int i = 0; i < row->n_out; i++)
      if (i != o) again.out[i] = (cz_arg){0};
    again.out[o].data = made;
    const cz_kernels *kernels; /* what is left of the arrays may all have 32 bits */
    kernels = want->on->device->kernels(want->on->device, want->p->op, cz_call_dtype(&again));
    again.workspace_bytes = kernels->workspace ? kernels->workspace(&again, false) : 0;
    again.workspace = calloc(again.workspace_bytes / 64 + 1, 64);
    kernels->forward(&again);
    free(again.workspace);
    if (memcmp(made, out->data, bytes))
      fail_case(want->p, "%s made again has other bits", row->out_name[o]);
    free(made);
  }
}

static void check_forward_bits(const problem *p, const target *on) {
  run want;
  if (run_forward(&want, p, on, plain(p))) {
    variant v = plain(p);
    v.drop_saved = true;
    expect_same(&want, plain(p), false, "forward again");
    if (p->row->out_saved) expect_same(&want, v, false, "forward without what backward needs");
    check_threads(&want, false);
    check_in_place(&want);
    check_again(&want);
  }
  run_free(&want);
}

static void check_backward_bits(const problem *p, const target *on) {
  run want, forward;
  if (run_backward(&want, p, on, plain(p))) {
    variant v = plain(p);
    v.poison = true;
    expect_same(&want, v, true, "backward with everything that it does not need overwritten");
    check_threads(&want, true);
    check_gradients_in_place(&want);
    if (p->row->fused_backward) {
      if (run_forward(&forward, p, on, plain(p)))
        same_results(&want, &forward, false, "outputs of backward against those of forward");
      run_free(&forward);
    }
  }
  run_free(&want);
}

/** All targets give the same bits again, in place, on one, two and three threads,
 * and without what the row says is not needed, and make again what it calls cheap. */
void check_bits(const problem *p) {
  for (const target *on = p->only ? p->only : ref; on; on = next_target(on, p)) {
    check_forward_bits(p, on);
    if (!p->row->not_differentiable) check_backward_bits(p, on);
  }
}
