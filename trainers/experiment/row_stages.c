/* Which stages a row has: all of the file's, all but some (`without`), or some alone (`only`). */
#include "experiment/plan_internal.h"

#include <string.h>

/* The stage that NODE names is one of STAGES. */
static cz_status check_stage(const cz_config_node *node, const char *text, const char *key,
                             const cz_config_node *stages) {
  for (size_t i = 0; i < cz_config_count(stages); i++)
    if (!strcmp(text, cz_config_key_at(stages, i))) return CZ_OK;
  return cz_config_error(node, "%s: '%s' is no stage of this file", key, text);
}

/* Whether LIST, the value of KEY, has NAME of LENGTH. */
static cz_status lists(bool *found, const cz_config_node *list, const char *key, const char *name,
                       size_t length, const cz_config_node *stages) {
  const char *text;
  CZ_TRY(cz_config_expect(list, CZ_CONFIG_SEQUENCE));
  for (size_t i = 0; i < cz_config_count(list); i++) {
    CZ_TRY(cz_config_text(&text, cz_config_at(list, i)));
    if (stages) CZ_TRY(check_stage(cz_config_at(list, i), text, key, stages));
    *found |= strlen(text) == length && !strncmp(text, name, length);
  }
  return CZ_OK;
}

/** Whether the row of NODE has the stage whose name is the first LENGTH characters of NAME. STAGES:
 * the file's, of which the row may name any; null where they are not known yet. CZ_EUSAGE with the
 * place for a name that is none of them, an empty list, and both keys. */
cz_status cz__plan_row_has(bool *has, const cz_config_node *node, const char *name, size_t length,
                           const cz_config_node *stages) {
  const cz_config_node *without = cz_config_get(node, "without"),
                       *only = cz_config_get(node, "only");
  bool found = false;
  *has = true;
  if (only && without)
    return cz_config_error(only, "a row is `without` some stages or has `only` some, not both");
  if (!only && !without) return CZ_OK;
  if (only && cz_config_kind_of(only) == CZ_CONFIG_SEQUENCE && !cz_config_count(only))
    return cz_config_error(only, "only: no stage");
  CZ_TRY(lists(&found, only ? only : without, only ? "only" : "without", name, length, stages));
  *has = found == (only != NULL);
  return CZ_OK;
}
