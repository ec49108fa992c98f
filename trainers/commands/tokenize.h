/* The command `cloze tokenize`. */
#ifndef CZ_COMMANDS_TOKENIZE_H
#define CZ_COMMANDS_TOKENIZE_H

#include "base/status.h"

extern const char cz_tokenize_usage[];

CZ_MUST cz_status cz_command_tokenize(int argc, char **argv);

#endif
