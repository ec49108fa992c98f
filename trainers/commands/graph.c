/* `cloze graph`: the planned graph of a stage's model. */
#include "commands/commands.h"
#include "base/args.h"
#include "device/help.h"
#include "experiment/experiment.h"
#include "recipe/recipe.h"
#include "stages/train.h"
#include "training/loop.h"

#include <stdio.h>

const char cz_graph_usage[] =
    "cloze graph CONFIG.yaml [--device D] [--scale S] [--score] [--json] [key=value ...]\n"
    "Prints the planned graph of a stage's model: steps forward and backward, shapes, bytes, "
    "lifetimes, the arenas' sizes.\n"
    "CONFIG.yaml is a stage's configuration or an experiment (the first stage of its first row "
    "that trains).\n"
    "  --device D   " CZ_DEVICE_HELP "\n"
    "  --score      the graph that scores instead of the one that trains\n";

static cz_status build_net(cz_net **net, cz_model **model, const cz_config_node *node,
                           cz_device *device, bool score) {
  cz_recipe stage;
  cz_loop_job job;
  cz_status st;
  CZ_GO(st, cz_recipe_open(&stage, node, device), done);
  CZ_GO(st, cz_train_bind(&job, &stage, "graph", 0), done);
  CZ_GO(st, cz_recipe_model(model, &stage), done);
  CZ_GO(st, cz_model_freeze(*model, job.train.freeze), done);
  job.model = *model;
  job.layout = cz_train_layout(&(*model)->config);
  CZ_GO(st, cz_loop_net(net, &job, !score), done);
done:
  cz_recipe_close(&stage);
  return st;
}

/* The first stage of an experiment's first row that trains a model. */
static cz_status first_training(const cz_plan *plan, const cz_config_node **node) {
  for (size_t i = 0; i < plan->n_stages; i++) {
    const cz_plan_stage *s = cz_plan_at(plan, 0, 0, i);
    *node = s->node;
    if (cz_stage_takes(s->kind, cz_part_train.key.name)) return CZ_OK;
  }
  return cz_config_error(cz_config_root(plan->config),
                         "no stage of this experiment trains a model");
}

/* The node of a stage that trains: the file itself, or a stage of an experiment. */
static cz_status training_stage(cz_plan *plan, cz_config **config, const cz_config_node **node,
                                int argc, char **argv, const char *scale) {
  CZ_TRY(cz_config_open(config, argv[1]));
  if (!cz_config_get(cz_config_root(*config), "stages")) {
    for (int i = 2; i < argc; i++) CZ_TRY(cz_config_set(*config, argv[i]));
    *node = cz_config_root(*config);
    return CZ_OK;
  }
  CZ_TRY(cz_plan_open(plan, argv[1], scale, 0, argv + 2, (size_t)argc - 2, NULL));
  return first_training(plan, node);
}

/** The command `cloze graph`: prints the planned graph of a stage's model. */
cz_status cz_command_graph(int argc, char **argv) {
  const char *device_name = "cpu", *scale = NULL;
  bool score = false, json = false;
  const cz_option options[] = {{"--device", &device_name, NULL},
                               {"--scale", &scale, NULL},
                               {"--score", NULL, &score},
                               {"--json", NULL, &json}};
  cz_plan plan = {0};
  cz_config *config = NULL;
  const cz_config_node *node = NULL;
  cz_device *device = NULL;
  cz_model *model = NULL;
  cz_net *net = NULL;
  cz_buf text = {0};
  cz_status st;
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, -1, cz_graph_usage));
  CZ_GO(st, training_stage(&plan, &config, &node, argc, argv, scale), done);
  CZ_GO(st, cz_device_open(&device, device_name), done);
  CZ_GO(st, build_net(&net, &model, node, device, score), done);
  CZ_GO(st, cz_graph_print(net->graph, &text, json), done);
  fputs(text.data, stdout);
done:
  cz_buf_free(&text);
  cz_net_destroy(&net);
  cz_model_destroy(&model);
  cz_device_close(&device);
  cz_config_destroy(&config);
  cz_plan_close(&plan);
  return st;
}
