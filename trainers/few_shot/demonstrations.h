/* Texts of T that are shown to a model in front of each text that it is to answer
 * (docs/pet.md 3.5): one choice and one order for all texts of a pattern. */
#ifndef CZ_FEW_SHOT_DEMONSTRATIONS_H
#define CZ_FEW_SHOT_DEMONSTRATIONS_H

#include "few_shot/examples.h"

CZ_MUST cz_status cz_demonstrations_draw(cz_demonstrations **of_pattern, cz_examples *e, int64_t n,
                                         uint64_t seed);

#endif
