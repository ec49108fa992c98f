/* From text to nodes, through libfyaml's event parser. Anchors, aliases, tags and keys
 * that are no plain words are refused: `base:` and `scales:` do what anchors do, and keep
 * the place of each value. */
#include "base/utf8.h"
#include "config/tree.h"

#include <libfyaml.h>
#include <stdio.h>
#include <string.h>

typedef struct reader {
  cz_arena *arena;
  const cz__source *source;
  const char *path;
  struct fy_parser *parser;
  cz_config_node *open[CZ__CONFIG_DEPTH]; /* collections that are not closed yet */
  int depth;
  char *key; /* waits for its value */
  cz__config_place key_at;
  cz_config_node *root;
} reader;

static cz__config_place place_of(const reader *r, struct fy_event *e) {
  const struct fy_mark *mark = fy_event_start_mark(e);
  cz__config_place at = {r->source, mark ? mark->line + 1 : 1, mark ? mark->column + 1 : 1};
  return !mark && r->depth ? (r->key ? r->key_at : r->open[r->depth - 1]->at) : at;
}

static cz_status child_path(reader *r, char **out) {
  char index[32];
  if (!r->depth) return cz_arena_strdup(r->arena, out, r->path);
  const cz_config_node *parent = r->open[r->depth - 1];
  snprintf(index, sizeof index, "%zu", parent->count);
  return cz__config_path(r->arena, out, parent->path, r->key ? r->key : index);
}

/* Puts a finished scalar or a new collection where it belongs. */
static cz_status place_node(reader *r, cz_config_node **out, cz_config_kind kind,
                            cz__config_place at) {
  char *path;
  CZ_TRY(child_path(r, &path));
  CZ_TRY(cz__config_node(r->arena, out, kind, at, path));
  if (!r->depth)
    r->root = *out;
  else
    CZ_TRY(cz__config_add(r->arena, r->open[r->depth - 1], r->key, r->key ? r->key_at : at, *out));
  r->key = NULL;
  return CZ_OK;
}

static cz_status take_key(reader *r, char *text, cz__config_place at) {
  const cz_config_node *mapping = r->open[r->depth - 1];
  if (!*text) return cz__config_fail(at, mapping->path, "a key is empty");
  size_t i = cz__config_find(mapping, text);
  if (i < mapping->count)
    return cz__config_fail(at, mapping->path, "the key '%s' was given before, at line %d", text,
                           mapping->entries[i].at.line);
  r->key = text;
  r->key_at = at;
  return CZ_OK;
}

static bool wants_key(const reader *r) {
  return r->depth && r->open[r->depth - 1]->kind == CZ_CONFIG_MAPPING && !r->key;
}

static cz_status take_scalar(reader *r, struct fy_event *e) {
  cz__config_place at = place_of(r, e);
  size_t n = 0;
  const char *text = e->scalar.value ? fy_token_get_text(e->scalar.value, &n) : "";
  if (!text) return cz__config_fail(at, NULL, "this text cannot be read");
  if (n && memchr(text, '\0', n)) return cz__config_fail(at, NULL, "a text holds a NUL byte");
  char *copy;
  CZ_TRY(cz_arena_alloc(r->arena, &copy, n + 1, 1));
  if (n) memcpy(copy, text, n);
  if (wants_key(r)) return take_key(r, copy, at);
  cz_config_node *node;
  CZ_TRY(place_node(r, &node, CZ_CONFIG_SCALAR, at));
  node->text = copy;
  node->quoted = e->scalar.value && fy_token_scalar_style(e->scalar.value) != FYSS_PLAIN;
  return CZ_OK;
}

static cz_status take_collection(reader *r, struct fy_event *e, cz_config_kind kind) {
  cz__config_place at = place_of(r, e);
  if (wants_key(r)) return cz__config_fail(at, r->open[r->depth - 1]->path, "a key must be a word");
  if (r->depth == CZ__CONFIG_DEPTH)
    return cz__config_fail(at, NULL, "nested deeper than %d levels", CZ__CONFIG_DEPTH);
  cz_config_node *node;
  CZ_TRY(place_node(r, &node, kind, at));
  r->open[r->depth++] = node;
  return CZ_OK;
}

static cz_status refuse_extras(const reader *r, struct fy_event *e) {
  bool anchored = e->type == FYET_ALIAS, tagged = false;
  if (e->type == FYET_SCALAR) anchored = e->scalar.anchor, tagged = e->scalar.tag;
  if (e->type == FYET_SEQUENCE_START)
    anchored = e->sequence_start.anchor, tagged = e->sequence_start.tag;
  if (e->type == FYET_MAPPING_START)
    anchored = e->mapping_start.anchor, tagged = e->mapping_start.tag;
  if (anchored)
    return cz__config_fail(place_of(r, e), NULL,
                           "anchors and aliases are not read; use base: or scales:");
  return tagged ? cz__config_fail(place_of(r, e), NULL,
                                  "tags (!) are not read; put quotes around the text")
                : CZ_OK;
}

static cz_status take_event(reader *r, struct fy_event *e) {
  CZ_TRY(refuse_extras(r, e));
  switch (e->type) {
  case FYET_DOCUMENT_START:
    return r->root ? cz__config_fail(place_of(r, e), NULL, "a second document in one file") : CZ_OK;
  case FYET_SCALAR: return take_scalar(r, e);
  case FYET_MAPPING_START: return take_collection(r, e, CZ_CONFIG_MAPPING);
  case FYET_SEQUENCE_START: return take_collection(r, e, CZ_CONFIG_SEQUENCE);
  case FYET_MAPPING_END:
  case FYET_SEQUENCE_END: r->depth--; return CZ_OK;
  default: return CZ_OK;
  }
}

/* Libfyaml notices an open bracket behind the last line; the reader wants to see the last
 * line. */
static cz__config_place last_text(cz__config_place at) {
  const char *text = at.source->text, *stop = text + at.source->len;
  int lines = 1, column = 1;
  while (stop > text && strchr(" \n\r\t", stop[-1])) stop--;
  for (const char *s = text; s < stop; s++) {
    column = *s == '\n' ? 1 : column + (((unsigned char)*s & 0xC0) != 0x80);
    lines += *s == '\n';
  }
  return at.line > lines ? (cz__config_place){at.source, lines, column} : at;
}

static cz_status syntax_error(const reader *r, struct fy_diag *diag) {
  void *at = NULL;
  struct fy_diag_error *e = fy_diag_errors_iterate(diag, &at);
  if (!e) return cz__config_fail((cz__config_place){r->source, 1, 1}, NULL, "this is not YAML");
  cz__config_place place = {r->source, e->line > 0 ? e->line : 1, e->column > 0 ? e->column : 1};
  return cz__config_fail(last_text(place), NULL, "%s", e->msg);
}

static cz_status read_events(reader *r, struct fy_diag *diag) {
  cz_status st = CZ_OK;
  bool ended = false;
  while (st == CZ_OK && !ended) {
    struct fy_event *e = fy_parser_parse(r->parser);
    if (!e) return syntax_error(r, diag);
    ended = e->type == FYET_STREAM_END;
    st = take_event(r, e);
    fy_parser_event_free(r->parser, e);
  }
  return st;
}

/** CZ_EUSAGE with the place of the first byte that no configuration holds. Libfyaml 0.7.12
 * accepts some of them, and never returns from bad UTF-8 inside a directive. */
cz_status cz__config_bytes(const cz__source *source) {
  size_t sound = cz_utf8_check(source->text, source->len);
  int line = 1, column = 1;
  for (size_t i = 0; i < source->len; i++) {
    unsigned char c = (unsigned char)source->text[i];
    cz__config_place at = {source, line, column};
    bool foreign = i == sound || (c < 0x20 && c != '\n' && c != '\t' && c != '\r') || c == 0x7F;
    if (foreign && source->argument)
      return cz__config_fail(
          at, NULL, "the byte 0x%02x, number %zu, does not belong in a UTF-8 text", c, i + 1);
    if (foreign)
      return cz__config_fail(at, NULL, "the byte 0x%02x does not belong in a UTF-8 text", c);
    if (c == '%' && column == 1 && !source->argument)
      return cz__config_fail(at, NULL, "directives (%%) are not read");
    column = c == '\n' ? 1 : column + ((c & 0xC0) != 0x80);
    line += c == '\n';
  }
  return CZ_OK;
}

/** Reads SOURCE from byte SKIP on into a tree whose root has the path PATH. CZ_EUSAGE
 * with place, line and caret when it is no YAML, empty, or uses what is refused here
 * (see the top of the file). */
cz_status cz__config_yaml(cz_arena *arena, const cz_config_node **out, const cz__source *source,
                          size_t skip, const char *path) {
  CZ_TRY(cz__config_bytes(source));
  struct fy_diag_cfg diag_config;
  fy_diag_cfg_default(&diag_config);
  diag_config.fp = NULL;
  struct fy_diag *diag = fy_diag_create(&diag_config);
  if (!diag) return CZ_FAIL(CZ_ENOMEM, "no memory to read %s", source->name);
  fy_diag_set_collect_errors(diag, true);
  struct fy_parse_cfg config = {.flags = FYPCF_QUIET | FYPCF_COLLECT_DIAG, .diag = diag};
  reader r = {.arena = arena, .source = source, .path = path, .parser = fy_parser_create(&config)};
  cz_status st = CZ_OK;
  if (!r.parser || fy_parser_set_string(r.parser, source->text + skip, source->len - skip))
    st = CZ_FAIL(CZ_ENOMEM, "no memory to read %s", source->name);
  if (st == CZ_OK) st = read_events(&r, diag);
  if (st == CZ_OK && !r.root)
    st = cz__config_fail((cz__config_place){source, 1, 1}, NULL, "there is nothing here");
  if (r.parser) fy_parser_destroy(r.parser);
  fy_diag_destroy(diag); /* after the parser; fy_diag_unref would leave the collected errors behind
                            (libfyaml 0.7.12) */
  *out = st == CZ_OK ? r.root : NULL;
  return st;
}
