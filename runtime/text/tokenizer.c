#include "base/fs.h"
#include "base/hash.h"
#include "text/byte_level.h"
#include "text/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static cz_status parse_version(const json_t *root, const cz_json_place *at) {
  static const char *const versions[] = {"1.0"};
  int choice;
  return cz_json_get_choice(&choice, root, at, "version", versions, 1);
}

/* Padding is how one caller once made batches, not how text becomes tokens; truncation is
 * applied where it is asked for. */
static cz_status parse_batching(cz_tokenizer *t, const json_t *root, const cz_json_place *at) {
  const json_t *padding = json_object_get(root, "padding");
  cz_json_place truncation = cz_json_place_key(at, "truncation");
  CZ_TRY(cz__truncation_parse(&t->truncation, json_object_get(root, "truncation"), &truncation));
  t->facts.max_length = t->truncation.any ? t->truncation.max_length : -1;
  if (!padding || json_is_null(padding) || json_is_object(padding)) return CZ_OK;
  return cz_json_expected(at, "padding", padding, "an object or null");
}

static cz_status parse_root(cz_tokenizer *t, const json_t *root, const cz_json_place *at) {
  if (!json_is_object(root)) return cz_json_expected(at, NULL, root, "an object");
  cz_json_place normalizer = cz_json_place_key(at, "normalizer"),
                pre_tokenizer = cz_json_place_key(at, "pre_tokenizer");
  cz_json_place decoder = cz_json_place_key(at, "decoder"), model = cz_json_place_key(at, "model");
  cz_json_place added = cz_json_place_key(at, "added_tokens"),
                post = cz_json_place_key(at, "post_processor");
  CZ_TRY(parse_version(root, at));
  CZ_TRY(parse_batching(t, root, at));
  CZ_TRY(cz__parts_parse(&t->normalizers, &cz__normalizers, t->arena,
                         json_object_get(root, "normalizer"), &normalizer));
  CZ_TRY(cz__parts_parse(&t->pre_tokenizers, &cz__pre_tokenizers, t->arena,
                         json_object_get(root, "pre_tokenizer"), &pre_tokenizer));
  CZ_TRY(cz__parts_parse(&t->decoders, &cz__decoders, t->arena, json_object_get(root, "decoder"),
                         &decoder));
  CZ_TRY(cz__model_parse(&t->model, t->arena, json_object_get(root, "model"), &model));
  CZ_TRY(cz__byte_level_join(&t->pre_tokenizers, &t->model));
  CZ_TRY(cz__added_parse(&t->added, t->arena, json_object_get(root, "added_tokens"), &added,
                         &t->model, &t->normalizers));
  CZ_TRY(cz__parts_parse(&t->processors, &cz__processors, t->arena,
                         json_object_get(root, "post_processor"), &post));
  CZ_TRY(cz__post_build(&t->post, t->arena, &t->processors, &post, t->added.size));
  cz__facts_find(t);
  return CZ_OK;
}

/** Builds a tokenizer from the N bytes of a tokenizer.json. NAME stands for the file in
 * messages. CZ_EINVAL says which part is wrong or not supported. */
cz_status cz_tokenizer_parse(cz_tokenizer **t, const char *json, size_t n, const char *name) {
  json_t *root;
  *t = NULL;
  CZ_TRY(cz_json_parse(&root, json, n, name));
  cz_json_place at = {.file = name};
  cz_status st;
  CZ_GO(st, cz_alloc(t, 1, sizeof **t), done);
  CZ_GO(st, cz_arena_create(&(*t)->arena, "tokenizer"), done);
  (*t)->facts.hash = cz_hash64(json, n, 0);
  (*t)->facts.bytes = n;
  CZ_GO(st, parse_root(*t, root, &at), done);
done:
  json_decref(root);
  if (st != CZ_OK) cz_tokenizer_destroy(t);
  return st;
}

static cz_status read_config(cz_tokenizer *t, const char *path, const char *tokenizer) {
  json_t *config;
  CZ_TRY(cz_json_read(&config, path));
  cz_json_place at = {.file = path};
  cz_status st = cz__facts_take(t, config, &at, tokenizer);
  json_decref(config);
  return st;
}

/* The file tokenizer.json that PATH is, or would have as a folder. */
static cz_status file_of(char file[4096], const char *path) {
  return cz_fs_is_dir(path) ? cz_fs_join(file, 4096, path, "tokenizer.json")
                            : cz_fs_join(file, 4096, "", path);
}

/** Appends to JSON the text of PATH, a tokenizer.json or a folder with one; of a folder with the
 * files that there were before it what they make (cz_tokenizer_json_of_folder). */
cz_status cz_tokenizer_read(cz_buf *json, const char *path) {
  char file[4096];
  CZ_TRY(file_of(file, path));
  return cz_fs_is_dir(path) && !cz_fs_exists(file) ? cz_tokenizer_json_of_folder(json, path)
                                                   : cz_fs_read(file, json);
}

/* tokenizer_config.json in the folder of the file PATH, or in PATH, if there is one. */
static cz_status read_config_beside(cz_tokenizer *t, const char *path) {
  char folder[4096], config[4096];
  CZ_TRY(file_of(folder, path));
  char *slash = strrchr(folder, '/');
  folder[slash ? slash - folder + (slash == folder) : 0] = '\0';
  CZ_TRY(cz_fs_join(config, sizeof config, folder, "tokenizer_config.json"));
  return cz_fs_exists(config) ? read_config(t, config, path) : CZ_OK;
}

/** Opens PATH, which cz_tokenizer_read reads. tokenizer_config.json beside it says which tokens are
 * special; what it leaves out is found by spelling. CZ_EIO when a file can't be read, CZ_EINVAL
 * when a part of it is wrong or not supported, or the two files contradict each other. */
cz_status cz_tokenizer_open(cz_tokenizer **t, const char *path) {
  cz_buf text = {0};
  *t = NULL;
  cz_status st;
  CZ_GO(st, cz_tokenizer_read(&text, path), done);
  CZ_GO(st, cz_tokenizer_parse(t, text.data ? text.data : "", text.len, path), done);
  CZ_GO(st, read_config_beside(*t, path), done);
done:
  cz_buf_free(&text);
  if (st != CZ_OK) cz_tokenizer_destroy(t);
  return st;
}

/** Frees the tokenizer, clears the pointer, accepts null. */
void cz_tokenizer_destroy(cz_tokenizer **t) {
  if (!*t) return;
  cz__parts_release(&(*t)->normalizers);
  cz__parts_release(&(*t)->pre_tokenizers);
  cz__parts_release(&(*t)->processors);
  cz__parts_release(&(*t)->decoders);
  cz__added_release(&(*t)->added);
  if ((*t)->model.row) (*t)->model.row->release((*t)->model.data);
  cz_arena_destroy(&(*t)->arena);
  free(*t);
  *t = NULL;
}

/** What objectives and corpora must know. Borrowed. */
const cz_tokenizer_facts *cz_tokenizer_get_facts(const cz_tokenizer *t) { return &t->facts; }

/** The id of the token that is exactly these N bytes, or -1. */
int32_t cz_tokenizer_id(const cz_tokenizer *t, const char *token, size_t n) {
  int32_t i = cz__trie_find(&t->added.contents, token, n);
  return i >= 0 ? t->added.tokens[i].id : t->model.row->id(t->model.data, token, n);
}

/** The token with this id, of *N bytes and NUL-terminated, or null when there is none.
 * Borrowed. */
const char *cz_tokenizer_token(const cz_tokenizer *t, int32_t id, size_t *n) {
  if (id < 0 || id >= t->added.size) return NULL;
  int32_t i = t->added.by_id[id];
  if (i < 0) return t->model.row->piece(t->model.data, id, n);
  *n = t->added.tokens[i].content_n;
  return t->added.tokens[i].content;
}
