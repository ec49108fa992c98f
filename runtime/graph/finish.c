/* The passes in their order, from the nodes as built to a schedule with memory. */
#include "graph/internal.h"

#include "base/mem.h"

#include <stdlib.h>

static int by_key(const void *a, const void *b) {
  uint32_t x = (*(cz__node *const *)a)->key, y = (*(cz__node *const *)b)->key;
  return (x > y) - (x < y);
}

/* A node's key is a hash of its name and numbers its random draws (philox.h): two nodes of one key
 * would draw the same dropout masks. */
static cz_status check_keys(cz_graph *g) {
  cz_status st = CZ_OK;
  cz__node **nodes = NULL;
  CZ_TRY(cz_alloc(&nodes, g->n_nodes + 1, sizeof *nodes));
  for (size_t i = 0; i < g->n_nodes; i++) nodes[i] = &g->nodes[i];
  qsort(nodes, g->n_nodes, sizeof *nodes, by_key);
  for (size_t i = 1; i < g->n_nodes && st == CZ_OK; i++)
    if (nodes[i]->key == nodes[i - 1]->key)
      st = CZ_FAIL(CZ_EINVAL,
                   "nodes %s and %s have one key, so they would draw the same random "
                   "numbers: give one of them another name",
                   nodes[i - 1]->name, nodes[i]->name);
  free(nodes);
  return st;
}

/** Fuses, differentiates, prunes and plans, then allocates memory at capacity. The first
 * building error is reported here, with its place. */
cz_status cz_graph_finish(cz_graph *g, const cz_graph_options *options) {
  if (g->error) return CZ_FAIL(g->error, "%s", g->why);
  CZ_CHECK(!g->finished);
  CZ_TRY(check_keys(g));
  CZ_TRY(cz__clock_add(g));
  g->options = *options;
  if (!options->no_fusion) CZ_TRY(cz__fuse(g));
  CZ_TRY(cz__schedule(g));
  CZ_TRY(cz__plan(g));
  g->finished = true;
  return CZ_OK;
}
