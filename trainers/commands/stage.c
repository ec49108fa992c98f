#include "trainers/stage_command.h"
#include "base/log.h"
#include "base/text.h"
#include "trainers/args.h"
#include "trainers/check.h"
#include "trainers/experiment/experiment.h"
#include "trainers/loop.h"
#include "trainers/recipe.h"
#include "trainers/train.h"

#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STAGE_OPTIONS                                                                                                                                \
  "  --out DIR    the run's folder: configuration, metrics, checkpoint, model, result; run the same command again to go on after a stop\n"           \
  "  --device D   cpu (default), ref, guard:cpu, guard:ref, cuda, auto\n"                                                                            \
  "  --comm C     auto (default), self, mpi\n"                                                                                                       \
  "  key=value    replaces a key of the file, e.g. train.steps=100 (cloze help keys lists all)\n"

const char cz_pretrain_usage[] =
    "cloze pretrain CONFIG.yaml --out DIR [--device D] [key=value ...]\n"
    "Trains a model from scratch under an objective and saves it as a Hugging Face directory in DIR/model.\n" STAGE_OPTIONS;
const char cz_finetune_usage[] = "cloze finetune CONFIG.yaml --out DIR [--device D] [key=value ...]\n"
                                 "Trains a saved model (init: FOLDER) further on a mixture of text-to-text tasks.\n" STAGE_OPTIONS;
const char cz_evaluate_usage[] = "cloze evaluate CONFIG.yaml --out DIR [--device D] [key=value ...]\n"
                                 "Scores a saved model (init: FOLDER) on the dev or test rows of tasks.\n" STAGE_OPTIONS;
const char cz_graph_usage[] =
    "cloze graph CONFIG.yaml [--device D] [--scale S] [--score] [--json] [key=value ...]\n"
    "Prints the planned graph of a stage's model: steps forward and backward, shapes, bytes, lifetimes, the arenas' sizes.\n"
    "CONFIG.yaml is a stage's configuration or an experiment (its first row is taken).\n"
    "  --score      the graph that scores instead of the one that trains\n";

/* Ranks on one machine share its cores: without a word from the user each takes its part, since teams that are larger spin against one another.
 * Results do not depend on the number of threads. */
static void share_cores(const cz_comm *c) {
  const char *local = getenv("OMPI_COMM_WORLD_LOCAL_SIZE");
  int64_t ranks = c->size;
  if (c->size == 1 || getenv("OMP_NUM_THREADS")) return;
  if (local && cz_parse_int(local, &ranks) != CZ_OK) cz_error_clear();
  int64_t threads = omp_get_num_procs() / (ranks > 0 ? ranks : 1);
  omp_set_num_threads(threads > 1 ? (int)threads : 1);
}

/** Opens the device and the communicator by name. */
cz_status cz_session_open(cz_session *s, const char *device, const char *comm) {
  *s = (cz_session){0};
  CZ_TRY(cz_comm_open(&s->comm, comm));
  if (s->comm->rank > 0) cz_log_quiet(true);
  share_cores(s->comm);
  return cz_device_open(&s->device, device);
}

/** Closes what cz_session_open opened. A rank that failed ends the whole job, so that nobody waits for it; ranks that were told to stop leave
 * together. What one rank finds wrong most often all do, so the others leave the word to rank 0 for a moment, in which it ends them. */
void cz_session_close(cz_session *s, cz_status outcome) {
  enum { MOMENT = 3 /* seconds */ };
  if (s->comm && s->comm->size > 1 && outcome != CZ_OK && outcome != CZ_EINTERRUPT) {
    signal(SIGTERM, SIG_DFL);
    if (s->comm->rank > 0) sleep(MOMENT);
    fprintf(stderr, "cloze: rank %d: %s\n", s->comm->rank, cz_error_message());
    cz_comm_abort(s->comm, outcome == CZ_EUSAGE ? 2 : 1);
  }
  cz_inputs_free(&s->inputs);
  cz_device_close(&s->device);
  cz_comm_close(&s->comm);
}

/* The file with its overrides; the command's name is the stage's kind unless the file says so itself. */
static cz_status open_config(cz_config **config, int argc, char **argv, const char *kind) {
  char word[64];
  CZ_TRY(cz_config_open(config, argv[1]));
  for (int i = 2; i < argc; i++) CZ_TRY(cz_config_set(*config, argv[i]));
  const cz_config_node *n = cz_config_get(cz_config_root(*config), "kind");
  const char *said = kind;
  if (n) CZ_TRY(cz_config_text(&said, n));
  if (strcmp(said, kind)) return cz_config_error(n, "this is a configuration of cloze %s, not of cloze %s", said, kind);
  snprintf(word, sizeof word, "kind=%s", kind);
  return cz_config_set(*config, word);
}

static cz_status build_net(cz_net **net, cz_model **model, const cz_config_node *node, cz_device *device, bool score) {
  cz_stage stage;
  cz_batch_keys batch;
  cz_train_keys train;
  cz_status st;
  CZ_GO(st, cz_stage_open(&stage, node, device), done);
  CZ_GO(st, cz_stage_section(&stage, &cz_batch_section, &batch), done);
  CZ_GO(st, cz_stage_section(&stage, &cz_train_section, &train), done);
  CZ_GO(st, cz_stage_model(model, &stage), done);
  CZ_GO(st, cz_loop_net(net, *model, &batch, &train, stage.model.dropout_mask, cz_train_layout(&(*model)->config), !score), done);
done:
  cz_stage_close(&stage);
  return st;
}

/* The node of a stage that trains: the file itself, or the first stage of an experiment's first row. */
static cz_status training_stage(cz_plan *plan, cz_config **config, const cz_config_node **node, int argc, char **argv, const char *scale) {
  CZ_TRY(cz_config_open(config, argv[1]));
  if (!cz_config_get(cz_config_root(*config), "stages")) {
    for (int i = 2; i < argc; i++) CZ_TRY(cz_config_set(*config, argv[i]));
    *node = cz_config_root(*config);
    return CZ_OK;
  }
  CZ_TRY(cz_plan_open(plan, argv[1], scale, 0, argv + 2, (size_t)argc - 2, NULL));
  *node = cz_plan_at(plan, 0, 0, 0)->node;
  return CZ_OK;
}

/** The command `cloze graph`: prints the planned graph of a stage's model. */
cz_status cz_command_graph(int argc, char **argv) {
  const char *device_name = "cpu", *scale = NULL;
  bool score = false, json = false;
  const cz_option options[] = {{"--device", &device_name, NULL}, {"--scale", &scale, NULL}, {"--score", NULL, &score}, {"--json", NULL, &json}};
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

/** The commands pretrain, finetune and evaluate: argv[0] names the kind of stage. */
cz_status cz_command_stage(int argc, char **argv) {
  const char *out = NULL, *device = "cpu", *comm = "auto";
  const cz_option options[] = {{"--out", &out, NULL}, {"--device", &device, NULL}, {"--comm", &comm, NULL}};
  const char *usage = !strcmp(argv[0], "pretrain") ? cz_pretrain_usage : !strcmp(argv[0], "finetune") ? cz_finetune_usage : cz_evaluate_usage;
  cz_session s = {0};
  cz_config *config = NULL;
  cz_status st;
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, -1, usage));
  if (!out || !*out) return CZ_FAIL(CZ_EUSAGE, "%s: --out DIR is missing", argv[0]);
  CZ_GO(st, cz_session_open(&s, device, comm), done);
  cz_loop_catch_signals(s.comm->size == 1);
  CZ_GO(st, open_config(&config, argc, argv, argv[0]), done);
  CZ_GO(st, cz_check_one(cz_config_root(config), s.comm), done);
  if (s.comm->rank == 0) CZ_GO(st, cz_stage_folder(out, "inputs.json", "experiment.yaml"), done);
  CZ_GO(st, cz_stage_run(&s, cz_config_root(config), cz_config_root(config), out), done);
  if (s.comm->rank == 0) cz_log("%s: done, see %s/result.json", argv[0], out);
done:
  cz_config_destroy(&config);
  cz_session_close(&s, st);
  return st;
}
