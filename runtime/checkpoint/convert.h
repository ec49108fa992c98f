/* Number formats of weight files: to float32 and float64, which is exact but for float64
 * to float32, and back with one rounding to nearest even. Done in software, so that the
 * bytes of a file do not depend on the processor. Internal to checkpoint. */
#ifndef CZ_CHECKPOINT_CONVERT_H
#define CZ_CHECKPOINT_CONVERT_H

#include "checkpoint/safetensors.h"

enum {
  CZ__ST_HEADER_CAP = 100000000,
  CZ__ST_PIECE = 1 << 20
}; /* bytes: the format's limit; one step of converting */

bool cz__convert_known(cz_safetensors_type type);
void cz__convert_to_f32(float *out, const void *in, cz_safetensors_type type, size_t n);
void cz__convert_to_f64(double *out, const void *in, cz_safetensors_type type, size_t n);
void cz__convert_store(void *out, cz_safetensors_type type, const void *in,
                       cz_safetensors_type from, size_t n);

#endif
