/* Checks before anything runs: a stage's configuration is bound as the stage will bind
 * it, its files are opened and read as the stage will read them, and the values that it
 * will leave in its result are listed. So a slip of the pen in the last stage is found
 * before the first one begins. */
#ifndef CZ_STAGES_CHECK_H
#define CZ_STAGES_CHECK_H

#include "training/loop.h"
#include "recipe/recipe.h"
#include "stages/stage.h"

/* What the checks of several stages share. */
typedef struct cz_check {
  cz_buf *missing; /* a look: files may be missing, their names go here, a line each; null: they
                      must be there */
  char hint[512];  /* what makes the missing files, as far as that is known */
  cz_arena *arena;
  const char *stage_name; /* what stands before its values in `results`; or null */
  bool starts;            /* the stage starts from a model */
  const cz_comm *comm;    /* who will train, or null: any number of ranks */
  const char *data;       /* the folder that a missing file may lie in, or null */
  const char *made_by;    /* the command that makes that folder, or null; set after cz_check_open */
  cz_tokenizer *tokenizer; /* the last one opened, and the file that it is from */
  const char *tokenizer_path;
  cz_vocabulary vocabulary;
  cz_model_config model; /* of the stage checked last */
  const char **seen;     /* what was found to be right, so that what stages share is read once */
  size_t n_seen, cap_seen;
  const char **results; /* "STAGE.debian_section.scores.accuracy", of all stages checked */
  size_t n_results, cap_results;
} cz_check;

CZ_MUST cz_status cz_check_open(cz_check *c, cz_buf *missing, const char *data,
                                const cz_comm *comm);
void cz_check_close(cz_check *c);
CZ_MUST cz_status cz_check_stage(cz_check *c, const cz_config_node *node,
                                 const cz_stage_kind *kind);
CZ_MUST cz_status cz_check_one(const cz_config_node *node, const cz_comm *comm);

/* For the kinds. */
CZ_MUST cz_status cz_check_file(cz_check *c, bool *there, const cz_config_node *node,
                                const cz_task_row *row);
CZ_MUST cz_status cz_check_result(cz_check *c, const char *format, ...) CZ_PRINTF(2, 3);
CZ_MUST cz_status cz_check_corpus(cz_check *c, const cz_recipe *stage, const cz_config_node *node);
CZ_MUST cz_status cz_check_tasks(cz_check *c, const cz_recipe *stage, const char *split);
CZ_MUST cz_status cz_check_job(cz_check *c, const cz_recipe *stage, cz_loop_job *job);

#endif
