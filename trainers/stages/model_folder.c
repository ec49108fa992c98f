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

/* Says "run tokenizer.json as it stands": without this file transformers rebuilds T5's
 * tokenizer from its class and drops what the class does not have. */
static cz_status save_tokenizer_config(const cz_tokenizer *t, const char *folder) {
  const cz_tokenizer_facts *f = cz_tokenizer_get_facts(t);
  json_t *config = json_pack("{s:s}", "tokenizer_class", "PreTrainedTokenizerFast");
  char path[4096];
  cz_status st;
  CZ_GO(st, set_token(config, "pad_token", t, f->pad), done);
  CZ_GO(st, set_token(config, "eos_token", t, f->eos), done);
  CZ_GO(st, set_token(config, "unk_token", t, f->unk), done);
  CZ_GO(st, cz_fs_join(path, sizeof path, folder, "tokenizer_config.json"), done);
  st = cz_json_write(config, path, JSON_INDENT(2));
done:
  json_decref(config);
  return st;
}

/** Saves MODEL with the stage's tokenizer as the Hugging Face directory FOLDER. */
cz_status cz_model_folder_save(const cz_model *model, const cz_recipe *recipe, const char *folder) {
  char path[4096];
  cz_buf text = {0};
  CZ_TRY(cz_hf_save(model, folder));
  CZ_TRY(save_tokenizer_config(recipe->tokenizer, folder));
  CZ_TRY(cz_fs_join(path, sizeof path, folder, "tokenizer.json"));
  cz_status st = cz_fs_read(recipe->tokenizer_path, &text);
  if (st == CZ_OK) st = cz_fs_write_atomic(path, text.data, text.len);
  cz_buf_free(&text);
  return st;
}
