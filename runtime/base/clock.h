/* Wall time for rates and progress; no result may depend on it. */
#ifndef CZ_BASE_CLOCK_H
#define CZ_BASE_CLOCK_H

double cz_seconds(void);

#endif
