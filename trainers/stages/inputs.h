/* The files that a stage reads: tokenizer, corpus, files of tasks, the model in `init`, and the
 * scores of an earlier stage's members. Their contents belong to what the stage computes, so their
 * hashes bind its checkpoint, its key in an experiment, and the folder that it works in:
 *
 *   folder/inputs.json   {"PATH": "hash", ...} as they were when the stage began */
#ifndef CZ_STAGES_INPUTS_H
#define CZ_STAGES_INPUTS_H

#include "config/config.h"
#include "stages/parts.h"

#include <jansson.h>

/* Files that were hashed already, so that each is read once as long as nobody changes it.
 * Zero-initialised is empty. */
typedef struct cz_inputs {
  struct cz_input *files;
  size_t n, cap;
} cz_inputs;

void cz_inputs_free(cz_inputs *known);
CZ_MUST cz_status cz_inputs_hash(cz_inputs *known, uint64_t *hash, json_t *record,
                                 const cz_stage_part *const *parts, const cz_config_node *stage,
                                 const cz_config_node *named);
CZ_MUST cz_status cz_inputs_model(cz_inputs *known, json_t *record, const char *folder);
CZ_MUST cz_status cz_inputs_check_model(cz_inputs *known, const char *folder);
CZ_MUST cz_status cz_inputs_write(const json_t *record, const char *folder);
CZ_MUST cz_status cz_inputs_compare(cz_buf *out, const json_t *record, const char *folder);
bool cz_inputs_exist(char *missing, size_t n, const char *path, const cz_task_row *row);

#endif
