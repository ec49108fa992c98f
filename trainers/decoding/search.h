/* Greedy and beam search over an incremental decoder. */
#ifndef CZ_DECODING_SEARCH_H
#define CZ_DECODING_SEARCH_H

#include "data/example.h"
#include "nn/model.h"

typedef struct cz_search_options {
  int64_t beams;         /* 1: greedy */
  double length_penalty; /* alpha of ((5 + length) / 6)^alpha; beams above 1 */
  int64_t max_length;    /* tokens of one output, EOS included */
  int64_t batch_tokens;  /* input tokens decoded together; a longer input goes alone */
  int32_t banned_from; /* ids from here on are never written (rows of the table without a token); 0:
                          none */
} cz_search_options;

/* Called after each batch; a failure ends the search. */
typedef cz_status (*cz_search_progress)(void *self, int64_t done);

CZ_MUST cz_status cz_search(cz_ids *outputs, double *scores, cz_model *model, const cz_ids *inputs,
                            int64_t n, const cz_search_options *options,
                            cz_search_progress progress, void *progress_self);

#endif
