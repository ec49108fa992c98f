#include "base/line_stream.h"
#include "base/fs.h"
#include "base/stop.h"
#include "base/utf8.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/** Opens the file at PATH, a borrowed string; "-" is standard input. CZ_EIO and CZ_EINVAL as
 * cz_fs_open_regular. Close it in any case. */
cz_status cz_line_stream_open(cz_line_stream *s, const char *path) {
  *s = (cz_line_stream){.name = path};
  if (!strcmp(path, "-"))
    s->name = "standard input";
  else
    CZ_TRY(cz_fs_open_regular(&s->fd, NULL, path));
  s->is_open = true;
  return CZ_OK;
}

/* Reads more bytes, or finds the end. */
static cz_status fill(cz_line_stream *s) {
  char chunk[1 << 16];
  if (s->at) {
    memmove(s->bytes.data, s->bytes.data + s->at, s->bytes.len - s->at);
    s->bytes.len -= s->at;
    s->at = 0;
  }
  for (;;) {
    CZ_TRY(cz_stop_check(s->name));
    ssize_t n = read(s->fd, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return CZ_FAIL(CZ_EIO, "%s: %s", s->name, strerror(errno));
    s->ended = n == 0;
    return cz_buf_add(&s->bytes, chunk, (size_t)n);
  }
}

static size_t waiting(const cz_line_stream *s) { return s->bytes.len - s->at; }

/* Skips what still belongs to the end of the line before: LF, or CR LF, behind a CR. */
static cz_status skip_rest_of_end(cz_line_stream *s) {
  if (!s->after_return) return CZ_OK;
  while (!s->ended && (waiting(s) == 0 || (waiting(s) == 1 && s->bytes.data[s->at] == '\r')))
    CZ_TRY(fill(s));
  const char *next = s->bytes.data + s->at;
  if (waiting(s) >= 1 && next[0] == '\n')
    s->at += 1;
  else if (waiting(s) >= 2 && next[0] == '\r' && next[1] == '\n')
    s->at += 2;
  s->after_return = false;
  return CZ_OK;
}

/* Bytes of the line at s->at before its end; *FOUND is false where none has been read. FROM: so
 * many have been looked at before. */
static size_t find_end(const cz_line_stream *s, size_t from, bool *found) {
  size_t n = from;
  while (n < waiting(s) && s->bytes.data[s->at + n] != '\n' && s->bytes.data[s->at + n] != '\r')
    n++;
  *found = n < waiting(s);
  return n;
}

/* Skips a byte order mark; waits for no more bytes than it takes to see that there is none. */
static cz_status skip_mark(cz_line_stream *s) {
  static const char mark[] = "\xef\xbb\xbf";
  if (s->number > 0) return CZ_OK;
  while (!s->ended && waiting(s) < 3 &&
         (waiting(s) == 0 || !memcmp(s->bytes.data + s->at, mark, waiting(s))))
    CZ_TRY(fill(s));
  if (waiting(s) >= 3 && !memcmp(s->bytes.data + s->at, mark, 3)) s->at += 3;
  return CZ_OK;
}

/** The next line without its end, of *N bytes and NUL-terminated, good until the next call and
 * the caller's to change; *MORE is false after the last. A byte order mark is skipped. CZ_EINVAL
 * with line and column for bytes that are not UTF-8 and for a NUL, after which the next line can be
 * read; CZ_ENOMEM for a line longer than CZ_LINE_BYTES. */
cz_status cz_line_stream_next(cz_line_stream *s, char **line, size_t *n, bool *more) {
  bool found = false;
  *more = false;
  CZ_TRY(skip_rest_of_end(s));
  CZ_TRY(skip_mark(s));
  for (*n = find_end(s, 0, &found); !found && !s->ended; *n = find_end(s, *n, &found)) {
    if (waiting(s) > CZ_LINE_BYTES)
      return CZ_FAIL(CZ_ENOMEM, "%s:%lld: a line of more than %d MiB", s->name,
                     (long long)s->number + 1, CZ_LINE_BYTES >> 20);
    CZ_TRY(fill(s));
  }
  if (!found && waiting(s) == 0) return CZ_OK;
  *more = true;
  *line = s->bytes.data + s->at;
  s->after_return = found && (*line)[*n] == '\r';
  if (found) (*line)[*n] = '\0'; /* behind the last line stands the buffer's own */
  s->at += *n + found;
  s->number++;
  return cz_utf8_expect_line(*line, *n, s->name, s->number);
}

/** Whether the next line can be had without waiting for more input. */
bool cz_line_stream_has_line(const cz_line_stream *s) {
  bool found;
  if (s->ended) return true;
  size_t skipped = 0;
  while (s->after_return && skipped < 2 && skipped < waiting(s) &&
         strchr("\r\n", s->bytes.data[s->at + skipped]))
    skipped++;
  find_end(s, skipped, &found);
  return found;
}

/** Closes what was opened and frees the bytes. */
void cz_line_stream_close(cz_line_stream *s) {
  if (s->is_open && s->fd > 0) close(s->fd);
  cz_buf_free(&s->bytes);
  s->is_open = false;
}
