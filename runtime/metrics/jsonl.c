#include "metrics/jsonl.h"
#include "base/fs.h"
#include "base/number.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

struct cz_jsonl {
  int file;
  char *path;
  cz_buf line;
};

/** Opens PATH for appending, created when missing. The caller closes. Reads nothing of an
 * existing file; call cz_jsonl_resume before. A power cut may cost the last lines: a run
 * that goes on writes those behind its checkpoint anew. */
cz_status cz_jsonl_open(cz_jsonl **writer, const char *path) {
  CZ_TRY(cz_alloc(writer, 1, sizeof **writer));
  (*writer)->path = strdup(path);
  cz_status st = cz_fs_open_append(&(*writer)->file, path);
  if (st == CZ_OK && (*writer)->path) return CZ_OK;
  if (st == CZ_OK) st = CZ_FAIL(CZ_ENOMEM, "no memory for the name of %s", path);
  if ((*writer)->file >= 0) close((*writer)->file);
  free((*writer)->path);
  free(*writer);
  *writer = NULL;
  return st;
}

/* What a line says of its place in the run. */
typedef enum standing { KEEP, LATER, BROKEN } standing;

static standing standing_of(const char *line, size_t n, int64_t step) {
  json_error_t error;
  json_t *object = json_loadb(line, n, 0, &error);
  if (!json_is_object(object)) {
    json_decref(object);
    return BROKEN;
  }
  json_t *at = json_object_get(object, "step");
  standing s = json_is_integer(at) && json_integer_value(at) > step ? LATER : KEEP;
  json_decref(object);
  return s;
}

/* How many of the bytes stay: whole lines up to the first one behind STEP. A last line
 * that is torn goes; any other broken line is an error. */
static cz_status kept_bytes(size_t *keep, const cz_buf *text, const char *path, int64_t step) {
  size_t at = 0;
  for (int line = 1; at < text->len; line++) {
    const char *end = memchr(text->data + at, '\n', text->len - at);
    standing s = end ? standing_of(text->data + at, (size_t)(end - text->data) - at, step) : BROKEN;
    bool last = !end || end + 1 == text->data + text->len;
    if (s == BROKEN && !last)
      return CZ_FAIL(CZ_ECORRUPT, "%s:%d: this line is not a JSON object: %.80s", path, line,
                     text->data + at);
    if (s != KEEP) break;
    at = (size_t)(end - text->data) + 1;
  }
  *keep = at;
  return CZ_OK;
}

/** Cuts the file PATH back to what was written up to STEP: from the first line whose
 * integer `step` is larger everything goes, and so does a last line that a kill tore.
 * What stays keeps its bytes. A missing file is fine. Lines must come in the order of
 * their steps. CZ_ECORRUPT, and nothing is cut, when a line before the last is no JSON
 * object. */
cz_status cz_jsonl_resume(const char *path, int64_t step) {
  cz_buf text = {0};
  size_t keep = 0;
  if (!cz_fs_exists(path)) return CZ_OK;
  cz_status st = cz_fs_read(path, &text);
  if (st == CZ_OK) st = kept_bytes(&keep, &text, path, step);
  if (st == CZ_OK && keep < text.len && truncate(path, (off_t)keep))
    st = CZ_FAIL(CZ_EIO, "%s: %s", path, strerror(errno));
  cz_buf_free(&text);
  return st;
}

/** Starts a line. */
cz_status cz_jsonl_begin(cz_jsonl *writer) {
  writer->line.len = 0;
  return cz_buf_add(&writer->line, "{", 1);
}

/** Appends TEXT as a JSON string; bytes that are no UTF-8 become U+FFFD. */
cz_status cz_jsonl_quote(cz_buf *out, const char *text) {
  CZ_TRY(cz_buf_add(out, "\"", 1));
  for (const char *s = text; *s;) {
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s, -1, &c);
    if (n <= 0)
      CZ_TRY(cz_buf_add(out, "\\ufffd", 6));
    else if (c < 0x20 || c == '"' || c == '\\' || c == 0x7F)
      CZ_TRY(c == '"' || c == '\\' ? cz_buf_addf(out, "\\%c", (int)c)
                                   : cz_buf_addf(out, "\\u%04x", (unsigned)c));
    else
      CZ_TRY(cz_buf_add(out, s, (size_t)n));
    s += n > 0 ? n : 1;
  }
  return cz_buf_add(out, "\"", 1);
}

static cz_status add_key(cz_jsonl *w, const char *key) {
  if (w->line.len > 1) CZ_TRY(cz_buf_add(&w->line, ", ", 2));
  CZ_TRY(cz_jsonl_quote(&w->line, key));
  return cz_buf_add(&w->line, ": ", 2);
}

/** Adds a whole number to the line. */
cz_status cz_jsonl_int(cz_jsonl *writer, const char *key, int64_t value) {
  CZ_TRY(add_key(writer, key));
  return cz_buf_addf(&writer->line, "%lld", (long long)value);
}

/** Adds a number to the line; JSON has no infinities, so they and NaN become the texts
 * "inf", "-inf" and "nan". */
cz_status cz_jsonl_real(cz_jsonl *writer, const char *key, double value) {
  char text[32];
  CZ_TRY(add_key(writer, key));
  cz_format_real(text, isnan(value) ? NAN : value);
  return cz_buf_addf(&writer->line, isfinite(value) ? "%s" : "\"%s\"", text);
}

/** Ends the line and writes it. CZ_EIO when the disk is full or refuses; the file then
 * ends with the line before. */
cz_status cz_jsonl_end(cz_jsonl *writer) {
  CZ_TRY(cz_buf_add(&writer->line, "}\n", 2));
  off_t before = lseek(writer->file, 0, SEEK_END);
  ssize_t n;
  do n = write(writer->file, writer->line.data, writer->line.len);
  while (n < 0 && errno == EINTR);
  if (n == (ssize_t)writer->line.len) return CZ_OK;
  cz_status st =
      CZ_FAIL(CZ_EIO, "%s: %s", writer->path,
              n >= 0 && n < (ssize_t)writer->line.len ? strerror(ENOSPC) : strerror(errno));
  if (n > 0 && before >= 0 && ftruncate(writer->file, before))
    CZ_NOTE(st, "and the torn line stays: %s", strerror(errno));
  return st;
}

/** Closes the file, clears the pointer, accepts null. CZ_EIO when the system could not
 * keep what was written. */
cz_status cz_jsonl_close(cz_jsonl **writer) {
  if (!*writer) return CZ_OK;
  cz_jsonl *w = *writer;
  cz_status st = close(w->file) ? CZ_FAIL(CZ_EIO, "%s: %s", w->path, strerror(errno)) : CZ_OK;
  cz_buf_free(&w->line);
  free(w->path);
  free(w);
  *writer = NULL;
  return st;
}
