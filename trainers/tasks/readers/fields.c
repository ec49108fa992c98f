#include "tasks/readers/fields.h"
#include "base/fs.h"
#include "base/lines.h"
#include "base/nearest.h"
#include "base/stop.h"
#include "base/utf8.h"
#include "tasks/format_t5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t count_byte(const char *s, size_t n, char c) {
  size_t k = 0;
  for (size_t i = 0; i < n; i++) k += s[i] == c;
  return k;
}

/** Reads the file at PATH, a borrowed string. CZ_EINVAL with line and column when it is
 * empty, holds a NUL byte, or is not UTF-8; a byte order mark is skipped. Close it in
 * any case. */
cz_status cz_lines_open(cz_lines *l, const char *path) {
  *l = (cz_lines){.path = path};
  CZ_TRY(cz_fs_read(path, &l->file));
  if (l->file.len == 0) return CZ_FAIL(CZ_EINVAL, "%s: the file is empty", path);
  CZ_TRY(cz_utf8_expect(l->file.data, l->file.len, path));
  l->walk = cz_line_walk_over(l->file.data, l->file.len, path);
  return CZ_OK;
}

/** The next line without its end (base/lines.h), blank or not; false after the last. The text
 * lives until the file is closed. */
bool cz_lines_next(cz_lines *l, char **line) {
  const char *at;
  size_t n;
  if (!cz_line_next(&l->walk, &at, &n)) return false;
  *line = l->file.data + (at - l->file.data);
  (*line)[n] = '\0'; /* over the line's end, or the NUL behind the last line */
  l->number = l->walk.number;
  return true;
}

/** As cz_lines_next, past blank lines: spaces and tabs hold no record in any layout. */
bool cz_lines_next_record(cz_lines *l, char **line) {
  bool more;
  while ((more = cz_lines_next(l, line)) && cz_line_is_blank(*line, strlen(*line))) {
  }
  return more;
}

/** Frees the file's text. */
void cz_lines_close(cz_lines *l) { cz_buf_free(&l->file); }

/** The place of a byte of the line last read. COLUMN from 1; 0 leaves it out. Of a long path
 * the end is kept. */
cz_field_place cz_lines_place(const cz_lines *l, size_t column) {
  enum { PATH_BYTES = 440 };
  cz_field_place p;
  size_t length = strlen(l->path);
  bool cut = length > PATH_BYTES;
  int n = snprintf(p.text, sizeof p.text, "%s%s:%lld", cut ? "..." : "",
                   cut ? l->path + length - PATH_BYTES : l->path, (long long)l->number);
  if (column && n > 0 && (size_t)n < sizeof p.text)
    snprintf(p.text + n, sizeof p.text - (size_t)n, ":%zu", column);
  return p;
}

/** Splits LINE at its tabs, in place. CZ_EINVAL when there are more fields than any known
 * file has. */
cz_status cz_fields_split(cz_fields *f, const cz_lines *l, char *line) {
  f->n = 0;
  for (char *at = line; at; f->n++) {
    if (f->n == CZ_FIELDS)
      return CZ_FAIL(CZ_EINVAL, "%s: more than %d fields", cz_lines_place(l, 0).text, CZ_FIELDS);
    f->text[f->n] = at;
    f->column[f->n] = (size_t)(at - line) + 1;
    at = strchr(at, '\t');
    if (at) *at++ = '\0';
  }
  return CZ_OK;
}

/** Whether the header has a column called NAME, which may be null; *COLUMN is its number. */
bool cz_fields_find(size_t *column, const cz_fields *header, const char *name) {
  for (size_t i = 0; name && i < header->n; i++)
    if (!strcmp(header->text[i], name)) return *column = i, true;
  return false;
}

/** The column of the header called NAME. CZ_EINVAL with the nearest when there is none. */
cz_status cz_fields_column(size_t *column, const cz_fields *header, const cz_lines *l,
                           const char *name) {
  for (size_t i = 0; i < header->n; i++) {
    *column = i;
    if (!strcmp(header->text[i], name)) return CZ_OK;
  }
  return CZ_FAIL(CZ_EINVAL, "%s: the header has no column '%s'%s", cz_lines_place(l, 0).text, name,
                 cz_suggest(name, (const char *const *)header->text, header->n).text);
}

/** The one column of HEADER called NAME. KIND: `csv` or `tsv`, since a header of one column may
 * be one of another kind of file. CZ_EINVAL, beginning with PLACE, with the nearest name when
 * there is none, with ADVICE when there are several. */
cz_status cz_fields_unique(size_t *column, const cz_fields *header, const char *name,
                           const char *kind, const char *place, const char *advice) {
  size_t found = 0;
  for (size_t i = 0; i < header->n; i++)
    if (!strcmp(header->text[i], name)) *column = i, found++;
  if (found > 1)
    return CZ_FAIL(CZ_EINVAL, "%s: %zu columns of the header are called '%s'%s", place, found, name,
                   advice);
  if (found) return CZ_OK;
  const char *separator = strcmp(kind, "csv") ? "tabs" : "commas";
  return CZ_FAIL(CZ_EINVAL, "%s: the header has no column '%s'%s%s%s%s", place, name,
                 cz_suggest(name, (const char *const *)header->text, header->n).text,
                 header->n == 1 ? "; are fields separated by " : "",
                 header->n == 1 ? separator : "", header->n == 1 ? "?" : "");
}

/** Parses LINE, the one last read from L, as a JSON object; the caller releases it. CZ_EINVAL
 * with line and column; *OUT is then null. */
cz_status cz_json_line(json_t **out, const cz_lines *l, const char *line) {
  json_error_t why;
  *out = json_loads(line, JSON_REJECT_DUPLICATES, &why);
  if (!*out)
    return CZ_FAIL(CZ_EINVAL, "%s: %s",
                   cz_lines_place(l, why.column > 0 ? (size_t)why.column : 1).text, why.text);
  if (json_is_object(*out)) return CZ_OK;
  json_decref(*out);
  *out = NULL;
  return CZ_FAIL(CZ_EINVAL, "%s: expected a JSON object", cz_lines_place(l, 1).text);
}

static const char *type_name(json_type type) {
  static const char *const names[] = {"an object", "a list", "a text", "a whole number",
                                      "a number",  "true",   "false",  "null"};
  return names[type];
}

/** The member KEY, which must be there and have TYPE; borrowed from OBJECT. */
cz_status cz_json_get(const json_t **out, const json_t *object, const char *key, json_type type,
                      const char *place) {
  *out = json_object_get(object, key);
  if (!*out) return CZ_FAIL(CZ_EINVAL, "%s: \"%s\" is missing", place, key);
  if (json_typeof(*out) != type)
    return CZ_FAIL(CZ_EINVAL, "%s: \"%s\" is %s, expected %s", place, key,
                   type_name(json_typeof(*out)), type_name(type));
  return CZ_OK;
}

/** The text of member KEY; borrowed from OBJECT. */
cz_status cz_json_text(const char **out, const json_t *object, const char *key, const char *place) {
  const json_t *item;
  CZ_TRY(cz_json_get(&item, object, key, JSON_STRING, place));
  *out = json_string_value(item);
  return CZ_OK;
}

/** ITEM, the member KEY, as files spell labels: text as it is, numbers in digits, true and false
 * in words. CZ_EINVAL for anything else, and for what does not fit N bytes. */
cz_status cz_json_label_text(char *out, size_t n, const json_t *item, const char *key,
                             const char *place) {
  int k = json_is_string(item)    ? snprintf(out, n, "%s", json_string_value(item))
          : json_is_integer(item) ? snprintf(out, n, "%lld", (long long)json_integer_value(item))
          : json_is_boolean(item) ? snprintf(out, n, "%s", json_is_true(item) ? "true" : "false")
                                  : -1;
  if (k < 0)
    return CZ_FAIL(CZ_EINVAL, "%s: \"%s\" is %s, expected a text, a whole number, true or false",
                   place, key, type_name(json_typeof(item)));
  if ((size_t)k >= n)
    return CZ_FAIL(CZ_EINVAL, "%s: \"%s\" is %d bytes long, too long for a label", place, key, k);
  return CZ_OK;
}

/** The label in member KEY, as cz_json_label_text; empty when the member is missing, as in test
 * files, which the set remembers. */
cz_status cz_json_label(cz_task_set *set, char *out, size_t n, const json_t *object,
                        const char *key, const char *place) {
  const json_t *item = json_object_get(object, key);
  out[0] = '\0';
  if (!item && !set->unlabelled)
    return cz_format_text(set, &set->unlabelled,
                          "%s: \"%s\" is missing, so this record has no answer; is this a test "
                          "file?",
                          place, key);
  return item ? cz_json_label_text(out, n, item, key, place) : CZ_OK;
}

/** Reads a file of JSON lines and calls ADD with each object and its place. */
cz_status cz_json_records(cz_task_set *set, const char *path, cz_json_record_fn add) {
  cz_lines l;
  char *line;
  json_t *object = NULL;
  cz_status st;
  CZ_GO(st, cz_lines_open(&l, path), done);
  while (cz_lines_next_record(&l, &line)) {
    const cz_field_place place = cz_lines_place(&l, 0);
    set->line = l.number;
    CZ_GO(st, cz_json_line(&object, &l, line), done);
    CZ_GO(st, add(set, object, place.text), done);
    json_decref(object);
    object = NULL;
  }
done:
  json_decref(object);
  cz_lines_close(&l);
  return st;
}

/** Adds RECORD with N named FIELDS; the set must own their texts already (cz_task_own). */
cz_status cz_task_add(cz_task_set *set, const cz_task_record *record, const cz_task_field *fields,
                      size_t n) {
  cz_task_field *copy;
  CZ_TRY(cz_stop_check(set->path));
  CZ_TRY(cz_arena_alloc(set->arena, &copy, n, sizeof *copy));
  if (n) memcpy(copy, fields, n * sizeof *copy);
  CZ_TRY(cz_grow(&set->records, &set->cap, set->n + 1, sizeof *set->records));
  set->records[set->n] = *record;
  set->records[set->n].fields = copy;
  set->records[set->n].line = set->line;
  set->records[set->n++].n_fields = (int32_t)n;
  return CZ_OK;
}

/** A copy of TEXT that the set owns. */
cz_status cz_task_own(cz_task_set *set, const char **out, const char *text) {
  char *copy;
  CZ_TRY(cz_arena_strdup(set->arena, &copy, text));
  *out = copy;
  return CZ_OK;
}

/** Gives RECORD copies of N answers. */
cz_status cz_task_answers(cz_task_set *set, cz_task_record *record, const char *const *answers,
                          size_t n) {
  const char **copy;
  CZ_TRY(cz_arena_alloc(set->arena, &copy, n, sizeof *copy));
  for (size_t i = 0; i < n; i++) CZ_TRY(cz_task_own(set, &copy[i], answers[i]));
  record->answers = copy;
  record->n_answers = (int32_t)n;
  return CZ_OK;
}

/** The class that a file's TEXT means: its place in SPELLINGS (null: the set's labels),
 * -1 for an empty one. CZ_EINVAL with the nearest when it is none. */
cz_status cz_task_label(const cz_task_set *set, int32_t *label, const char *const *spellings,
                        const char *text, const char *place) {
  const char *const *names = spellings ? spellings : set->labels;
  *label = -1;
  if (!*text) return CZ_OK;
  for (int32_t i = 0; i < set->n_labels; i++) {
    if (strcmp(text, names[i])) continue;
    *label = i;
    return CZ_OK;
  }
  return CZ_FAIL(CZ_EINVAL, "%s: unknown label '%s'%s", place, text,
                 cz_suggest(text, names, (size_t)set->n_labels).text);
}

/** Cuts TEXT at commas into *N words without blanks around them, owned by the arena;
 * null-terminated. Empty words are left out. */
cz_status cz_words(char ***out, size_t *n, cz_arena *arena, const char *text) {
  char *copy;
  size_t room = count_byte(text, strlen(text), ',') + 2;
  CZ_TRY(cz_arena_strdup(arena, &copy, text));
  CZ_TRY(cz_arena_alloc(arena, out, room, sizeof **out));
  *n = 0;
  for (char *save, *word = strtok_r(copy, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
    word += strspn(word, " \t");
    size_t k = strlen(word);
    while (k > 0 && (word[k - 1] == ' ' || word[k - 1] == '\t')) word[--k] = '\0';
    if (k) (*out)[(*n)++] = word;
  }
  return CZ_OK;
}
