/* Attention whose products are those of a device's matrix units (common/units.h), for one (segment,
 * head); private to this folder. */
#ifndef CZ_KERNELS_ATTENTION_UNITS_H
#define CZ_KERNELS_ATTENTION_UNITS_H

#include "kernels/attention/attention_cpu.h"

CZ_C_BEGIN

void cz__attention_units_sizes(cz__attention_plan *p, bool backward);
void cz__attention_units_tile(cz__attention_unit *u);
void cz__attention_units_forward(const cz__attention_unit *u, int thread);
void cz__attention_units_backward(const cz__attention_unit *u, int thread,
                                  const cz_grad_mode *mode);

CZ_C_END

#endif
