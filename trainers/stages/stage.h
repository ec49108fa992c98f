/* A stage of work in its folder: locked while it runs, resumable, done when result.json
 * is there.
 *
 *   folder/config.yaml      the resolved configuration; `cloze pretrain
 *                           folder/config.yaml` runs it again
 *   folder/inputs.json      the files that it reads, with hashes of their contents
 *   folder/metrics.jsonl    one object a line, appended
 *   folder/events.out.tfevents.*
 *   folder/checkpoint.h5    (and checkpoint.prev.h5)
 *   folder/model/           Hugging Face directory with the tokenizer, when the stage
 *                           trains
 *   folder/result.json      {"kind", "config_hash", "metrics": {...}, "measured":
 *                           {...}}: metrics hold no time, path or rate
 *   folder/log.txt */
#ifndef CZ_STAGES_STAGE_H
#define CZ_STAGES_STAGE_H

#include "config/config.h"
#include "stages/session.h"

#include <jansson.h>

struct cz_check;
struct cz_recipe;

/* A kind of stage. `run` fills METRICS (reproducible) and MEASURED (times, rates, sizes);
 * CONFIG_HASH covers the configuration and the contents of the files that it names.
 * `check` refuses, before anything runs, what `run` would refuse later, and names the
 * values that `run` will leave. */
typedef struct cz_stage_kind {
  const char *name;
  const char *help;
  const char *const *keys; /* what its configuration may hold, null-terminated */
  bool trains;             /* it leaves a model */
  cz_status (*check)(struct cz_check *c, const struct cz_recipe *stage);
  cz_status (*run)(cz_session *s, const cz_config_node *node, const char *folder,
                   uint64_t config_hash, json_t *metrics, json_t *measured);
} cz_stage_kind;

extern const cz_stage_kind cz_stage_pretrain, cz_stage_finetune, cz_stage_evaluate;

/* The keys of a stage, and those of its section `evaluate`. */
extern const cz_section cz_stage_section, cz_evaluate_section;

CZ_MUST cz_status cz_stage_help(cz_buf *out, bool markdown);
CZ_MUST cz_status cz_stage_kind_find(const cz_stage_kind **kind, const char *name);
CZ_MUST cz_status cz_stage_kind_of(const cz_stage_kind **kind, const cz_config_node *node);
CZ_MUST cz_status cz_stage_same(const cz_config_node *node, const json_t *record,
                                const char *folder, const char *name);
CZ_MUST cz_status cz_stage_run(cz_session *s, const cz_config_node *node,
                               const cz_config_node *identity, const char *folder);
CZ_MUST cz_status cz_json_open(json_t **root, const char *path);
bool cz_stage_has_result(const char *folder);
bool cz_stage_done(const cz_stage_kind *kind, const char *folder);
CZ_MUST cz_status cz_stage_folder(const char *folder, const char *own, const char *other);
CZ_MUST cz_status cz_json_set_real(json_t *object, const char *key, double value);
CZ_MUST cz_status cz_json_set_int(json_t *object, const char *key, int64_t value);

#endif
