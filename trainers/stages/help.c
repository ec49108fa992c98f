/* The keys of a stage, and the help of everything that a stage can hold. */
#include "objectives/objective.h"
#include "recipe/tasks.h"
#include "stages/held_out.h"

#include <stdio.h>

static const char *const kind_names[] = {"pretrain", "finetune", "evaluate", NULL};

#define SECTION(name, of, what)                                                                    \
  CZ_KEY_OTHER(name, TREE, .fallback = "", .holds = "section, below", .help = of ": " what)

static const cz_key_spec stage_keys[] = {
    CZ_KEY_OTHER("kind", ENUM, .choices = kind_names,
                 .help = "what the stage does; the commands of these names say it themselves"),
    CZ_KEY_OTHER("seed", INT, .max = 4503599627370496.0,
                 .help =
                     "of weights, data order and noise; an experiment sets it from its `seeds`"),
    CZ_KEY_OTHER("tokenizer", TEXT, .help = "file tokenizer.json"),
    CZ_KEY_OTHER(
        "init", TEXT, .fallback = "",
        .help = "folder of the model to start from (config.json, model.safetensors, "
                "tokenizer.json), or in an experiment $STAGE; empty: weights drawn from the seed"),
    CZ_KEY_OTHER("corpus", TEXT, .fallback = "", .help = "pretrain: file made by cloze corpus"),
    SECTION("model", "all", "what is built, or what the model in `init` must be"),
    SECTION("objective", "pretrain",
            "its `name` (cloze list objectives) and that objective's keys"),
    SECTION("tasks", "finetune, evaluate", "`list`, an item for each task, and how they are mixed"),
    SECTION("batch", "pretrain, finetune", "how many tokens a step has"),
    SECTION("optimizer", "pretrain, finetune", "how gradients become updates"),
    SECTION("train", "pretrain, finetune", "how many steps, which loss, how often to save and log"),
    SECTION("held_out", "pretrain", "a corpus that the model is scored on at the end"),
    SECTION("evaluate", "evaluate", "which rows are scored, and how outputs are searched"),
};
const cz_section cz_stage_section = CZ_SECTION("stage",
                                               "A stage: an entry of an experiment's `stages`, or "
                                               "the file of cloze pretrain, finetune, evaluate.",
                                               stage_keys);

/** Appends the help of every section, objectives included; MARKDOWN for documents. */
cz_status cz_stage_help(cz_buf *out, bool markdown) {
  const cz_section *const sections[] = {
      &cz_stage_section, &cz_model_section,    &cz_batch_section,  &cz_optimizer_section,
      &cz_train_section, &cz_held_out_section, &cz_mixing_section, &cz_evaluate_section};
  for (size_t i = 0; i < sizeof sections / sizeof *sections; i++)
    CZ_TRY(markdown ? cz_config_markdown(out, sections[i]) : cz_config_help(out, sections[i]));
  for (size_t i = 0; i < cz_objective_count; i++) {
    char name[64];
    cz_section section = cz_objective_rows[i]->section;
    snprintf(name, sizeof name, "objective, name: %s", cz_objective_rows[i]->name);
    section.name = name;
    CZ_TRY(markdown ? cz_config_markdown(out, &section) : cz_config_help(out, &section));
  }
  return cz_task_help(out, markdown);
}
