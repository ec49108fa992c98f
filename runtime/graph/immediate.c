#include "graph/graph.h"

#include <stdio.h>

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
  call->n_in = row->n_in;
  call->n_out = row->n_out;
  call->stream = d->stream; /* a device's library may be asked for its workspace through it */
  const cz_kernels *kernels;
  CZ_TRY(cz_device_kernels(d, &kernels, op, call, false));
  size_t bytes = kernels->workspace ? kernels->workspace(call, false) : 0;
  if (bytes > scratch->bytes) {
    cz_scratch_free(d, scratch);
    char what[64];
    snprintf(what, sizeof what, "workspace of op %s", row->name);
    CZ_TRY(cz_device_alloc_for(d, &scratch->data, bytes, what));
    scratch->bytes = bytes;
  }
  call->workspace = scratch->data;
  call->workspace_bytes = scratch->bytes;
  kernels->forward(call);
  cz_status st = d->failed(d);
  return st == CZ_OK ? CZ_OK : CZ_NOTE(st, "op %s", row->name);
}

/** Frees the scratch and empties it. */
void cz_scratch_free(cz_device *d, cz_scratch *scratch) {
  cz_device_free(d, &scratch->data, scratch->bytes);
  scratch->bytes = 0;
}
