/* What an experiment would cost, before it runs: the estimates of its kinds of stage
 * (stages/estimate.h), summed. A stage that several rows share counts in full in each
 * row, since each row alone would need it. */
#ifndef CZ_EXPERIMENT_COST_H
#define CZ_EXPERIMENT_COST_H

#include "experiment/experiment.h"
#include "stages/estimate.h"

CZ_MUST cz_status cz_cost_stage(cz_cost *cost, const cz_plan *plan, const cz_plan_stage *stage);
CZ_MUST cz_status cz_cost_row(cz_cost *cost, const cz_plan *plan, size_t row, bool fresh);

#endif
