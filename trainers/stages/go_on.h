/* Going on from a shorter training.
 *
 * A stage that trains for more steps than another one, and differs from it in nothing else, makes
 * the same first steps, provided its rate does not depend on how many there will be (schedules
 * `constant` and `rsqrt`). So it may begin with the other's checkpoint: it ends with the bits that
 * it would have had from its own first step, and training to N, 4 N and 16 N steps costs 16 N.
 *
 *   folder/checkpoint.h5   of the shorter stage, under this one's configuration
 *   folder/metrics.jsonl   its lines that are due in the longer one, so that curves begin at step 1
 *   folder/events.*        the same for TensorBoard
 *   folder/earlier.json    {"folder", "steps", "seconds"}: what was taken over, for `measured` */
#ifndef CZ_STAGES_GO_ON_H
#define CZ_STAGES_GO_ON_H

#include "stages/stage.h"

CZ_MUST cz_status cz_stage_can_go_on(bool *can, cz_config *config, const cz_stage_kind *kind,
                                     const cz_config_node *longer, const cz_config_node *shorter);
CZ_MUST cz_status cz_stage_go_on(cz_session *s, const cz_config_node *node,
                                 const cz_config_node *identity, const char *folder,
                                 const char *shorter);
CZ_MUST cz_status cz_stage_earlier(json_t *measured, const char *folder);

#endif
