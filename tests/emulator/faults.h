/* A kernel with a fault, and in which ways of running it shows. */
#ifndef CZ_TESTS_EMULATOR_FAULTS_H
#define CZ_TESTS_EMULATOR_FAULTS_H

#include <stddef.h>

/* Of the plain build: in no order of threads, in every one, in at least one, or as it happens. */
typedef enum shows { NEVER, ALWAYS, SOME_ORDER, SOMEHOW } shows;

#define BY_NUMBER "" /* in place of the text of an error: numbers are wrong */

typedef struct fault {
  const char *what;
  void (*run)(float *y, const float *x, const float *host);
  void (*right)(float *y, const float *x, const float *host); /* what it should be; null: no NaN */
  shows plain;
  const char *plain_text; /* of its error; null: it shows by a wrong number */
  const char *check_text; /* of the error in the checking build; null: it does not show */
  /* With which the sanitizers of addresses and of undefined behaviour end the process; null: to
   * them it is what it is to the plain build. */
  const char *ending;
} fault;

extern const fault faults_of_threads[], faults_of_memory[], faults_of_products[];
extern const size_t n_faults_of_threads, n_faults_of_memory, n_faults_of_products;

/* Kernels that do not end, or use too much stack. */
void run_for_ever(float *y, const float *x, const float *host);
void run_too_deep(float *y, const float *x, const float *host);

#endif
