/* `cloze run`: words into a request. */
#include "commands/commands.h"
#include "base/number.h"
#include "device/help.h"
#include "experiment/run.h"

#include <stdio.h>
#include <string.h>

const char cz_run_usage[] =
    "cloze run FILE [--out DIR] [--scale S] [--seeds N] [--device D] [--comm C] [--jobs N] "
    "[key=value ...]\n"
    "Runs an experiment file: every row, seed and stage that is not done yet. A killed run goes on "
    "where it was: run the same command again.\n"
    "Before the first stage everything is checked: the keys of all stages of all rows, their files "
    "and what is in them, and the columns.\n"
    "  --out DIR     the run's folder (default runs/FILE or runs/FILE-SCALE)\n"
    "  --scale S     one of the file's scales, which replaces model, steps and data together "
    "(default: the one that its key `scale` names)\n"
    "  --seeds N     N seeds: the first N of the file's, then counting on from the largest\n"
    "  --device D    " CZ_DEVICE_HELP "\n"
    "  --comm C      auto (default), self, mpi\n"
    "  --jobs N      N processes that run stages which do not wait for one another, and share the "
    "members of a few-shot stage; each has its share of the cores\n"
    "  key=value     replaces a key of the file, e.g. stages.pretrain.train.steps=100\n"
    "DIR gets experiment.yaml (resolved; it can be run again), plan.json (which stage is whose), "
    "stages/, result.json (its `metrics` hold no time, "
    "path or rate), report.txt, "
    "report.csv\n"
    "and report.html.\n";

static cz_status parse(cz_run_request *r, int argc, char **argv) {
  const char *out = NULL, *seeds = NULL;
  const cz_option options[] = {{"--out", &out, NULL},       {"--scale", &r->scale, NULL},
                               {"--seeds", &seeds, NULL},   {"--device", &r->device, NULL},
                               {"--comm", &r->comm, NULL},  {"--jobs", &r->jobs, NULL},
                               {"--works", &r->works, NULL}}; /* run_stages.c asks for it */
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, -1, cz_run_usage));
  r->file = argv[1];
  r->words = argv + 2;
  r->n_words = (size_t)argc - 2;
  if (seeds && (cz_parse_int(seeds, &r->n_seeds) != CZ_OK || r->n_seeds < 1 || r->n_seeds > 1000))
    return CZ_FAIL(CZ_EUSAGE, "--seeds: '%s' is not between 1 and 1000", seeds);
  if (out && !*out) return CZ_FAIL(CZ_EUSAGE, "--out: the name of a folder is missing");
  if (out) return snprintf(r->folder, sizeof r->folder, "%s", out), CZ_OK;
  const char *slash = strrchr(r->file, '/'), *stem = slash ? slash + 1 : r->file,
             *dot = strrchr(stem, '.');
  snprintf(r->folder, sizeof r->folder, "runs/%.*s%s%s",
           (int)(dot ? dot - stem : (long)strlen(stem)), stem, r->scale ? "-" : "",
           r->scale ? r->scale : "");
  return CZ_OK;
}

/** The command `cloze run`; its usage says what it reads and writes. Collective under MPI. */
cz_status cz_command_run(int argc, char **argv) {
  cz_run_request r = {.device = "cpu", .comm = "auto"};
  CZ_TRY(parse(&r, argc, argv));
  return cz_experiment_run(&r);
}
