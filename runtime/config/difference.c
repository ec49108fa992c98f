/* In which values two configurations differ, for the message that refuses one of them. */
#include "config/tree.h"

#include <stdio.h>
#include <string.h>

enum { MAXIMUM = 8 }; /* lines that somebody reads */

typedef struct comparison {
  cz_buf *out;
  int found;
} comparison;

/* A value in a line: whole when it is short. */
static cz_status add_value(cz_buf *out, const cz_config_node *node) {
  cz_buf text = {0};
  if (!node) return cz_buf_addf(out, "nothing");
  cz_status st = cz_config_canonical(&text, node);
  if (st == CZ_OK)
    st = text.len <= 100 ? cz_buf_addf(out, "%s", text.data)
                         : cz_buf_addf(out, "%.90s ...", text.data);
  cz_buf_free(&text);
  return st;
}

static cz_status add_difference(comparison *c, const char *path, const cz_config_node *there,
                                const cz_config_node *now) {
  if (++c->found > MAXIMUM) return CZ_OK;
  CZ_TRY(cz_buf_addf(c->out, "  %s: ", *path ? path : "the whole"));
  CZ_TRY(add_value(c->out, there));
  CZ_TRY(cz_buf_addf(c->out, " there, "));
  CZ_TRY(add_value(c->out, now));
  return cz_buf_addf(c->out, " now\n");
}

static cz_status same(bool *out, const cz_config_node *a, const cz_config_node *b) {
  cz_buf x = {0}, y = {0};
  cz_status st = cz_config_canonical(&x, a);
  if (st == CZ_OK) st = cz_config_canonical(&y, b);
  *out = st == CZ_OK && x.len == y.len && !memcmp(x.data, y.data, x.len);
  cz_buf_free(&x);
  cz_buf_free(&y);
  return st;
}

static cz_status compare(comparison *c, const char *path, const cz_config_node *there,
                         const cz_config_node *now);

/* The entry NAME of PATH on both sides; either may be missing. */
static cz_status compare_entry(comparison *c, const char *path, const char *name,
                               const cz_config_node *there, const cz_config_node *now) {
  char below[1024];
  snprintf(below, sizeof below, "%s%s%s", path, *path ? "." : "", name);
  return there && now ? compare(c, below, there, now) : add_difference(c, below, there, now);
}

static cz_status compare_mappings(comparison *c, const char *path, const cz_config_node *there,
                                  const cz_config_node *now) {
  for (size_t i = 0; i < there->count; i++)
    CZ_TRY(compare_entry(c, path, there->entries[i].key, there->entries[i].value,
                         cz_config_get(now, there->entries[i].key)));
  for (size_t i = 0; i < now->count; i++)
    if (!cz_config_get(there, now->entries[i].key))
      CZ_TRY(compare_entry(c, path, now->entries[i].key, NULL, now->entries[i].value));
  return CZ_OK;
}

static cz_status compare(comparison *c, const char *path, const cz_config_node *there,
                         const cz_config_node *now) {
  bool equal;
  char name[32];
  if (there->kind == CZ_CONFIG_MAPPING && now->kind == CZ_CONFIG_MAPPING)
    return compare_mappings(c, path, there, now);
  if (there->kind == CZ_CONFIG_SEQUENCE && now->kind == CZ_CONFIG_SEQUENCE) {
    for (size_t i = 0; i < there->count || i < now->count; i++) {
      snprintf(name, sizeof name, "%zu", i);
      CZ_TRY(compare_entry(c, path, name, i < there->count ? there->entries[i].value : NULL,
                           i < now->count ? now->entries[i].value : NULL));
    }
    return CZ_OK;
  }
  CZ_TRY(same(&equal, there, now));
  return equal ? CZ_OK : add_difference(c, path, there, now);
}

/** Appends a line for each value in which the trees differ, with its path and both
 * values, eight at most and how many more there are. Nothing when they are the same but
 * for the order of keys and the spelling of numbers. */
cz_status cz_config_compare(cz_buf *out, const cz_config_node *there, const cz_config_node *now) {
  comparison c = {.out = out};
  CZ_TRY(compare(&c, "", there, now));
  return c.found > MAXIMUM ? cz_buf_addf(out, "  and %d more\n", c.found - MAXIMUM) : CZ_OK;
}
