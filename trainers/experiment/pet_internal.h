/* What the files of cloze pet share; nobody else includes it. */
#ifndef CZ_EXPERIMENT_PET_INTERNAL_H
#define CZ_EXPERIMENT_PET_INTERNAL_H

#include "experiment/pet.h"

#include <stdint.h>

CZ_MUST cz_status cz__pet_lay_out(const cz_pet_request *r, const char *run, const char *first,
                                  int64_t generations);
CZ_MUST cz_status cz__pet_put_student(const char *out, const char *stage);

#endif
