/* Stopping on request. A signal only leaves a mark; whoever does long work looks at it
 * where it can end with everything in order: the training loop between two steps, what
 * reads files between two pieces. */
#ifndef CZ_BASE_STOP_H
#define CZ_BASE_STOP_H

#include "base/status.h"

#include <stdbool.h>

void cz_stop_on_signals(bool announce);
bool cz_stop_requested(void);
CZ_MUST cz_status cz_stop_check(const char *what);

#endif
