#include "commands/bench/kernels.h"
#include "kernels/common/shape.h"

#include <stdlib.h>
#include <string.h>

/* The sizes of ENTRY by the names that the op gives them. */
static cz_status read_sizes(int64_t *n, const cz_op_cases *cases, const json_t *entry,
                            const cz_json_place *at) {
  const char *key, *const *sizes = cases->sizes;
  json_t *value;
  json_object_foreach((json_t *)entry, key, value) {
    bool known = !strcmp(key, "op") || !strcmp(key, "name") || !strcmp(key, "added");
    for (int i = 0; i < CZ_CASE_SIZES && sizes[i]; i++) known |= !strcmp(key, sizes[i]);
    if (!known) return cz_json_fail(at, key, "this op has no such size");
  }
  for (int i = 0; i < CZ_CASE_SIZES && sizes[i]; i++) {
    bool on = false;
    if (!(cases->flags >> i & 1)) {
      CZ_TRY(cz_json_get_int(&n[i], entry, at, sizes[i], 1, 1 << 24));
      continue;
    }
    if (json_object_get(entry, sizes[i])) CZ_TRY(cz_json_get_bool(&on, entry, at, sizes[i]));
    n[i] = on;
  }
  return CZ_OK;
}

/* Whether backward adds to the gradients of weights, as where another op has written them before.
 */
static cz_status read_added(cz_kernel_problem *p, const json_t *entry, const cz_json_place *at) {
  if (!json_object_get(entry, "added")) return CZ_OK;
  CZ_TRY(cz_json_get_bool(&p->added, entry, at, "added"));
  if (cz_op_rows[p->op]->weights) return CZ_OK;
  return cz_json_fail(at, "added", "this op has no gradient of a weight to add to");
}

static cz_status fill(cz_kernel_problem *p, const json_t *entry, const cz_json_place *at) {
  const char *names[CZ_OPS];
  int64_t n[CZ_CASE_SIZES] = {0};
  int op;
  for (int i = 0; i < CZ_OPS; i++) names[i] = cz_op_rows[i]->name;
  CZ_TRY(cz_json_get_choice(&op, entry, at, "op", names, CZ_OPS));
  const cz_op_cases *cases = cz_op_case_table[op];
  CZ_TRY(read_sizes(n, cases, entry, at));
  p->op = (cz_op)op;
  CZ_TRY(read_added(p, entry, at));
  cases->bench(&p->c, &(cz_rand){.state = 1}, n);
  return CZ_OK;
}

static size_t bytes_of(const cz_arg *a) { return (size_t)cz_numel(a) * cz_dtype_bytes(a->dtype); }

static cz_status take(cz_kernel_problem *p, cz_arg *a) {
  const size_t bytes = bytes_of(a);
  CZ_TRY(cz_device_alloc(p->device, &a->data, bytes));
  p->owned[p->n_owned] = a->data;
  p->owned_bytes[p->n_owned++] = bytes;
  return CZ_OK;
}

/* N float64 numbers into an array of the device, through its real dtype. */
static cz_status put(cz_kernel_problem *p, const cz_arg *a, const double *host) {
  cz_device *d = p->device;
  const int64_t n = cz_numel(a);
  void *real;
  if (a->dtype == d->real) return cz_device_write_real(d, a->data, host, n);
  CZ_TRY(cz_device_alloc(d, &real, (size_t)n * cz_dtype_bytes(d->real)));
  cz_status st = cz_device_write_real(d, real, host, n);
  if (st == CZ_OK) st = cz_device_cast(d, a->data, a->dtype, real, d->real, n);
  cz_device_free(d, &real, (size_t)n * cz_dtype_bytes(d->real));
  return st;
}

static cz_status make_arrays(cz_kernel_problem *p) {
  const cz_op_row *row = cz_op_rows[p->op];
  for (int i = 0; i < row->n_in; i++) {
    cz_arg *a = &p->call.in[i];
    if (!cz_present(a)) continue;
    if (row->weights >> i & 1) a->version = p->number;
    CZ_TRY(take(p, a));
    CZ_TRY(a->dtype == CZ_I32 ? p->device->write(p->device, a->data, p->c.in[i].data, bytes_of(a))
                              : put(p, a, p->c.in[i].data));
  }
  for (int o = 0; o < row->n_out; o++) {
    cz_arg *a = &p->call.out[o];
    if (row->must_alias[o])
      a->data = p->call.in[row->must_alias[o] - 1].data;
    else if (cz_present(a))
      CZ_TRY(take(p, a));
  }
  return CZ_OK;
}

/* Small random gradients at the outputs where one arrives, and room for those of the inputs. */
static cz_status make_gradients(cz_kernel_problem *p) {
  const cz_op_row *row = cz_op_rows[p->op];
  cz_rand r = {.state = 2};
  for (int o = 0; o < row->n_out; o++) {
    cz_arg *a = &p->call.dout[o];
    double *host;
    if (row->out_saved >> o & 1 || !cz_present(&p->call.out[o])) continue;
    *a = p->call.out[o];
    CZ_TRY(take(p, a));
    CZ_TRY(cz_alloc(&host, (size_t)cz_numel(a), sizeof *host));
    for (int64_t i = 0; i < cz_numel(a); i++) host[i] = cz_rand_real(&r, -0.01, 0.01);
    cz_status st = put(p, a, host);
    free(host);
    CZ_TRY(st);
  }
  for (int i = 0; i < row->n_in; i++) {
    cz_arg *a = &p->call.din[i];
    if (!(row->grad >> i & 1) || !cz_present(&p->call.in[i])) continue;
    *a = p->call.in[i];
    const bool weight = row->weights >> i & 1;
    if (weight) a->dtype = cz_statistic_dtype(a->dtype);
    p->call.mode[i] = weight && p->added ? CZ_GRAD_ADD : CZ_GRAD_WRITE;
    CZ_TRY(take(p, a));
    if (p->call.mode[i] == CZ_GRAD_ADD) CZ_TRY(p->device->fill(p->device, a->data, 0, bytes_of(a)));
  }
  return CZ_OK;
}

static cz_status make_workspace(cz_kernel_problem *p) {
  const cz_op_row *row = cz_op_rows[p->op];
  cz_arg work = {.dtype = CZ_F64, .ndim = 1};
  for (int backward = 0; backward < (row->not_differentiable ? 1 : 2); backward++) {
    const cz_kernels *k;
    CZ_TRY(cz_device_kernels(p->device, &k, p->op, &p->call, backward));
    int64_t n = k->workspace ? (int64_t)(k->workspace(&p->call, backward) + 7) / 8 : 0;
    if (n > work.dim[0]) work.dim[0] = n;
  }
  CZ_TRY(take(p, &work));
  p->call.workspace = work.data, p->call.workspace_bytes = bytes_of(&work);
  return CZ_OK;
}

/** Makes the problem of ENTRY, {"op", "name", sizes, "added"}, whose real arrays have DTYPE where
 * the row takes them in it, in DEVICE's memory. With "added": true backward adds to the gradients
 * of weights, which it writes otherwise. NUMBER, not 0, is another one for every problem of a
 * device: the version of its weights. CZ_EINVAL with the place in the file for keys and sizes that
 * do not fit the op, or with op, dtype and device where there is no kernel. The caller frees P in
 * any case. */
cz_status cz_kernel_problem_make(cz_kernel_problem *p, cz_device *device, cz_dtype dtype,
                                 uint64_t number, const json_t *entry, const cz_json_place *at) {
  *p = (cz_kernel_problem){.device = device, .dtype = dtype, .number = number};
  CZ_TRY(fill(p, entry, at));
  p->legal = true;
  const cz_op_row *row = cz_op_rows[p->op];
  p->call = (cz_call){.n_in = row->n_in,
                      .n_out = row->n_out,
                      .attr = p->c.attr,
                      .key.seed = 1,
                      .training = p->c.training,
                      .stream = device->stream};
  char why[256] = "";
  if (!cz_case_dtypes(&p->call, &p->c, row, dtype, 0, why, sizeof why))
    return CZ_FAIL(CZ_EINVAL, "%s in %s: %s", row->name, cz_dtype_names[dtype], why);
  CZ_TRY(make_arrays(p));
  if (!row->not_differentiable) CZ_TRY(make_gradients(p));
  return make_workspace(p);
}

/** Frees the problem. */
void cz_kernel_problem_free(cz_kernel_problem *p) {
  for (int i = 0; i < p->n_owned; i++) cz_device_free(p->device, &p->owned[i], p->owned_bytes[i]);
  cz_case_free(&p->c);
  p->n_owned = 0;
}

/* Of what a pass reads or writes, the rows that it touches. */
static double touched(const cz_kernel_problem *p, const cz_arg *a) {
  const cz_op_cases *cases = cz_op_case_table[p->op];
  const double bytes = (double)bytes_of(a);
  if (!cases->rows || bytes == 0) return bytes;
  const int64_t rows = cases->rows(&p->call, a);
  return rows < a->dim[0] ? bytes / (double)a->dim[0] * (double)rows : bytes;
}

/* Of gradient I what backward writes, all of it; or reads and writes, where it adds. */
static double of_gradient(const cz_kernel_problem *p, int i) {
  const cz_arg *a = &p->call.din[i];
  return p->call.mode[i] == CZ_GRAD_ADD ? 2 * touched(p, a) : (double)bytes_of(a);
}

/** The bytes of what a pass reads and of what it writes, each counted once. */
double cz_kernel_problem_bytes(const cz_kernel_problem *p, bool backward) {
  const cz_op_row *row = cz_op_rows[p->op];
  const cz_needs reads =
      backward ? cz_call_needs(row, &p->call) : (cz_needs){.in = ~row->in_written};
  double bytes = 0;
  for (int i = 0; i < row->n_in; i++)
    bytes +=
        (reads.in >> i & 1 ? touched(p, &p->call.in[i]) : 0) + (backward ? of_gradient(p, i) : 0);
  for (int o = 0; o < row->n_out; o++)
    bytes += (!backward || reads.out >> o & 1 ? touched(p, &p->call.out[o]) : 0) +
             (backward ? (double)bytes_of(&p->call.dout[o]) : 0);
  return bytes;
}

/** The floating-point operations of a pass's matrix products, as the row counts them. */
double cz_kernel_problem_flop(const cz_kernel_problem *p, bool backward) {
  cz_call on_host = p->call;
  const cz_op_row *row = cz_op_rows[p->op];
  for (int i = 0; i < row->n_in; i++)
    on_host.in[i].data = p->c.in[i].dtype == CZ_I32 ? p->c.in[i].data : NULL;
  return row->flops ? row->flops(&on_host, backward) : 0;
}
