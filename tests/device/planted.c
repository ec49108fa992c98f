#include "planted.h"
#include "common/common.h"
#include "kernels/cross_entropy/cross_entropy.h"

static struct {
  cz_device *device;
  const cz_kernels *(*kernels)(cz_device *d, cz_op op, cz_dtype dtype);
  cz_kernels table;
  cz_kernel backward;
  plant what;
  int times;
} all;

static void put(const cz_arg *a) {
  assert_non_null(a->data);
  if (a->dtype == CZ_F64)
    *(double *)a->data = all.what.value;
  else
    *(float *)a->data = (float)all.what.value;
  all.times++;
}

static void backward(const cz_call *call) {
  const plant *w = &all.what;
  all.backward(call);
  if (call->key.step < w->first || call->key.step > w->last) return;
  if (!w->all_shards && call->key.shard != w->shard) return;
  put(w->in_loss ? &call->out[CZ_CROSS_ENTROPY_LOSS] : &call->din[CZ_CROSS_ENTROPY_H]);
}

static const cz_kernels *kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  const cz_kernels *own = all.kernels(d, op, dtype);
  if (op != CZ_OP_cross_entropy || !own) return own;
  all.table = *own;
  all.backward = own->backward;
  all.table.backward = backward;
  return &all.table;
}

void plant_in(cz_device *d, const plant *what) {
  if (all.device) all.device->kernels = all.kernels;
  all.device = what ? d : NULL;
  if (!what) return;
  all.what = *what;
  all.kernels = d->kernels;
  d->kernels = kernels;
}

int planted(void) {
  int times = all.times;
  all.times = 0;
  return times;
}
