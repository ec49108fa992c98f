/* The old files of a vocabulary, as the Hugging Face library reads them: vocab.txt and
 * merges.txt. */
#include "base/fs.h"
#include "base/utf8.h"
#include "text/folder.h"
#include "text/unicode.h"

#include <string.h>

/** Reads NAME of the folder, which must be UTF-8 without NUL. */
cz_status cz__folder_read_text(cz_buf *text, char path[4096], const cz__folder *f,
                               const char *name) {
  CZ_TRY(cz_fs_join(path, 4096, f->path, name));
  CZ_TRY(cz_fs_read(path, text));
  CZ_TRY(cz_buf_add(text, "", 0));
  return cz_utf8_expect(text->data, text->len, path);
}

/* The next line, ended by a newline or by the end of the text: the library's rule, which is not
 * that of other text files, since a token may be a carriage return's neighbour. */
static bool next_line(const char **at, const char *end, const char **line, size_t *n) {
  if (*at == end) return false;
  const char *newline = memchr(*at, '\n', (size_t)(end - *at));
  *line = *at;
  *n = (size_t)((newline ? newline : end) - *at);
  *at = newline ? newline + 1 : end;
  return true;
}

static size_t without_blanks_behind(const char *s, size_t n) {
  size_t k;
  while (n > 0) {
    size_t at = cz_utf8_back(s, n);
    if (!cz_unicode_is_space(cz_utf8_next(s + at, &k))) break;
    n = at;
  }
  return n;
}

static cz_status add_token(json_t *vocab, const char *line, size_t n, int64_t id,
                           const char *path) {
  const json_t *before = json_object_getn(vocab, line, n);
  if (before)
    return CZ_FAIL(CZ_EINVAL, "%s:%lld: '%.*s' stands on line %lld already; a token has one id",
                   path, (long long)id + 1, (int)n, line,
                   (long long)json_integer_value(before) + 1);
  return json_object_setn_new(vocab, line, n, json_integer(id)) == 0
             ? CZ_OK
             : CZ_FAIL(CZ_ENOMEM, "no memory for a vocabulary");
}

/** A token a line, whose id is the number of the line: {token: id}, the caller's. White space
 * behind a token is not part of it. CZ_EINVAL with the line of a token that comes twice. */
cz_status cz__folder_vocab_txt(json_t **vocab, const cz__folder *f, const char *name) {
  char path[4096];
  cz_buf text = {0};
  cz_status st;
  *vocab = json_object();
  CZ_GO(st, cz__folder_read_text(&text, path, f, name), done);
  const char *at = text.data, *line;
  size_t n;
  for (int64_t id = 0; next_line(&at, text.data + text.len, &line, &n); id++)
    CZ_GO(st, add_token(*vocab, line, without_blanks_behind(line, n), id, path), done);
done:
  cz_buf_free(&text);
  return st;
}

/** A merge a line, two pieces with a space between them, below a line `#version`: a list of
 * ["a", "b"], the caller's. CZ_EINVAL with the line that is none. */
cz_status cz__folder_merges_txt(json_t **merges, const cz__folder *f, const char *name) {
  char path[4096];
  cz_buf text = {0};
  cz_status st;
  *merges = json_array();
  CZ_GO(st, cz__folder_read_text(&text, path, f, name), done);
  const char *at = text.data, *line;
  size_t n;
  for (int64_t number = 1; next_line(&at, text.data + text.len, &line, &n); number++) {
    if (n >= 8 && memcmp(line, "#version", 8) == 0) continue;
    if (n > 0 && line[n - 1] == '\r') n--;
    const char *space = memchr(line, ' ', n), *end = line + n;
    if (!space || memchr(space + 1, ' ', (size_t)(end - space - 1)))
      CZ_GO(st,
            CZ_FAIL(CZ_EINVAL,
                    "%s:%lld: expected two pieces with a space between them, found '%.*s'", path,
                    (long long)number, (int)(n < 80 ? n : 80), line),
            done);
    json_t *pair =
        json_pack("[s%,s%]", line, (size_t)(space - line), space + 1, (size_t)(end - space - 1));
    CZ_GO(st, cz_json_add(*merges, pair), done);
  }
done:
  cz_buf_free(&text);
  return st;
}
