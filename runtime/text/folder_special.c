/* The special tokens of a folder of old files: which token has which role, and the list
 * `added_tokens` that comes of it.
 *
 * What tokenizer_config.json says counts, then special_tokens_map.json, then the family's
 * spelling. A token that the model has keeps its id, others count up behind it. */
#include "text/folder.h"

#include <stdlib.h>
#include <string.h>

static const char *const keys[CZ__ROLES] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                            "pad_token", "cls_token", "mask_token"};

/* What the settings say of a role, or null; AT is where. */
static const json_t *said(const cz__folder *f, cz__role role, const cz_json_place **at) {
  const cz__settings *s = json_object_get(f->config.root, keys[role]) ? &f->config : &f->map;
  *at = &s->at;
  return json_object_get(s->root, keys[role]);
}

/* The token that VALUE names: a text or an object with `content`. */
static cz_status content_of(const char **content, const json_t *value, const cz_json_place *at,
                            const char *key) {
  const json_t *text = json_is_object(value) ? json_object_get(value, "content") : value;
  if (!json_is_string(text) || strlen(json_string_value(text)) != json_string_length(text))
    return cz_json_expected(at, key, value, "a token, or an object with its content");
  *content = json_string_value(text);
  return CZ_OK;
}

/** Finds the token of each role. */
cz_status cz__folder_roles(cz__folder *f) {
  for (int role = 0; role < CZ__ROLES; role++) {
    const cz_json_place *at;
    const json_t *value = said(f, (cz__role)role, &at);
    f->roles[role] = f->family->roles[role];
    if (json_is_null(value)) f->roles[role] = NULL;
    if (value && !json_is_null(value)) CZ_TRY(content_of(&f->roles[role], value, at, keys[role]));
  }
  return CZ_OK;
}

/* The flags of an added token as FROM, an object, has them; what it does not say is SPECIAL's
 * default. */
static cz_status flags_from(json_t *token, const json_t *from, bool special,
                            const cz_json_place *at) {
  static const char *const names[] = {"single_word", "lstrip", "rstrip", "normalized", "special"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    bool value = i < 3 ? false : i == 3 ? !special : special;
    if (json_object_get(from, names[i])) CZ_TRY(cz_json_get_bool(&value, from, at, names[i]));
    CZ_TRY(cz_json_set(token, names[i], json_boolean(value)));
  }
  return CZ_OK;
}

/* Puts the token in its place: the list is in the order of ids. */
static cz_status insert(json_t *list, json_t *token, int64_t id) {
  size_t at = json_array_size(list);
  while (at > 0 && json_integer_value(json_object_get(json_array_get(list, at - 1), "id")) > id)
    at--;
  return json_array_insert_new(list, at, token) == 0
             ? CZ_OK
             : CZ_FAIL(CZ_ENOMEM, "no memory for an added token");
}

static bool is_listed(const json_t *list, const char *content) {
  size_t i;
  const json_t *token;
  json_array_foreach(list, i, token) {
    if (strcmp(json_string_value(json_object_get(token, "content")), content) == 0) return true;
  }
  return false;
}

/* Adds CONTENT unless it is listed already. FROM has its flags, or is null. */
static cz_status add(cz__folder *f, const char *content, const json_t *from, bool special,
                     const cz_json_place *at) {
  json_t *list = json_object_get(f->root, "added_tokens"), *token = json_object();
  const json_t *known = json_object_get(f->ids, content);
  int64_t id = known ? json_integer_value(known) : (int64_t)json_object_size(f->ids);
  cz_status st = CZ_OK;
  if (is_listed(list, content)) goto done;
  if (!known) CZ_GO(st, cz_json_set_int(f->ids, content, id), done);
  CZ_GO(st, cz_json_set_int(token, "id", id), done);
  CZ_GO(st, cz_json_set_text(token, "content", content), done);
  CZ_GO(st, flags_from(token, from, special, at), done);
  CZ_GO(st, insert(list, json_incref(token), id), done);
done:
  json_decref(token);
  return st;
}

/* An id that a file gives a token, and the token's own. */
static cz_status expect_id(const cz__folder *f, const char *content, int64_t written,
                           const cz_json_place *at) {
  int64_t id = json_integer_value(json_object_get(f->ids, content));
  if (id == written) return CZ_OK;
  return cz_json_fail(at, NULL, "'%s' has id %lld, but the vocabulary gives it %lld", content,
                      (long long)written, (long long)id);
}

/* A token of added_tokens_decoder, {"4": {"content": ...}}, or of added_tokens.json,
 * {"token": 4}. */
typedef struct listed {
  int64_t id;
  const char *content;
  const json_t *flags;
} listed;

static int by_id(const void *a, const void *b) {
  const listed *x = a, *y = b;
  return (x->id > y->id) - (x->id < y->id);
}

static cz_status add_listed(cz__folder *f, listed *tokens, size_t n, const cz_json_place *at) {
  if (n > 1) qsort(tokens, n, sizeof *tokens, by_id);
  for (size_t i = 0; i < n; i++) {
    bool role = false;
    for (int r = 0; r < CZ__ROLES; r++)
      role |= f->roles[r] && strcmp(f->roles[r], tokens[i].content) == 0;
    CZ_TRY(add(f, tokens[i].content, tokens[i].flags, role, at));
    CZ_TRY(expect_id(f, tokens[i].content, tokens[i].id, at));
  }
  return CZ_OK;
}

static cz_status add_decoder(cz__folder *f) {
  json_t *decoder = json_object_get(f->config.root, "added_tokens_decoder"), *value;
  if (!decoder) return CZ_OK;
  const char *key;
  char *end;
  cz_json_place at = cz_json_place_key(&f->config.at, "added_tokens_decoder");
  listed *tokens;
  size_t n = 0;
  if (!json_is_object(decoder)) return cz_json_expected(&at, NULL, decoder, "an object");
  CZ_TRY(cz_alloc(&tokens, json_object_size(decoder), sizeof *tokens));
  cz_status st = CZ_OK;
  json_object_foreach(decoder, key, value) {
    listed *t = &tokens[n++];
    *t = (listed){.id = strtoll(key, &end, 10), .flags = value};
    if (*end || end == key || !json_is_object(value))
      CZ_GO(st, cz_json_expected(&at, key, value, "{\"id\": {\"content\": ...}}"), done);
    CZ_GO(st, content_of(&t->content, value, &at, key), done);
  }
  CZ_GO(st, add_listed(f, tokens, n, &at), done);
done:
  free(tokens);
  return st;
}

static cz_status add_file(cz__folder *f) {
  const char *key;
  json_t *value;
  listed *tokens;
  size_t n = 0;
  CZ_TRY(cz_alloc(&tokens, json_object_size(f->added.root), sizeof *tokens));
  cz_status st = CZ_OK;
  json_object_foreach(f->added.root, key, value) {
    if (!json_is_integer(value))
      CZ_GO(st, cz_json_expected(&f->added.at, key, value, "an id"), done);
    tokens[n++] = (listed){.id = json_integer_value(value), .content = key};
  }
  CZ_GO(st, add_listed(f, tokens, n, &f->added.at), done);
done:
  free(tokens);
  return st;
}

static cz_status add_roles(cz__folder *f) {
  json_t *takes_space = json_pack("{s:b}", "lstrip", 1);
  cz_status st = takes_space ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "no memory for a token");
  for (int role = 0; role < CZ__ROLES && st == CZ_OK; role++) {
    const cz_json_place *at;
    const json_t *value = said(f, (cz__role)role, &at);
    if (!f->roles[role]) continue;
    bool mask = role == CZ__MASK && f->family->mask_takes_space && !json_is_object(value);
    st = add(f, f->roles[role],
             mask                    ? takes_space
             : json_is_object(value) ? value
                                     : NULL,
             true, at);
  }
  json_decref(takes_space);
  return st;
}

static cz_status add_more(cz__folder *f, const cz__settings *s, const char *key) {
  const json_t *list = json_object_get(s->root, key), *value;
  cz_json_place here = cz_json_place_key(&s->at, key);
  size_t i;
  if (!list || json_is_null(list)) return CZ_OK;
  if (!json_is_array(list)) return cz_json_expected(&s->at, key, list, "a list of tokens");
  json_array_foreach(list, i, value) {
    const char *content = NULL;
    cz_json_place at = cz_json_place_item(&here, i);
    CZ_TRY(content_of(&content, value, &at, NULL));
    CZ_TRY(add(f, content, json_is_object(value) ? value : NULL, true, &at));
  }
  return CZ_OK;
}

/** Fills `added_tokens`: what the settings list with ids, the roles, the settings' further special
 * tokens, and those that the model file marks. CZ_EINVAL for an id that the token does not get. */
cz_status cz__folder_added(cz__folder *f) {
  size_t i;
  const json_t *mark;
  CZ_TRY(add_decoder(f));
  CZ_TRY(add_file(f));
  CZ_TRY(add_roles(f));
  CZ_TRY(add_more(f, &f->config, "additional_special_tokens"));
  CZ_TRY(add_more(f, &f->config, "extra_special_tokens"));
  CZ_TRY(add_more(f, &f->map, "additional_special_tokens"));
  json_array_foreach(f->marks, i, mark) {
    json_t *plain =
        json_pack("{s:b,s:b}", "normalized", 0, "special", json_is_true(json_array_get(mark, 1)));
    cz_status st =
        plain ? add(f, json_string_value(json_array_get(mark, 0)), plain, true, &f->config.at)
              : CZ_FAIL(CZ_ENOMEM, "no memory for a token");
    json_decref(plain);
    CZ_TRY(st);
  }
  return CZ_OK;
}
