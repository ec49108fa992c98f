/* What this machine can do, measured now: ceilings for benchmarks and rates for
 * predictions. */
#ifndef CZ_DEVICE_PROBE_H
#define CZ_DEVICE_PROBE_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

typedef struct cz_product_probe cz_product_probe;

CZ_MUST cz_status cz_product_probe_create(cz_product_probe **probe);
void cz_product_probe_destroy(cz_product_probe **probe);
double cz_product_probe_round(cz_product_probe *probe);
int64_t cz_peak_rss_bytes(void);
CZ_MUST cz_status cz_cpu_model(char *out, size_t n);

#endif
