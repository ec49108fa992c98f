/* Stages of work: what a kind of stage is, and how one stage runs in its folder.
 *
 * A stage is a mapping of an experiment's `stages`, or the file of `cloze pretrain`,
 * `finetune` and `evaluate`. Its key `kind` names a row of kinds.def. The row lists the
 * parts of the configuration that the kind takes (parts.h); from them follow the keys
 * that are known, their help, the files whose contents are hashed, and the values in the
 * result.
 *
 * Data goes through this folder in three passes. check.[ch] binds the configuration and
 * reads every file as the run will, before anything is computed. inputs.[ch] hashes the
 * files, so that a result belongs to their contents. cz_stage_run locks the folder, opens
 * the recipe, calls the kind, and writes the result. A kind is one file and one line of
 * kinds.def.
 *
 *   folder/config.yaml      the resolved configuration; `cloze pretrain
 *                           folder/config.yaml` runs it again
 *   folder/inputs.json      the files that it reads, with hashes of their contents
 *   folder/metrics.jsonl    one object a line, appended
 *   folder/events.out.tfevents.*
 *   folder/checkpoint.h5    (and checkpoint.prev.h5)
 *   folder/earlier.json     of a stage that began with a shorter one's checkpoint (go_on.h)
 *   folder/model/           Hugging Face directory with the tokenizer, when the kind
 *                           leaves a model
 *   folder/result.json      (result.h) {"kind", "config_hash", "hash", "metrics": {...},
 *                           "measured": {...}, "model": {FILE: hash}}: metrics hold no time, path
 *                           or rate; a stage that starts from model/ compares its hashes
 *   folder/log.txt */
#ifndef CZ_STAGES_STAGE_H
#define CZ_STAGES_STAGE_H

#include "config/config.h"
#include "device/help.h"
#include "json/json.h"
#include "recipe/recipe.h"
#include "stages/parts.h"
#include "stages/session.h"

struct cz_check;
struct cz_cost;
struct cz_ipet;

/* What a kind leaves in its folder beside result.json. Other stages may start from it. */
typedef enum cz_stage_product {
  CZ_LEAVES_MODEL = 1,       /* model/ */
  CZ_LEAVES_PREDICTIONS = 2, /* predictions.TASK.jsonl */
  CZ_LEAVES_CURVE = 4,       /* metrics.jsonl with the loss of each step */
} cz_stage_product;

/* Where a kind puts what it computes. */
typedef struct cz_stage_output {
  const char *folder;
  uint64_t config_hash; /* of the configuration and of the files that it names */
  json_t *metrics;      /* reproducible: the same bits when the stage is run again */
  json_t *measured;     /* times, rates, sizes */
} cz_stage_output;

/* A kind of stage. `check` refuses, before anything runs, what `run` would refuse later,
 * and lists the values that depend on the configuration. Both get the recipe that was
 * bound from the stage's node: tokenizer and model only for a kind that takes these
 * parts, and a kind that takes the model takes the tokenizer. */
typedef struct cz_stage_kind {
  const char *name;                  /* also the command's and the folder's */
  const char *help;                  /* one line */
  const char *usage;                 /* the command's manual: CZ_STAGE_USAGE */
  const cz_stage_part *const *parts; /* null-terminated; `kind` and `seed` come on top */
  unsigned leaves;                   /* of cz_stage_product */
  bool members;                      /* processes may share it: cz_stage_join, cz_stage_help_with */
  const char *const *results;        /* values that every result has, null-terminated; or null */
  cz_status (*check)(struct cz_check *c, const cz_recipe *recipe); /* null: parts are enough */
  cz_status (*run)(cz_session *s, const cz_recipe *recipe, cz_stage_output *out);
  cz_status (*cost)(struct cz_cost *cost, const cz_recipe *recipe); /* null: not predicted */
} cz_stage_kind;

/* The manual of a kind's command: what every kind has, around WHAT it does. */
#define CZ_STAGE_USAGE(kind, what)                                                                 \
  "cloze " kind " CONFIG.yaml --out DIR [--device D] [key=value ...]\n" what                       \
  "  --out DIR    the run's folder: configuration, metrics, checkpoint, model, result; run the "   \
  "same command again to go on after a stop\n"                                                     \
  "  --device D   " CZ_DEVICE_HELP "\n"                                                            \
  "  --comm C     auto (default), self, mpi\n"                                                     \
  "  --jobs N     N processes for the members of classify and distill, each with its share of "    \
  "the "                                                                                           \
  "cores\n"                                                                                        \
  "  key=value    replaces a key of the file, e.g. train.steps=100 (cloze help keys lists all)\n"

/* kinds.c: the list, and what follows from it. */
extern const cz_stage_kind *const cz_stage_rows[];
extern const size_t cz_stage_row_count;
/* of evaluate.c, classify.c, distill.c */
extern const cz_section cz_evaluate_section, cz_classify_section, cz_distill_section;
CZ_MUST cz_status cz_stage_kind_find(const cz_stage_kind **kind, const char *name);
CZ_MUST cz_status cz_stage_kind_of(const cz_stage_kind **kind, const cz_config_node *node);
bool cz_stage_takes(const cz_stage_kind *kind, const char *key);
CZ_MUST cz_status cz_stage_known(const cz_stage_kind *kind, const cz_config_node *node);
CZ_MUST cz_status cz_stage_bind(cz_recipe *recipe, const cz_stage_kind *kind,
                                const cz_config_node *node, cz_device *device);
CZ_MUST cz_status cz_stage_help(cz_buf *out, bool markdown);
/* classify_keys.c */
bool cz_stage_encodes(const cz_config_node *stage);
CZ_MUST cz_status cz_stage_growth(struct cz_ipet *ipet, int64_t *labelled,
                                  const cz_config_node *keys, uint64_t seed);

/* stage.c: a stage in its folder. */
CZ_MUST cz_status cz_stage_same(const cz_config_node *node, const json_t *record,
                                const char *folder, const char *name);
CZ_MUST cz_status cz_stage_run(cz_session *s, const cz_config_node *node,
                               const cz_config_node *identity, const char *folder);
CZ_MUST cz_status cz_stage_join(cz_session *s, const cz_config_node *node, const char *folder,
                                const char *word);
CZ_MUST cz_status cz_stage_help_with(cz_session *s, const cz_config_node *node,
                                     const cz_config_node *identity, const char *folder);
CZ_MUST cz_status cz_stage_checkpoint_hash(uint64_t *hash, json_t *record, cz_session *s,
                                           const cz_stage_kind *kind, const cz_config_node *node,
                                           const cz_config_node *identity);
bool cz_stage_has_result(const char *folder);
bool cz_stage_done(const cz_stage_kind *kind, const char *folder);
bool cz_stage_begun(const char *folder);
CZ_MUST cz_status cz_stage_folder(const char *folder, const char *own, const char *other);

#endif
