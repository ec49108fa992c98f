/* The table of commands: name, one line of help, manual, function. */
#ifndef CZ_TRAINERS_COMMANDS_H
#define CZ_TRAINERS_COMMANDS_H

#include "trainers/args.h"

#include <stdio.h>

extern const cz_command cz_commands[];
extern const size_t cz_command_count;
extern const char cz_version[];

CZ_MUST cz_status cz_commands_document(FILE *out, const char *topic);

#endif
