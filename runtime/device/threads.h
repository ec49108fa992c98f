/* Threads of this process: one OpenMP runtime and no more threads than processors. */
#ifndef CZ_DEVICE_THREADS_H
#define CZ_DEVICE_THREADS_H

#include "base/status.h"

#include <stdbool.h>

bool cz_threads_should_sleep(int threads, int processors, double load);
CZ_MUST cz_status cz_threads_check(void);

#endif
