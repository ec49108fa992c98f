/* Where the running program lies: what is installed with it is looked for from there. */
#ifndef CZ_BASE_PROGRAM_H
#define CZ_BASE_PROGRAM_H

#include <stddef.h>

/* The folder of the running program, without a slash; empty when the system does not say. */
void cz_program_folder(char *path, size_t n);

#endif
