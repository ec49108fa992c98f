/* The kernel that tells cuDNN of segments, in every order of threads: what it writes of good spans,
 * by groups, and that of others the first one is named and nothing else is left. */
#include "emulator/control.h"
#include "kernels/attention_cudnn/attention_cudnn.h"
#include "kernels/common/launch.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
extern "C" {
#include "common/common.h"
}

void cz_cuda_launched(void *stream, const char *kernel, int error) { assert_int_equal(error, 0); }
void *cz_cuda_stream_of(void *stream) { return stream; }

enum { MOST = 600, HEADS = 3, HEAD = 8, ARRAYS = 5 };

typedef struct problem {
  int64_t B, group, q[MOST], k[MOST]; /* lengths */
  int bad, which, at, to;             /* a span that is none; bad -1: all are good */
} problem;

static void *device(size_t bytes) {
  void *p;
  assert_int_equal(cudaMalloc(&p, bytes), cudaSuccess);
  return p;
}

static int64_t fill(int32_t *spans, const int64_t *length, int64_t B) {
  int64_t at = 0;
  for (int64_t b = 0; b < B; b++)
    spans[2 * b] = (int32_t)at, spans[2 * b + 1] = (int32_t)(at += length[b]);
  return at;
}

static void check(const problem *p) {
  static int32_t spans[2][2 * MOST], host[ARRAYS][4 * MOST];
  const cz_attention_cudnn_attr attr = {
      .heads = HEADS, .causal = false, .scale = 1, .longest_q = 0, .longest_k = 0};
  const int64_t Tq = fill(spans[0], p->q, p->B), Tk = fill(spans[1], p->k, p->B),
                groups = (p->B + p->group - 1) / p->group, stride = (p->group + 4) / 4 * 4;
  const size_t bytes = (size_t)(groups * stride) * sizeof(int32_t);
  int32_t *array[ARRAYS];
  int32_t *wrong = (int32_t *)device(sizeof *wrong), told = 0; /* a card's own memory will do */
  cz_call call;
  memset(&call, 0, sizeof call);
  if (p->bad >= 0) spans[p->which][p->at] = p->to;
  call.attr = &attr;
  call.in[CZ_ATTENTION_CUDNN_Q].dim[0] = Tq, call.in[CZ_ATTENTION_CUDNN_K].dim[0] = Tk;
  call.in[CZ_ATTENTION_CUDNN_Q].dim[1] = HEADS * HEAD;
  for (int i = 0; i < 2; i++) {
    cz_arg *s = &call.in[CZ_ATTENTION_CUDNN_Q_SPANS + i];
    const size_t n = (size_t)p->B * 8;
    s->data = device(n), s->dim[0] = p->B;
    assert_int_equal(cudaMemcpy(s->data, spans[i], n, cudaMemcpyHostToDevice), cudaSuccess);
  }
  for (int i = 0; i < ARRAYS; i++) array[i] = (int32_t *)device(bytes);
  assert_int_equal(cudaMemcpy(wrong, &told, sizeof told, cudaMemcpyHostToDevice), cudaSuccess);
  const cz_attention_cudnn_segments s = {array[0], array[1], array[2], array[3], array[4], groups,
                                         p->group, stride,   64,       70,       wrong};
  cz_attention_cudnn_segments_cuda(&call, &s);
  assert_null(emu_take_error());
  assert_int_equal(cudaMemcpy(&told, wrong, sizeof told, cudaMemcpyDeviceToHost), cudaSuccess);
  assert_int_equal(told, p->bad + 1);
  for (int i = 0; i < ARRAYS; i++)
    assert_int_equal(cudaMemcpy(host[i], array[i], bytes, cudaMemcpyDeviceToHost), cudaSuccess);
  for (int64_t g = 0; g < groups; g++)
    for (int64_t i = 0; i <= p->group; i++) {
      const int64_t n = g * p->group + i, at = g * stride + i;
      const bool good = p->bad < 0, there = good && n < p->B;
      const int64_t q = there  ? spans[0][2 * n]
                        : good ? Tq
                               : 0,
                    k = there  ? spans[1][2 * n]
                        : good ? Tk
                               : 0;
      assert_int_equal(host[0][at], q * HEADS * HEAD);
      assert_int_equal(host[1][at], k * HEADS * HEAD);
      assert_int_equal(host[2][at], q * HEADS);
      if (i == p->group) continue;
      assert_int_equal(host[3][at], there ? p->q[n] : 0);
      assert_int_equal(host[4][at], there ? p->k[n] : 0);
    }
  for (int i = 0; i < ARRAYS; i++) cudaFree(array[i]);
  for (int i = 0; i < 2; i++) cudaFree(call.in[CZ_ATTENTION_CUDNN_Q_SPANS + i].data);
  cudaFree(wrong);
}

static problem make(int64_t B, int64_t group) {
  problem p;
  memset(&p, 0, sizeof p);
  p.B = B, p.group = group, p.bad = -1;
  for (int64_t b = 0; b < B; b++) p.q[b] = 1 + b * 7 % 64, p.k[b] = 1 + b * 5 % 70;
  return p;
}

static void good(void **state) {
  static const int64_t sizes[][2] = {{1, 1}, {3, 4},     {4, 4},    {5, 2},
                                     {7, 3}, {255, 256}, {600, 96}, {600, 256}};
  for (int order = 0; order < EMU_ORDERS; order++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      emu_set_order((emu_order)order, 1);
      const problem p = make(sizes[i][0], sizes[i][1]);
      check(&p);
    }
}

static void blame(problem p, int bad, int which, int at, int to) {
  p.bad = bad, p.which = which, p.at = at, p.to = to;
  check(&p);
}

static void bad(void **state) {
  for (int order = 0; order < EMU_ORDERS; order++) {
    emu_set_order((emu_order)order, 1);
    problem p = make(3, 4); /* q [0, 1), [1, 9), [9, 24); k [0, 1), [1, 7), [7, 18) */
    blame(p, 0, 0, 0, 1);
    blame(p, 0, 1, 1, 0);
    blame(p, 1, 0, 2, 2);
    blame(p, 2, 1, 5, 17);
    blame(p, 2, 0, 5, 25);
    blame(p, 1, 0, 3, -1);
    p = make(600, 256);
    blame(p, 599, 1, 1199, 3);
    p.q[300] = 65; /* longer than the longest */
    p.bad = 300, p.which = 0, p.at = 0, p.to = 0;
    check(&p);
    p.k[44] = 0; /* empty, and before that one */
    p.bad = 44;
    check(&p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(good), cmocka_unit_test(bad)};
  return cmocka_run_group_tests_name("segments", tests, NULL, NULL);
}
