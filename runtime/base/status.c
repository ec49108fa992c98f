#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A message may name two paths of 4,095 bytes, an excerpt and notes of the same kind. */
enum { MESSAGE_BYTES = 24 << 10, NOTE_BYTES = 8 << 10, CHAIN_BYTES = 48 << 10 };

static _Thread_local char message[MESSAGE_BYTES];
static _Thread_local char chain[CHAIN_BYTES];
static _Thread_local size_t chain_used;

/* FILE below the source folder: the compiler may have been given a longer path. */
static const char *from_root(const char *file) {
  size_t n = sizeof CZ_SOURCE_ROOT - 1;
  return !strncmp(file, CZ_SOURCE_ROOT "/", n + 1) ? file + n + 1 : file;
}

static void chain_add(const char *file, int line, const char *text) {
  if (chain_used >= CHAIN_BYTES - 1) return;
  int n = snprintf(chain + chain_used, CHAIN_BYTES - chain_used, "  at %s:%d: %s\n",
                   from_root(file), line, text);
  if (n > 0)
    chain_used += (size_t)n < CHAIN_BYTES - chain_used ? (size_t)n : CHAIN_BYTES - 1 - chain_used;
}

/** Starts a new chain with CODE, place and message, and returns CODE. Use through
 * CZ_FAIL. */
cz_status cz_error_raise(cz_status code, const char *file, int line, const char *format, ...) {
  char text[MESSAGE_BYTES]; /* the arguments may point into the old message */
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  memcpy(message, text, sizeof message);
  chain_used = 0;
  chain[0] = '\0';
  chain_add(file, line, cz_status_name(code));
  return code;
}

/** Adds one place to the chain of a failure that came from below and returns CODE
 * unchanged. Use through CZ_TRY and CZ_GO. */
cz_status cz_error_trace(cz_status code, const char *file, int line, const char *expression) {
  chain_add(file, line, expression);
  return code;
}

/** As cz_error_trace, and the text, in which row or file it was, becomes the message's
 * last line. Use through CZ_NOTE. */
cz_status cz_error_note(cz_status code, const char *file, int line, const char *format, ...) {
  char text[NOTE_BYTES];
  size_t used = strlen(message);
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  snprintf(message + used, sizeof message - used, "%s(%s)", used ? "\n  " : "", text);
  chain_add(file, line, text);
  return code;
}

/** The message of the last failure in this thread: one or more lines for the user, with
 * the offending values. Borrowed, until the next failure. */
const char *cz_error_message(void) { return message; }

/** The places that the last failure passed, innermost first, a line each. Borrowed, until
 * the next failure. */
const char *cz_error_chain(void) { return chain; }

/** Forgets the last failure of this thread; for code that tried something and goes on
 * without it. */
void cz_error_clear(void) {
  message[0] = chain[0] = '\0';
  chain_used = 0;
}

/** A status code in words. Never null. */
const char *cz_status_name(cz_status code) {
  static const char *const names[] = {
      "done",          "wrong usage",  "invalid input",     "input or output failed",
      "out of memory", "corrupt data", "number not finite", "busy",
      "interrupted"};
  return (unsigned)code < sizeof names / sizeof *names ? names[code] : "unknown status";
}

/** Reports a programmer's mistake and aborts. Use through CZ_CHECK. */
void cz_check_failed(const char *file, int line, const char *condition) {
  fprintf(stderr, "cloze: internal error at %s:%d: %s does not hold\n", file, line, condition);
  abort();
}
