/* The records of steps that were launched (late.c). Internal to the loop. */
#ifndef CZ_TRAINING_LATE_H
#define CZ_TRAINING_LATE_H

#include "training/loop_parts.h"

CZ_MUST cz_status cz__late_open(cz__loop *l);
CZ_MUST cz_status cz__late_add(cz__loop *l, double rate, double excess);
CZ_MUST cz_status cz__late_handle(cz__loop *l, int64_t left);
void cz__late_close(cz__loop *l);
const char *cz__loop_what_is_saved(const cz__loop *l);

#endif
