/* What `cloze bench kernels` times: a call of one op at sizes of a list (experiments/bench), in
 * memory of a device. kernel_problem.c makes one of an entry of the list; kernels.c times it. */
#ifndef CZ_BENCH_KERNELS_H
#define CZ_BENCH_KERNELS_H

#include "device/device.h"
#include "json/json.h"
#include "kernels/cases.h"

typedef struct cz_kernel_problem {
  cz_device *device;
  cz_op op;
  cz_dtype dtype; /* of the call */
  bool added;     /* backward adds to the gradients of weights and does not write them */
  uint64_t number;
  bool legal; /* the entry is: what fails from there on is the device's */
  cz_case c;  /* its numbers on the host */
  cz_call call;
  void *owned[2 * (CZ_OP_IN + CZ_OP_OUT) + 1];
  size_t owned_bytes[2 * (CZ_OP_IN + CZ_OP_OUT) + 1];
  int n_owned;
} cz_kernel_problem;

CZ_MUST cz_status cz_kernel_problem_make(cz_kernel_problem *p, cz_device *device, cz_dtype dtype,
                                         uint64_t number, const json_t *entry,
                                         const cz_json_place *at);
void cz_kernel_problem_free(cz_kernel_problem *p);
double cz_kernel_problem_bytes(const cz_kernel_problem *p, bool backward);
double cz_kernel_problem_flop(const cz_kernel_problem *p, bool backward);

#endif
