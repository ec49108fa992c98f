/* Private to this folder: a source as one endless list of draws, epoch after epoch, for
 * sources that draw from others. */
#ifndef CZ_DATA_WALK_H
#define CZ_DATA_WALK_H

#include "data/source.h"

/* Where the draws have come to: epoch `epoch` began at draw `base` and has `count`. */
typedef struct cz__walk {
  cz_source source;
  uint64_t base, count;
  uint32_t epoch;
} cz__walk;

CZ_MUST cz_status cz__walk_get(cz__walk *w, cz_example *out, uint64_t draw);

#endif
