/* Numbers in the JSON that the program prints. */
#ifndef CZ_TESTS_CLI_NUMBERS_H
#define CZ_TESTS_CLI_NUMBERS_H

#include "program.h"

#include <math.h>

static inline double number(const json_t *j, const char *key) {
  const json_t *n = json_object_get(j, key);
  if (!json_is_number(n)) fail_msg("there is no number '%s'", key);
  return json_number_value(n);
}

/* Six digits are printed. */
static inline void assert_like(const char *what, double found, double wanted) {
  if (!(fabs(found - wanted) <= 3e-5 * fabs(wanted)))
    fail_msg("%s: found %g, expected %g", what, found, wanted);
}

#endif
