/* A weight file: what opens can be read, as float32 and float64, and mapped. */
#include "checkpoint/safetensors.h"
#include "fuzz/fuzz.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  cz_safetensors *s;
  if (cz_safetensors_open(&s, fuzz_file(data, size)) != CZ_OK) return 0;
  for (size_t i = 0; i < cz_safetensors_count(s); i++) {
    const cz_safetensors_info *t = cz_safetensors_at(s, i);
    if (t->bytes > size || t->begin > size - t->bytes) abort();
    double *out = calloc(t->elements + 1, sizeof *out); /* at most two for each byte of the file */
    if (!out) abort();
    const void *bytes;
    if (cz_safetensors_map(s, &bytes, t) == CZ_OK && t->bytes)
      out[0] = ((const char *)bytes)[0] + ((const char *)bytes)[t->bytes - 1];
    (void)!cz_safetensors_read_f64(s, out, t->name, t->dims, t->rank);
    (void)!cz_safetensors_read_f32(s, (float *)out, t->name, t->dims, t->rank);
    free(out);
  }
  cz_safetensors_close(&s);
  return 0;
}
