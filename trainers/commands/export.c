/* `cloze export`: the model that a run or a stage left, as a directory for others. */
#include "commands/commands.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/new_folder.h"
#include "checkpoint/safetensors.h"
#include "json/json.h"
#include "nn/hf.h"
#include "stages/model_folder.h"

#include <dirent.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char cz_export_usage[] =
    "cloze export RUN --out DIR [--dtype f32|f16|bf16]\n"
    "Writes the model of RUN as the Hugging Face directory DIR: config.json, model.safetensors, "
    "the tokenizer.\n"
    "RUN is the folder of a stage (its model/ or student/), of a run with one stage that left a "
    "model, or the model's own.\n"
    "DIR must not be there, or be empty; it appears once it is whole, and RUN stays as it is.\n"
    "  --dtype T    of the weights: f32 (default), f16, bf16, each number rounded to nearest even; "
    "one that is too large for T\n"
    "               is refused with its tensor\n";

static const struct dtype {
  const char *name, *hf;
  cz_safetensors_type type;
} dtypes[] = {{"f32", "float32", CZ_SAFETENSORS_F32},
              {"f16", "float16", CZ_SAFETENSORS_F16},
              {"bf16", "bfloat16", CZ_SAFETENSORS_BF16}};

static cz_status find_dtype(const struct dtype **out, const char *name) {
  *out = &dtypes[0];
  for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
    if (!strcmp(dtypes[i].name, name)) return *out = &dtypes[i], CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "export: --dtype %s: there are f32, f16 and bf16", name);
}

/* FOLDER/NAME, or FOLDER itself for "", into OUT; whether it is a model's folder. */
static cz_status is_model(bool *yes, char *out, size_t n, const char *folder, const char *name) {
  char path[4096];
  if (*name)
    CZ_TRY(cz_fs_join(out, n, folder, name));
  else
    snprintf(out, n, "%s", folder);
  CZ_TRY(cz_fs_join(path, sizeof path, out, "config.json"));
  *yes = cz_fs_exists(path);
  return CZ_OK;
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

/* The stages of a run that left a model: how many; the path of the last into OUT, all of their
 * names into HAVE. */
static cz_status find_in_stages(size_t *found, char *out, size_t n, cz_buf *have, const char *run) {
  struct dirent **names;
  char stages[4096], path[4096];
  cz_status st;
  *found = 0;
  CZ_TRY(cz_fs_join(stages, sizeof stages, run, "stages"));
  int entries = scandir(stages, &names, visible, alphasort);
  if (entries < 0) return CZ_OK; /* no run */
  st = CZ_OK;
  for (int i = 0; i < entries; i++) {
    bool yes = false;
    if (st == CZ_OK) st = cz_fs_join(path, sizeof path, stages, names[i]->d_name);
    char model[4096] = "";
    if (st == CZ_OK) st = is_model(&yes, model, sizeof model, path, "model");
    if (st == CZ_OK && yes) {
      snprintf(out, n, "%s", model);
      st = cz_buf_addf(have, "\n  %s", path);
      ++*found;
    }
    free(names[i]);
  }
  free(names);
  return st;
}

/* The model's folder of RUN. */
static cz_status find_model(char *out, size_t n, const char *run) {
  static const char *const inside[] = {"", "model", "student"};
  cz_buf have = {0};
  size_t found;
  bool yes;
  for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
    CZ_TRY(is_model(&yes, out, n, run, inside[i]));
    if (yes) return CZ_OK;
  }
  cz_status st = find_in_stages(&found, out, n, &have, run);
  if (st == CZ_OK && found > 1)
    st = CZ_FAIL(CZ_EUSAGE, "%s: %zu stages of this run left a model; name one:%s", run, found,
                 have.data);
  if (st == CZ_OK && !found)
    st = CZ_FAIL(CZ_EUSAGE, "%s: %s", run,
                 cz_fs_is_dir(run) ? "no model here: a stage that leaves one has model/config.json"
                                   : "no such folder");
  cz_buf_free(&have);
  return st;
}

/* The configuration with the type of the weights, which transformers loads them in. */
static cz_status write_config(const char *from, const char *to, const char *dtype) {
  char path[4096];
  json_t *root = NULL;
  cz_status st;
  CZ_GO(st, cz_fs_join(path, sizeof path, from, "config.json"), done);
  CZ_GO(st, cz_json_read(&root, path), done);
  json_object_del(root, "torch_dtype"); /* the older name */
  CZ_GO(st, cz_json_set_text(root, "dtype", dtype), done);
  CZ_GO(st, cz_fs_join(path, sizeof path, to, "config.json"), done);
  st = cz_json_write(root, path, JSON_INDENT(2));
done:
  json_decref(root);
  return st;
}

/* Before anything is written: a configuration of a family that there is. */
static cz_status check_config(const char *folder, const struct dtype *dtype) {
  cz_model_config config;
  CZ_TRY(cz_hf_config_of(&config, folder));
  if (dtype->type == CZ_SAFETENSORS_F16 && config.family->float16)
    cz_warn("--dtype f16: %s", config.family->float16);
  return CZ_OK;
}

static cz_status write_all(const char *model, const char *to, const struct dtype *dtype) {
  cz_safetensors *s;
  CZ_TRY(cz_safetensors_open_model(&s, model));
  cz_status st = cz_safetensors_copy_model(to, s, dtype->type, (uint64_t)5 << 30);
  cz_safetensors_close(&s);
  if (st == CZ_OK) st = write_config(model, to, dtype->hf);
  return st == CZ_OK ? cz_model_folder_copy_others(model, to) : st;
}

/** The command `cloze export`; its usage says what it writes. */
cz_status cz_command_export(int argc, char **argv) {
  const char *out = NULL, *name = "f32";
  const cz_option options[] = {{"--out", &out, NULL}, {"--dtype", &name, NULL}};
  const struct dtype *dtype;
  char model[4096];
  cz_new_folder folder;
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, 1, cz_export_usage));
  if (!out) return CZ_FAIL(CZ_EUSAGE, "export: --out DIR is missing");
  CZ_TRY(find_dtype(&dtype, name));
  CZ_TRY(find_model(model, sizeof model, argv[1]));
  CZ_TRY(check_config(model, dtype));
  CZ_TRY(cz_new_folder_open(&folder, out));
  cz_status st = write_all(model, folder.aside, dtype);
  if (st == CZ_OK) st = cz_new_folder_commit(&folder);
  cz_new_folder_discard(&folder);
  if (st == CZ_OK) printf("%s: %s in %s\n", folder.path, model, dtype->hf);
  return st;
}
