/* The commands of the program: one file each, which parses words and calls the folder
 * that does the work.
 *
 * main.c finds a command by its first word in the list below and turns its status into an
 * exit code. A command gets argv from its own name on; base/args.h takes its options out
 * and checks the number of words. Help and the manual page are printed from the usages.
 * The kinds of stage (stages/kinds.def) are commands as well: commands/stage.c runs all
 * of them. Nothing but main.c includes this folder. */
#ifndef CZ_COMMANDS_COMMANDS_H
#define CZ_COMMANDS_COMMANDS_H

#include "base/args.h"

#include <stdio.h>

extern const char cz_version[];
extern const char cz_run_usage[], cz_report_usage[], cz_show_usage[], cz_list_usage[];

CZ_MUST cz_status cz_command_run(int argc, char **argv);
CZ_MUST cz_status cz_command_report(int argc, char **argv);
CZ_MUST cz_status cz_command_show(int argc, char **argv);
CZ_MUST cz_status cz_command_list(int argc, char **argv);

size_t cz_command_count(void);
cz_command cz_command_at(size_t i);

CZ_MUST cz_status cz_commands_document(FILE *out, const char *topic);

#endif
