#include "training/record.h"
#include "base/fs.h"
#include "metrics/events.h"
#include "metrics/jsonl.h"

#include <stdio.h>
#include <stdlib.h>

struct cz_record {
  const char *what;
  cz_jsonl *lines;
  cz_events *events;
};

/** Opens the records of FOLDER for a run that goes on behind STEP: lines of later steps,
 * which the checkpoint does not know of, are removed. Curves are called WHAT/NAME; WHAT is
 * borrowed. */
cz_status cz_record_open(cz_record **r, const char *folder, const char *what, int64_t step) {
  char path[4096];
  cz_status st;
  CZ_TRY(cz_alloc(r, 1, sizeof **r));
  (*r)->what = what;
  CZ_GO(st, cz_fs_join(path, sizeof path, folder, "metrics.jsonl"), fail);
  CZ_GO(st, cz_jsonl_resume(path, step), fail);
  CZ_GO(st, cz_jsonl_open(&(*r)->lines, path), fail);
  CZ_GO(st, cz_events_open(&(*r)->events, folder, step + 1), fail);
  return CZ_OK;
fail:
  (void)!cz_record_close(r); /* the first failure counts */
  return st;
}

/** Writes down the N VALUES of STEP. */
cz_status cz_record_step(cz_record *r, int64_t step, const cz_record_value *values, size_t n) {
  CZ_TRY(cz_jsonl_begin(r->lines));
  CZ_TRY(cz_jsonl_int(r->lines, "step", step));
  for (size_t i = 0; i < n; i++) {
    char tag[64];
    snprintf(tag, sizeof tag, "%s/%s", r->what, values[i].name);
    CZ_TRY(cz_jsonl_real(r->lines, values[i].name, values[i].value));
    CZ_TRY(cz_events_scalar(r->events, tag, step, values[i].value));
  }
  return cz_jsonl_end(r->lines);
}

/** Closes the files; clears the pointer, accepts null. The first failure to write what was
 * still held back. */
cz_status cz_record_close(cz_record **r) {
  if (!*r) return CZ_OK;
  cz_status events = cz_events_close(&(*r)->events), lines = cz_jsonl_close(&(*r)->lines);
  free(*r);
  *r = NULL;
  return events != CZ_OK ? events : lines;
}
