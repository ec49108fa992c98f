/* The loss of a model on text that it was not trained on: the section `held_out` names
 * another corpus, whose pieces go through the stage's own objective. Their noise has a
 * seed of its own, the same for all rows and seeds, so losses of rows with one objective
 * can be compared; losses of different objectives cannot, as they predict other tokens.
 * No dropout, no update. */
#ifndef CZ_STAGES_HELD_OUT_H
#define CZ_STAGES_HELD_OUT_H

#include "stages/check.h"

/* Names of the values that the section adds to a stage's result, null-terminated. */
extern const char *const cz_held_out_results[];

extern const cz_section cz_held_out_section;

CZ_MUST cz_status cz_held_out_check(cz_check *c, const cz_recipe *recipe);
CZ_MUST cz_status cz_held_out_run(json_t *metrics, const cz_recipe *recipe, cz_model *model,
                                  const cz_objective *objective, const cz_loop_job *job);

#endif
