/* `cloze objective`: shows what an objective does to a text. */
#ifndef CZ_COMMANDS_OBJECTIVE_H
#define CZ_COMMANDS_OBJECTIVE_H

#include "base/status.h"

extern const char cz_objective_usage[];

CZ_MUST cz_status cz_command_objective(int argc, char **argv);

#endif
