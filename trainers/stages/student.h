/* A classifier to take away: a Hugging Face directory that `cloze predict` needs nothing beside.
 *
 *   config.json, model.safetensors, tokenizer.json, tokenizer_config.json
 *   cloze_task.json   fields, labels, max_length, names, input, plain (few_shot/task_file.h)
 *   README.md         what it was made from, with scores */
#ifndef CZ_STAGES_STUDENT_H
#define CZ_STAGES_STUDENT_H

#include "stages/few_shot.h"

CZ_MUST cz_status cz_student_complete(const char *folder, const cz_few_shot *f,
                                      const cz_stage_output *out, const char *name,
                                      const char *teachers);

#endif
