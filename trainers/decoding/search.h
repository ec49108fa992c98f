/* The folder decoding: from a model and inputs to outputs. Inputs come in as lists of
 * token ids and are sorted by length into batches; nn/decode.h encodes a batch and gives,
 * a token each step, the logits of every sequence that is still alive; search.c chooses
 * how each goes on, greedily or by beam search, until all have ended. Outputs go out as
 * ids in the inputs' order, with their scores; the caller turns them into text. */
#ifndef CZ_DECODING_SEARCH_H
#define CZ_DECODING_SEARCH_H

#include "data/example.h"
#include "nn/model.h"

typedef struct cz_search_options {
  int64_t beams;         /* 1: greedy */
  double length_penalty; /* alpha of ((5 + length) / 6)^alpha; beams above 1 */
  int64_t max_length;    /* tokens of one output, EOS included */
  int64_t batch_tokens;  /* input tokens decoded together; a longer input goes alone */
  int32_t banned_from;   /* ids from here on are never written: rows of the embedding without a
                            token; 0: none */
  int64_t *unfinished;   /* gets the outputs added that max_length cut off; null: not counted */
} cz_search_options;

/* Called after each batch; a failure ends the search. */
typedef cz_status (*cz_search_progress)(void *self, int64_t done);

CZ_MUST cz_status cz_search(cz_ids *outputs, double *scores, cz_model *model, const cz_ids *inputs,
                            int64_t n, const cz_search_options *options,
                            cz_search_progress progress, void *progress_self);

#endif
