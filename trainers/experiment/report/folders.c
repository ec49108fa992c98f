/* Which folder is whose. */
#include "base/fs.h"
#include "experiment/report/report.h"
#include "experiment/report/table.h"

static const char *state_of(const cz_stage_kind *kind, const char *folder) {
  if (cz_stage_done(kind, folder)) return "done";
  return cz_stage_has_result(folder) ? "no model" : cz_fs_exists(folder) ? "begun" : "-";
}

/** Appends a line for each seed, row and stage of the run in the folder RUN: its state and its
 * folder. Rows that share a stage show the same folder. */
cz_status cz_report_stages(cz_buf *out, const cz_plan *p, const char *run) {
  cz_grid g = {.columns = 5};
  const char *const header[] = {"seed", "row", "stage", "state", "folder"};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < g.columns && st == CZ_OK; i++) st = cz_grid_add(&g, "%s", header[i]);
  for (size_t k = 0; k < cz_plan_count(p) && st == CZ_OK; k++) {
    char folder[4096];
    if (p->stages[k].left_out) continue;
    CZ_GO(st, cz_plan_folder(folder, sizeof folder, run, &p->stages[k]), done);
    CZ_GO(st, cz_grid_add(&g, "%lld", (long long)p->seeds[k / p->n_stages / p->n_rows]), done);
    CZ_GO(st, cz_grid_add(&g, "%s", p->rows[k / p->n_stages % p->n_rows].name), done);
    CZ_GO(st, cz_grid_add(&g, "%s", p->stages[k].name), done);
    CZ_GO(st, cz_grid_add(&g, "%s", state_of(p->stages[k].kind, folder)), done);
    CZ_GO(st, cz_grid_add(&g, "%s", folder), done);
  }
  if (st == CZ_OK) st = cz_grid_print(out, &g, ~1u, false);
done:
  cz_grid_free(&g);
  return st;
}
