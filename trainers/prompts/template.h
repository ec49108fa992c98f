/* The text of one pattern, taken apart. Internal. */
#ifndef CZ_PROMPTS_TEMPLATE_H
#define CZ_PROMPTS_TEMPLATE_H

#include "prompts/patterns.h"

/* What the patterns of a file share while it is read. */
typedef struct cz__template_room {
  cz_arena *arena;
  const char *const *fields;
  size_t n_fields;
  cz_pattern_source *sources; /* grows; equal ones are kept once */
  size_t n_sources, cap;
} cz__template_room;

CZ_MUST cz_status cz__template_parse_pattern(cz_pattern *pattern, cz__template_room *room,
                                             bool with_mask);

#endif
