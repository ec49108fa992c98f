/* The state of a training run besides its parameters: counters and the place in the data,
 * and how all of it is saved and resumed. */
#ifndef CZ_TRAINING_STATE_H
#define CZ_TRAINING_STATE_H

#include "data/batch.h"
#include "device/device.h"
#include "nn/model.h"
#include "training/optimizer.h"

/* What a step changes besides parameters and optimizer. Zero-initialised is the start. */
typedef struct cz_state {
  int64_t step;             /* steps done */
  int64_t skipped;          /* of these, without an update: loss or gradient not finite */
  int64_t skipped_in_a_row; /* up to now */
  int64_t input_tokens, target_tokens; /* that encoder and decoder read */
  int64_t examples, examples_cut;
  int64_t text_tokens, input_sum, target_sum; /* of a cz_batch, over all steps */
  double smooth_loss;                         /* exponential mean over about the last 50 steps */
  double last_loss;
  cz_cursor cursor; /* where the next batch begins */
} cz_state;

/* Whose state it is; all borrowed. */
typedef struct cz_state_of {
  const char *folder;
  uint64_t config_hash; /* a checkpoint of another configuration is refused */
  cz_params *params;
  cz_optimizer *optimizer;
  cz_precision precision; /* that the run trains in */
  cz_precision began_in;  /* that a checkpoint may come from instead */
} cz_state_of;

/* Where a state came from; empty texts: from nowhere, or from a file that does not
 * say. */
typedef struct cz_state_origin {
  char path[4096];
  char processor[CZ_PROCESSOR_BYTES]; /* the kind on which it was computed */
  cz_precision precision;
} cz_state_origin;

/* Save writes parameters, optimizer and state into one checkpoint
 * (checkpoint/checkpoint.h): all of one step or none of it. Load leaves everything as it
 * was at that step's end, so the steps that follow have the bits that an uninterrupted
 * run would have had. */
uint64_t cz_state_bytes(const cz_params *params, uint64_t state);
CZ_MUST cz_status cz_state_save(const cz_state *state, const cz_state_of *of);
CZ_MUST cz_status cz_state_load(cz_state *state, cz_state_origin *origin, const cz_state_of *of);

#endif
