/* Experiments: a file names stages, rows and seeds; this folder makes a plan of it, runs
 * the plan, and reports.
 *
 * Data goes through it so. open.c reads the file with its scale and overrides; plan.c
 * resolves each stage of each row and seed, references.c finds out which earlier stages
 * it names, and plan.c hashes all of that into the stage's key. plan_check.c asks every
 * stage to check itself. run.c calls what is not done, in the plan's order, and records
 * the plan in the run's folder. results.c reads plan and results back, finished or not,
 * with what simple programs get (baselines.c) and what the test examples add to the noise
 * (noise.c), and report/ prints them. This header is the plan alone; run.h, show.h, cost.h,
 * results.h and report/report.h are what is done with it.
 *
 *   title, source          what it is, and where it comes from
 *   data: FOLDER           what `$data/` stands for in paths
 *   data_made_by: COMMAND  what makes that folder, for the message when a file of it
 *                          is missing
 *   seeds: [1, 2, 3]       each seed is one draw: every row begins with the same weights
 *                          and goes through the same order of documents; objectives
 *                          read different amounts
 *   common: {...}          sections for every stage that knows them (model, tokenizer,
 *                          ...)
 *   stages:                run in this order; an empty one (`STAGE: null`) is dropped
 *     pretrain: {kind: pretrain, ...}
 *     finetune: {kind: finetune, init: $pretrain, ...}
 *   rows: [{name: ..., paper: {COLUMN: number}, set: {pretrain.objective.name: lm},
 *           without: [STAGE, ...], at: [VALUE, ...], seeds: N}, ...]
 *                          only: [STAGE, ...] in place of `without` all others
 *                          at: of the axis, else all; rows of one name stand at other values
 *                          each; seeds: the first N, else all; a number of the paper, and
 *                          seeds, may be {VALUE: number, ...}
 *   control: {name: ..., without: [...], set: {...}, paper: {...}}
 *                          a row behind the others, which says whether what they do helps
 *                          at all: a key of its own, so that a file with rows of its own
 *                          keeps its base's control
 *   axis: {name: ..., set: STAGE.KEY, values: [...]}
 *                          every row once for each value; one without that stage once.
 *                          set: a list of STAGE.KEY, or common.KEY, is of several stages
 *   baseline: ROW          the row that others are compared with
 *   contrasts: [[ROW, OTHER], ...]
 *                          pairs of rows whose difference is tested at each value
 *   columns: [{name: ..., value: ..., take: ..., paper: COLUMN, unit: ...}, ...]
 *                          value: STAGE.PATH, or a list of them, whose mean it is;
 *                          take: what of a list in the result that PATH leads through
 *   paper_noise: {COLUMN: deviation}
 *                          what the paper says of its own seeds
 *   scales: {nano: {...}, mini: {...}}
 *                          overlays on all of the above
 *
 * Any text of a stage may be $NAME or $NAME/file: the folder of an earlier stage of its
 * row and seed, and a file in it. `init: $NAME` is that stage's model.
 *
 * With an axis the plan's rows are ROW@VALUE, and what is compared with another row is
 * compared at the same value. Where the axis is the number of steps of a stage that trains
 * and its rate does not depend on that number, the stage of a value goes on from the
 * checkpoint of the value before (stages/go_on.h): the same bits, and one training a row.
 *
 * A stage's key is the hash of everything that its result depends on: its resolved
 * configuration, the contents of the files it names, and the keys of the stages it names.
 * Rows that agree share the stage; its folder is OUT/stages/KIND-KEY. */
#ifndef CZ_EXPERIMENT_H
#define CZ_EXPERIMENT_H

#include "config/config.h"
#include "stages/stage.h"

/* What an experiment file may hold (keys.c). */
extern const cz_section cz_experiment_keys, cz_row_keys, cz_axis_keys, cz_column_keys;
CZ_MUST cz_status cz_experiment_help(cz_buf *out, bool markdown);

/* Sixteen hexadecimal digits of a 64-bit hash, and the NUL. */
enum { CZ_KEY_TEXT_BYTES = 17 };

/* One stage of one row and seed; the same key may appear in several places. */
typedef struct cz_plan_stage {
  const char *name; /* in the file: "pretrain" */
  const cz_stage_kind *kind;
  const cz_config_node *node; /* resolved; earlier stages are $NAME, and `init: $NAME` is out */
  const char *init;           /* name of the stage whose model it starts from, or null */
  const cz_config_node *init_node; /* where `init` says so */
  size_t *from, n_from; /* numbers of all stages of the row that it names, `init` first */
  bool left_out;        /* the row does without it, or without its seed: no key, and never run */
  bool first;           /* of those with its kind and key: the others share its folder */
  size_t shorter;       /* number of the stage whose training this one goes on; SIZE_MAX: none */
  char key[CZ_KEY_TEXT_BYTES];
} cz_plan_stage;

typedef struct cz_plan_row {
  const char *name;   /* of the row in reports: `listed`, or with an axis listed@VALUE */
  const char *listed; /* its name in the file */
  const cz_config_node *node;
  const cz_config_node *paper; /* {COLUMN: number} at its value of the axis; or null */
  size_t point;                /* of the axis; SIZE_MAX: the row has none */
  size_t n_seeds; /* it has the first of the plan's; the stages of others are left out */
} cz_plan_row;

typedef struct cz_axis {
  const cz_config_node *node; /* null: there is none */
  const char *name, *set;     /* set: as the file has it, of a list with commas between */
  const char **keys;          /* [n_keys] what it sets: STAGE.KEY, each once */
  const char *stages;         /* their names, in the order of the keys, with commas between */
  const cz_config_node *list;
  const char **values;     /* [n] as texts */
  size_t n, n_keys, stage; /* stage: the number of the one STAGE that a budget of steps is of */
  bool steps;              /* the only KEY is train.steps: points are lengths of one training */
} cz_axis;

/* What a column takes of the numbers of a list. */
typedef enum cz_take {
  CZ_TAKE_ONE,
  CZ_TAKE_MEAN,
  CZ_TAKE_MIN,
  CZ_TAKE_MAX,
  CZ_TAKE_SPREAD
} cz_take;
extern const char *const cz_take_names[]; /* but for ONE, null-terminated */

/* A value that a stage leaves: a score, STAGE.TASK.scores.METRIC, or another number,
 * STAGE.KEY.KEY. */
typedef struct cz_column_path {
  const char *text;          /* all of it */
  size_t stage;              /* the stage's number */
  const char *key;           /* what follows the stage */
  const char *task, *metric; /* of a score; null: it is none */
  cz_take take;              /* ONE: the path leads to a number and through no list */
  size_t n_else; /* `take: first`: so many paths behind it in memory, of which a row without the
                    stages before has the first whose stage it has */
} cz_column_path;

typedef struct cz_column {
  const cz_config_node *node;
  const char *name, *paper, *unit, *note; /* paper, unit and note may be null */
  cz_column_path *paths;                  /* the value is their mean */
  size_t n_paths;
  double paper_noise; /* the paper's deviation over its own seeds; NaN: it gives none */
} cz_column;

/* Two rows of the file whose difference is tested. */
typedef struct cz_contrast {
  const char *rows[2]; /* as listed: the first minus the second */
} cz_contrast;

/* One test of a contrast. */
typedef struct cz_pair {
  size_t contrast, row, other; /* numbers of the contrast and of the plan's rows */
  size_t point;                /* of the axis; SIZE_MAX: neither row has one */
} cz_pair;

/* What differs between the seeds of a row: weights, order and dropout (PLAIN); those, on one T
 * (ONE_T); or T as well (DRAWS). */
typedef enum cz_seeds_draw { CZ_SEEDS_PLAIN, CZ_SEEDS_ONE_T, CZ_SEEDS_DRAWS } cz_seeds_draw;

/* A plan is made whole before anything runs and does not change afterwards, so that two
 * ranks, or a run and the report on it, read the same one. */
typedef struct cz_plan {
  cz_config *config; /* owned */
  cz_arena *arena;
  const cz_config_node *scales;     /* of the file, or null */
  const cz_config_node *all_stages; /* of the file, with those that are dropped; or null */
  json_t *files; /* {PATH: hash} of what all stages read; filled with their keys */
  const char *title, *source, *baseline, *data, *data_made_by;
  int64_t *seeds;
  cz_plan_row *rows;
  cz_axis axis;
  size_t control; /* number of the control's first row, which is behind the others; n_rows: none */
  cz_column *columns;
  cz_contrast *contrasts;
  cz_pair *pairs;        /* the contrasts in the file's order, each over the axis */
  cz_plan_stage *stages; /* [seeds][rows][n_stages] */
  size_t n_seeds, n_rows, n_columns, n_stages, n_contrasts, n_pairs;
} cz_plan;

CZ_MUST cz_status cz_plan_open(cz_plan *plan, const char *path, const char *scale, int64_t seeds,
                               char *const *words, size_t n_words, cz_session *session);
CZ_MUST cz_status cz_plan_open_text(cz_plan *plan, const char *name, const char *text,
                                    const char *scale, int64_t seeds, char *const *words,
                                    size_t n_words, cz_session *session);
void cz_plan_close(cz_plan *plan);
cz_plan_stage *cz_plan_at(const cz_plan *plan, size_t seed, size_t row, size_t stage);
size_t cz_plan_count(const cz_plan *plan);
size_t cz_plan_baseline_of(const cz_plan *plan, size_t row);
size_t cz_plan_control_of(const cz_plan *plan, size_t row);
bool cz_plan_row_is(const cz_plan *plan, size_t row, size_t point);
cz_seeds_draw cz_plan_stage_draws(const cz_config_node *stage);
cz_seeds_draw cz_plan_row_draws(const cz_plan *plan, size_t row);
bool cz_plan_axis_sets(const cz_plan *plan, const char *stage);
const cz_column_path *cz_column_path_of(const cz_plan *plan, const cz_column_path *path,
                                        size_t row);
bool cz_column_same_task(const cz_column_path *a, const cz_column_path *b);
bool cz_column_all_scores(const cz_column *column);
cz_plan_stage *cz_plan_from(const cz_plan *plan, size_t k, size_t i);
CZ_MUST cz_status cz_plan_index(cz_plan *plan);
size_t cz_plan_uses(const cz_plan *plan, size_t stage);
CZ_MUST cz_status cz_plan_distinct(size_t *n, const cz_plan *plan, size_t stage);
CZ_MUST cz_status cz_plan_run_node(cz_plan *plan, const cz_config_node **out, const char *run,
                                   size_t k);
CZ_MUST cz_status cz_plan_check(const cz_plan *plan, cz_buf *missing, const cz_session *session);
CZ_MUST cz_status cz_plan_changed_files(cz_buf *changed, cz_plan *p, const cz_plan_stage *s,
                                        cz_inputs *inputs, const char *folder);
CZ_MUST cz_status cz_plan_folder(char *out, size_t n, const char *run, const cz_plan_stage *stage);

#endif
