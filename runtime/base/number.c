#include "base/number.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/** Reads a whole decimal integer, nothing before or after it. CZ_EINVAL with the text
 * otherwise. */
cz_status cz_parse_int(const char *text, int64_t *out) {
  char *end;
  errno = 0;
  long long v = strtoll(text, &end, 10);
  if (end == text || *end || isspace((unsigned char)*text))
    return CZ_FAIL(CZ_EINVAL, "expected an integer, found '%s'", text);
  if (errno) return CZ_FAIL(CZ_EINVAL, "integer out of range: '%s'", text);
  *out = v;
  return CZ_OK;
}

/** Reads a whole finite decimal number, nothing before or after it. CZ_EINVAL with the
 * text otherwise. */
cz_status cz_parse_real(const char *text, double *out) {
  char *end;
  double v = strtod(text, &end);
  if (end == text || *end || isspace((unsigned char)*text) || !isfinite(v))
    return CZ_FAIL(CZ_EINVAL, "expected a number, found '%s'", text);
  *out = v;
  return CZ_OK;
}

/** Writes the shortest of %.15g, %.16g and %.17g that reads back to the same double;
 * `inf`, `-inf` or `nan` otherwise. */
void cz_format_real(char out[32], double v) {
  for (int digits = 15; digits <= 17; digits++) {
    snprintf(out, 32, "%.*g", digits, v);
    if (strtod(out, NULL) == v) return;
  }
}
