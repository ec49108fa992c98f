#include "stages/parts.h"
#include "few_shot/examples.h"
#include "objectives/objective.h"
#include "recipe/recipe.h"
#include "recipe/tasks.h"
#include "stages/held_out.h"
#include "training/loop.h"

#include <stdio.h>

#define SECTION(word, what)                                                                        \
  .key = CZ_KEY_OTHER(word, TREE, .fallback = "", .holds = "section, below", .help = what)

static cz_status one_file(const cz_file_visitor *v, const cz_config_node *node) {
  return v->file(v->self, node, NULL);
}

static cz_status one_model(const cz_file_visitor *v, const cz_config_node *node) {
  return v->model(v->self, node);
}

static cz_status held_out_files(const cz_file_visitor *v, const cz_config_node *node) {
  const cz_config_node *corpus = cz_config_get(node, "corpus");
  return corpus ? v->file(v->self, corpus, NULL) : CZ_OK;
}

/* Train, dev and test of the task ITEM. */
static cz_status files_of_task(const cz_file_visitor *v, const cz_config_node *item) {
  static const char *const splits[] = {"train", "dev", "test"};
  const cz_config_node *file;
  const cz_task_row *row;
  CZ_TRY(cz_tasklist_row(&row, item));
  for (int s = 0; s < 3; s++)
    if ((file = cz_config_get(item, splits[s]))) CZ_TRY(v->file(v->self, file, row));
  return CZ_OK;
}

/* Those of each task of the list. */
static cz_status task_files(const cz_file_visitor *v, const cz_config_node *node) {
  const cz_config_node *list = cz_config_get(node, "list");
  for (size_t i = 0; list && i < cz_config_count(list); i++)
    CZ_TRY(files_of_task(v, cz_config_at(list, i)));
  return CZ_OK;
}

static cz_status example_files(const cz_file_visitor *v, const cz_config_node *node) {
  static const char *const names[] = {"pattern", "train", "unlabelled_file", "test"};
  const cz_config_node *file;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if ((file = cz_config_get(node, names[i]))) CZ_TRY(v->file(v->self, file, NULL));
  const cz_config_node *tests = cz_config_get(node, "tests"), *task = cz_config_get(node, "task");
  if (!cz_config_is_nothing(task)) CZ_TRY(files_of_task(v, task));
  if (!tests || cz_config_kind_of(tests) != CZ_CONFIG_MAPPING) return CZ_OK;
  for (size_t i = 0; i < cz_config_count(tests); i++)
    CZ_TRY(v->file(v->self, cz_config_at(tests, i), NULL));
  return CZ_OK;
}

static cz_status objective_help(cz_buf *out, bool markdown) {
  for (size_t i = 0; i < cz_objective_count; i++) {
    char name[64];
    cz_section section = cz_objective_rows[i]->section;
    snprintf(name, sizeof name, "objective, name: %s", cz_objective_rows[i]->name);
    section.name = name;
    CZ_TRY(markdown ? cz_config_markdown(out, &section) : cz_config_help(out, &section));
  }
  return CZ_OK;
}

const cz_stage_part cz_part_tokenizer = {
    .key = CZ_KEY_OTHER("tokenizer", TEXT, .help = "file tokenizer.json"), .files = one_file};
const cz_stage_part cz_part_init = {
    .key = CZ_KEY_OTHER("init", TEXT, .fallback = "",
                        .help = "folder of the model to start from (config.json, "
                                "model.safetensors, tokenizer.json), or "
                                "in an experiment $STAGE; empty: weights drawn from the seed"),
    .files = one_model};
const cz_stage_part cz_part_corpus = {
    .key = CZ_KEY_OTHER("corpus", TEXT, .fallback = "", .help = "file made by cloze corpus"),
    .files = one_file};
const cz_stage_part cz_part_model = {
    SECTION("model", "what is built, or what the model in `init` must be"),
    .section = &cz_model_section};
const cz_stage_part cz_part_objective = {
    SECTION("objective", "its `name` (cloze list objectives) and that objective's keys"),
    .help = objective_help};
const cz_stage_part cz_part_tasks = {
    SECTION("tasks", "`list`, an item for each task, and how they are mixed"),
    .section = &cz_mixing_section, .files = task_files, .help = cz_task_help};
const cz_stage_part cz_part_batch = {SECTION("batch", "how many tokens a step has"),
                                     .section = &cz_batch_section};
const cz_stage_part cz_part_optimizer = {SECTION("optimizer", "how gradients become updates"),
                                         .section = &cz_optimizer_section};
const cz_stage_part cz_part_train = {
    SECTION("train", "how many steps, which loss, how often to save and log"),
    .section = &cz_train_section};
const cz_stage_part cz_part_held_out = {
    SECTION("held_out", "a corpus that the model is scored on at the end"),
    .section = &cz_held_out_section, .results = cz_held_out_results, .files = held_out_files};
const cz_stage_part cz_part_evaluate = {
    SECTION("evaluate", "which rows are scored, and how outputs are searched"),
    .section = &cz_evaluate_section};

const cz_stage_part cz_part_examples = {
    SECTION("examples", "the pattern file, labelled and unlabelled texts, the test set"),
    .section = &cz_examples_section, .files = example_files, .members = "chosen_by",
    .together = true};
const cz_stage_part cz_part_classify = {
    SECTION("classify", "which strategy, which patterns, how members are put together"),
    .section = &cz_classify_section, .members = "from"};

const cz_stage_part cz_part_distill = {SECTION("distill", "which ensemble teaches, and how"),
                                       .section = &cz_distill_section, .members = "from",
                                       .together = true};

/** Shows V every place of STAGE that names files, in the order of PARTS. Hashes depend on
 * this order. */
cz_status cz_part_files(const cz_file_visitor *v, const cz_stage_part *const *parts,
                        const cz_config_node *stage) {
  for (; *parts; parts++) {
    const cz_config_node *node = cz_config_get(stage, (*parts)->key.name);
    if (node && (*parts)->files) CZ_TRY((*parts)->files(v, node));
  }
  return CZ_OK;
}
