/* From nodes to text: YAML that reads back to the same tree, and one canonical line for
 * hashes. */
#include "config/tree.h"
#include "base/hash.h"
#include "base/number.h"
#include "base/utf8.h"

#include <stdlib.h>
#include <string.h>

/* True when TEXT needs no quotes anywhere in YAML: a conservative set, letters and digits
 * and a few marks, single spaces inside. */
static bool plain_safe(const char *text) {
  static const char marks[] = "_./+-=<>()@^";
  if (!*text || strchr("-=<>@^. ", *text) || text[strlen(text) - 1] == ' ') return false;
  for (const char *s = text; *s; s++) {
    bool letter = (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');
    if (!letter && *s != ' ' && !strchr(marks, *s)) return false;
  }
  return true;
}

/* Two or three bytes that YAML takes for a line break, a control or a mark: the C1
 * controls, U+2028, U+2029, U+FEFF, U+FFFE, U+FFFF; their code point, or 0. */
static unsigned special(const unsigned char *s) {
  if (s[0] == 0xC2 && s[1] >= 0x80 && s[1] <= 0xA0) return s[1];
  if ((s[0] & 0xF0) != 0xE0 || (s[1] & 0xC0) != 0x80 || (s[2] & 0xC0) != 0x80) return 0;
  unsigned c = (s[0] & 15u) << 12 | (s[1] & 63u) << 6 | (s[2] & 63u);
  return c == 0x2028 || c == 0x2029 || c == 0xFEFF || c == 0xFFFE || c == 0xFFFF ? c : 0;
}

static cz_status add_quoted(cz_buf *out, const char *text);

/* A path that is not UTF-8 is written for the reader's eye: no YAML can hold its bytes. */
static cz_status add_escaped(cz_buf *out, const char *text, size_t n) {
  cz_buf shown = {0};
  cz_status st = cz_utf8_escape(&shown, text, n);
  if (st == CZ_OK) st = add_quoted(out, shown.data);
  cz_buf_free(&shown);
  return st;
}

static cz_status add_quoted(cz_buf *out, const char *text) {
  size_t n = strlen(text);
  if (cz_utf8_check(text, n) < n) return add_escaped(out, text, n);
  CZ_TRY(cz_buf_add(out, "\"", 1));
  for (const unsigned char *s = (const unsigned char *)text; *s; s++) {
    unsigned c = special(s);
    if (c) {
      CZ_TRY(cz_buf_addf(out, "\\u%04x", c));
      s += c < 0x100 ? 1 : 2;
    } else if (*s == '"' || *s == '\\') {
      CZ_TRY(cz_buf_addf(out, "\\%c", *s));
    } else if (*s < 0x20 || *s == 0x7F) {
      CZ_TRY(cz_buf_addf(out, "\\u%04x", *s));
    } else {
      CZ_TRY(cz_buf_add(out, s, 1));
    }
  }
  return cz_buf_add(out, "\"", 1);
}

/** Appends a scalar so that it reads back as the same text and the same type. QUOTED: it
 * is a text even when it looks like a number. */
cz_status cz__config_scalar(cz_buf *out, const char *text, bool quoted) {
  cz__looks looks = cz__config_looks(text, NULL, NULL);
  if (!quoted && looks != CZ__LOOKS_TEXT)
    return cz_buf_addf(out, "%s", looks == CZ__LOOKS_NULL ? "null" : text);
  return looks == CZ__LOOKS_TEXT && plain_safe(text) ? cz_buf_add(out, text, strlen(text))
                                                     : add_quoted(out, text);
}

static bool all_scalars(const cz_config_node *node) {
  for (size_t i = 0; i < node->count; i++)
    if (node->entries[i].value->kind != CZ_CONFIG_SCALAR) return false;
  return true;
}

static cz_status emit_value(cz_buf *out, const cz_config_node *node, int indent);

static cz_status emit_flow(cz_buf *out, const cz_config_node *node) {
  CZ_TRY(cz_buf_add(out, "[", 1));
  for (size_t i = 0; i < node->count; i++) {
    if (i) CZ_TRY(cz_buf_add(out, ", ", 2));
    CZ_TRY(cz__config_scalar(out, node->entries[i].value->text, node->entries[i].value->quoted));
  }
  return cz_buf_add(out, "]", 1);
}

/* The entries of a collection, a line each; HANGING: the first line's indentation stands
 * there already, after "- ". */
static cz_status emit_entries(cz_buf *out, const cz_config_node *node, int indent, bool hanging) {
  for (size_t i = 0; i < node->count; i++) {
    const cz__entry *e = &node->entries[i];
    if (i || !hanging) CZ_TRY(cz_buf_addf(out, "%*s", indent, ""));
    if (!e->key) {
      CZ_TRY(cz_buf_add(out, "- ", 2));
      bool block = e->value->kind == CZ_CONFIG_MAPPING && e->value->count;
      CZ_TRY(block ? emit_entries(out, e->value, indent + 2, true)
                   : emit_value(out, e->value, indent + 2));
      continue;
    }
    CZ_TRY(cz__config_scalar(out, e->key, true));
    CZ_TRY(cz_buf_add(out, ":", 1));
    bool nested = e->value->kind != CZ_CONFIG_SCALAR &&
                  !(e->value->kind == CZ_CONFIG_SEQUENCE && all_scalars(e->value)) &&
                  e->value->count;
    CZ_TRY(cz_buf_add(out, nested ? "\n" : " ", 1));
    CZ_TRY(nested ? emit_entries(out, e->value, indent + 2, false)
                  : emit_value(out, e->value, indent + 2));
  }
  return CZ_OK;
}

/* A value after its "key: " or "- ", with the end of its line. */
static cz_status emit_value(cz_buf *out, const cz_config_node *node, int indent) {
  if (node->kind == CZ_CONFIG_SEQUENCE && !all_scalars(node)) { /* a list in a list */
    CZ_TRY(emit_entries(out, node, indent, true));
    return CZ_OK;
  }
  if (node->kind == CZ_CONFIG_SCALAR)
    CZ_TRY(cz__config_scalar(out, node->text, node->quoted));
  else
    CZ_TRY(node->kind == CZ_CONFIG_MAPPING ? cz_buf_add(out, "{}", 2) : emit_flow(out, node));
  return cz_buf_add(out, "\n", 1);
}

/** Appends NODE as YAML in the order of its entries, without comments; reading it gives a
 * tree with the same cz_config_canonical. */
cz_status cz_config_emit(cz_buf *out, const cz_config_node *node) {
  bool block = node->kind == CZ_CONFIG_MAPPING && node->count;
  return block ? emit_entries(out, node, 0, false) : emit_value(out, node, 0);
}

static int by_key(const void *a, const void *b) {
  const cz__entry *const *x = a, *const *y = b;
  return strcmp((*x)->key, (*y)->key);
}

/* Numbers in one spelling each: 1e-3 and 0.001 are the same, 5 and 5.0 too. */
static cz_status canonical_scalar(cz_buf *out, const cz_config_node *node) {
  int64_t whole;
  double real;
  char text[32];
  switch (node->quoted ? CZ__LOOKS_TEXT : cz__config_looks(node->text, &whole, &real)) {
  case CZ__LOOKS_NULL: return cz_buf_add(out, "null", 4);
  case CZ__LOOKS_BOOL: return cz_buf_addf(out, "%s", node->text);
  case CZ__LOOKS_INT: return cz_buf_addf(out, "%lld", (long long)whole);
  case CZ__LOOKS_REAL: cz_format_real(text, real); return cz_buf_addf(out, "%s", text);
  case CZ__LOOKS_TEXT: break;
  }
  return add_quoted(out, node->text);
}

static cz_status canonical_mapping(cz_buf *out, const cz_config_node *node) {
  const cz__entry **sorted;
  CZ_TRY(cz_alloc(&sorted, node->count, sizeof *sorted));
  for (size_t i = 0; i < node->count; i++) sorted[i] = &node->entries[i];
  if (node->count) qsort(sorted, node->count, sizeof *sorted, by_key);
  cz_status st = cz_buf_add(out, "{", 1);
  for (size_t i = 0; i < node->count && st == CZ_OK; i++) {
    if (i) st = cz_buf_add(out, ", ", 2);
    if (st == CZ_OK) st = add_quoted(out, sorted[i]->key);
    if (st == CZ_OK) st = cz_buf_add(out, ": ", 2);
    if (st == CZ_OK) st = cz_config_canonical(out, sorted[i]->value);
  }
  free(sorted);
  return st == CZ_OK ? cz_buf_add(out, "}", 1) : st;
}

/** Appends NODE as one line of JSON-like text that does not depend on the order of keys,
 * on quotes, or on how a number is written. */
cz_status cz_config_canonical(cz_buf *out, const cz_config_node *node) {
  if (node->kind == CZ_CONFIG_SCALAR) return canonical_scalar(out, node);
  if (node->kind == CZ_CONFIG_MAPPING) return canonical_mapping(out, node);
  CZ_TRY(cz_buf_add(out, "[", 1));
  for (size_t i = 0; i < node->count; i++) {
    if (i) CZ_TRY(cz_buf_add(out, ", ", 2));
    CZ_TRY(cz_config_canonical(out, node->entries[i].value));
  }
  return cz_buf_add(out, "]", 1);
}

/** cz_hash64 of the canonical text: the key of a stage. */
cz_status cz_config_hash(uint64_t *out, const cz_config_node *node) {
  cz_buf text = {0};
  cz_status st = cz_config_canonical(&text, node);
  if (st == CZ_OK) *out = cz_hash64(text.data, text.len, 0);
  cz_buf_free(&text);
  return st;
}
