/* What `clip` makes of a step for the optimizers: `hyper`, an array of reals in device memory, so
 * that no host has to see the gradient's norm before the update. */
#ifndef CZ_KERNELS_COMMON_HYPER_H
#define CZ_KERNELS_COMMON_HYPER_H

/* RATE: learning rate. STEP: number of the step, as the optimizer counts. FACTOR: on the gradient.
 * KEEP: 1; 0 for a step whose loss or gradient is not finite, which leaves everything as it was
 * (a factor of 0 would not: 0 times NaN is NaN). SUMSQ and SCALE are for records: the gradient's
 * sum of squares, and the loss scale that it was made with. */
enum {
  CZ_HYPER_RATE,
  CZ_HYPER_STEP,
  CZ_HYPER_FACTOR,
  CZ_HYPER_KEEP,
  CZ_HYPER_SUMSQ,
  CZ_HYPER_SCALE,
  CZ_HYPERS
};

#endif
