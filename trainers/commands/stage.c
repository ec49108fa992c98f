/* The command of each kind of stage (stages/kinds.def): one stage from one
 * configuration. */
#include "commands/commands.h"
#include "base/args.h"
#include "base/log.h"
#include "base/stop.h"
#include "stages/check.h"
#include "stages/session.h"

#include <stdio.h>
#include <string.h>

/* The keys of an experiment that no stage has. */
static cz_status refuse_experiment(const cz_config_node *root, const char *kind) {
  static const char *const keys[] = {"stages", "rows", "seeds", "columns", "title"};
  for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
    const cz_config_node *n = cz_config_get(root, keys[i]);
    if (n)
      return cz_config_error(n,
                             "this is a key of an experiment, which cloze run takes; cloze %s "
                             "takes the file of one stage",
                             kind);
  }
  return CZ_OK;
}

/* The file with its overrides; the command's name is the stage's kind unless the file
 * says so itself. */
static cz_status open_config(cz_config **config, int argc, char **argv, const char *kind) {
  char word[64];
  CZ_TRY(cz_config_open(config, argv[1]));
  CZ_TRY(refuse_experiment(cz_config_root(*config), kind));
  for (int i = 2; i < argc; i++) CZ_TRY(cz_config_set(*config, argv[i]));
  const cz_config_node *n = cz_config_get(cz_config_root(*config), "kind");
  const char *given = kind;
  if (n) CZ_TRY(cz_config_text(&given, n));
  if (strcmp(given, kind))
    return cz_config_error(n, "this is a configuration of cloze %s, not of cloze %s", given, kind);
  snprintf(word, sizeof word, "kind=%s", kind);
  return cz_config_set(*config, word);
}

/** The command of a kind of stage, which argv[0] names; the kind's usage says what it does. */
cz_status cz_command_stage(int argc, char **argv) {
  const char *out = NULL, *device = "cpu", *comm = "auto", *jobs = NULL, *join = NULL;
  const cz_option options[] = {{"--out", &out, NULL},
                               {"--device", &device, NULL},
                               {"--comm", &comm, NULL},
                               {"--jobs", &jobs, NULL},
                               {"--join", &join, NULL}}; /* stages/jobs.c asks for it */
  const cz_stage_kind *kind;
  cz_session s = {0};
  cz_config *config = NULL;
  cz_status st;
  CZ_TRY(cz_stage_kind_find(&kind, argv[0]));
  CZ_TRY(cz_args_parse(&argc, argv, options, sizeof options / sizeof *options));
  CZ_TRY(cz_args_count(argc, argv, 1, -1, kind->usage));
  if (!out || !*out) return CZ_FAIL(CZ_EUSAGE, "%s: --out DIR is missing", argv[0]);
  CZ_GO(st, cz_session_open(&s, device, comm), done);
  CZ_GO(st, cz_session_jobs(&s, jobs), done);
  cz_stop_on_signals(s.comm->size == 1 && !join); /* who started it says it */
  CZ_GO(st, open_config(&config, argc, argv, argv[0]), done);
  if (join) CZ_GO(st, cz_stage_join(&s, cz_config_root(config), out, join), done);
  if (join) goto done;
  CZ_GO(st, cz_comm_agree(s.comm, cz_check_one(cz_config_root(config), &s)), done);
  if (s.comm->rank == 0) CZ_GO(st, cz_stage_folder(out, "inputs.json", "experiment.yaml"), done);
  CZ_GO(st, cz_stage_run(&s, cz_config_root(config), cz_config_root(config), out), done);
  if (s.comm->rank == 0) cz_log("%s: done, see %s/result.json", argv[0], out);
done:
  cz_config_destroy(&config);
  cz_session_close(&s, st);
  return st;
}
