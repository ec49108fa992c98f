/* The command `cloze corpus`. */
#ifndef CZ_COMMANDS_CORPUS_H
#define CZ_COMMANDS_CORPUS_H

#include "base/status.h"

extern const char cz_corpus_usage[];

CZ_MUST cz_status cz_command_corpus(int argc, char **argv);

#endif
