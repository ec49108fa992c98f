#include "text/parts.h"

#include <stdlib.h>
#include <string.h>

static const cz__model_row *const models[] = {&cz__unigram_model, &cz__wordpiece_model,
                                              &cz__wordlevel_model, &cz__bpe_model};

static cz_status type_of(const char **type, const json_t *json, const cz_json_place *at) {
  if (!json_is_object(json)) return cz_json_expected(at, NULL, json, "an object with a type");
  return cz_json_get_text(type, json, at, "type");
}

/* The type is none of NAMES. */
static cz_status refuse_type(const cz_json_place *at, const char *kind, const char *type,
                             const cz_buf *names) {
  return cz_json_fail(at, NULL, "the %s '%s' is not supported; there %s %s", kind, type,
                      strchr(names->data, ',') ? "are" : "is", names->data);
}

static cz_status parse_one(cz__parts *parts, const cz__part_row *row, cz_arena *arena,
                           const json_t *json, const cz_json_place *at) {
  CZ_TRY(cz_grow(&parts->data, &parts->cap, parts->len + 1, sizeof *parts->data));
  cz__part *part = &parts->data[parts->len];
  *part = (cz__part){.row = row};
  if (row->parse) {
    CZ_TRY(row->parse(&part->data, arena, json, at));
  } else {
    CZ_TRY(cz_json_only(json, at, (const char *const[]){"type"}, 1));
  }
  parts->len++;
  return CZ_OK;
}

/** Appends the part JSON (null: none; a Sequence: its members) to PARTS. CZ_EINVAL names
 * a type that the table does not have. */
cz_status cz__parts_parse(cz__parts *parts, const cz__part_table *table, cz_arena *arena,
                          const json_t *json, const cz_json_place *at) {
  if (!json || json_is_null(json)) return CZ_OK;
  const char *type;
  CZ_TRY(type_of(&type, json, at));
  if (strcmp(type, "Sequence") == 0) {
    const json_t *members;
    CZ_TRY(cz_json_only(json, at, (const char *const[]){"type", table->members}, 2));
    CZ_TRY(cz_json_get_array(&members, json, at, table->members));
    cz_json_place list = cz_json_place_key(at, table->members);
    for (size_t i = 0; i < json_array_size(members); i++) {
      cz_json_place item = cz_json_place_item(&list, i);
      CZ_TRY(cz__parts_parse(parts, table, arena, json_array_get(members, i), &item));
    }
    return CZ_OK;
  }
  for (size_t i = 0; i < table->n; i++)
    if (strcmp(type, table->rows[i].type) == 0)
      return parse_one(parts, &table->rows[i], arena, json, at);
  cz_buf names = {0};
  cz_status st = cz_buf_addf(&names, "Sequence");
  for (size_t i = 0; i < table->n && st == CZ_OK; i++)
    st = cz_buf_addf(&names, ", %s", table->rows[i].type);
  if (st == CZ_OK) st = refuse_type(at, table->kind, type, &names);
  cz_buf_free(&names);
  return st;
}

/** Runs the parts in order. */
cz_status cz__parts_run(const cz__parts *parts, cz__work *w) {
  for (size_t i = 0; i < parts->len; i++) CZ_TRY(parts->data[i].row->run(parts->data[i].data, w));
  return CZ_OK;
}

/** Frees what the parts own outside of the arena, and the list. */
void cz__parts_release(cz__parts *parts) {
  for (size_t i = 0; i < parts->len; i++)
    if (parts->data[i].row->release) parts->data[i].row->release(parts->data[i].data);
  free(parts->data);
  *parts = (cz__parts){0};
}

/* The type of a model: files of before 2020 do not say it, and are known by a key that only one
 * has, in the library's order. */
static cz_status model_type(const char **type, const json_t *json, const cz_json_place *at) {
  static const struct {
    const char *key, *type;
  } old[] = {{"merges", "BPE"}, {"max_input_chars_per_word", "WordPiece"}, {"unk_id", "Unigram"}};
  for (size_t i = 0; !json_object_get(json, "type") && i < sizeof old / sizeof *old; i++) {
    if (!json_object_get(json, old[i].key)) continue;
    *type = old[i].type;
    return CZ_OK;
  }
  return type_of(type, json, at);
}

/** Reads the model. CZ_EINVAL names a type that is not supported. */
cz_status cz__model_parse(cz__model *m, cz_arena *arena, const json_t *json,
                          const cz_json_place *at) {
  const char *type;
  CZ_TRY(model_type(&type, json, at));
  for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
    if (strcmp(type, models[i]->type) != 0) continue;
    m->row = models[i];
    return m->row->parse(m, arena, json, at);
  }
  cz_buf names = {0};
  cz_status st = CZ_OK;
  for (size_t i = 0; i < sizeof models / sizeof *models && st == CZ_OK; i++)
    st = cz_buf_addf(&names, "%s%s", i ? ", " : "", models[i]->type);
  if (st == CZ_OK) st = refuse_type(at, "model", type, &names);
  cz_buf_free(&names);
  return st;
}
