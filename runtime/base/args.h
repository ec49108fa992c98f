/* The command line of a command: named options and the words that are left. */
#ifndef CZ_BASE_ARGS_H
#define CZ_BASE_ARGS_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

/* Exactly one of value and flag is set. A value is borrowed from argv and lives as long
 * as the process. */
typedef struct cz_option {
  const char *name;   /* "--out" */
  const char **value; /* the option takes a value, stored here; or */
  bool *flag;         /* it takes none and sets this */
} cz_option;

/* A command of the program. Usage is its manual: first line the synopsis, then what it
 * does. */
typedef struct cz_command {
  const char *name, *help, *usage;
  cz_status (*run)(int argc, char **argv); /* argv[0] is the command's name */
} cz_command;

/* Parsing takes the options out of argv, in any order among the words, and leaves the
 * words; a command then counts them and reads them by place. Unknown options, missing
 * values and wrong counts are CZ_EUSAGE with the nearest spelling or the synopsis. */
CZ_MUST cz_status cz_args_parse(int *argc, char **argv, const cz_option *options, size_t n);
CZ_MUST cz_status cz_args_count(int argc, char **argv, int minimum, int maximum,
                                const char *synopsis);
CZ_MUST cz_status cz_args_out(const char *out, const char *const *inputs, size_t n);

#endif
