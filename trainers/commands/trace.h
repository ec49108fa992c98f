/* `cloze trace`: one forward and backward of a model on a batch, everything written to a
 * file: to find where a ported checkpoint departs. */
#ifndef CZ_COMMANDS_TRACE_H
#define CZ_COMMANDS_TRACE_H

#include "base/status.h"

extern const char cz_trace_usage[];
CZ_MUST cz_status cz_command_trace(int argc, char **argv);

#endif
