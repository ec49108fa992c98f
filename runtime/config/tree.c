/* Nodes: building them, walking them, and complaining about them. */
#include "config/tree.h"
#include "base/hash.h"
#include "base/nearest.h"
#include "base/utf8.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/** Makes an empty node. PATH is borrowed and must live in the arena. */
cz_status cz__config_node(cz_arena *arena, cz_config_node **out, cz_config_kind kind,
                          cz__config_place at, const char *path) {
  CZ_TRY(cz_arena_alloc(arena, out, 1, sizeof **out));
  **out = (cz_config_node){.kind = kind, .at = at, .path = path};
  return CZ_OK;
}

enum { SMALL = 16 }; /* up to so many entries are looked through */

static void put_in_index(cz_config_node *mapping, size_t entry) {
  size_t at = cz_hash_text(mapping->entries[entry].key) & (mapping->slots - 1);
  while (mapping->index[at]) at = (at + 1) & (mapping->slots - 1);
  mapping->index[at] = (uint32_t)entry + 1;
}

/* Keeps the index at most half full, so that a mapping of N keys is made in N steps. */
static cz_status grow_index(cz_arena *arena, cz_config_node *mapping) {
  if (mapping->count < SMALL || 2 * mapping->count < mapping->slots) return CZ_OK;
  mapping->slots = 2 * (mapping->slots ? mapping->slots : (size_t)2 * SMALL);
  CZ_TRY(cz_arena_alloc(arena, &mapping->index, mapping->slots, sizeof *mapping->index));
  for (size_t i = 0; i < mapping->count; i++) put_in_index(mapping, i);
  return CZ_OK;
}

/** The entry of MAPPING with this KEY, or its count when there is none. */
size_t cz__config_find(const cz_config_node *mapping, const char *key) {
  if (!mapping->index) {
    size_t i = 0;
    while (i < mapping->count && strcmp(mapping->entries[i].key, key)) i++;
    return i;
  }
  for (size_t at = cz_hash_text(key) & (mapping->slots - 1); mapping->index[at];
       at = (at + 1) & (mapping->slots - 1)) {
    size_t entry = mapping->index[at] - 1;
    if (!strcmp(mapping->entries[entry].key, key)) return entry;
  }
  return mapping->count;
}

/** Appends an entry; of a node that is still being made. The old array stays in the
 * arena: growth doubles, so that is at most as much again. */
cz_status cz__config_add(cz_arena *arena, cz_config_node *parent, const char *key,
                         cz__config_place at, const cz_config_node *value) {
  if (parent->count == parent->cap) {
    size_t cap = parent->cap ? 2 * parent->cap : 8;
    cz__entry *entries;
    CZ_TRY(cz_arena_alloc(arena, &entries, cap, sizeof *entries));
    if (parent->count) memcpy(entries, parent->entries, parent->count * sizeof *entries);
    parent->entries = entries;
    parent->cap = cap;
  }
  if (parent->kind == CZ_CONFIG_MAPPING) CZ_TRY(grow_index(arena, parent));
  parent->entries[parent->count++] = (cz__entry){key, at, value};
  if (parent->index) put_in_index(parent, parent->count - 1);
  return CZ_OK;
}

/** PARENT.KEY, or KEY below the root. */
cz_status cz__config_path(cz_arena *arena, char **out, const char *parent, const char *key) {
  size_t n = strlen(parent) + strlen(key) + 2;
  CZ_TRY(cz_arena_alloc(arena, out, n, 1));
  snprintf(*out, n, "%s%s%s", parent, *parent ? "." : "", key);
  return CZ_OK;
}

/** Copies a text and its name into the arena. */
cz_status cz__config_source(cz_arena *arena, cz__source **out, const char *name, const char *text,
                            size_t n, bool argument) {
  char *name_copy, *copy;
  CZ_TRY(cz_arena_alloc(arena, out, 1, sizeof **out));
  CZ_TRY(cz_arena_strdup(arena, &name_copy, name));
  CZ_TRY(cz_arena_alloc(arena, &copy, n + 1, 1));
  if (n) memcpy(copy, text, n);
  **out = (cz__source){name_copy, copy, n, argument};
  return CZ_OK;
}

/** Scalar, sequence or mapping. */
cz_config_kind cz_config_kind_of(const cz_config_node *node) { return node->kind; }

/** Whether a key is not there (null), empty or `null`: what a file leaves of its base's. */
bool cz_config_is_nothing(const cz_config_node *node) {
  const char *text;
  if (!node) return true;
  if (node->kind != CZ_CONFIG_SCALAR) return false;
  if (cz_config_text(&text, node) != CZ_OK) return cz_error_clear(), true; /* `null` is no text */
  return !*text;
}

/** Entries of a mapping or items of a sequence; 0 of a scalar. */
size_t cz_config_count(const cz_config_node *node) { return node->count; }

/** The I-th value of a mapping or sequence, in the order of the file. */
const cz_config_node *cz_config_at(const cz_config_node *node, size_t i) {
  CZ_CHECK(i < node->count);
  return node->entries[i].value;
}

/** The I-th key of a mapping; null in a sequence. */
const char *cz_config_key_at(const cz_config_node *node, size_t i) {
  CZ_CHECK(i < node->count);
  return node->entries[i].key;
}

/** The value of KEY in a mapping, or null when NODE is null, no mapping, or has no such
 * key. */
const cz_config_node *cz_config_get(const cz_config_node *node, const char *key) {
  if (!node || node->kind != CZ_CONFIG_MAPPING) return NULL;
  size_t i = cz__config_find(node, key);
  return i < node->count ? node->entries[i].value : NULL;
}

/** The value of KEY in the mapping NODE, which must be there; the message names the key
 * that is there and spelt most like it. */
cz_status cz_config_need(const cz_config_node **out, const cz_config_node *node, const char *key) {
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_MAPPING));
  *out = cz_config_get(node, key);
  if (*out) return CZ_OK;
  for (size_t i = 0; i < node->count; i++)
    if (cz_nearest(node->entries[i].key, &key, 1))
      return cz__config_fail(node->entries[i].at, node->path,
                             "the key '%s' is missing; is it '%s' here?", key,
                             node->entries[i].key);
  return cz__config_fail(node->at, node->path, "the key '%s' is missing", key);
}

/** "a single value", "a list" or "a mapping". */
const char *cz__config_kind_name(cz_config_kind kind) {
  static const char *const names[] = {"a single value", "a list", "a mapping"};
  return names[kind];
}

/** CZ_EUSAGE unless NODE is of that kind. */
cz_status cz_config_expect(const cz_config_node *node, cz_config_kind kind) {
  if (node->kind == kind) return CZ_OK;
  return cz_config_error(node, "expected %s, found %s", cz__config_kind_name(kind),
                         cz__config_kind_name(node->kind));
}

/* The source line, cut to a window around the column when it is long, and a caret
 * below. */
static cz_status add_excerpt(cz_buf *b, cz__config_place at) {
  const char *line = at.source->text, *end = line + at.source->len;
  for (int i = 1; i < at.line && line < end; line++) i += *line == '\n';
  const char *stop = memchr(line, '\n', (size_t)(end - line)), *mark = line;
  if (!stop) stop = end;
  for (int i = 1; i < at.column && mark < stop; i++) do
      mark++;
    while (mark < stop && ((unsigned char)*mark & 0xC0) == 0x80);
  enum { BEFORE = 80, AFTER = 60 };
  const char *from = mark - line > BEFORE ? mark - BEFORE : line,
             *to = stop - mark > AFTER ? mark + AFTER : stop;
  while (from > line && ((unsigned char)*from & 0xC0) == 0x80) from--;
  while (to < stop && ((unsigned char)*to & 0xC0) == 0x80) to++;
  CZ_TRY(cz_buf_addf(b, "\n  %.*s\n  ", (int)(to - from), from));
  for (const char *s = from; s < mark; s++)
    if (((unsigned char)*s & 0xC0) != 0x80) CZ_TRY(cz_buf_add(b, *s == '\t' ? "\t" : " ", 1));
  return cz_buf_add(b, "^", 1);
}

static cz_status fail_at(cz__config_place at, const char *path, const char *format, va_list args) {
  char text[8 << 10];
  vsnprintf(text, sizeof text, format, args);
  const char *joint = path && *path ? ": " : "";
  cz_buf excerpt = {0};
  if (at.source->argument) { /* its bytes are anybody's, and it may be as long as a file */
    size_t n = at.source->len < 400 ? at.source->len : 400;
    CZ_TRY(cz_utf8_escape(&excerpt, at.source->text, n));
    cz_status refused = CZ_FAIL(CZ_EUSAGE, "argument '%s%s': %s%s%s", excerpt.data,
                                n < at.source->len ? "..." : "", path ? path : "", joint, text);
    cz_buf_free(&excerpt);
    return refused;
  }
  cz_status st = add_excerpt(&excerpt, at);
  if (st == CZ_OK)
    st = CZ_FAIL(CZ_EUSAGE, "%s:%d:%d: %s%s%s%s", at.source->name, at.line, at.column,
                 path ? path : "", joint, text, excerpt.data);
  cz_buf_free(&excerpt);
  return st;
}

/** Raises CZ_EUSAGE that points at a place; PATH may be null. */
cz_status cz__config_fail(cz__config_place at, const char *path, const char *format, ...) {
  va_list args;
  va_start(args, format);
  cz_status st = fail_at(at, path, format, args);
  va_end(args);
  return st;
}

/** Raises CZ_EUSAGE that points at NODE: `file.yaml:5:12: objective.noise_density:
 * MESSAGE`, the source line and a caret, or `argument 'a.b=c': a.b: MESSAGE` when the
 * value came from the command line. For what a table cannot say, e.g. a condition on two
 * keys. */
cz_status cz_config_error(const cz_config_node *node, const char *format, ...) {
  va_list args;
  va_start(args, format);
  cz_status st = fail_at(node->at, node->path, format, args);
  va_end(args);
  return st;
}

/** STATUS as it is, unless it is CZ_EUSAGE: then the last message again, with NODE's place
 * before it. Use through CZ_AT. */
cz_status cz_config_blame(const cz_config_node *node, cz_status status) {
  return status == CZ_EUSAGE ? cz_config_error(node, "%s", cz_error_message()) : status;
}

/** Raises CZ_EUSAGE for WORD, which is none of NAMES: the nearest spelling, or all of
 * them. WHAT: "unknown key", "unknown scale". */
cz_status cz__config_unknown(cz__config_place at, const char *path, const char *what,
                             const char *word, const char *const *names, size_t n) {
  return cz__config_fail(at, path, "%s '%s'%s", what, word, cz_suggest(word, names, n).text);
}

/** CZ_EUSAGE when the mapping NODE has a key that is not among NAMES (null-terminated),
 * with the nearest spelling. */
cz_status cz_config_only(const cz_config_node *node, const char *const *names) {
  CZ_TRY(cz_config_expect(node, CZ_CONFIG_MAPPING));
  size_t n = 0;
  while (names[n]) n++;
  for (size_t i = 0; i < node->count; i++) {
    size_t k = 0;
    while (k < n && strcmp(names[k], node->entries[i].key)) k++;
    if (k == n)
      return cz__config_unknown(node->entries[i].at, node->path, "unknown key",
                                node->entries[i].key, names, n);
  }
  return CZ_OK;
}
