/* A stage of work in its folder: locked while it runs, resumable, done when result.json is there.
 *
 *   folder/config.yaml      the resolved configuration; `cloze pretrain folder/config.yaml` runs it again
 *   folder/metrics.jsonl    one object a line, appended
 *   folder/events.out.tfevents.*
 *   folder/checkpoint.h5    (and checkpoint.prev.h5)
 *   folder/model/           Hugging Face directory with the tokenizer, when the stage trains
 *   folder/result.json      {"kind", "config_hash", "metrics": {...}, "measured": {...}}: metrics hold no time, path or rate
 *   folder/log.txt */
#ifndef CZ_TRAINERS_STAGE_H
#define CZ_TRAINERS_STAGE_H

#include "comm/comm.h"
#include "config/config.h"
#include "device/device.h"

#include <jansson.h>

/* What a process runs its stages with. */
typedef struct cz_session {
  cz_comm *comm;
  cz_device *device;
} cz_session;

/* A kind of stage. `run` fills METRICS (reproducible) and MEASURED (times, rates, sizes). */
typedef struct cz_stage_kind {
  const char *name;
  const char *help;
  const char *const *keys; /* what its configuration may hold, null-terminated */
  cz_status (*run)(cz_session *s, const cz_config_node *node, const char *folder, uint64_t config_hash, json_t *metrics, json_t *measured);
} cz_stage_kind;

extern const cz_stage_kind cz_stage_pretrain, cz_stage_finetune, cz_stage_evaluate;

CZ_MUST cz_status cz_stage_kind_find(const cz_stage_kind **kind, const char *name);
CZ_MUST cz_status cz_stage_run(cz_session *s, const cz_config_node *node, const char *folder);
bool cz_stage_done(const char *folder);
CZ_MUST cz_status cz_json_set_real(json_t *object, const char *key, double value);
CZ_MUST cz_status cz_json_set_int(json_t *object, const char *key, int64_t value);

#endif
