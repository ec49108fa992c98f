/* The table of commands: name, one line of help, manual, function. */
#ifndef CZ_COMMANDS_COMMANDS_H
#define CZ_COMMANDS_COMMANDS_H

#include "base/args.h"

#include <stdio.h>

extern const char cz_version[];

size_t cz_command_count(void);
cz_command cz_command_at(size_t i);

CZ_MUST cz_status cz_commands_document(FILE *out, const char *topic);

#endif
