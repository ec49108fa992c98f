#include "device/module_side.h"

#ifdef CZ_MODULE /* the program has its own, in base */

#include <stdarg.h>

enum { TEXT = 2048 }; /* bytes of a message, its NUL included */

const cz_host_api *cz_host;

/** As the program's, which it calls with the text made. */
cz_status cz_error_raise(cz_status code, const char *file, int line, const char *format, ...) {
  char text[TEXT];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return cz_host->raise(code, file, line, text);
}

/** As the program's, which it calls. */
cz_status cz_error_trace(cz_status code, const char *file, int line, const char *expression) {
  return cz_host->trace(code, file, line, expression);
}

/** As the program's, which it calls with the text made. */
cz_status cz_error_note(cz_status code, const char *file, int line, const char *format, ...) {
  char text[TEXT];
  va_list args;
  va_start(args, format);
  vsnprintf(text, sizeof text, format, args);
  va_end(args);
  return cz_host->note(code, file, line, text);
}

#endif
