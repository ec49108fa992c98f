/* What every test program shares: checks of a status with its message, the seed that
 * CZ_TEST_SEED replays, and a folder of its own for files. */
#ifndef CZ_TESTS_COMMON_H
#define CZ_TESTS_COMMON_H

#include "base/status.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* EXPR is CZ_OK; otherwise the test fails and prints the error's chain. */
#define OK(expr) check_ok((expr), #expr, __FILE__, __LINE__)
void check_ok(cz_status st, const char *expression, const char *file, int line);

/* EXPR fails with CODE and a message that holds TEXT. */
#define FAILS(expr, code, text) check_fails((expr), (code), (text), #expr, __FILE__, __LINE__)
void check_fails(cz_status st, cz_status code, const char *text, const char *expression,
                 const char *file, int line);

/** The seed of this run of the program: CZ_TEST_SEED, or else drawn from the clock;
 * printed once. */
uint64_t test_seed(void);

/** Makes an empty folder below TMPDIR, or else /tmp. A program has one at a time; setup
 * of cmocka, like the next. */
int make_folder(void **state);

/** Removes the folder and all that is in it, unless CZ_TEST_KEEP is set. */
int drop_folder(void **state);

/** Removes under(NAME) with all that is in it; not 0 when it is not there. */
int remove_tree(const char *name);

/** The folder's path. */
const char *folder(void);

/** FOLDER/NAME, good until the folder is dropped; an absolute NAME stays what it is. */
const char *under(const char *name);

/** Writes the whole file under(NAME), with the folders on the way but without a sync:
 * there are thousands. Gives its path. */
const char *write_bytes(const char *name, const void *bytes, size_t n);

/** The same for TEXT without its NUL. */
const char *write_text(const char *name, const char *text);

#endif
