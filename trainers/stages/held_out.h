/* The loss of a model on text that it was not trained on. */
#ifndef CZ_STAGES_HELD_OUT_H
#define CZ_STAGES_HELD_OUT_H

#include "stages/check.h"

/* Names of the values that the section adds to a stage's result, null-terminated. */
extern const char *const cz_held_out_results[];

extern const cz_section cz_held_out_section;

CZ_MUST cz_status cz_held_out_check(cz_check *c, const cz_recipe *stage);
CZ_MUST cz_status cz_held_out_run(json_t *metrics, const cz_recipe *stage, cz_model *model,
                                  const cz_objective *objective, const cz_loop_job *job);

#endif
