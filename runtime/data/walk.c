#include "data/walk.h"

/* Turns a draw into an epoch and an index of the source. Going on from the last one is
 * quick; going back starts over. */
static cz_status locate(cz__walk *w, uint64_t draw) {
  if (draw < w->base || !w->count) {
    w->base = w->epoch = 0;
    CZ_TRY(w->source.count(w->source.self, &w->count, 0));
  }
  for (uint64_t idle = 0; draw >= w->base + w->count; idle = w->count ? 0 : idle + 1) {
    if (idle == 2) return CZ_FAIL(CZ_EINVAL, "mixing: a task has no examples");
    w->base += w->count;
    CZ_TRY(w->source.count(w->source.self, &w->count, ++w->epoch));
  }
  return CZ_OK;
}

/** The example that is number DRAW, from 0, of all draws of the walk's source. */
cz_status cz__walk_get(cz__walk *w, cz_example *out, uint64_t draw) {
  CZ_TRY(locate(w, draw));
  return w->source.get(w->source.self, out, w->epoch, draw - w->base);
}
