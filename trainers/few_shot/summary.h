/* What a result says of scores: how good, how sure, which classes. */
#ifndef CZ_FEW_SHOT_SUMMARY_H
#define CZ_FEW_SHOT_SUMMARY_H

#include "few_shot/examples.h"

#include <jansson.h>

struct cz__judgement; /* summary.c */

/* A key of a judgement, and what writes its value. */
typedef struct cz_summary_key {
  const char *name;
  cz_status (*put)(json_t *into, const char *name, const struct cz__judgement *of);
} cz_summary_key;

enum { CZ_SUMMARY_KEYS = 8 };
extern const cz_summary_key cz_summary_keys[CZ_SUMMARY_KEYS];

CZ_MUST cz_status cz_summary_judged(json_t *into, const cz_examples *e, const cz_text_set *set,
                                    const double *p);

#endif
