/* A tokenizer.json of the files that there were before it. */
#include "text/folder.h"

#include "base/fs.h"
#include "text/sentencepiece.h"
#include "text/tokenizer.h"

#include <string.h>

static cz_status open_settings(cz__settings *s, const char *folder, const char *name) {
  CZ_TRY(cz_fs_join(s->path, sizeof s->path, folder, name));
  s->at = (cz_json_place){.file = s->path};
  if (!cz_fs_exists(s->path)) {
    s->root = json_object();
    return s->root ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "no memory for settings");
  }
  CZ_TRY(cz_json_read(&s->root, s->path));
  return json_is_object(s->root) ? CZ_OK : cz_json_expected(&s->at, NULL, s->root, "an object");
}

static bool has(const char *folder, const char *name) {
  char path[4096];
  return cz_fs_join(path, sizeof path, folder, name) == CZ_OK && cz_fs_exists(path);
}

static bool has_files(const char *folder, const cz__family *family) {
  for (size_t i = 0; i < 2 && family->files[i]; i++)
    if (!has(folder, family->files[i])) return false;
  return true;
}

static bool is_class(const cz__family *family, const char *name) {
  size_t n = strlen(name);
  if (n > 4 && strcmp(name + n - 4, "Fast") == 0) n -= 4;
  for (size_t i = 0; i < 3 && family->classes[i]; i++)
    if (strlen(family->classes[i]) == n && strncmp(family->classes[i], name, n) == 0) return true;
  return false;
}

static bool is_type(const cz__family *family, const char *name) {
  for (size_t i = 0; i < 2 && family->types[i]; i++)
    if (strcmp(family->types[i], name) == 0) return true;
  return strcmp(family->name, name) == 0;
}

static cz_status take_named(cz__folder *f, bool (*fits)(const cz__family *, const char *),
                            const char *name, const cz_json_place *at, const char *key) {
  cz_buf names = {0};
  for (size_t i = 0; i < cz__n_families; i++)
    if (fits(&cz__families[i], name)) f->family = &cz__families[i];
  if (f->family) return CZ_OK;
  cz_status st = CZ_OK;
  for (size_t i = 0; i < cz__n_families && st == CZ_OK; i++)
    st = cz_buf_addf(&names, "%s%s", i ? ", " : "",
                     fits == is_type ? cz__families[i].name : cz__families[i].classes[0]);
  if (st == CZ_OK)
    st = cz_json_fail(at, key,
                      "'%s': without a tokenizer.json only those of %s are known; save one with "
                      "the program that made this folder",
                      name, names.data);
  cz_buf_free(&names);
  return st;
}

static cz_status family_by_vocabulary(cz__folder *f) {
  char path[4096];
  json_t *vocab;
  CZ_TRY(cz_fs_join(path, sizeof path, f->path, "vocab.json"));
  CZ_TRY(cz_json_read(&vocab, path));
  bool roberta = json_object_get(vocab, "<s>") && json_object_get(vocab, "</s>"),
       gpt2 = json_object_get(vocab, "<|endoftext|>");
  json_decref(vocab);
  if (roberta) return take_named(f, is_type, "roberta", NULL, NULL);
  if (gpt2) return take_named(f, is_type, "gpt2", NULL, NULL);
  return CZ_FAIL(CZ_EINVAL,
                 "%s: has neither <s> and </s> (RoBERTa) nor <|endoftext|> (GPT-2); name the "
                 "tokenizer_class in tokenizer_config.json",
                 path);
}

static cz_status family_by_pieces(cz__folder *f) {
  char path[4096];
  cz_buf bytes = {0};
  cz__sp_model m = {0};
  bool albert = false;
  cz_status st;
  CZ_GO(st, cz_fs_join(path, sizeof path, f->path, "spiece.model"), done);
  CZ_GO(st, cz_fs_read(path, &bytes), done);
  CZ_GO(st, cz__sp_parse(&m, bytes.data ? bytes.data : "", bytes.len, path), done);
  for (size_t i = 0; i < m.n; i++)
    albert |= m.pieces[i].n == 5 && memcmp(m.pieces[i].text, "[CLS]", 5) == 0;
  st = take_named(f, is_type, albert ? "albert" : "t5", NULL, NULL);
done:
  cz__sp_free(&m);
  cz_buf_free(&bytes);
  return st;
}

static cz_status family_by_files(cz__folder *f) {
  if (has(f->path, "vocab.txt")) return take_named(f, is_type, "bert", NULL, NULL);
  if (has(f->path, "vocab.json") && has(f->path, "merges.txt")) return family_by_vocabulary(f);
  if (has(f->path, "sentencepiece.bpe.model"))
    return take_named(f, is_type, "xlm-roberta", NULL, NULL);
  if (has(f->path, "spiece.model")) return family_by_pieces(f);
  return CZ_FAIL(CZ_EINVAL,
                 "%s: no tokenizer.json, and nothing to make one of: vocab.txt (BERT), vocab.json "
                 "and merges.txt (RoBERTa, GPT-2), sentencepiece.bpe.model (XLM-R), spiece.model "
                 "(T5, ALBERT)",
                 f->path);
}

/* By the class, which a library without a class of its own calls by a name that says nothing; by
 * the model's type; else by what the files are called and have in them. */
static cz_status choose_family(cz__folder *f) {
  const char *name = json_string_value(json_object_get(f->config.root, "tokenizer_class"));
  bool plain = !name || strcmp(name, "PreTrainedTokenizerFast") == 0 ||
               strcmp(name, "TokenizersBackend") == 0;
  cz__settings model = {0};
  cz_status st = CZ_OK;
  if (!plain) {
    CZ_GO(st, take_named(f, is_class, name, &f->config.at, "tokenizer_class"), done);
  } else {
    CZ_GO(st, open_settings(&model, f->path, "config.json"), done);
    name = json_string_value(json_object_get(model.root, "model_type"));
    if (name) CZ_GO(st, take_named(f, is_type, name, &model.at, "model_type"), done);
  }
  if (!f->family) CZ_GO(st, family_by_files(f), done);
  if (!has_files(f->path, f->family))
    st = CZ_FAIL(CZ_EINVAL, "%s: no tokenizer.json, and to make one for %s there must be %s%s%s",
                 f->path, f->family->name, f->family->files[0], f->family->files[1] ? " and " : "",
                 f->family->files[1] ? f->family->files[1] : "");
done:
  json_decref(model.root);
  return st;
}

/* The keys in the order in which the library writes them. */
static cz_status begin(cz__folder *f) {
  f->marks = json_array();
  f->root = json_pack("{s:s,s:n,s:n,s:[],s:n,s:n,s:n,s:n,s:n}", "version", "1.0", "truncation",
                      "padding", "added_tokens", "normalizer", "pre_tokenizer", "post_processor",
                      "decoder", "model");
  return f->marks && f->root ? CZ_OK : CZ_FAIL(CZ_ENOMEM, "no memory for a tokenizer");
}

/** Whether a folder's file of that NAME may decide what its tokenizer does: tokenizer.json, the
 * settings beside it, the files of one that has no tokenizer.json. */
bool cz_tokenizer_reads(const char *name) {
  static const char *const all[] = {"tokenizer.json", "tokenizer_config.json",
                                    "special_tokens_map.json", "added_tokens.json"};
  bool found = false;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) found |= strcmp(name, all[i]) == 0;
  for (size_t i = 0; i < cz__n_families; i++)
    for (int k = 0; k < 2 && cz__families[i].files[k]; k++)
      found |= strcmp(name, cz__families[i].files[k]) == 0;
  return found;
}

/** Appends to JSON the text of a tokenizer.json made of the files that FOLDER has in its place:
 * vocab.txt, vocab.json and merges.txt, sentencepiece.bpe.model or spiece.model, and the settings
 * beside them (tokenizer_config.json, special_tokens_map.json, added_tokens.json; the model_type of
 * config.json). What transformers would make of them, but for what folder_families.c says.
 * CZ_EINVAL names the file and line, key or byte that is wrong, or the files that are missing. */
cz_status cz_tokenizer_json_of_folder(cz_buf *json, const char *folder) {
  cz__folder f = {.path = folder};
  cz_status st;
  CZ_GO(st, begin(&f), done);
  CZ_GO(st, open_settings(&f.config, folder, "tokenizer_config.json"), done);
  CZ_GO(st, open_settings(&f.map, folder, "special_tokens_map.json"), done);
  CZ_GO(st, open_settings(&f.added, folder, "added_tokens.json"), done);
  CZ_GO(st, choose_family(&f), done);
  CZ_GO(st, cz__folder_roles(&f), done);
  CZ_GO(st, f.family->model(&f), done);
  CZ_GO(st, cz__folder_added(&f), done);
  CZ_GO(st, f.family->post(&f), done);
  CZ_GO(st, cz_json_print(json, f.root, JSON_COMPACT), done);
done:
  json_decref(f.root);
  json_decref(f.ids);
  json_decref(f.marks);
  json_decref(f.config.root);
  json_decref(f.map.root);
  json_decref(f.added.root);
  return st;
}
