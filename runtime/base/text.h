/* Small text services: hashes, nearest spelling, strict numbers, wall time. */
#ifndef CZ_BASE_TEXT_H
#define CZ_BASE_TEXT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

uint64_t cz_hash64(const void *bytes, size_t n, uint64_t seed);
uint64_t cz_hash_text(const char *text);
const char *cz_nearest(const char *word, const char *const *names, size_t count);
CZ_MUST cz_status cz_parse_int(const char *text, int64_t *out);
CZ_MUST cz_status cz_parse_real(const char *text, double *out);
void cz_format_real(char out[32], double v);
double cz_seconds(void);

#endif
