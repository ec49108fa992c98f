/* What the tests of the tokenizer share: fixtures and keyed random numbers. */
#ifndef CZ_TESTS_TEXT_COMMON_H
#define CZ_TESTS_TEXT_COMMON_H

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/common.h"
#include "base/mem.h"
#include "text/tokenizer.h"

/* Draws that depend on the seed and on nothing else. */
typedef struct draws {
  uint64_t seed, count;
} draws;

draws draws_begin(const char *test);
uint64_t draw(draws *d, uint64_t below);

/* With the special tokens around the text. */
#define SPECIAL ((cz_encode_options){.add_special = true})

void fixture_path(char path[1024], const char *name, const char *suffix);
json_t *fixture_json(const char *name, const char *suffix);
cz_tokenizer *fixture_open(const char *name);

#endif
