/* The table of commands: name, one line of help, manual, function. */
#ifndef CZ_COMMANDS_COMMANDS_H
#define CZ_COMMANDS_COMMANDS_H

#include "base/args.h"

#include <stdio.h>

extern const cz_command cz_commands[];
extern const size_t cz_command_count;
extern const char cz_version[];

CZ_MUST cz_status cz_commands_document(FILE *out, const char *topic);

#endif
