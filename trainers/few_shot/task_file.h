/* cloze_task.json of a classifier's folder: what its texts are made of, so that the folder is
 * enough to use it.
 *
 *     {"fields": ["text"],           columns of the data
 *      "labels": ["games", "fonts"], their order numbers the classes
 *      "max_length": 256,            tokens of an input
 *      "names": ["a"],               of the fields, in `plain`
 *      "input": "single",            how it reads that: single, pair, similarity or choice
 *      "plain": "{a*}"}              what it reads, of choice a list (docs/pet.md 3.2)
 *
 * The last three may be left out: the classifier then reads the first field, and the others behind
 * it as a second segment, all of them shortened where they are too long, with no other tokens
 * around them than the tokenizer puts there. */
#ifndef CZ_FEW_SHOT_TASK_FILE_H
#define CZ_FEW_SHOT_TASK_FILE_H

#include "prompts/patterns.h"

CZ_MUST cz_status cz_task_file_write(const char *folder, const cz_pattern_file *file,
                                     int64_t max_length);
CZ_MUST cz_status cz_task_file_read(cz_pattern_file **file, int64_t *max_length,
                                    const char *folder);

#endif
