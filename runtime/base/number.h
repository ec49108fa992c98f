/* Numbers as text, in and out.
 *
 * One grammar for configuration, arguments, files and scores: decimal, finite, the whole
 * text, whatever the locale. C's own functions also accept blanks, hexadecimal, `inf` and
 * `nan`, so nothing else calls them. Where a paper's script scored by Python's float(),
 * cz_parse_python_float has that grammar. */
#ifndef CZ_BASE_NUMBER_H
#define CZ_BASE_NUMBER_H

#include "base/status.h"

#include <stdint.h>

CZ_MUST cz_status cz_parse_int(const char *text, int64_t *out);
CZ_MUST cz_status cz_parse_real(const char *text, double *out);
CZ_MUST cz_status cz_parse_python_float(const char *text, double *out);
void cz_format_real(char out[32], double v);

#endif
