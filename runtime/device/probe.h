/* What this machine can do, measured now: ceilings for benchmarks and rates for
 * predictions. */
#ifndef CZ_DEVICE_PROBE_H
#define CZ_DEVICE_PROBE_H

#include "device/device.h"

#include <stddef.h>
#include <stdint.h>

/* The rate of large matrix products: the ceiling that `cloze bench step` compares a step with. In
 * float32 by the BLAS that the kernels use; in bfloat16 by the device's matrix units, with packed
 * weights, and where it has none by the BLAS too, since panels are multiplied in float32. A probe
 * keeps its operands, so that rounds can be taken between the steps, whenever the machine's speed
 * may have changed. */
typedef struct cz_product_probe cz_product_probe;

CZ_MUST cz_status cz_product_probe_create(cz_product_probe **probe, const cz_device *d,
                                          cz_dtype dtype);
void cz_product_probe_destroy(cz_product_probe **probe);
double cz_product_probe_round(cz_product_probe *probe);
const char *cz_product_probe_by(const cz_product_probe *probe);

/* The process's largest resident memory so far, bytes, as the kernel counts it; the
 * machine's memory, bytes; the processors that this process may use; and the processor's
 * name. All for reports: nothing is decided by them. */
int64_t cz_peak_rss_bytes(void);
int64_t cz_memory_bytes(void);
int cz_processors(void);
CZ_MUST cz_status cz_cpu_model(char *out, size_t n);

#endif
