/* The list of the kinds of stage, and what follows from their parts: known keys and help. */
#include "base/nearest.h"
#include "stages/stage.h"

#include <stdio.h>
#include <string.h>

#define CZ_STAGE(name) extern const cz_stage_kind cz_stage_row_##name;
#include "stages/kinds.def"
#undef CZ_STAGE

const cz_stage_kind *const cz_stage_rows[] = {
#define CZ_STAGE(name) &cz_stage_row_##name,
#include "stages/kinds.def"
#undef CZ_STAGE
};
const size_t cz_stage_row_count = sizeof cz_stage_rows / sizeof *cz_stage_rows;

enum { MAX_KINDS = sizeof cz_stage_rows / sizeof *cz_stage_rows, MAX_PARTS = 32 };

/* What every stage has, whatever its kind. */
static const cz_key_spec kind_key = CZ_KEY_OTHER(
                             "kind", ENUM,
                             .help = "what the stage does; the commands of these names say it "
                                     "themselves"),
                         seed_key = CZ_KEY_OTHER(
                             "seed", INT, .max = 4503599627370496.0,
                             .help = "of weights, data order and noise; an experiment sets it from "
                                     "its `seeds`");

/* The names of all kinds, null-terminated. */
static void all_names(const char *names[MAX_KINDS + 1]) {
  for (size_t i = 0; i < MAX_KINDS; i++) names[i] = cz_stage_rows[i]->name;
  names[MAX_KINDS] = NULL;
}

/** The kind of stage called NAME; CZ_EUSAGE with the nearest spelling when there is
 * none. */
cz_status cz_stage_kind_find(const cz_stage_kind **kind, const char *name) {
  const char *names[MAX_KINDS + 1];
  size_t i;
  all_names(names);
  CZ_TRY(cz_find_name(&i, "stage", name, names, MAX_KINDS));
  *kind = cz_stage_rows[i];
  return CZ_OK;
}

/** The kind of the stage that NODE describes, by its key `kind`. */
cz_status cz_stage_kind_of(const cz_stage_kind **kind, const cz_config_node *node) {
  const cz_config_node *n;
  const char *name;
  CZ_TRY(cz_config_need(&n, node, "kind"));
  CZ_TRY(cz_config_text(&name, n));
  return CZ_AT(n, cz_stage_kind_find(kind, name));
}

/* Calls for a set of keys: what every stage has, then the parts; null-terminated. */
static void key_names(const cz_stage_kind *kind, const char *names[MAX_PARTS]) {
  size_t n = 0;
  names[n++] = kind_key.name;
  names[n++] = seed_key.name;
  for (const cz_stage_part *const *p = kind->parts; *p; p++) {
    CZ_CHECK(n + 1 < MAX_PARTS);
    names[n++] = (*p)->key.name;
  }
  names[n] = NULL;
}

/** Whether a stage of KIND may have KEY at its top. */
bool cz_stage_takes(const cz_stage_kind *kind, const char *key) {
  const char *names[MAX_PARTS];
  key_names(kind, names);
  for (const char *const *name = names; *name; name++)
    if (!strcmp(*name, key)) return true;
  return false;
}

/** CZ_EUSAGE with the nearest spelling when NODE has a key that KIND does not take. */
cz_status cz_stage_known(const cz_stage_kind *kind, const cz_config_node *node) {
  const char *names[MAX_PARTS];
  key_names(kind, names);
  return cz_config_only(node, names);
}

/** Binds what RECIPE has of a stage of KIND, without opening a file: the seed and, as far as
 * the kind takes them, the tokenizer's path and the model's keys. NODE and DEVICE (may be null)
 * are borrowed. */
cz_status cz_stage_bind(cz_recipe *recipe, const cz_stage_kind *kind, const cz_config_node *node,
                        cz_device *device) {
  CZ_TRY(cz_recipe_begin(recipe, node, device));
  if (cz_stage_takes(kind, cz_part_tokenizer.key.name)) CZ_TRY(cz_recipe_bind_tokenizer(recipe));
  return cz_stage_takes(kind, cz_part_model.key.name) ? cz_recipe_bind_model(recipe) : CZ_OK;
}

/* The parts of all kinds, each once, in the order of the list; null-terminated. */
static void all_parts(const cz_stage_part *parts[MAX_PARTS]) {
  size_t n = 0;
  for (size_t k = 0; k < MAX_KINDS; k++)
    for (const cz_stage_part *const *p = cz_stage_rows[k]->parts; *p; p++) {
      size_t i = 0;
      while (i < n && parts[i] != *p) i++;
      CZ_CHECK(n + 1 < MAX_PARTS);
      if (i == n) parts[n++] = *p;
    }
  parts[n] = NULL;
}

static bool has_part(const cz_stage_kind *kind, const cz_stage_part *part) {
  const cz_stage_part *const *p = kind->parts;
  while (*p && *p != part) p++;
  return *p != NULL;
}

/* "pretrain, finetune: how many tokens a step has": a part's help after the kinds that take
 * it; nothing before it when all do. */
static cz_status part_help(cz_buf *out, const cz_stage_part *part) {
  size_t takers = 0;
  for (size_t k = 0; k < MAX_KINDS; k++) takers += has_part(cz_stage_rows[k], part);
  for (size_t k = 0, said = 0; k < MAX_KINDS && takers < MAX_KINDS; k++)
    if (has_part(cz_stage_rows[k], part))
      CZ_TRY(cz_buf_addf(out, "%s%s", said++ ? ", " : "", cz_stage_rows[k]->name));
  return cz_buf_addf(out, "%s%s", takers < MAX_KINDS ? ": " : "", part->key.help);
}

/* The keys that a stage may have at its top. */
static cz_status stage_help(cz_buf *out, const cz_stage_part *const *parts, bool markdown) {
  const char *names[MAX_KINDS + 1];
  cz_key_spec keys[MAX_PARTS] = {kind_key, seed_key};
  cz_section section = {"stage",
                        "A stage: an entry of an experiment's `stages`, or the file of the "
                        "command that has its kind's name.",
                        keys, 2};
  cz_buf texts[MAX_PARTS] = {0};
  cz_status st = CZ_OK;
  all_names(names);
  keys[0].choices = names;
  for (; *parts && st == CZ_OK; parts++, section.n_keys++) {
    keys[section.n_keys] = (*parts)->key;
    st = part_help(&texts[section.n_keys], *parts);
    keys[section.n_keys].help = texts[section.n_keys].data;
  }
  if (st == CZ_OK)
    st = markdown ? cz_config_markdown(out, &section) : cz_config_help(out, &section);
  for (size_t i = 0; i < MAX_PARTS; i++) cz_buf_free(&texts[i]);
  return st;
}

/** Appends the help of every key of every kind of stage: the stage's own, each section's, and
 * what objectives and tasks have; MARKDOWN for documents. */
cz_status cz_stage_help(cz_buf *out, bool markdown) {
  const cz_stage_part *parts[MAX_PARTS];
  all_parts(parts);
  CZ_TRY(stage_help(out, parts, markdown));
  for (size_t i = 0; parts[i]; i++)
    if (parts[i]->section)
      CZ_TRY(markdown ? cz_config_markdown(out, parts[i]->section)
                      : cz_config_help(out, parts[i]->section));
  for (size_t i = 0; parts[i]; i++)
    if (parts[i]->help) CZ_TRY(parts[i]->help(out, markdown));
  return CZ_OK;
}
