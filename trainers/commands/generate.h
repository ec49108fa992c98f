/* `cloze generate`: a saved model writes. */
#ifndef CZ_COMMANDS_GENERATE_H
#define CZ_COMMANDS_GENERATE_H

#include "base/status.h"

extern const char cz_generate_usage[];
CZ_MUST cz_status cz_command_generate(int argc, char **argv);

#endif
