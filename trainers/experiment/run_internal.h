/* Between the files of a run. */
#ifndef CZ_EXPERIMENT_RUN_INTERNAL_H
#define CZ_EXPERIMENT_RUN_INTERNAL_H

#include "experiment/run.h"

CZ_MUST cz_status cz__run_stages(cz_session *s, const cz_run_request *r, cz_plan *p);

#endif
