/* How likely a language model finds tokens at places of texts, of many texts at once. Segments and
 * questions about them are put together until a run of the net is full; then it is computed, and
 * each question is answered by log p of its token over the whole vocabulary, or by the logits of
 * all words. Heads read the rows of questions alone. */
#ifndef CZ_FEW_SHOT_QUESTIONS_H
#define CZ_FEW_SHOT_QUESTIONS_H

#include "nn/model.h"

typedef struct cz_questions cz_questions;

typedef struct cz_questions_options {
  int64_t batch_tokens; /* of one run; at least those of a segment */
  int64_t rows;         /* most that are asked of one segment */
  bool logits;          /* answers are those; which token is asked for has no say, and a run has
                           `rows` questions at most */
  void *self;
  /* LOGP [n], in nats, of what was asked by WHO [n], in the order of asking: one run's, or a NaN or
   * an infinity where the model has no such number; or logits [n, V]. */
  cz_status (*answer)(void *self, const size_t *who, const double *logp, size_t n);
} cz_questions_options;

/* A text [n] without its tokens from number `cut` to before number `rest`. */
typedef struct cz_asked_text {
  const int32_t *ids, *types;
  size_t n, cut, rest;
} cz_asked_text;

CZ_MUST cz_status cz_questions_create(cz_questions **q, cz_model *model,
                                      const cz_questions_options *options);
int64_t cz_questions_rows(const cz_questions *q);
CZ_MUST cz_status cz_questions_segment(cz_questions *q, size_t *first, const cz_asked_text *text,
                                       int64_t rows);
void cz_questions_fill(cz_questions *q, size_t place, int32_t id);
CZ_MUST cz_status cz_questions_ask(cz_questions *q, size_t place, int32_t token, size_t who);
CZ_MUST cz_status cz_questions_run(cz_questions *q);
void cz_questions_clear(cz_questions *q);
double cz_questions_read(const cz_questions *q);
void cz_questions_destroy(cz_questions **q);

#endif
