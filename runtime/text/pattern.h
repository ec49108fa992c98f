/* The pattern of a Replace or a Split: a literal text or a regular expression.
 * Internal. */
#ifndef CZ_TEXT_PATTERN_H
#define CZ_TEXT_PATTERN_H

#include "text/parts.h"
#include "text/unicode.h"

typedef struct cz__pattern {
  char *literal; /* or null */
  size_t literal_n;
  void *regex;  /* pcre2_code */
  char *source; /* what it was made of, for messages */
} cz__pattern;

typedef enum cz__behavior {
  CZ__REMOVED,
  CZ__ISOLATED,
  CZ__MERGED_WITH_PREVIOUS,
  CZ__MERGED_WITH_NEXT,
  CZ__CONTIGUOUS
} cz__behavior;

CZ_MUST cz_status cz__pattern_parse(cz__pattern *p, cz_arena *arena, const json_t *o,
                                    const cz_json_place *at);
CZ_MUST cz_status cz__pattern_find(const cz__pattern *p, cz__matches *out, const char *s, size_t n,
                                   cz__work *w);
void cz__pattern_release(cz__pattern *p);
CZ_MUST cz_status cz__class_find(cz_unicode_class is, cz__matches *out, const char *s, size_t n);
void cz__matches_merge(cz__matches *m, cz__behavior behavior);

#endif
