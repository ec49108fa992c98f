/* What a training stage will write, asked of the disk before it computes a step: without this,
 * days of training would end at a save. */
#ifndef CZ_STAGES_SPACE_H
#define CZ_STAGES_SPACE_H

#include "recipe/recipe.h"

CZ_MUST cz_status cz_space_check(const cz_recipe *recipe, const char *folder);

#endif
