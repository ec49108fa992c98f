/* What a result says of scores: how good, how sure, which classes. */
#ifndef CZ_FEW_SHOT_SUMMARY_H
#define CZ_FEW_SHOT_SUMMARY_H

#include "few_shot/examples.h"

#include <jansson.h>

CZ_MUST cz_status cz_summary_judged(json_t *into, const cz_examples *e, const cz_text_set *set,
                                    const double *p);

#endif
