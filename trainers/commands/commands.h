/* The commands of the program: one file each, which parses words and calls the folder
 * that does the work.
 *
 * main.c finds a command by its first word in the list, commands.def, and turns its
 * status into an exit code. A command gets argv from its own name on; base/args.h takes its
 * options out and checks the number of words. Help and the manual page are printed from the
 * usages. The kinds of stage (stages/kinds.def) are commands as well: commands/stage.c runs
 * all of them. Nothing but main.c includes this folder. */
#ifndef CZ_COMMANDS_COMMANDS_H
#define CZ_COMMANDS_COMMANDS_H

#include "base/args.h"

#include <stdio.h>

extern const char cz_version[];

#define CZ_COMMAND(name, help)                                                                     \
  extern const char cz_##name##_usage[];                                                           \
  CZ_MUST cz_status cz_command_##name(int argc, char **argv);
#define CZ_STAGE_COMMANDS CZ_MUST cz_status cz_command_stage(int argc, char **argv);
#include "commands/commands.def"
#undef CZ_COMMAND
#undef CZ_STAGE_COMMANDS

size_t cz_command_count(void);
cz_command cz_command_at(size_t i);

CZ_MUST cz_status cz_commands_document(FILE *out, const char *topic);

#endif
