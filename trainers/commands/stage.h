/* The command of each kind of stage (stages/kinds.def): one stage from one
 * configuration. */
#ifndef CZ_COMMANDS_STAGE_H
#define CZ_COMMANDS_STAGE_H

#include "base/status.h"

CZ_MUST cz_status cz_command_stage(int argc, char **argv);

#endif
