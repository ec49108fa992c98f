/* Stopping on request. A signal only sets a flag. Long work checks it where it can end in
 * good order: the training loop between two steps, readers of files between two reads. */
#ifndef CZ_BASE_STOP_H
#define CZ_BASE_STOP_H

#include "base/status.h"

#include <stdbool.h>

void cz_stop_on_signals(bool announce);
bool cz_stop_requested(void);
CZ_MUST cz_status cz_stop_check(const char *what);

#endif
