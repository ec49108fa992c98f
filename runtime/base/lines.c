#include "base/lines.h"

#include <string.h>

/** A walk over the N bytes of TEXT, of the file called NAME; a byte order mark at the
 * start is skipped. Both are borrowed. */
cz_line_walk cz_line_walk_over(const char *text, size_t n, const char *name) {
  cz_line_walk w = {.name = name, .at = text, .end = n ? text + n : text};
  if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) w.at += 3;
  return w;
}

/** The next line, N bytes without its end; false after the last one. */
bool cz_line_next(cz_line_walk *l, const char **line, size_t *n) {
  if (l->at == l->end) return false;
  const char *s = l->at;
  while (s < l->end && *s != '\n' && *s != '\r') s++;
  *line = l->at;
  *n = (size_t)(s - l->at);
  l->number++;
  if (s < l->end && *s == '\r') {
    const char *last = s;
    while (last < l->end && *last == '\r' && last - s < 2) last++;
    s = last < l->end && *last == '\n' ? last + 1 : s + 1;
  } else if (s < l->end) {
    s++;
  }
  l->at = s;
  return true;
}

/** True when a line holds nothing but blanks and tabs. */
bool cz_line_is_blank(const char *line, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (line[i] != ' ' && line[i] != '\t') return false;
  return true;
}
