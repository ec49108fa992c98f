/* `cloze graph`: the planned graph of a stage's model. */
#ifndef CZ_COMMANDS_GRAPH_H
#define CZ_COMMANDS_GRAPH_H

#include "base/status.h"

extern const char cz_graph_usage[];

CZ_MUST cz_status cz_command_graph(int argc, char **argv);

#endif
