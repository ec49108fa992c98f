/* What the tests of experiments share: a run that was never run: an experiment, its plan,
 * and results made up for its stages. */
#ifndef CZ_TESTS_EXPERIMENT_SETUP_H
#define CZ_TESTS_EXPERIMENT_SETUP_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/common.h"
#include "experiment/report/compare.h"
#include "experiment/report/report.h"

void remove_file(const char *name);

/* Rows a, b, <c>&" and d of three seeds; three columns: `one` (paper's P, baseline 20),
 * `two` (a score and a loss, hence no baseline) and `three` (two scores with baselines 20
 * and 3). */
enum { ROWS = 4, SEEDS = 3, RUN_COLUMNS = 3 };
extern const char experiment_text[];
extern const double one[ROWS][SEEDS], two[ROWS][SEEDS];
cz_status open_with(cz_plan *plan, const char *text, const char *word);
void write_plan(void);
void write_results(int row, int seed);
void write_run(void);

/* Of reports. */
void assert_near(double a, double b);
void assert_says(const cz_buf *text, const char *what);
cz_cell cell_of(const cz_results *r, size_t column, size_t row);
void remarks_of(cz_buf *out, const cz_results *r);

#endif
