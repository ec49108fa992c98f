/* Showing an experiment before it runs: its rows and stages as they will be resolved,
 * what they share, which files are missing, and with `cost` what each stage will take.
 * Nothing is written, and files that do not exist yet are no error. */
#ifndef CZ_EXPERIMENT_SHOW_H
#define CZ_EXPERIMENT_SHOW_H

#include "experiment/experiment.h"

typedef struct cz_show_request {
  const char *file, *scale; /* scale null: the file's own choice */
  int64_t seeds;            /* 0: the file's */
  char **words;             /* overrides, key=value */
  size_t n_words;
  bool cost, json;
  double rate;   /* GFLOP/s; 0: measured when cost is requested */
  double card;   /* GFLOP/s of a GPU; 0: the bound of an H200 */
  bool bound;    /* that is what `card` is; set by cz_experiment_show */
  bool measured; /* set by cz_experiment_show */
} cz_show_request;

CZ_MUST cz_status cz_experiment_show(cz_buf *out, cz_buf *missing, cz_show_request *request);

#endif
