/* A model that starts without what its prompt prefers whatever the text is (docs/pet.md 4.2). */
#ifndef CZ_FEW_SHOT_CALIBRATED_START_H
#define CZ_FEW_SHOT_CALIBRATED_START_H

#include "nn/model.h"

CZ_MUST cz_status cz_calibrated_start(cz_model *model, const double *offsets, const int32_t *words,
                                      int32_t classes, int32_t width);

#endif
