#include "graph/graph.h"

#include <stdio.h>

static cz_status run_pass(cz_device *d, cz_op op, cz_call *call, bool backward,
                          cz_scratch *scratch) {
  const cz_kernels *kernels;
  call->n_in = cz_op_rows[op]->n_in;
  call->n_out = cz_op_rows[op]->n_out;
  call->stream = d->stream; /* a device's library may be asked for its workspace through it */
  CZ_TRY(cz_device_kernels(d, &kernels, op, call, backward));
  size_t bytes = kernels->workspace ? kernels->workspace(call, backward) : 0;
  if (bytes > scratch->bytes) {
    cz_scratch_free(d, scratch);
    char what[64];
    snprintf(what, sizeof what, "workspace of op %s", cz_op_rows[op]->name);
    CZ_TRY(cz_device_alloc_for(d, &scratch->data, bytes, what));
    scratch->bytes = bytes;
  }
  call->workspace = scratch->data;
  call->workspace_bytes = scratch->bytes;
  (backward ? kernels->backward : kernels->forward)(call);
  cz_status st = d->failed(d);
  return st == CZ_OK ? CZ_OK : CZ_NOTE(st, "op %s", cz_op_rows[op]->name);
}

/** Runs one op's forward at once on device D. CALL holds in, attr, key and training; out
 * holds storage for every output that is wanted (shapes are the caller's promise and are
 * checked against the row). Workspace is taken from SCRATCH, which grows. */
cz_status cz_op_run(cz_device *d, cz_op op, cz_call *call, cz_scratch *scratch) {
  const cz_op_row *row = cz_op_rows[op];
  cz_arg made[CZ_OP_OUT] = {{0}};
  char why[512] = "";
  if (!row->shape(made, call->in, call->attr, why, sizeof why))
    return CZ_FAIL(CZ_EINVAL, "%s: %s", row->name, why);
  for (int o = 0; o < row->n_out; o++)
    if (cz_present(&made[o]) && cz_present(&call->out[o]) &&
        cz_numel(&made[o]) != cz_numel(&call->out[o]))
      return CZ_FAIL(CZ_EINVAL, "%s: output %s has %lld elements, not %lld", row->name,
                     row->out_name[o], (long long)cz_numel(&call->out[o]),
                     (long long)cz_numel(&made[o]));
  return run_pass(d, op, call, false, scratch);
}

/** Runs the backward of a call that cz_op_run has made; din, dout and mode are the caller's. */
cz_status cz_op_run_backward(cz_device *d, cz_op op, cz_call *call, cz_scratch *scratch) {
  return run_pass(d, op, call, true, scratch);
}

/** Frees the scratch and empties it. */
void cz_scratch_free(cz_device *d, cz_scratch *scratch) {
  cz_device_free(d, &scratch->data, scratch->bytes);
  scratch->bytes = 0;
}
