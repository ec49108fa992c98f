/* What a stage leaves when it has finished, folder/result.json:
 *
 *   {"kind", "config_hash", "hash", "metrics": {...}, "measured": {...}, "model": {FILE: hash}}
 *
 * `hash` is of the file's own bytes, with the sixteen digits of the hash itself as zeros: a byte
 * that changes anywhere is found where the stage is taken for finished and where a report reads
 * it. A file of an older version has no `hash`, and no key that is not known. */
#ifndef CZ_STAGES_RESULT_H
#define CZ_STAGES_RESULT_H

#include "base/status.h"

#include <jansson.h>
#include <stdbool.h>

CZ_MUST cz_status cz_result_write(json_t *root, const char *folder);

/* The caller releases *ROOT, which is null after a failure. */
CZ_MUST cz_status cz_result_open(json_t **root, const char *folder);
bool cz_result_exists(const char *folder);

#endif
