#include "stages/model_folder.h"
#include "base/fs.h"
#include "json/json.h"
#include "nn/hf.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static cz_status set_token(json_t *config, const char *key, const cz_tokenizer *t, int32_t id) {
  size_t n;
  const char *token = id >= 0 ? cz_tokenizer_token(t, id, &n) : NULL;
  if (!token) return CZ_OK;
  return json_object_set_new(config, key, json_stringn(token, n))
             ? CZ_FAIL(CZ_ENOMEM, "no memory for %s", key)
             : CZ_OK;
}

/** Writes FOLDER/tokenizer_config.json, which says "run tokenizer.json as it stands", and which of
 * T's tokens are special: without it transformers rebuilds a tokenizer from its class and drops
 * what the class does not have. */
cz_status cz_model_folder_tokenizer_config(const cz_tokenizer *t, const char *folder) {
  json_t *config = json_pack("{s:s}", "tokenizer_class", "PreTrainedTokenizerFast");
  char path[4096];
  cz_status st = CZ_OK;
  for (size_t i = 0; i < CZ_SPECIAL_TOKENS && st == CZ_OK; i++) {
    const char *key;
    int32_t id = cz_tokenizer_special(t, i, &key);
    st = set_token(config, key, t, id);
  }
  if (st == CZ_OK) st = cz_fs_join(path, sizeof path, folder, "tokenizer_config.json");
  if (st == CZ_OK) st = cz_json_write(config, path, JSON_INDENT(2));
  json_decref(config);
  return st;
}

/** The file in FOLDER that its tokenizer is read from or made of: tokenizer.json, or the first
 * there is of those that were in its place before. Null when there is none. Static. */
cz_status cz_model_folder_tokenizer_file(const char **name, const char *folder) {
  static const char *const files[] = {"tokenizer.json", "vocab.txt", "vocab.json",
                                      "sentencepiece.bpe.model", "spiece.model"};
  char path[4096];
  *name = NULL;
  for (size_t i = 0; i < sizeof files / sizeof *files && !*name; i++) {
    CZ_TRY(cz_fs_join(path, sizeof path, folder, files[i]));
    if (cz_fs_exists(path)) *name = files[i];
  }
  return CZ_OK;
}

/** Copies what a model's folder FROM has beside configuration and weights, tokenizers and what
 * belongs to a classifier, to the folder TO, but for files that are there already. */
cz_status cz_model_folder_copy_others(const char *from, const char *to) {
  static const char *const names[] = {"tokenizer.json",
                                      "tokenizer_config.json",
                                      "special_tokens_map.json",
                                      "added_tokens.json",
                                      "vocab.txt",
                                      "vocab.json",
                                      "merges.txt",
                                      "spiece.model",
                                      "sentencepiece.bpe.model",
                                      "generation_config.json",
                                      "cloze_task.json",
                                      "README.md"};
  char old[4096], new[4096];
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    CZ_TRY(cz_fs_join(old, sizeof old, from, names[i]));
    CZ_TRY(cz_fs_join(new, sizeof new, to, names[i]));
    if (cz_fs_exists(old) && !cz_fs_exists(new)) CZ_TRY(cz_fs_copy(old, new));
  }
  return CZ_OK;
}

static cz_status has_file(bool *yes, const char *folder, const char *name) {
  char path[4096];
  *yes = false;
  CZ_TRY(cz_fs_join(path, sizeof path, folder, name));
  *yes = cz_fs_exists(path);
  return CZ_OK;
}

/** Gives the model's folder TO the tokenizer T of the folder FROM, with its files, and a
 * tokenizer.json where FROM has older ones alone. Files that TO has already stay. */
cz_status cz_model_folder_take_tokenizer(const cz_tokenizer *t, const char *from, const char *to) {
  char path[4096];
  cz_buf text = {0};
  bool there;
  CZ_TRY(cz_model_folder_copy_others(from, to));
  CZ_TRY(has_file(&there, to, "tokenizer_config.json"));
  if (!there) CZ_TRY(cz_model_folder_tokenizer_config(t, to));
  CZ_TRY(has_file(&there, to, "tokenizer.json"));
  if (there) return CZ_OK;
  CZ_TRY(cz_fs_join(path, sizeof path, to, "tokenizer.json"));
  cz_status st = cz_tokenizer_json_of_folder(&text, from);
  if (st == CZ_OK) st = cz_fs_write_atomic(path, text.data, text.len);
  cz_buf_free(&text);
  return st;
}

/** Saves MODEL with the stage's tokenizer as the Hugging Face directory FOLDER. */
cz_status cz_model_folder_save(const cz_model *model, const cz_recipe *recipe, const char *folder) {
  char path[4096];
  CZ_TRY(cz_hf_save(model, folder));
  CZ_TRY(cz_model_folder_tokenizer_config(recipe->tokenizer, folder));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "tokenizer.json"));
  cz_buf text = {0};
  cz_status st = cz_tokenizer_read(&text, recipe->tokenizer_path);
  if (st == CZ_OK) st = cz_fs_write_atomic(path, text.data, text.len);
  cz_buf_free(&text);
  return st;
}
