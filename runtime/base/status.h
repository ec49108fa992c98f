/* Status codes and the error chain. Every function that can fail returns a `cz_status`
 * that must be looked at; zero is success.
 *
 * A failure starts a thread-local chain with CZ_FAIL (code, file, line, message with the
 * offending values); each CZ_TRY or CZ_GO it passes adds its place, each CZ_NOTE what was
 * being done, which belongs to the message. `main` prints the message, and with
 * CLOZE_DEBUG=1 the places; library code never exits. */
#ifndef CZ_BASE_STATUS_H
#define CZ_BASE_STATUS_H

typedef enum cz_status {
  CZ_OK = 0,
  CZ_EUSAGE,    /* wrong usage or configuration: exit code 2 */
  CZ_EINVAL,    /* input that is not what it should be (shape, value, format) */
  CZ_EIO,       /* the system refused to read or write */
  CZ_ENOMEM,    /* no memory */
  CZ_ECORRUPT,  /* stored bytes that fail their check */
  CZ_ENUMERIC,  /* a number that is not finite where it must be */
  CZ_EBUSY,     /* somebody else holds it */
  CZ_EINTERRUPT /* a signal asked the run to stop; what was computed is saved */
} cz_status;

#define CZ_MUST              __attribute__((warn_unused_result))
#define CZ_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

/* What the macros below call. One chain a thread; a new failure replaces it. The strings
 * are owned by the chain and good until the next failure of the thread. */
cz_status cz_error_raise(cz_status code, const char *file, int line, const char *format, ...)
    CZ_PRINTF(4, 5);
cz_status cz_error_trace(cz_status code, const char *file, int line, const char *expression);
cz_status cz_error_note(cz_status code, const char *file, int line, const char *format, ...)
    CZ_PRINTF(4, 5);
const char *cz_error_message(void);
const char *cz_error_chain(void);
void cz_error_clear(void);
const char *cz_status_name(cz_status code);
void cz_check_failed(const char *file, int line, const char *condition)
    __attribute__((noreturn)); /* C11's word for it is none of C++ */

/* Starts a chain; the value is the code, so that `return CZ_FAIL(...)` reads well. */
#define CZ_FAIL(code, ...) cz_error_raise((code), __FILE__, __LINE__, __VA_ARGS__)

/* Adds what the caller was doing to the message of a failure that came from below, e.g.
 * `return CZ_NOTE(st, "reading %s", path)`. */
#define CZ_NOTE(code, ...) cz_error_note((code), __FILE__, __LINE__, __VA_ARGS__)

/* Returns from the enclosing function when EXPR fails. */
#define CZ_TRY(expr)                                                                               \
  do {                                                                                             \
    cz_status cz_try_ = (expr);                                                                    \
    if (cz_try_ != CZ_OK) return cz_error_trace(cz_try_, __FILE__, __LINE__, #expr);               \
  } while (0)

/* Stores the status of EXPR in ST and, when it failed, goes to LABEL: the one clean-up
 * pattern. */
#define CZ_GO(st, expr, label)                                                                     \
  do {                                                                                             \
    (st) = (expr);                                                                                 \
    if ((st) != CZ_OK) {                                                                           \
      cz_error_trace((st), __FILE__, __LINE__, #expr);                                             \
      goto label;                                                                                  \
    }                                                                                              \
  } while (0)

/* For programmer mistakes only; never compiled out. */
#define CZ_CHECK(condition)                                                                        \
  ((condition) ? (void)0 : cz_check_failed(__FILE__, __LINE__, #condition))

#endif
