/* Which tokens have a role of their own: by tokenizer_config.json where it says so, else by the
 * spellings of T5, BERT, RoBERTa, XLM-R and GPT-2. */
#include "text/internal.h"

#include <stddef.h>
#include <string.h>

typedef struct role {
  const char *key; /* of tokenizer_config.json */
  size_t member;   /* of cz_tokenizer_facts */
  const char *spellings[2];
} role;

static const role roles[] = {
    {"pad_token", offsetof(cz_tokenizer_facts, pad), {"<pad>", "[PAD]"}},
    {"eos_token", offsetof(cz_tokenizer_facts, eos), {"</s>", "<|endoftext|>"}},
    {"unk_token", offsetof(cz_tokenizer_facts, unk), {NULL}}, /* the model says it */
    {"mask_token", offsetof(cz_tokenizer_facts, mask), {"<mask>", "[MASK]"}},
    {"cls_token", offsetof(cz_tokenizer_facts, cls), {"[CLS]", "<s>"}},
    {"sep_token", offsetof(cz_tokenizer_facts, sep), {"[SEP]", "</s>"}},
    {"bos_token", offsetof(cz_tokenizer_facts, bos), {"<s>", "<|endoftext|>"}},
};
_Static_assert(sizeof roles / sizeof *roles == CZ_SPECIAL_TOKENS, "a row for each");

static int32_t *id_of(cz_tokenizer *t, const role *r) {
  return (int32_t *)((char *)&t->facts + r->member);
}

/** The id of special token I, 0 to CZ_SPECIAL_TOKENS - 1, or -1 where the tokenizer has none in
 * that role; in *KEY what tokenizer_config.json calls the role. */
int32_t cz_tokenizer_special(const cz_tokenizer *t, size_t i, const char **key) {
  *key = roles[i].key;
  return *(const int32_t *)((const char *)&t->facts + roles[i].member);
}

/** Finds special tokens by their spellings. `</s>` separates only where `<s>` exists, as in
 * RoBERTa; T5 has no separator. */
void cz__facts_find(cz_tokenizer *t) {
  t->facts.size = t->added.size;
  for (size_t i = 0; i < CZ_SPECIAL_TOKENS; i++) {
    int32_t *id = id_of(t, &roles[i]);
    *id = -1;
    for (size_t k = 0; k < 2 && *id < 0 && roles[i].spellings[k]; k++)
      *id = cz_tokenizer_id(t, roles[i].spellings[k], strlen(roles[i].spellings[k]));
  }
  cz_tokenizer_facts *f = &t->facts;
  f->unk = t->model.unk;
  if (f->cls < 0) f->sep = cz_tokenizer_id(t, "[SEP]", strlen("[SEP]"));
}

/* The token that KEY names: a text, or an object with `content`; null: there is none. */
static cz_status token_of(const char **token, size_t *n, const json_t *config, const char *key,
                          const cz_json_place *at) {
  const json_t *value = json_object_get(config, key);
  cz_json_place here = cz_json_place_key(at, key);
  *token = NULL;
  if (json_is_null(value)) return CZ_OK;
  if (json_is_object(value)) return cz_json_get_bytes(token, n, value, &here, "content");
  if (!json_is_string(value))
    return cz_json_expected(at, key, value, "a token, an object with its content, or null");
  return cz_json_get_bytes(token, n, config, at, key);
}

static cz_status take_role(cz_tokenizer *t, const role *r, const json_t *config,
                           const cz_json_place *at, const char *tokenizer) {
  const char *token;
  size_t n = 0;
  int32_t id = -1;
  if (!json_object_get(config, r->key)) return CZ_OK;
  CZ_TRY(token_of(&token, &n, config, r->key, at));
  if (token && (id = cz_tokenizer_id(t, token, n)) < 0)
    return cz_json_fail(at, r->key, "'%s' is no token of %s", token, tokenizer);
  if (r->member == offsetof(cz_tokenizer_facts, unk) && t->model.unk >= 0 && id != t->model.unk) {
    const char *unk = cz_tokenizer_token(t, t->model.unk, &n);
    return cz_json_fail(at, r->key, "%s, but the model of %s has '%s' for unknown words",
                        token ? token : "null", tokenizer, unk);
  }
  *id_of(t, r) = id;
  return CZ_OK;
}

/** Takes special tokens from CONFIG, what tokenizer_config.json holds; AT is its place, TOKENIZER
 * the name of the file that T was read from. CZ_EINVAL for a token that T does not have, and for
 * an unknown token that is not the model's. */
cz_status cz__facts_take(cz_tokenizer *t, const json_t *config, const cz_json_place *at,
                         const char *tokenizer) {
  if (!json_is_object(config)) return cz_json_expected(at, NULL, config, "an object");
  for (size_t i = 0; i < CZ_SPECIAL_TOKENS; i++)
    CZ_TRY(take_role(t, &roles[i], config, at, tokenizer));
  return CZ_OK;
}
