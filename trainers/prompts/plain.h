/* What a pattern file says of classifiers that read records without a prompt. Internal. */
#ifndef CZ_PROMPTS_PLAIN_H
#define CZ_PROMPTS_PLAIN_H

#include "prompts/template.h"

CZ_MUST cz_status cz__plain_read(cz_pattern_file *f, const cz_config_node *root,
                                 cz__template_room *room, bool may_be_bare);

#endif
