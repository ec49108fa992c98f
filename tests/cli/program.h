/* What the tests of the program share: a scratch folder to run it in, and a call that
 * gives back exit code and output. */
#ifndef CZ_TESTS_CLI_PROGRAM_H
#define CZ_TESTS_CLI_PROGRAM_H

#include "common/common.h"
#include "base/fs.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <jansson.h>

#define FIXTURES CZ_SOURCE_DIR "/tests/fixtures"
#define SAMPLE   CZ_SOURCE_DIR "/experiments/quickstart/sample"
#define T5_JSON  FIXTURES "/text/t5_a.json"

typedef struct outcome { /* of the last call; text is good until the next */
  int code;              /* exit code; 128 + signal for one that was killed */
  const char *out, *err;
} outcome;

/* Runs the program in the scratch folder with these words, reading INPUT. */
outcome run_program(const char *input, const char *const *words);
#define cloze_with(input, ...) run_program(input, (const char *const[]){__VA_ARGS__, NULL})
#define cloze(...)             cloze_with("", __VA_ARGS__)

/* The call gives CODE; otherwise the test fails and shows what the program said. */
void expect_code(outcome o, int code, const char *file, int line);
#define EXPECT(code, o) expect_code(o, code, __FILE__, __LINE__)

/* The call gives CODE and says TEXT on standard error. */
void expect_message(outcome o, int code, const char *text, const char *file, int line);
#define REFUSED(code, text, o) expect_message(o, code, text, __FILE__, __LINE__)

json_t *json_line(const char **text); /* the object on the next line; the test fails when it is
                                         none; null at the end. The caller frees it */

/* Groups of test_cli; they return how many failed. */
int run_text_tests(void);
int run_model_tests(void);

#endif
