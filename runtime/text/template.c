#include "text/template.h"

#include <string.h>

static cz_status special_ids(cz__template_item *item, cz_arena *arena, const json_t *tokens,
                             const char *name, const cz_json_place *at, int32_t size) {
  const json_t *token = json_object_get(tokens, name), *ids;
  if (!token) return cz_json_fail(at, NULL, "'%s' is not among the special_tokens", name);
  CZ_TRY(cz_json_only(token, at, CZ__KEYS("id", "ids", "tokens")));
  CZ_TRY(cz_json_get_array(&ids, token, at, "ids"));
  item->n = json_array_size(ids);
  CZ_TRY(cz_arena_alloc(arena, &item->ids, item->n, sizeof *item->ids));
  for (size_t i = 0; i < item->n; i++) {
    const json_t *id = json_array_get(ids, i);
    if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) >= size)
      return cz_json_fail(at, NULL, "id %zu of '%s' is not one of the tokenizer's %d", i, name,
                          (int)size);
    item->ids[i] = (int32_t)json_integer_value(id);
  }
  return CZ_OK;
}

static cz_status parse_item(cz__template_item *item, cz_arena *arena, const json_t *o,
                            const json_t *tokens, const cz_json_place *at, int32_t size) {
  const json_t *sequence = json_object_get(o, "Sequence"),
               *special = json_object_get(o, "SpecialToken");
  const char *id;
  size_t n;
  if (!sequence == !special) return cz_json_fail(at, NULL, "expected a Sequence or a SpecialToken");
  cz_json_place inner = cz_json_place_key(at, sequence ? "Sequence" : "SpecialToken");
  CZ_TRY(cz_json_get_bytes(&id, &n, sequence ? sequence : special, &inner, "id"));
  if (special) return special_ids(item, arena, tokens, id, &inner, size);
  if (strcmp(id, "A") != 0)
    return cz_json_fail(&inner, "id", "'%s' in a template for one text", id);
  return CZ_OK;
}

/** Reads the post-processor (null: none; otherwise TemplateProcessing, of which the
 * template for one text is kept). SIZE bounds the ids. */
cz_status cz__template_parse(cz__template *t, cz_arena *arena, const json_t *json,
                             const cz_json_place *at, int32_t size) {
  t->n = 1;
  CZ_TRY(cz_arena_alloc(arena, &t->items, 1, sizeof *t->items)); /* the text alone */
  if (!json || json_is_null(json)) return CZ_OK;
  const char *type;
  size_t n;
  const json_t *single, *pair, *tokens = json_object_get(json, "special_tokens");
  if (!json_is_object(json)) return cz_json_fail(at, NULL, "expected an object with a type");
  CZ_TRY(cz_json_get_bytes(&type, &n, json, at, "type"));
  if (strcmp(type, "TemplateProcessing") != 0)
    return cz_json_fail(at, NULL, "the post-processor '%s' is not supported", type);
  CZ_TRY(cz_json_only(json, at, CZ__KEYS("single", "pair", "special_tokens")));
  CZ_TRY(cz_json_get_array(&single, json, at, "single"));
  CZ_TRY(cz_json_get_array(&pair, json, at, "pair"));
  if (!json_is_object(tokens)) return cz_json_fail(at, "special_tokens", "expected an object");
  t->n = json_array_size(single);
  CZ_TRY(cz_arena_alloc(arena, &t->items, t->n, sizeof *t->items));
  cz_json_place list = cz_json_place_key(at, "single");
  for (size_t i = 0; i < t->n; i++) {
    cz_json_place item = cz_json_place_item(&list, i);
    CZ_TRY(parse_item(&t->items[i], arena, json_array_get(single, i), tokens, &item, size));
  }
  return CZ_OK;
}
