/* The results of a run, as far as its stages are done. The plan is the one that the run
 * recorded; a value that is missing is NaN. */
#ifndef CZ_EXPERIMENT_RESULTS_H
#define CZ_EXPERIMENT_RESULTS_H

#include "experiment/experiment.h"
#include "metrics/statistics.h"
#include "stages/estimate.h"

#include <jansson.h>

/* What a row read in the stages that have an objective, mean over the finished seeds.
 * NaN: it has no such stage, or they do not say. */
typedef struct cz_row_text {
  double tokens;          /* of raw text, before the objective */
  double inputs, targets; /* mean length of an example, in tokens with EOS */
} cz_row_text;

/* What the stages of the axis took under one row, mean over the finished seeds. NaN: there is no
 * axis, no such stage, or it does not say. */
typedef struct cz_row_point {
  double tokens;  /* read and written */
  double seconds; /* with those of the shorter training that it went on from */
  double loss;    /* smoothed, at its end */
  size_t seeds;
} cz_row_point;

/* Noise from the draw of the test examples, of one row under one column. */
typedef struct cz_example_noise {
  cz_noise own;        /* of the row's mean */
  cz_noise difference; /* to the plan's baseline row, example by example */
  cz_noise control;    /* of the difference to the plan's control, example by example */
  cz_noise lead;       /* over the weakest program, example by example */
  cz_noise best_lead;  /* over the strongest one */
  const char *unknown; /* why a part of these may not be known: of damaged predictions the file, the
                          line and what is wrong. Null without a reason; the plan owns it */
} cz_example_noise;

/* What simple programs get under a column beside a row: those of the row's own stages, which
 * learn from the same texts. The first is the tasks' own baseline: "majority",
 * "copy", "lead", or "simple" of tasks with different ones. The weakest that rows are compared with
 * is this one, or "largest_class", the largest constant answer, where there is one. Programs that
 * all its tasks have follow. Where no program gets the most in every task, "strongest" is the last:
 * of each task the one that does, averaged over the column. */
enum { CZ_BASELINES = 6 };
typedef struct cz_baselines {
  const char *kind[CZ_BASELINES]; /* null: not said */
  double value[CZ_BASELINES];     /* mean over the row's seeds that have it */
  double *of_seed[CZ_BASELINES];  /* [seeds]; NaN: not done */
  size_t n;
  size_t weakest, strongest; /* the latter: the first that gets the most in every task, else
                                "strongest" */
  const char *(*of_path)[2]; /* [paths] of the column: what the weakest and the strongest one stand
                                for there; null: not said */
  double *each;              /* as read: [seeds][paths][the tasks' own, then cz_task_simple], NaN
                                where missing; null: the row has none of its own */
} cz_baselines;

/* A score that is not defined for some outputs. */
typedef struct cz_undefined {
  size_t seeds;    /* under which it is not */
  const char *why; /* of the first of them; null: the stage does not say */
} cz_undefined;

/* Finished stages that train in one precision. */
typedef struct cz_trained {
  const char *precision; /* as in the plan */
  size_t stages;
} cz_trained;

enum { CZ_TRAINED = 4 };

/* Everything that reports are made of, in one pass over the folders of a run. Arrays in
 * brackets are row-major. Reading never waits for a stage and takes no lock: a run may be
 * going on. */
typedef struct cz_results {
  cz_plan plan;
  double *values;          /* [columns][rows][seeds], NaN where missing */
  cz_undefined *undefined; /* [columns][rows] */
  double *paper;           /* [columns][rows], NaN where the paper has none */
  cz_baselines *baselines; /* [columns][rows] */
  bool *shared;            /* [columns] they are the same beside every row and under every seed */
  cz_example_noise *noise; /* [columns][rows] */
  cz_noise *pair_noise;    /* [columns][pairs] of the difference, example by example */
  cz_cost *costs;          /* [rows] mean over the finished seeds; shared stages count in full */
  cz_row_text *texts;      /* [rows] */
  cz_row_point *points;    /* [rows] */
  json_t **few_shot;       /* [rows][stages][seeds] metrics of those that judge a few-shot
                              classifier or have members; null elsewhere */
  size_t done, total;      /* different stages: with a result, all */
  cz_trained trained[CZ_TRAINED]; /* in the order of the plan */
} cz_results;

CZ_MUST cz_status cz_results_overlap(size_t *shared, size_t *lost, const cz_plan *plan,
                                     const char *path);
CZ_MUST cz_status cz_results_open(cz_results *r, const char *run);
double cz_results_number(const json_t *root, const char *path);
bool cz_results_scored(const cz_results *r, size_t column);
bool cz_results_scores_texts(const cz_results *r);
const cz_baselines *cz_results_baselines(const cz_results *r, size_t column, size_t row);
double cz_results_baseline(const cz_results *r, size_t column, size_t row, bool strongest);
const char *cz_results_baseline_kind(const cz_results *r, size_t column, size_t row,
                                     bool strongest);
void cz_results_close(cz_results *r);

#endif
