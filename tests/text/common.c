#include "text/common.h"

#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

/** A stream of draws for TEST, seeded by CZ_TEST_SEED or else by the clock. */
draws draws_begin(const char *test) { return (draws){.seed = cz_hash_text(test) ^ test_seed()}; }

/** A number from 0 to BELOW - 1. */
uint64_t draw(draws *d, uint64_t below) {
  d->count++;
  return cz_hash64(&d->count, sizeof d->count, d->seed) % below;
}

/** The path of tests/fixtures/text/NAME.SUFFIX. */
void fixture_path(char path[1024], const char *name, const char *suffix) {
  snprintf(path, 1024, "%s/tests/fixtures/text/%s.%s", CZ_SOURCE_DIR, name, suffix);
}

/** Reads a fixture; the caller owns it. */
json_t *fixture_json(const char *name, const char *suffix) {
  char path[1024];
  json_error_t error;
  fixture_path(path, name, suffix);
  json_t *j = json_load_file(path, JSON_ALLOW_NUL, &error);
  if (!j) fail_msg("%s:%d: %s", path, error.line, error.text);
  return j;
}

/** Opens a fixture's tokenizer; the caller owns it. */
cz_tokenizer *fixture_open(const char *name) {
  char path[1024];
  cz_tokenizer *t;
  fixture_path(path, name, "json");
  OK(cz_tokenizer_open(&t, path));
  return t;
}
