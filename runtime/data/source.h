/* The folder data: from stored tokens to batches. A corpus is a file of documents as
 * token ids, written once (corpus.h) and read in any order (reader.h). A source (this
 * header) makes numbered examples of it: an objective corrupts pieces of documents, or a
 * task's pairs are taken as they are, or examples that somebody prepared (prepared.h), or
 * several sources are mixed, at rates or so many of each in every batch. Batches (batch.h) ask
 * a source for one example after another, fill a window of them, and lay it out as flat
 * lists of tokens in shards, while the step before runs. Nothing here knows tokenizers,
 * tasks or models; they come in as functions and numbers.
 *
 * A source is a numbered list of examples per epoch: (epoch, index) names one example,
 * whatever was requested before. So a saved place is two numbers, a resumed run sees what
 * the killed one would have seen, and a repeat of the data draws a new order and fresh
 * noise. */
#ifndef CZ_DATA_SOURCE_H
#define CZ_DATA_SOURCE_H

#include "data/reader.h"

typedef struct cz_source {
  void *self;                                                  /* given to each of the functions */
  cz_status (*count)(void *self, uint64_t *n, uint32_t epoch); /* examples in EPOCH */
  /* Empties OUT and fills it, `text` included. An example without targets, or in
   * CZ_LAYOUT_TOKENS without inputs, is left out by batches. */
  cz_status (*get)(void *self, cz_example *out, uint32_t epoch, uint64_t index);
  void (*destroy)(void *self);
} cz_source;

/* How tasks share a mixture (docs/t5.md 5.3): rate of task m is proportional to
 * min(examples, limit)^(1 / temperature), or all are equal. */
typedef enum cz_mixing_rule { CZ_MIXING_PROPORTIONAL, CZ_MIXING_EQUAL } cz_mixing_rule;

typedef struct cz_mixing {
  cz_mixing_rule rule;
  double limit;       /* K, examples; 0: none */
  double temperature; /* T, at least 1; 1 is examples-proportional */
} cz_mixing;

/* A mixture is planned for a block of examples at a time; more tasks than the maximum are
 * refused. */
enum { CZ_MIX_BLOCK = 1 << 16, CZ_MIX_MAXIMUM = 64 };

CZ_MUST cz_status cz_source_pieces(cz_source *out, cz_reader *reader, const cz_cut *cut,
                                   cz_corrupt_fn corrupt, const void *objective, uint64_t seed);

/* Token lists in memory; zero-initialised is empty. */
typedef struct cz_pairs {
  cz_ids inputs, targets;                /* all pairs one after another, without EOS */
  uint64_t *inputs_end, *targets_end;    /* where pair i ends */
  size_t count, inputs_cap, targets_cap; /* pairs; room in the two lists of ends */
} cz_pairs;

CZ_MUST cz_status cz_pairs_add(cz_pairs *p, const int32_t *inputs, int64_t n_inputs,
                               const int32_t *targets, int64_t n_targets);
void cz_pairs_free(cz_pairs *p);
CZ_MUST cz_status cz_source_pairs(cz_source *out, const cz_pairs *pairs, int32_t eos,
                                  uint64_t seed);

CZ_MUST cz_status cz_mixing_rates(double *rates, const int64_t *examples, int tasks,
                                  const cz_mixing *rule);
CZ_MUST cz_status cz_source_mixture(cz_source *out, const cz_source *tasks, const double *rates,
                                    int n_tasks, uint64_t seed);
CZ_MUST cz_status cz_source_interleave(cz_source *out, const cz_source *parts,
                                       const int64_t *counts, int n_parts);
void cz_source_destroy(cz_source *s);

#endif
