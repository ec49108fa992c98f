/* `cloze import`: a model's folder as others wrote it, in the one form that this program
 * writes. */
#include "commands/commands.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/new_folder.h"
#include "checkpoint/safetensors.h"
#include "nn/hf_survey.h"
#include "recipe/recipe.h"
#include "stages/model_folder.h"
#include "text/tokenizer.h"

#include <stdio.h>
#include <string.h>

const char cz_import_usage[] =
    "cloze import SRC --out DIR\n"
    "Writes the Hugging Face directory SRC as DIR in the form that training leaves: config.json "
    "with every key, model.safetensors\n"
    "with the names and in the orientation of the model's class, tokenizer.json.\n"
    "SRC may have shards, other types, older names and tensors that nothing reads. Weights are "
    "widened to float32; float64 stays.\n"
    "tokenizer.json is made from vocab.txt, vocab.json and merges.txt, or a .model file when there "
    "is none.\n"
    "DIR must not be there, or be empty; it appears once it is whole, and SRC stays as it is.\n";

/* float64 where the file has any: on `ref`, which keeps it. */
static const char *device_for(const cz_safetensors *s) {
  for (size_t i = 0; i < cz_safetensors_count(s); i++)
    if (cz_safetensors_at(s, i)->type == CZ_SAFETENSORS_F64) return "ref";
  return "cpu";
}

/* Heads of other classes, buffers of old versions. */
static cz_status list_unwritten(cz_buf *out, const cz_hf_survey *s) {
  for (size_t i = 0; i < cz_safetensors_count(s->weights); i++)
    if (s->uses[i] == CZ_TENSOR_IGNORED)
      CZ_TRY(cz_buf_addf(out, " %s", cz_safetensors_at(s->weights, i)->name));
  return CZ_OK;
}

/* The tokenizer made of the older files in FROM, written to TO as tokenizer.json. */
static cz_status make_tokenizer(cz_tokenizer **t, const char *from, const char *to) {
  char path[4096];
  cz_buf text = {0};
  cz_status st;
  CZ_GO(st, cz_tokenizer_json_of_folder(&text, from), done);
  CZ_GO(st, cz_tokenizer_parse(t, text.data, text.len, from), done);
  CZ_GO(st, cz_fs_join(path, sizeof path, to, "tokenizer.json"), done);
  st = cz_fs_write_atomic(path, text.data, text.len);
done:
  cz_buf_free(&text);
  return st;
}

/* FROM's tokenizer, null where it has none. */
static cz_status open_tokenizer(cz_tokenizer **t, const char *from, const char *to) {
  const char *name;
  char path[4096];
  *t = NULL;
  CZ_TRY(cz_model_folder_tokenizer_file(&name, from));
  if (!name) {
    cz_warn("%s: there is no tokenizer beside the weights, and none is written", from);
    return CZ_OK;
  }
  if (strcmp(name, "tokenizer.json")) return make_tokenizer(t, from, to);
  CZ_TRY(cz_fs_join(path, sizeof path, from, name));
  return cz_tokenizer_open(t, path);
}

static cz_status write_tokenizer(const cz_tokenizer *t, const char *from, const char *to) {
  char path[4096];
  CZ_TRY(cz_model_folder_copy_others(from, to));
  CZ_TRY(cz_fs_join(path, sizeof path, to, "tokenizer_config.json"));
  return t && !cz_fs_exists(path) ? cz_model_folder_tokenizer_config(t, to) : CZ_OK;
}

static cz_status write_all(const char *from, const char *to, cz_buf *unwritten) {
  cz_hf_survey survey;
  cz_tokenizer *t = NULL;
  cz_device *device = NULL;
  cz_model *m = NULL;
  cz_status st;
  CZ_GO(st, cz_hf_survey_open(&survey, from), done);
  CZ_GO(st, list_unwritten(unwritten, &survey), done);
  CZ_GO(st, open_tokenizer(&t, from, to), done);
  CZ_GO(st, cz_device_open(&device, device_for(survey.weights)), done);
  CZ_GO(st, cz_hf_open(&m, from, device), done);
  if (t) CZ_GO(st, cz_recipe_ids_fit(t, &m->config, from), done);
  CZ_GO(st, cz_hf_save(m, to), done);
  CZ_GO(st, write_tokenizer(t, from, to), done);
done:
  cz_hf_survey_close(&survey);
  cz_model_destroy(&m);
  cz_device_close(&device);
  cz_tokenizer_destroy(&t);
  return st;
}

/** The command `cloze import`; its usage says what it writes. */
cz_status cz_command_import(int argc, char **argv) {
  const char *out = NULL;
  const cz_option options[] = {{"--out", &out, NULL}};
  cz_new_folder folder;
  cz_buf unwritten = {0};
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, 1, cz_import_usage));
  if (!out) return CZ_FAIL(CZ_EUSAGE, "import: --out DIR is missing");
  CZ_TRY(cz_recipe_model_folder(argv[1]));
  CZ_TRY(cz_new_folder_open(&folder, out));
  cz_status st = write_all(argv[1], folder.aside, &unwritten);
  if (st == CZ_OK) st = cz_new_folder_commit(&folder);
  cz_new_folder_discard(&folder);
  if (st == CZ_OK) printf("%s: written from %s\n", folder.path, argv[1]);
  if (st == CZ_OK && unwritten.len)
    printf("not written, since nothing reads them:%s\n", unwritten.data);
  cz_buf_free(&unwritten);
  return st;
}
