/* The passes in their order, from the nodes as built to a schedule with memory. */
#include "graph/internal.h"

/** Fuses, differentiates, prunes and plans, then allocates memory at capacity. The first
 * building error is reported here, with its place. */
cz_status cz_graph_finish(cz_graph *g, const cz_graph_options *options) {
  if (g->error) return CZ_FAIL(g->error, "%s", g->why);
  CZ_CHECK(!g->finished);
  g->options = *options;
  if (!options->no_fusion) CZ_TRY(cz__fuse(g));
  CZ_TRY(cz__schedule(g));
  CZ_TRY(cz__plan(g));
  g->finished = true;
  return CZ_OK;
}
