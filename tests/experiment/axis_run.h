/* What the tests of an axis share: a file with two rows, its control and axis, and a run of it that
 * was never run. */
#ifndef CZ_TESTS_EXPERIMENT_AXIS_RUN_H
#define CZ_TESTS_EXPERIMENT_AXIS_RUN_H

#include "setup.h"

enum { POINTS = 3, AXIS_ROWS = 2 * POINTS + 1 };
extern const char head[], control[], axis[];
extern const double scores[AXIS_ROWS][3];
extern double spread[AXIS_ROWS];

const char *with(const char *a, const char *b);
const char *with_rows(const char *list, const char *more);
void write_axis_run(const char *text);

#endif
