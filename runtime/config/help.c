/* What a section's table says of itself, for terminals and for documents. */
#include "config/tree.h"
#include "base/number.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static cz_status add_type(cz_buf *out, const cz_key_spec *key) {
  static const char *const names[] = {"integer", "number", "true or false", "text"};
  if (key->type == CZ_KEY_TREE) return cz_buf_addf(out, "%s", key->holds);
  if (key->type != CZ_KEY_ENUM) return cz_buf_addf(out, "%s", names[key->type]);
  for (int i = 0; key->choices[i]; i++)
    CZ_TRY(cz_buf_addf(out, "%s%s", i ? " or " : "", key->choices[i]));
  return CZ_OK;
}

static cz_status add_range(cz_buf *out, const cz_key_spec *key) {
  char low[32], high[32];
  if (key->type > CZ_KEY_REAL || (key->min == 0 && key->max == 0)) return CZ_OK;
  cz_format_real(low, key->min);
  cz_format_real(high, key->max);
  if (isinf(key->max)) return cz_buf_addf(out, "at least %s", low);
  return isinf(key->min) ? cz_buf_addf(out, "at most %s", high)
                         : cz_buf_addf(out, "%s to %s", low, high);
}

static const char *default_text(const cz_key_spec *key) {
  return !key->fallback ? "must be given" : *key->fallback ? key->fallback : "empty";
}

/** Appends the section's keys as plain text: name, type, range, unit, default, and what
 * it means. */
cz_status cz_config_help(cz_buf *out, const cz_section *section) {
  CZ_TRY(cz_buf_addf(out, "%s: %s\n", section->name, section->help));
  for (size_t i = 0; i < section->n_keys; i++) {
    const cz_key_spec *key = &section->keys[i];
    CZ_TRY(cz_buf_addf(out, "  %s (", key->name));
    CZ_TRY(add_type(out, key));
    size_t before = out->len;
    CZ_TRY(cz_buf_add(out, ", ", 2));
    CZ_TRY(add_range(out, key));
    if (out->len == before + 2) out->len = before;
    if (key->unit) CZ_TRY(cz_buf_addf(out, ", in %s", key->unit));
    CZ_TRY(cz_buf_addf(out, key->fallback ? "; default %s)\n      %s\n" : "; %s)\n      %s\n",
                       default_text(key), key->help));
  }
  return CZ_OK;
}

/** Appends the section as a Markdown heading and table. */
cz_status cz_config_markdown(cz_buf *out, const cz_section *section) {
  CZ_TRY(cz_buf_addf(out,
                     "### %s\n\n%s\n\n| key | type | range | unit | default | meaning "
                     "|\n|---|---|---|---|---|---|\n",
                     section->name, section->help));
  for (size_t i = 0; i < section->n_keys; i++) {
    const cz_key_spec *key = &section->keys[i];
    CZ_TRY(cz_buf_addf(out, "| `%s` | ", key->name));
    CZ_TRY(add_type(out, key));
    CZ_TRY(cz_buf_add(out, " | ", 3));
    CZ_TRY(add_range(out, key));
    CZ_TRY(cz_buf_addf(out, " | %s | %s | %s |\n", key->unit ? key->unit : "", default_text(key),
                       key->help));
  }
  return cz_buf_add(out, "\n", 1);
}
