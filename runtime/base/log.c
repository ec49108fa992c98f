#include "base/log.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/hash.h"

#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static FILE *log_file;
static bool quiet_terminal, heard_already,
    line_open; /* line_open: a progress line stands unfinished on the terminal */

/* Hashes of the texts that are said once. Of more than these each is said whenever it comes. */
enum { KNOWN_TEXTS = 256 };
static uint64_t known[KNOWN_TEXTS];
static size_t n_known;

/** Appends the process's messages to the file PATH from now on, besides standard error. */
cz_status cz_log_open(const char *path) {
  int fd;
  cz_log_close();
  CZ_TRY(cz_fs_open_append(&fd, path));
  if ((log_file = fdopen(fd, "a"))) return CZ_OK;
  cz_status st = CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  close(fd);
  return st;
}

/** Stops writing to the log file. */
void cz_log_close(void) {
  if (log_file) fclose(log_file);
  log_file = NULL;
}

/** Silences the terminal (not the file): for ranks above zero and for --json. */
void cz_log_quiet(bool quiet) { quiet_terminal = quiet; }

/** While HEARD, warnings and lines of cz_log_once count as said and go to the file alone: another
 * process says them, or has said them. */
void cz_log_heard(bool heard) { heard_already = heard; }

/** Whether escape sequences may be written to the descriptor FD: it is a terminal that knows
 * them, and the user does not ask for none (NO_COLOR, no-color.org; TERM=dumb). */
bool cz_terminal_escapes(int fd) {
  const char *term = getenv("TERM"), *plain = getenv("NO_COLOR");
  return isatty(fd) && !(plain && *plain) && !(term && !strcmp(term, "dumb"));
}

/* Columns of the terminal at standard error; 80 when it does not say. */
static int terminal_width(void) {
  struct winsize size;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/* Cuts TEXT to a line of the terminal: a longer one would wrap, and redrawing it would leave
 * its first part behind. The last column stays free, since some terminals wrap there. */
static void fit_width(char *text) {
  size_t room = (size_t)terminal_width() - 1, columns = 0, at = 0;
  while (text[at] && columns < room) { /* one column a character */
    at++;
    while (((unsigned char)text[at] & 0xC0) == 0x80) at++;
    columns++;
  }
  text[at] = '\0';
}

/* Clears the progress line that stands on the terminal. Without escapes, blanks go over it. */
static void clear_line(void) {
  if (cz_terminal_escapes(STDERR_FILENO))
    fputs("\r\033[K", stderr);
  else
    fprintf(stderr, "\r%*s\r", terminal_width() - 1, "");
}

/* Whether TEXT was not said before; it is known from now on. */
static bool is_news(const char *text) {
  const uint64_t hash = cz_hash_text(text);
  for (size_t i = 0; i < n_known; i++)
    if (known[i] == hash) return false;
  if (n_known < KNOWN_TEXTS) known[n_known++] = hash;
  return !heard_already;
}

/* ALWAYS: also when the terminal is quiet. ONCE: what was said before goes to the file alone. */
static void say(const char *prefix, bool always, bool once, const char *format, va_list args) {
  char text[2048];
  vsnprintf(text, sizeof text, format, args);
  if ((!once || is_news(text)) && (!quiet_terminal || always)) {
    if (line_open) clear_line();
    fprintf(stderr, "%s%s\n", prefix, text);
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
  say("", false, false, format, args);
  va_end(args);
}

/** The same of what stages repeat: on standard error once a process. */
void cz_log_once(const char *format, ...) {
  va_list args;
  va_start(args, format);
  say("", false, true, format, args);
  va_end(args);
}

/** One line that starts with "warning: ", on standard error even when quiet, and once a process: a
 * repeated one is in the file alone. */
void cz_warn(const char *format, ...) {
  va_list args;
  va_start(args, format);
  say("warning: ", true, true, format, args);
  va_end(args);
}

static void clock_text(char *out, size_t n, double s) {
  if (!isfinite(s) || s < 0) s = 0;
  long t = (long)(s + 0.5);
  snprintf(out, n, t >= 3600 ? "%ld:%02ld:%02ld" : "%.0ld%02ld:%02ld", t >= 3600 ? t / 3600 : 0L,
           t / 60 % 60, t % 60);
}

/** Shows how far the work is, its rate, loss, elapsed and remaining time
 * (minutes:seconds): on a terminal one line of its width, redrawn at most four times a
 * second; elsewhere, and on a dumb terminal, one line a minute. LAST ends it. */
void cz_progress_show(cz_progress *p, bool last) {
  double now = cz_seconds(), elapsed = now - p->began;
  const char *term = getenv("TERM");
  bool terminal = isatty(STDERR_FILENO) && !(term && !strcmp(term, "dumb"));
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
  if (log_file && (last || !terminal)) fprintf(log_file, "%s\n", text);
  if (quiet_terminal) return;
  if (terminal) {
    fit_width(text);
    if (line_open) clear_line();
  }
  fprintf(stderr, "%s%s", text, last || !terminal ? "\n" : "");
  line_open = terminal && !last;
}
