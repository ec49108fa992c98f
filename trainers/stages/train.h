/* What all training stages share around the loop: bind the sections `batch`, `optimizer`
 * and `train`, run the loop in the stage's folder, save the model and fill in the result. A kind
 * brings the source of examples and the model. */
#ifndef CZ_STAGES_TRAIN_H
#define CZ_STAGES_TRAIN_H

#include "stages/stage.h"
#include "training/loop.h"

/* Names of the values that a training stage leaves in its result, null-terminated. */
extern const char *const cz_train_results[];

cz_layout cz_train_layout(const cz_model_config *config);
CZ_MUST cz_status cz_train_bind(cz_loop_job *job, const cz_recipe *recipe, const char *what,
                                uint64_t config_hash);
CZ_MUST cz_status cz_train(cz_session *s, const cz_recipe *recipe, cz_model *model,
                           const cz_source *source, cz_loop_job *job, cz_stage_output *out);

#endif
