/* Threads of this process: one OpenMP runtime and no more threads than processors. */
#ifndef CZ_DEVICE_THREADS_H
#define CZ_DEVICE_THREADS_H

#include "base/status.h"

CZ_MUST cz_status cz_threads_check(void);

#endif
