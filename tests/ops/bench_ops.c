/* Each op alone, on its bench problem (cz_op_cases.bench): the median time of a pass, the
 * rate of its products, and the bytes of the arrays that the pass reads and writes, each
 * counted once and whole, over that time (an op that touches a few rows of a table
 * therefore shows a rate that no memory has). For whoever changes a kernel; not a ctest
 * but for one small op.
 *
 *   bench_ops [--device cpu] [--op NAME] [--repeats 5] */
#include "base/clock.h"
#include "base/mem.h"
#include "base/number.h"
#include "device/device.h"
#include "kernels/cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ARRAYS = 2 * (CZ_OP_IN + CZ_OP_OUT) + 1, MOST_REPEATS = 101 };

typedef struct bench {
  cz_device *device;
  cz_op op;
  const cz_op_row *row;
  cz_case c;
  cz_call call;
  void *owned[ARRAYS];
  size_t bytes[ARRAYS];
  int n_owned, repeats;
} bench;

static cz_status take(bench *b, void **out, size_t bytes) {
  CZ_TRY(cz_device_alloc(b->device, out, bytes));
  b->owned[b->n_owned] = *out;
  b->bytes[b->n_owned++] = bytes;
  return CZ_OK;
}

static size_t size_of(const cz_arg *a) { return (size_t)cz_numel(a) * cz_dtype_bytes(a->dtype); }

static cz_status make_inputs(bench *b) {
  for (int i = 0; i < b->row->n_in; i++) {
    cz_arg *a = &b->call.in[i];
    *a = b->c.in[i];
    if (!cz_present(a)) continue;
    const void *host = a->data;
    if (a->dtype != CZ_I32) a->dtype = b->device->real;
    CZ_TRY(take(b, &a->data, size_of(a)));
    CZ_TRY(a->dtype == CZ_I32 ? b->device->write(b->device, a->data, host, size_of(a))
                              : cz_device_write_real(b->device, a->data, host, cz_numel(a)));
  }
  return CZ_OK;
}

/* Small random gradients at the outputs where one arrives, and room for those of the
 * inputs. */
static cz_status make_gradients(bench *b, cz_rand *r) {
  for (int o = 0; o < b->row->n_out; o++) {
    cz_arg *a = &b->call.dout[o];
    if (b->row->out_saved >> o & 1 || !cz_present(&b->call.out[o])) continue;
    *a = b->call.out[o];
    double *host;
    CZ_TRY(take(b, &a->data, size_of(a)));
    CZ_TRY(cz_alloc(&host, (size_t)cz_numel(a), sizeof *host));
    for (int64_t i = 0; i < cz_numel(a); i++) host[i] = cz_rand_real(r, -0.01, 0.01);
    cz_status st = cz_device_write_real(b->device, a->data, host, cz_numel(a));
    free(host);
    CZ_TRY(st);
  }
  for (int i = 0; i < b->row->n_in; i++) {
    if (!(b->row->grad >> i & 1) || !cz_present(&b->call.in[i])) continue;
    b->call.mode[i] = CZ_GRAD_WRITE;
    b->call.din[i] = b->call.in[i];
    CZ_TRY(take(b, &b->call.din[i].data, size_of(&b->call.din[i])));
  }
  return CZ_OK;
}

static cz_status make(bench *b, cz_rand *r) {
  char why[256] = "";
  b->call = (cz_call){.n_in = b->row->n_in,
                      .n_out = b->row->n_out,
                      .attr = b->c.attr,
                      .key.seed = 1,
                      .training = b->c.training,
                      .stream = b->device->stream};
  CZ_TRY(make_inputs(b));
  if (!b->row->shape(b->call.out, b->call.in, b->c.attr, why, sizeof why))
    return CZ_FAIL(CZ_EINVAL, "%s: %s", b->row->name, why);
  for (int o = 0; o < b->row->n_out; o++) {
    cz_arg *a = &b->call.out[o];
    if (b->row->must_alias[o])
      a->data = b->call.in[b->row->must_alias[o] - 1].data;
    else if (cz_present(a))
      CZ_TRY(take(b, &a->data, size_of(a)));
  }
  if (!b->row->not_differentiable) CZ_TRY(make_gradients(b, r));
  for (int backward = 0; backward < (b->row->not_differentiable ? 1 : 2); backward++) {
    const cz_kernels *kernels;
    CZ_TRY(cz_device_kernels(b->device, &kernels, b->op, &b->call, backward));
    size_t bytes = kernels->workspace ? kernels->workspace(&b->call, backward) : 0;
    b->call.workspace_bytes = bytes > b->call.workspace_bytes ? bytes : b->call.workspace_bytes;
  }
  return take(b, &b->call.workspace, b->call.workspace_bytes);
}

static int ascending(const void *x, const void *y) {
  return *(const double *)x < *(const double *)y ? -1 : *(const double *)x > *(const double *)y;
}

/* The median after one run that is not counted. */
static cz_status measure(bench *b, double *seconds, bool backward) {
  double t[MOST_REPEATS];
  const cz_kernels *kernels;
  CZ_TRY(cz_device_kernels(b->device, &kernels, b->op, &b->call, backward));
  for (int i = -1; i < b->repeats; i++) {
    CZ_TRY(b->device->sync(b->device));
    double began = cz_seconds();
    (backward ? kernels->backward : kernels->forward)(&b->call);
    CZ_TRY(b->device->sync(b->device));
    if (i >= 0) t[i] = cz_seconds() - began;
  }
  qsort(t, (size_t)b->repeats, sizeof *t, ascending);
  *seconds = t[b->repeats / 2];
  return CZ_OK;
}

static double moved(const bench *b, bool backward) {
  cz_needs needs = {backward ? b->row->needs.in : ~0u, backward ? b->row->needs.out : ~0u};
  double bytes = 0;
  if (backward && b->row->needs_of) b->row->needs_of(&needs, b->c.attr);
  for (int i = 0; i < b->row->n_in; i++)
    bytes += (needs.in >> i & 1 ? (double)size_of(&b->call.in[i]) : 0) +
             (backward ? (double)size_of(&b->call.din[i]) : 0);
  for (int o = 0; o < b->row->n_out; o++)
    bytes += (needs.out >> o & 1 ? (double)size_of(&b->call.out[o]) : 0) +
             (backward ? (double)size_of(&b->call.dout[o]) : 0);
  return bytes;
}

static cz_status show(bench *b) {
  for (int backward = 0; backward < (b->row->not_differentiable ? 1 : 2); backward++) {
    double seconds = 0;
    cz_call on_host = b->call;
    CZ_TRY(measure(b, &seconds, backward));
    for (int i = 0; i < b->row->n_in; i++)
      on_host.in[i].data = b->c.in[i].dtype == CZ_I32 ? b->c.in[i].data : NULL;
    double flop = b->row->flops ? b->row->flops(&on_host, backward) : 0;
    printf("%-14s %-8s %10.3f ms %10.1f GFLOP/s %8.1f GB/s   %s\n", b->row->name,
           backward ? "backward" : "forward", seconds * 1e3, flop / seconds / 1e9,
           moved(b, backward) / seconds / 1e9, b->c.what);
  }
  return CZ_OK;
}

static cz_status one_op(cz_device *device, cz_op op, int repeats) {
  bench b = {.device = device, .op = op, .row = cz_op_rows[op], .repeats = repeats};
  cz_rand r = {.state = 1};
  cz_op_case_table[op]->bench(&b.c, &r);
  cz_status st = make(&b, &r);
  if (st == CZ_OK) st = show(&b);
  for (int i = 0; i < b.n_owned; i++) cz_device_free(device, &b.owned[i], b.bytes[i]);
  cz_case_free(&b.c);
  return st;
}

static cz_status all_ops(const char *device_name, const char *only, int repeats) {
  cz_device *device;
  cz_status st = CZ_OK;
  int ran = 0;
  CZ_TRY(cz_device_open(&device, device_name));
  for (cz_op op = 0; op < CZ_OPS && st == CZ_OK; op++) {
    if (!cz_op_case_table[op]->bench || (only && strcmp(only, cz_op_rows[op]->name))) continue;
    st = one_op(device, op, repeats);
    ran++;
  }
  cz_device_close(&device);
  return st == CZ_OK && !ran ? CZ_FAIL(CZ_EUSAGE, "there is no op '%s' with a bench problem", only)
                             : st;
}

int main(int argc, char **argv) {
  const char *device = "cpu", *only = NULL;
  int64_t repeats = 5;
  cz_status st = CZ_OK;
  for (int i = 1; i < argc && st == CZ_OK; i += 2) {
    if (i + 1 < argc && !strcmp(argv[i], "--device"))
      device = argv[i + 1];
    else if (i + 1 < argc && !strcmp(argv[i], "--op"))
      only = argv[i + 1];
    else if (i + 1 < argc && !strcmp(argv[i], "--repeats"))
      st = cz_parse_int(argv[i + 1], &repeats);
    else
      st = CZ_FAIL(CZ_EUSAGE, "%s: usage: bench_ops [--device D] [--op NAME] [--repeats N]",
                   argv[i]);
  }
  if (st == CZ_OK && (repeats < 1 || repeats > MOST_REPEATS))
    st = CZ_FAIL(CZ_EUSAGE, "--repeats is %lld, not 1 to %d", (long long)repeats, MOST_REPEATS);
  if (st == CZ_OK) st = all_ops(device, only, (int)repeats);
  if (st != CZ_OK) fprintf(stderr, "bench_ops: %s\n", cz_error_message());
  return st == CZ_OK ? 0 : 1;
}
