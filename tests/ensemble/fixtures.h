/* tests/fixtures/ensemble.json, made by scripts/make_ensemble_fixtures.py. */
#ifndef CZ_TESTS_ENSEMBLE_FIXTURES_H
#define CZ_TESTS_ENSEMBLE_FIXTURES_H

#include "common/common.h"

#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

int open_fixtures(void **state);
int close_fixtures(void **state);

/* The cases called NAME, at least so many. */
const json_t *cases_of(const char *name, size_t at_least);

/* Members of one case; a list's numbers are the caller's to free. */
const json_t *member_of(const json_t *c, const char *key);
size_t size_of(const json_t *c, const char *key);
int64_t whole_of(const json_t *c, const char *key);
double *reals_of(const json_t *c, const char *key);
float *floats_of(const json_t *c, const char *key);
int32_t *wholes_of(const json_t *c, const char *key);

/* Equal to 1e-9 of the larger magnitude (absolutely below 1); null stands for NaN. */
void expect(double got, const json_t *want, const char *what, size_t i);
void expect_all(const double *got, const json_t *c, const char *key, size_t n, size_t i);

int run_next_tests(void);
int run_drawn_tests(void);

#endif
