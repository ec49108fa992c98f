/* What the precision of a training stage has to do with whose folder it is. A checkpoint holds the
 * masters, so a run may go on in another precision; it does only when its configuration says by
 * train.began_in which one the checkpoint comes from (training/state.h compares). The folder, and
 * the hash that a checkpoint belongs to, then leave both keys out. */
#ifndef CZ_STAGES_PRECISION_H
#define CZ_STAGES_PRECISION_H

#include "config/config.h"

const char *cz_stage_precision(const cz_config_node *node);
bool cz_stage_changes_precision(const cz_config_node *node);
CZ_MUST cz_status cz_stage_without_precision(cz_config *config, const cz_config_node **out,
                                             const cz_config_node *node);
CZ_MUST cz_status cz_stage_config_hash(uint64_t *hash, const cz_config_node *node);

#endif
