/* The post-processors: what each puts around texts, and whether it trims offsets. All of them
 * are layouts: special tokens and texts in an order, each with its type id. */
#include "text/post.h"

#include <string.h>

static cz_status new_processor(cz__processor **p, void **data, cz_arena *arena) {
  CZ_TRY(cz_arena_alloc(arena, p, 1, sizeof **p));
  *data = *p;
  return CZ_OK;
}

static cz_status read_id(int32_t *out, const json_t *id, const cz_json_place *at,
                         const char *what) {
  if (!json_is_integer(id) || json_integer_value(id) < 0 || json_integer_value(id) > INT32_MAX)
    return cz_json_expected(at, NULL, id, what);
  *out = (int32_t)json_integer_value(id);
  return CZ_OK;
}

/* The ids of the special token NAME, which TOKENS lists with one or more of them. */
static cz_status template_special(cz__post_item *item, cz_arena *arena, const json_t *tokens,
                                  const char *name, const cz_json_place *at,
                                  const cz_json_place *inner) {
  cz_json_place list = cz_json_place_key(at, "special_tokens"),
                here = cz_json_place_key(&list, name), key = cz_json_place_key(&here, "ids");
  const json_t *token = json_object_get(tokens, name), *ids;
  int32_t *copy;
  if (!token) return cz_json_fail(inner, NULL, "'%s' is not among the special_tokens", name);
  CZ_TRY(cz_json_only(token, &here, CZ__KEYS("id", "ids", "tokens")));
  CZ_TRY(cz_json_get_array(&ids, token, &here, "ids"));
  item->n = json_array_size(ids);
  CZ_TRY(cz_arena_alloc(arena, &copy, item->n + 1, sizeof *copy)); /* null is the text */
  for (size_t i = 0; i < item->n; i++) {
    cz_json_place one = cz_json_place_item(&key, i);
    CZ_TRY(read_id(&copy[i], json_array_get(ids, i), &one, "an id"));
  }
  item->ids = copy;
  return CZ_OK;
}

static cz_status template_item(cz__post_item *item, cz_arena *arena, const json_t *o,
                               const json_t *tokens, const cz_json_place *at,
                               const cz_json_place *here, bool pair) {
  static const char *const keys[] = {"id", "type_id"};
  const json_t *sequence = json_object_get(o, "Sequence"),
               *special = json_object_get(o, "SpecialToken"), *body = sequence ? sequence : special;
  const char *id;
  int64_t type;
  if (!sequence == !special)
    return cz_json_fail(here, NULL, "expected a Sequence or a SpecialToken");
  cz_json_place inner = cz_json_place_key(here, sequence ? "Sequence" : "SpecialToken");
  CZ_TRY(cz_json_only(body, &inner, keys, 2));
  CZ_TRY(cz_json_get_text(&id, body, &inner, "id"));
  CZ_TRY(cz__json_count(&type, body, &inner, "type_id"));
  item->type = (int32_t)type;
  if (special) return template_special(item, arena, tokens, id, at, &inner);
  item->text = strcmp(id, "B") == 0;
  if (!item->text && strcmp(id, "A") != 0)
    return cz_json_fail(&inner, "id", "expected A or B, found '%s'", id);
  if (item->text && !pair) return cz_json_fail(&inner, "id", "'B' in a template for one text");
  return CZ_OK;
}

static cz_status template_layout(cz__layout *layout, cz_arena *arena, const json_t *o,
                                 const cz_json_place *at, bool pair) {
  const char *key = pair ? "pair" : "single";
  const json_t *list;
  cz__post_item *items;
  CZ_TRY(cz_json_get_array(&list, o, at, key));
  cz_json_place place = cz_json_place_key(at, key);
  layout->n = json_array_size(list);
  CZ_TRY(cz_arena_alloc(arena, &items, layout->n + 1, sizeof *items)); /* null is no layout */
  for (size_t i = 0; i < layout->n; i++) {
    cz_json_place here = cz_json_place_item(&place, i);
    CZ_TRY(template_item(&items[i], arena, json_array_get(list, i),
                         json_object_get(o, "special_tokens"), at, &here, pair));
  }
  layout->items = items;
  return CZ_OK;
}

static cz_status parse_template(void **data, cz_arena *arena, const json_t *o,
                                const cz_json_place *at) {
  cz__processor *p;
  const json_t *tokens = json_object_get(o, "special_tokens");
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("single", "pair", "special_tokens")));
  if (!json_is_object(tokens)) return cz_json_expected(at, "special_tokens", tokens, "an object");
  CZ_TRY(new_processor(&p, data, arena));
  CZ_TRY(template_layout(&p->layouts[0], arena, o, at, false));
  return template_layout(&p->layouts[1], arena, o, at, true);
}

/* The id of the pair [token, id] that KEY holds. */
static cz_status token_and_id(int32_t **out, cz_arena *arena, const json_t *o,
                              const cz_json_place *at, const char *key) {
  const json_t *pair;
  CZ_TRY(cz_json_get_array(&pair, o, at, key));
  cz_json_place here = cz_json_place_key(at, key);
  if (json_array_size(pair) != 2 || !json_is_string(json_array_get(pair, 0)))
    return cz_json_fail(&here, NULL, "expected [token, id]");
  CZ_TRY(cz_arena_alloc(arena, out, 1, sizeof **out));
  return read_id(*out, json_array_get(pair, 1), &here, "[token, id]");
}

/* Layouts `cls A sep` and `cls A sep B sep`, with MIDDLE a further sep before B; the type of the
 * second text and what is around it is TYPE. */
static cz_status around(cz__processor *p, cz_arena *arena, const json_t *o, const cz_json_place *at,
                        bool middle, int32_t type) {
  int32_t *cls, *sep;
  cz__post_item *items;
  CZ_TRY(token_and_id(&cls, arena, o, at, "cls"));
  CZ_TRY(token_and_id(&sep, arena, o, at, "sep"));
  CZ_TRY(cz_arena_alloc(arena, &items, 6, sizeof *items));
  const cz__post_item before = {.ids = cls, .n = 1}, between = {.ids = sep, .n = 1},
                      text = {.text = 1, .type = type}, behind = {.ids = sep, .n = 1, .type = type};
  memcpy(items, (cz__post_item[]){before, {.text = 0}, between, behind, text, behind},
         6 * sizeof *items);
  if (!middle) memcpy(items + 3, (cz__post_item[]){text, behind}, 2 * sizeof *items);
  p->layouts[0] = (cz__layout){items, 3};
  p->layouts[1] = (cz__layout){items, middle ? 6 : 5};
  p->glued[0] = true;
  p->glued[1] = middle;
  return CZ_OK;
}

static cz_status parse_bert(void **data, cz_arena *arena, const json_t *o,
                            const cz_json_place *at) {
  cz__processor *p;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("sep", "cls")));
  CZ_TRY(new_processor(&p, data, arena));
  return around(p, arena, o, at, false, 1);
}

/* RoBERTa has one type, also for a second text. */
static cz_status parse_roberta(void **data, cz_arena *arena, const json_t *o,
                               const cz_json_place *at) {
  cz__processor *p;
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("sep", "cls", "trim_offsets", "add_prefix_space")));
  CZ_TRY(new_processor(&p, data, arena));
  CZ_TRY(cz_json_get_bool(&p->trims, o, at, "trim_offsets"));
  CZ_TRY(cz_json_get_bool(&p->add_prefix_space, o, at, "add_prefix_space"));
  return around(p, arena, o, at, true, 0);
}

static cz_status parse_byte_level(void **data, cz_arena *arena, const json_t *o,
                                  const cz_json_place *at) {
  cz__processor *p;
  bool use_regex; /* the pre-tokenizer's */
  CZ_TRY(cz_json_only(o, at, CZ__KEYS("add_prefix_space", "trim_offsets", "use_regex")));
  CZ_TRY(new_processor(&p, data, arena));
  CZ_TRY(cz_json_get_bool(&p->add_prefix_space, o, at, "add_prefix_space"));
  CZ_TRY(cz_json_get_bool(&p->trims, o, at, "trim_offsets"));
  return json_object_get(o, "use_regex") ? cz_json_get_bool(&use_regex, o, at, "use_regex") : CZ_OK;
}

static const cz__part_row rows[] = {
    {"TemplateProcessing", parse_template, NULL, NULL},
    {"BertProcessing", parse_bert, NULL, NULL},
    {"RobertaProcessing", parse_roberta, NULL, NULL},
    {"ByteLevel", parse_byte_level, NULL, NULL},
};

const cz__part_table cz__processors = {"post-processor", "processors", rows,
                                       sizeof rows / sizeof *rows};
