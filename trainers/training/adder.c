#include "training/adder.h"

static cz_status add(void *self, void *into, const void *from, int64_t first, int64_t n) {
  cz_device_sums *s = self;
  cz_arg a = {.dtype = s->device->real, .ndim = 1, .dim = {n}}, b = a;
  size_t at = (size_t)first * cz_dtype_bytes(a.dtype);
  if (n == 0) return CZ_OK;
  a.data = (char *)into + at;
  b.data = (char *)from + at;
  cz_call call = {.in = {a, b}, .out = {a}}; /* the op's y may be its a */
  return cz_op_run(s->device, CZ_OP_add, &call, &s->scratch);
}

/** What adds arrays of SUMS's device in its real dtype, as long as SUMS is there and stays where
 * it is. */
cz_adder cz_device_adder(cz_device_sums *sums) {
  return (cz_adder){.device = sums->device, .self = sums, .add = add};
}

/** Frees what the additions needed; SUMS may be used again. */
void cz_device_sums_free(cz_device_sums *sums) {
  if (sums->device) cz_scratch_free(sums->device, &sums->scratch);
}
