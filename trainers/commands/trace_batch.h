/* What `cloze trace` reads. */
#ifndef CZ_COMMANDS_TRACE_BATCH_H
#define CZ_COMMANDS_TRACE_BATCH_H

#include "training/feed.h"

CZ_MUST cz_status cz_trace_read(cz_flat_batch *b, const cz_model_config *c, cz_head head,
                                const char *path);
bool cz_trace_classifies(cz_head head);
int64_t cz_trace_counted(const cz_flat_batch *b);

#endif
