/* A kernel with a fault, and in which ways of running it shows. */
#ifndef CZ_TESTS_EMULATOR_FAULTS_H
#define CZ_TESTS_EMULATOR_FAULTS_H

#include <stddef.h>

/* Of the plain build: in no order of threads, in every one, in at least one, or as it happens. */
typedef enum shows { NEVER, ALWAYS, SOME_ORDER, SOMEHOW } shows;

typedef struct fault {
  const char *what;
  void (*run)(float *y, const float *x, const float *host);
  void (*right)(float *y, const float *x, const float *host); /* what it should be; null: no NaN */
  shows plain;
  const char *plain_text; /* of its error; null: it shows by a wrong number */
  const char *check_text; /* of the error in the checking build; null: it has none */
} fault;

extern const fault faults[];
extern const size_t n_faults;

#endif
