/* From nodes to numbers and structs: typed scalars and sections. */
#include "config/tree.h"
#include "base/number.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static bool one_of(const char *text, const char *const *words) {
  while (*words && strcmp(*words, text)) words++;
  return *words != NULL;
}

/* Digits, sign, point and exponent only: no hexadecimal, no names, no underscores. */
static bool decimal(const char *text) {
  size_t n = strspn(text, "0123456789+-.eE");
  return n && !text[n] && strpbrk(text, "0123456789");
}

/** What a plain scalar is in YAML's core schema, less the forms that are refused here
 * (hexadecimal, octal, infinities). The number goes to *WHOLE or *REAL; both may be
 * null. */
cz__looks cz__config_looks(const char *text, int64_t *whole, double *real) {
  int64_t i = 0;
  double r = 0;
  if (one_of(text, (const char *const[]){"", "~", "null", "Null", "NULL", NULL}))
    return CZ__LOOKS_NULL;
  if (one_of(text, (const char *const[]){"true", "false", NULL})) return CZ__LOOKS_BOOL;
  if (!decimal(text)) return CZ__LOOKS_TEXT;
  cz__looks looks = cz_parse_int(text, &i) == CZ_OK    ? CZ__LOOKS_INT
                    : cz_parse_real(text, &r) == CZ_OK ? CZ__LOOKS_REAL
                                                       : CZ__LOOKS_TEXT;
  cz_error_clear();
  if (whole) *whole = i;
  if (real) *real = looks == CZ__LOOKS_INT ? (double)i : r;
  return looks;
}

/* "expected WANTED, found ..." */
static cz_status wrong_type(const cz_config_node *node, const char *wanted) {
  if (node->kind != CZ_CONFIG_SCALAR)
    return cz_config_error(node, "expected %s, found %s", wanted, cz__config_kind_name(node->kind));
  if (node->quoted)
    return cz_config_error(node, "expected %s, found the text \"%.200s\"", wanted, node->text);
  if (cz__config_looks(node->text, NULL, NULL) == CZ__LOOKS_NULL)
    return cz_config_error(node, "expected %s, found nothing", wanted);
  return cz_config_error(node, "expected %s, found '%.200s'", wanted, node->text);
}

static cz_status check_range(const cz_config_node *node, double v, double min, double max) {
  char low[32], high[32];
  if ((min == 0 && max == 0) || (v >= min && v <= max)) return CZ_OK;
  cz_format_real(low, min);
  cz_format_real(high, max);
  if (isinf(max)) return cz_config_error(node, "%s is less than %s", node->text, low);
  if (isinf(min)) return cz_config_error(node, "%s is more than %s", node->text, high);
  return cz_config_error(node, "%s is not between %s and %s", node->text, low, high);
}

/** The text of a scalar, quoted or not; borrowed from the configuration. An empty value
 * without quotes is refused. */
cz_status cz_config_text(const char **out, const cz_config_node *node) {
  if (node->kind != CZ_CONFIG_SCALAR) return wrong_type(node, "a text");
  if (!node->quoted && cz__config_looks(node->text, NULL, NULL) == CZ__LOOKS_NULL)
    return wrong_type(node, "a text");
  *out = node->text;
  return CZ_OK;
}

/** The text of KEY in the mapping NODE; WITHOUT where that has no text, or is no mapping. */
const char *cz_config_text_or(const cz_config_node *node, const char *key, const char *without) {
  const cz_config_node *n = cz_config_get(node, key);
  const char *text = without;
  if (n && cz_config_text(&text, n) != CZ_OK) cz_error_clear();
  return text;
}

/** A whole number from MIN to MAX (no limits when both are 0). 512.5, 1e3 and "512" are
 * refused. */
cz_status cz_config_int(int64_t *out, const cz_config_node *node, double min, double max) {
  int64_t v;
  if (node->kind != CZ_CONFIG_SCALAR || node->quoted || !decimal(node->text))
    return wrong_type(node, "an integer");
  if (cz__config_looks(node->text, &v, NULL) != CZ__LOOKS_INT)
    return wrong_type(node, "an integer of at most 64 bits");
  CZ_TRY(check_range(node, (double)v, min, max));
  *out = v;
  return CZ_OK;
}

/** A finite number from MIN to MAX (no limits when both are 0). */
cz_status cz_config_real(double *out, const cz_config_node *node, double min, double max) {
  double v;
  if (node->kind != CZ_CONFIG_SCALAR || node->quoted) return wrong_type(node, "a number");
  if (cz__config_looks(node->text, NULL, &v) < CZ__LOOKS_INT) return wrong_type(node, "a number");
  CZ_TRY(check_range(node, v, min, max));
  *out = v;
  return CZ_OK;
}

/* true or false, and no other word. */
static cz_status bind_bool(bool *out, const cz_config_node *node) {
  if (node->kind != CZ_CONFIG_SCALAR || node->quoted ||
      cz__config_looks(node->text, NULL, NULL) != CZ__LOOKS_BOOL)
    return wrong_type(node, "true or false");
  *out = node->text[0] == 't';
  return CZ_OK;
}

/* The index of the scalar's text in CHOICES (null-terminated); CZ_EUSAGE with the
 * nearest choice, or all of them. */
static cz_status bind_choice(int *out, const cz_config_node *node, const char *const *choices) {
  const char *text = NULL;
  CZ_TRY(cz_config_text(&text, node));
  int n = 0, found = -1;
  for (; choices[n]; n++)
    if (!strcmp(choices[n], text)) found = n;
  if (found < 0)
    return cz__config_unknown(node->at, node->path, "unknown value", text, choices, (size_t)n);
  *out = found;
  return CZ_OK;
}

static cz_status bind_value(const cz_config_node *node, const cz_key_spec *key, void *out) {
  char *at = (char *)out + key->offset;
  switch (key->type) {
  case CZ_KEY_INT: return cz_config_int((int64_t *)(void *)at, node, key->min, key->max);
  case CZ_KEY_REAL: return cz_config_real((double *)(void *)at, node, key->min, key->max);
  case CZ_KEY_BOOL: return bind_bool((bool *)at, node);
  case CZ_KEY_TEXT: return cz_config_text((const char **)(void *)at, node);
  case CZ_KEY_ENUM: return bind_choice((int *)(void *)at, node, key->choices);
  case CZ_KEY_TREE: return CZ_OK;
  }
  CZ_CHECK(!"a key type");
  return CZ_EINVAL;
}

/* The table's own default, read by the same rules; a default that breaks them is a
 * programmer's mistake. */
static cz_status bind_default(const cz_key_spec *key, void *out) {
  cz__source source = {key->name, key->fallback, strlen(key->fallback), true};
  cz_config_node node = {.kind = CZ_CONFIG_SCALAR,
                         .quoted = key->type == CZ_KEY_TEXT,
                         .at = {&source, 1, 1},
                         .path = "default",
                         .text = key->fallback};
  return bind_value(&node, key, out);
}

static cz_status missing(const cz_config_node *node, const cz_section *section,
                         const cz_key_spec *key) {
  const char *joint = key->unit ? ", in " : "", *unit = key->unit ? key->unit : "";
  if (!node)
    return CZ_FAIL(CZ_EUSAGE, "%s: the key '%s' must be given (%s%s%s)", section->name, key->name,
                   key->help, joint, unit);
  const char *path = *node->path ? node->path : section->name;
  return cz__config_fail(node->at, path, "the key '%s' must be given (%s%s%s)", key->name,
                         key->help, joint, unit);
}

static cz_status check_keys(const cz_config_node *node, const cz_section *section,
                            const char *const *others) {
  enum { MAXIMUM = 128 };
  const char *names[MAXIMUM + 1];
  size_t n = 0;
  for (; n < section->n_keys; n++) {
    CZ_CHECK(n < MAXIMUM);
    names[n] = section->keys[n].name;
  }
  for (; others && *others; others++) {
    CZ_CHECK(n < MAXIMUM);
    names[n++] = *others;
  }
  names[n] = NULL;
  return cz_config_only(node, names);
}

/** CZ_EUSAGE when the mapping NODE has a key that is not in SECTION's table, with the
 * nearest spelling. */
cz_status cz_config_known(const cz_config_node *node, const cz_section *section) {
  return check_keys(node, section, NULL);
}

/** Fills the struct OUT from the mapping NODE by SECTION's table: each key's value, or
 * its default. NODE null: defaults only. OTHERS (null-terminated, or null) are keys of
 * the same mapping that the caller reads itself. CZ_EUSAGE for an unknown key, a wrong
 * type, a value out of range, a missing key. */
cz_status cz_config_bind(const cz_config_node *node, const cz_section *section, void *out,
                         const char *const *others) {
  if (node) CZ_TRY(check_keys(node, section, others));
  for (size_t i = 0; i < section->n_keys; i++) {
    const cz_key_spec *key = &section->keys[i];
    const cz_config_node *value = cz_config_get(node, key->name);
    if (value)
      CZ_TRY(bind_value(value, key, out));
    else if (key->fallback)
      CZ_TRY(bind_default(key, out));
    else
      return missing(node, section, key);
  }
  return CZ_OK;
}
