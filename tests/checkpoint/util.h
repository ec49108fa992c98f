/* What the tests of weight files and checkpoints share: a scratch folder, the seed, whole-file reads and writes. */
#ifndef CZ_TESTS_CHECKPOINT_UTIL_H
#define CZ_TESTS_CHECKPOINT_UTIL_H

#include "base/fs.h"
#include "device/random.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

extern uint64_t seed;
extern char scratch[256];

#define GOOD(expr)                                                                                                                                   \
  do {                                                                                                                                               \
    if ((expr) != CZ_OK) fail_msg("%s: %s", #expr, cz_error_message());                                                                              \
  } while (0)

/* EXPR fails with CODE and its message contains TEXT. */
#define BAD(expr, code, text)                                                                                                                        \
  do {                                                                                                                                               \
    cz_status bad_ = (expr);                                                                                                                         \
    if (bad_ != (code) || !strstr(cz_error_message(), text))                                                                                         \
      fail_msg("%s: %s, '%s'; expected '%s'", #expr, cz_status_name(bad_), cz_error_message(), text);                                                \
  } while (0)

int set_up(void **state);
int tear_down(void **state);
const char *in_scratch(const char *name); /* a path, good for the next fifteen calls */
void fresh_folder(const char *path);      /* made, and emptied of files */
void slurp(cz_buf *out, const char *path);
void spill(const char *path, const void *bytes, size_t n);

#endif
