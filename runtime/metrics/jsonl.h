/* metrics.jsonl: one JSON object a line, only ever appended, and cut back to a step when
 * a run goes on after a kill.
 *
 * Fill a line between cz_jsonl_begin and cz_jsonl_end; it reaches the file in one write.
 * Numbers are printed in the fewest digits that read back to the same bits, so that two
 * equal runs have equal files. */
#ifndef CZ_METRICS_JSONL_H
#define CZ_METRICS_JSONL_H

#include "base/mem.h"

typedef struct cz_jsonl cz_jsonl;

/* A run: resume to the checkpoint's step, open, then begin, values and end for each line,
 * in the order of steps. */
CZ_MUST cz_status cz_jsonl_open(cz_jsonl **writer, const char *path);
CZ_MUST cz_status cz_jsonl_resume(const char *path, int64_t step);
CZ_MUST cz_status cz_jsonl_begin(cz_jsonl *writer);
CZ_MUST cz_status cz_jsonl_int(cz_jsonl *writer, const char *key, int64_t value);
CZ_MUST cz_status cz_jsonl_real(cz_jsonl *writer, const char *key, double value);
CZ_MUST cz_status cz_jsonl_end(cz_jsonl *writer);
CZ_MUST cz_status cz_jsonl_close(cz_jsonl **writer);
CZ_MUST cz_status cz_jsonl_quote(cz_buf *out, const char *text);

#endif
