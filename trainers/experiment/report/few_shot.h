/* What a report says of stages that classify from a few labelled texts, where a result has it: how
 * sure each classifier is, how far its patterns differ, what its members forget, and which classes
 * it answers. All are means over the seeds that are done, with the sample's deviation. */
#ifndef CZ_EXPERIMENT_REPORT_FEW_SHOT_H
#define CZ_EXPERIMENT_REPORT_FEW_SHOT_H

#include "experiment/results.h"

CZ_MUST cz_status cz_few_shot_text(cz_buf *out, const cz_results *r, bool colours);
CZ_MUST cz_status cz_few_shot_page(cz_buf *out, const cz_results *r);
CZ_MUST cz_status cz_few_shot_json(json_t *root, const cz_results *r);

#endif
