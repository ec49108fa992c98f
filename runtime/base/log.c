#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static FILE *log_file;
static bool quiet_terminal,
    line_open; /* line_open: a progress line stands unfinished on the terminal */

/** Appends the process's messages to the file PATH from now on, besides standard error. */
cz_status cz_log_open(const char *path) {
  cz_log_close();
  log_file = fopen(path, "a");
  return log_file ? CZ_OK : CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
}

/** Stops writing to the log file. */
void cz_log_close(void) {
  if (log_file) fclose(log_file);
  log_file = NULL;
}

/** Silences the terminal (not the file): for ranks above zero and for --json. */
void cz_log_quiet(bool quiet) { quiet_terminal = quiet; }

static void say(const char *prefix, bool always, const char *format, va_list args) {
  char text[2048];
  vsnprintf(text, sizeof text, format, args);
  if (!quiet_terminal || always) {
    fprintf(stderr, "%s%s%s\n", line_open ? "\r\033[K" : "", prefix, text);
    line_open = false;
  }
  if (log_file) {
    fprintf(log_file, "%s%s\n", prefix, text);
    fflush(log_file);
  }
}

/** One line to standard error and to the log file. */
void cz_log(const char *format, ...) {
  va_list args;
  va_start(args, format);
  say("", false, format, args);
  va_end(args);
}

/** One line that starts with "warning: ", shown even when quiet. */
void cz_warn(const char *format, ...) {
  va_list args;
  va_start(args, format);
  say("warning: ", true, format, args);
  va_end(args);
}

static void clock_text(char *out, size_t n, double s) {
  if (!isfinite(s) || s < 0) s = 0;
  long t = (long)(s + 0.5);
  snprintf(out, n, t >= 3600 ? "%ld:%02ld:%02ld" : "%.0ld%02ld:%02ld", t >= 3600 ? t / 3600 : 0L,
           t / 60 % 60, t % 60);
}

/** Shows how far the work is, its rate, loss, elapsed and remaining time
 * (minutes:seconds): on a terminal one line redrawn at most four times a second,
 * elsewhere one line a minute. LAST ends it. */
void cz_progress_show(cz_progress *p, bool last) {
  double now = cz_seconds(), elapsed = now - p->began;
  bool terminal = isatty(STDERR_FILENO);
  if (!last && now - p->shown < (terminal ? 0.25 : 60.0)) return;
  if (!last && !terminal && p->shown == 0) { /* the first minute starts now */
    p->shown = now;
    return;
  }
  p->shown = now;
  int64_t here = p->done - p->first;
  char spent[32], left[32], loss[32] = "";
  clock_text(spent, sizeof spent, elapsed);
  clock_text(left, sizeof left,
             here > 0 ? elapsed / (double)here * (double)(p->total - p->done) : 0);
  if (!isnan(p->loss)) snprintf(loss, sizeof loss, ", loss %.4f", p->loss);
  char text[256];
  snprintf(text, sizeof text, "%s: %s %lld of %lld%s, %.0f %s/s, %s elapsed, %s left", p->what,
           p->item, (long long)p->done, (long long)p->total, loss,
           elapsed > 0 ? p->units / elapsed : 0.0, p->unit, spent, left);
  if (terminal && !quiet_terminal) {
    fprintf(stderr, "\r\033[K%s%s", text, last ? "\n" : "");
    line_open = !last;
  } else if (!quiet_terminal) {
    fprintf(stderr, "%s\n", text);
  }
  if (log_file && (last || !terminal)) fprintf(log_file, "%s\n", text);
}
