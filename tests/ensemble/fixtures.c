#include "fixtures.h"

static json_t *fixtures;

int open_fixtures(void **state) {
  json_error_t error;
  fixtures = json_load_file(CZ_SOURCE_DIR "/tests/fixtures/ensemble.json", 0, &error);
  if (!fixtures) print_error("ensemble.json:%d: %s\n", error.line, error.text);
  return fixtures ? 0 : -1;
}

int close_fixtures(void **state) {
  json_decref(fixtures);
  return 0;
}

const json_t *member_of(const json_t *c, const char *key) {
  const json_t *v = json_object_get(c, key);
  if (!v) fail_msg("the fixtures have no %s", key);
  return v;
}

const json_t *cases_of(const char *name, size_t at_least) {
  const json_t *cases = member_of(fixtures, name);
  assert_true(json_array_size(cases) >= at_least);
  return cases;
}

size_t size_of(const json_t *c, const char *key) { return json_array_size(member_of(c, key)); }

int64_t whole_of(const json_t *c, const char *key) {
  assert_true(json_is_integer(member_of(c, key)));
  return json_integer_value(member_of(c, key));
}

double *reals_of(const json_t *c, const char *key) {
  size_t n = size_of(c, key);
  double *x = calloc(n + 1, sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < n; i++) x[i] = json_number_value(json_array_get(member_of(c, key), i));
  return x;
}

float *floats_of(const json_t *c, const char *key) {
  double *x = reals_of(c, key);
  size_t n = size_of(c, key);
  float *y = calloc(n + 1, sizeof *y);
  assert_non_null(y);
  for (size_t i = 0; i < n; i++) y[i] = (float)x[i];
  free(x);
  return y;
}

int32_t *wholes_of(const json_t *c, const char *key) {
  size_t n = size_of(c, key);
  int32_t *x = calloc(n + 1, sizeof *x);
  assert_non_null(x);
  for (size_t i = 0; i < n; i++)
    x[i] = (int32_t)json_integer_value(json_array_get(member_of(c, key), i));
  return x;
}

void expect(double got, const json_t *want, const char *what, size_t i) {
  double w = json_number_value(want);
  if (json_is_null(want) && isnan(got)) return;
  assert_true(json_is_number(want));
  if (!(fabs(got - w) <= 1e-9 * fmax(1, fabs(w))))
    fail_msg("%s %zu: %.17g, expected %.17g", what, i, got, w);
}

void expect_all(const double *got, const json_t *c, const char *key, size_t n, size_t i) {
  assert_int_equal(size_of(c, key), n);
  for (size_t k = 0; k < n; k++) expect(got[k], json_array_get(member_of(c, key), k), key, i);
}
