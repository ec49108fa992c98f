/* Checks before anything runs: a stage's configuration is bound as the stage will bind
 * it, its files are opened and read as the stage will read them, and the values that it
 * will leave in its result are listed. So a mistake in the last stage of an experiment is
 * found before the first one begins. */
#ifndef CZ_STAGES_CHECK_H
#define CZ_STAGES_CHECK_H

#include "recipe/recipe.h"
#include "stages/stage.h"
#include "training/loop.h"

/* An earlier stage of the plan, which the checked stage starts from. */
typedef struct cz_check_from {
  const char *name;
  const cz_stage_kind *kind;
  const cz_config_node *node;   /* resolved */
  const cz_model_config *model; /* that it will leave */
} cz_check_from;

/* The stage that is checked. */
typedef struct cz_check_stage_facts {
  const char *name;          /* what stands before its values; null: it runs by itself */
  const cz_check_from *from; /* stages of the plan that it names, `init` first */
  size_t n_from;
  bool starts;           /* from a model: of one of `from`, or of a folder */
  cz_model_config model; /* that it builds */
} cz_check_stage_facts;

/* How missing files are dealt with. */
typedef struct cz_check_files {
  cz_buf *missing;     /* their names, a line each; null: a missing file is an error */
  char hint[512];      /* what makes them, as far as that is known */
  const char *data;    /* the folder that they may lie in, or null */
  const char *made_by; /* the command that makes that folder, or null */
} cz_check_files;

/* A round of checks over one stage or over all stages of a plan. */
typedef struct cz_check {
  cz_check_stage_facts stage;
  cz_check_files files;
  const cz_session *session; /* who will run it; null: any number of ranks, on any device */
  struct {
    cz_tokenizer *opened; /* the last one; stages mostly share it */
    const char *path;
    cz_vocabulary vocabulary;
  } tokenizer;
  json_t *seen;    /* what was found to be right, as keys, so that it is read once */
  json_t *trained; /* {stage: {files: {file: place}, from: [stages]}}, of this row */
  json_t *results; /* "STAGE.debian_section.scores.accuracy": all values, as keys in order */
} cz_check;

CZ_MUST cz_status cz_check_open(cz_check *c, cz_buf *missing, const char *data,
                                const cz_session *session);
void cz_check_begin_row(cz_check *c);
void cz_check_close(cz_check *c);
CZ_MUST cz_status cz_check_stage(cz_check *c, const cz_config_node *node,
                                 const cz_stage_kind *kind);
CZ_MUST cz_status cz_check_one(const cz_config_node *node, const cz_session *session);

/* For the kinds. */
CZ_MUST cz_status cz_check_file(cz_check *c, bool *exists, const cz_config_node *node,
                                const cz_task_row *row);
CZ_MUST cz_status cz_check_once(cz_check *c, bool *first, const char *format, ...) CZ_PRINTF(3, 4);
CZ_MUST cz_status cz_check_result(cz_check *c, const char *format, ...) CZ_PRINTF(2, 3);
CZ_MUST cz_status cz_check_corpus(cz_check *c, const cz_recipe *recipe, const cz_config_node *node);
CZ_MUST cz_status cz_check_tasks(cz_check *c, const cz_recipe *recipe, const char *split);
CZ_MUST cz_status cz_check_precision(const cz_check *c, const cz_recipe *recipe,
                                     const char *section, cz_precision precision, bool wide_stream);
CZ_MUST cz_status cz_check_freeze(const cz_recipe *recipe, const cz_model_config *config,
                                  const cz_train_keys *train);
CZ_MUST cz_status cz_check_job(cz_check *c, const cz_recipe *recipe, cz_loop_job *job);

#endif
