/* What a run says while it works: lines to the terminal and to its log file, and one
 * progress line. */
#ifndef CZ_BASE_LOG_H
#define CZ_BASE_LOG_H

#include "base/status.h"

#include <stdbool.h>
#include <stdint.h>

/* Of one stage of work; fill and pass to cz_progress_show after each step. Rate and time
 * left are those of this process, so that a resumed run does not take credit for what
 * another one did. */
typedef struct cz_progress {
  const char *what; /* stage, borrowed */
  const char *item; /* what DONE counts, one of them: "step", "example" */
  const char *unit; /* what the rate counts: "tokens", "examples" */
  int64_t done, total;
  int64_t first; /* already done when this process began */
  double units;  /* units done by this process */
  double loss;   /* smoothed; shown unless NaN */
  double began;  /* cz_seconds at the start */
  double shown;  /* kept by cz_progress_show */
} cz_progress;

/* One log a process, by one thread at a time. Log and warn go to standard error and to
 * the file, so that standard output holds results alone and can be piped. */
CZ_MUST cz_status cz_log_open(const char *path);
void cz_log_close(void);
void cz_log_quiet(bool quiet);
void cz_log_heard(bool heard);
void cz_log(const char *format, ...) CZ_PRINTF(1, 2);
void cz_log_once(const char *format, ...) CZ_PRINTF(1, 2);
void cz_warn(const char *format, ...) CZ_PRINTF(1, 2);
bool cz_terminal_escapes(int fd);
void cz_progress_show(cz_progress *p, bool last);

#endif
