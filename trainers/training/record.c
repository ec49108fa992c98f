#include "training/record.h"
#include "base/fs.h"
#include "metrics/events.h"
#include "metrics/jsonl.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct cz_record {
  const char *what;
  cz_jsonl *lines;
  cz_events *events;
};

/** Whether the numbers of STEP, from 1, are written down. */
bool cz_record_due(const cz_train_keys *train, int64_t step) {
  return step % train->log_steps == 0 || step == train->steps || step == 1;
}

static cz_status add_point(cz_events *events, const char *what, const char *name, int64_t step,
                           double value) {
  char tag[64];
  snprintf(tag, sizeof tag, "%s/%s", what, name);
  return cz_events_scalar(events, tag, step, value);
}

/* A number that cz_jsonl_real has written. */
static double number_of(const json_t *v) {
  const char *text = json_string_value(v);
  if (!text) return json_number_value(v);
  return !strcmp(text, "inf") ? INFINITY : !strcmp(text, "-inf") ? -INFINITY : NAN;
}

/* One line of another run: into LINES and, as points of curves, EVENTS where it is due. */
static cz_status take_line(cz_buf *lines, cz_events *events, const char *what,
                           const cz_train_keys *train, const char *line, size_t n) {
  json_error_t why;
  const char *name;
  json_t *o = json_loadb(line, n, 0, &why), *at = json_object_get(o, "step"), *value;
  const int64_t step = json_integer_value(at);
  cz_status st = CZ_OK;
  if (!json_is_integer(at))
    CZ_GO(st, CZ_FAIL(CZ_ECORRUPT, "not the line of a step: %.*s", n < 80 ? (int)n : 80, line),
          done);
  if (!cz_record_due(train, step)) goto done;
  CZ_GO(st, cz_buf_add(lines, line, n + 1), done);
  json_object_foreach(o, name, value) {
    if (strcmp(name, "step"))
      CZ_GO(st, add_point(events, what, name, step, number_of(value)), done);
  }
done:
  json_decref(o);
  return st;
}

/** Gives FOLDER the records of the finished run in FROM, whose steps a run of TRAIN takes over: the
 * lines of metrics.jsonl that are due in such a run (FROM's last step need not be), and of these
 * one file of TensorBoard events, curves WHAT/NAME. Nothing where FROM has no metrics.jsonl.
 * CZ_ECORRUPT, and no metrics.jsonl is written, for a line that is none of a step. */
cz_status cz_record_take_over(const char *folder, const char *from, const char *what,
                              const cz_train_keys *train) {
  char there[4096], here[4096];
  cz_buf text = {0}, lines = {0};
  cz_events *events = NULL;
  cz_status st;
  CZ_TRY(cz_fs_join(there, sizeof there, from, "metrics.jsonl"));
  CZ_TRY(cz_fs_join(here, sizeof here, folder, "metrics.jsonl"));
  if (!cz_fs_exists(there)) return CZ_OK;
  CZ_GO(st, cz_fs_read(there, &text), done);
  CZ_GO(st, cz_events_open(&events, folder, 1), done);
  for (size_t at = 0, n; at < text.len; at += n + 1) {
    const char *end = memchr(text.data + at, '\n', text.len - at);
    if (!end) CZ_GO(st, CZ_FAIL(CZ_ECORRUPT, "%s: the last line is cut off", there), done);
    n = (size_t)(end - text.data) - at;
    st = take_line(&lines, events, what, train, text.data + at, n);
    if (st != CZ_OK) CZ_GO(st, CZ_NOTE(st, "%s", there), done);
  }
  st = cz_fs_write_atomic(here, lines.len ? lines.data : "", lines.len);
done:;
  cz_status closed = cz_events_close(&events);
  cz_buf_free(&text);
  cz_buf_free(&lines);
  return st != CZ_OK ? st : closed;
}

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
    CZ_TRY(cz_jsonl_real(r->lines, values[i].name, values[i].value));
    CZ_TRY(add_point(r->events, r->what, values[i].name, step, values[i].value));
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
