/* What the tests of experiments share: a folder for files, and a run that was never run: an experiment, its plan, and results made up for its stages.
 */
#ifndef CZ_TESTS_EXPERIMENT_SETUP_H
#define CZ_TESTS_EXPERIMENT_SETUP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "trainers/experiment/experiment.h"

#define assert_ok(expr) assert_string_equal((expr) == CZ_OK ? "" : cz_error_message(), "")

/* EXPR fails with CODE and a message that holds TEXT. */
#define assert_fails(expr, code, text)                                                                                                               \
  do {                                                                                                                                               \
    assert_int_equal((expr), (code));                                                                                                                \
    if (!strstr(cz_error_message(), (text))) fail_msg("message '%s' lacks '%s'", cz_error_message(), (text));                                        \
  } while (0)

int make_folder(void **state);
int drop_folder(void **state);
const char *folder(void);
void write_text(const char *name, const char *text);
void remove_file(const char *name);

/* Rows a, b, <c>&" and d of three seeds; three columns: `one` (paper's P, baseline 20), `two` (a score and a loss, hence no baseline) and `three`
 * (two scores with baselines 20 and 3). */
enum { ROWS = 4, SEEDS = 3, RUN_COLUMNS = 3 };
extern const char experiment_text[];
extern const double one[ROWS][SEEDS], two[ROWS][SEEDS];
void write_plan(void);
void write_results(int row, int seed);
void write_run(void);

#endif
