/* Wall time for rates and progress; no result may depend on it. */
#ifndef CZ_BASE_CLOCK_H
#define CZ_BASE_CLOCK_H

/* Seconds of a monotonic clock from an arbitrary start: differences mean something,
 * values do not, and setting the machine's clock does not disturb them. */
double cz_seconds(void);

/* How long this process's threads have been ready while others had the cores; NAN where the system
 * does not say. */
double cz_waited_seconds(void);

#endif
