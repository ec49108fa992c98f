/* What the post-processor puts around the text's tokens. Internal. */
#ifndef CZ_TEXT_TEMPLATE_H
#define CZ_TEXT_TEMPLATE_H

#include "text/parts.h"

/* One item of a template: the text's own tokens, or special ones. */
typedef struct cz__template_item {
  int32_t *ids; /* null: the text */
  size_t n;
} cz__template_item;

typedef struct cz__template {
  cz__template_item *items;
  size_t n;
} cz__template;

CZ_MUST cz_status cz__template_parse(cz__template *t, cz_arena *arena, const json_t *json,
                                     const cz_json_place *at, int32_t size);

#endif
