#include "stages/space.h"
#include "base/fs.h"
#include "checkpoint/checkpoint.h"
#include "nn/model.h"
#include "training/loop.h"
#include "training/state.h"

#include <stdio.h>

/* Checkpoints that are on the disk at one time: the newest and the one before stay, and a third is
 * there while it is written. The clock causes saves (checkpoint_seconds), so no training is too
 * short for a third. */
enum { CHECKPOINTS = 3 };

/* Bytes of model/: the weights, the tokenizer, and a few small files. */
static uint64_t model_bytes(const cz_params *params, const cz_recipe *recipe) {
  enum { SMALL = 64 << 10, A_TENSOR = 256 /* in the header */ };
  return cz_params_bytes(params) + params->n * A_TENSOR +
         cz_tokenizer_get_facts(recipe->tokenizer)->bytes + SMALL;
}

/** CZ_EIO, with both numbers of bytes, when the disk of FOLDER has no room for what the training
 * stage of RECIPE writes there: three checkpoints while one is written, and at
 * the end two and model/. Those that are there already are replaced and ask for nothing. The
 * tokenizer must be open. Allocates no parameter. Local. */
cz_status cz_space_check(const cz_recipe *recipe, const char *folder) {
  cz_optimizer_keys optimizer;
  cz_train_keys train;
  cz_model_config config;
  cz_model *m;
  char what[192];
  CZ_TRY(cz_recipe_section(recipe, &cz_optimizer_section, &optimizer));
  CZ_TRY(cz_recipe_section(recipe, &cz_train_section, &train));
  CZ_TRY(cz_recipe_model_config(&config, recipe));
  CZ_TRY(cz_model_declare(&m, &config, recipe->device));
  const cz_status st = cz_model_freeze(m, train.freeze);
  if (st != CZ_OK) cz_model_destroy(&m);
  CZ_TRY(st);
  uint64_t state = (uint64_t)cz_optimizer_elements(&optimizer, m->params) *
                   cz_dtype_bytes(recipe->device->real),
           one = cz_checkpoint_room(cz_state_bytes(m->params, state)),
           model = model_bytes(m->params, recipe), stored = cz_checkpoint_stored(folder);
  uint64_t end = 2 * one + model, saving = CHECKPOINTS * one, all = saving > end ? saving : end;
  cz_model_destroy(&m);
  snprintf(what, sizeof what,
           "training, with %d checkpoints of %.1f MB at one time, %.1f MB of which are there, "
           "and at its end two and a model of %.1f MB,",
           CHECKPOINTS, (double)one / 1e6, (double)stored / 1e6, (double)model / 1e6);
  return all > stored ? cz_fs_need_bytes(folder, all - stored, what) : CZ_OK;
}
