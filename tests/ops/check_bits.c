/* Bits: what may not change a result at all. Threads, working in place, data that
 * backward said it does not read, saved outputs that are not made, what is made again. */
#include "ops_test.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static void same_bits(const run *got, const run *want, const cz_arg *a, const cz_arg *b,
                      const char *what, const char *tensor) {
  const unsigned char *x = run_host(got, a), *y = run_host(want, b);
  if (!x || !y) return;
  size_t size = cz_dtype_bytes(b->dtype), bytes = (size_t)cz_numel(b) * size;
  if (bytes == 0 || memcmp(x, y, bytes) == 0) return;
  size_t at = 0;
  while (x[at] == y[at]) at++;
  fail_case(want->p, "%s, %s: other bits in %s from element %zu on", want->on->name, what, tensor,
            at / size);
}

static void same_results(const run *got, const run *want, bool backward, const char *what) {
  const problem *p = want->p;
  bool outputs = !backward || p->row->fused_backward;
  for (int i = 0; outputs && i < p->row->n_out; i++)
    same_bits(got, want, &got->call.out[i], &want->call.out[i], what, p->row->out_name[i]);
  for (int i = 0; backward && i < p->row->n_in; i++) {
    char name[64];
    snprintf(name, sizeof name, "d%s", p->row->in_name[i]);
    if (want->v.mode[i] != CZ_GRAD_SKIP)
      same_bits(got, want, &got->call.din[i], &want->call.din[i], what, name);
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

/* What may run in any order: the host's threads, or what the device varies, which takes its time:
 * one order a case. */
static void check_threads(const run *want, bool backward) {
  const target *on = want->on;
  if (on == ref || !want->p->row->deterministic || !(on->vary || on->host_threads)) return;
  /* each is had in every share of three */
  const int one = 1 + want->p->index / 3 % 3, first = on->vary ? one : 1, last = on->vary ? one : 3;
  for (int threads = first; threads <= last; threads++) {
    variant v = want->v;
    char what[64];
    v.threads = threads;
    snprintf(what, sizeof what, "%s %s %d%s", backward ? "backward" : "forward",
             on->vary ? "in order" : "on", threads, on->vary ? "" : " threads");
    expect_same(want, v, backward, what);
  }
}

/* As in a graph, where step and shard lie in the device's memory: what draws finds them there. */
static void check_clock(const run *want, bool backward) {
  variant v = want->v;
  v.clock = true;
  if (want->p->c.training && (want->on->reads_clock || !want->on->device->host_memory))
    expect_same(want, v, backward, backward ? "backward with a clock" : "forward with a clock");
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

/* Of the same bits, or both NaN: a device may make another of one. */
static bool same_number(const unsigned char *x, const unsigned char *y, cz_dtype dtype) {
  if (!memcmp(x, y, cz_dtype_bytes(dtype))) return true;
  return dtype != CZ_I32 && isnan(number_at(x, dtype, 0)) && isnan(number_at(y, dtype, 0));
}

/* Output O, which an input is that the row only writes: what is written has the bits that it has
 * over other contents, and what is not is left. */
static void same_or_left(const run *got, const run *want, int o, int input) {
  const unsigned char *x = run_host(got, &got->call.out[o]),
                      *y = run_host(want, &want->call.out[o]), *was = block_sent(got->in[input]),
                      *stood = block_sent(want->in[input]);
  const cz_dtype dtype = want->call.out[o].dtype;
  const size_t size = cz_dtype_bytes(dtype), bytes = (size_t)cz_numel(&want->call.out[o]) * size;
  for (size_t at = 0; at < bytes; at += size) {
    const bool left =
        same_number(x + at, was + at, dtype) && same_number(y + at, stood + at, dtype);
    if (left || !memcmp(x + at, y + at, size)) continue;
    fail_case(want->p, "%s reads %s, which it says it only writes, for element %zu", want->on->name,
              want->p->row->in_name[input], at / size);
    return;
  }
}

static void check_only_written(const run *want) {
  const cz_op_row *row = want->p->row;
  variant v = want->v;
  run r;
  v.stale = true;
  if (run_forward(&r, want->p, want->on, v))
    for (int o = 0; o < row->n_out; o++) {
      const int input = row->must_alias[o] - 1;
      if (input >= 0 && (row->in_written >> input & 1) && cz_present(&want->call.out[o]))
        same_or_left(&r, want, o, input);
      else
        same_bits(&r, want, &r.call.out[o], &want->call.out[o],
                  "forward over other contents of what it only writes", row->out_name[o]);
    }
  run_free(&r);
}

/* What the row calls recomputable comes out, bit for bit, of a call that reads what
 * recompute_in says and makes nothing else. */
static void check_again(run *want) {
  const cz_op_row *row = want->p->row;
  for (int o = 0; o < row->n_out; o++) {
    const cz_arg *out = &want->call.out[o];
    if (!(row->recompute >> o & 1) || !cz_present(out)) continue;
    const void *made = run_again(want, o);
    size_t bytes = (size_t)cz_numel(out) * cz_dtype_bytes(out->dtype);
    if (made && memcmp(made, run_host(want, out), bytes))
      fail_case(want->p, "%s made again has other bits", row->out_name[o]);
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
    check_clock(&want, false);
    check_in_place(&want);
    if (p->row->in_written) check_only_written(&want);
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
    check_clock(&want, true);
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
