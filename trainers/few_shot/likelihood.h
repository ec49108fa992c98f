/* How likely a language model finds the tokens of texts.
 *
 * A causal LM: log p of each token given those before it; the first has none where the model reads
 * no token in front of the text. A masked LM: the pseudo-log-likelihood (Salazar et al. 2020), log
 * p of each token where it alone is hidden and all others are seen. Special tokens around a text
 * are read and not counted, and what a text spells is text.
 *
 * Texts are added, then all are scored in runs of one graph, then read. Texts of a causal LM that
 * were added one after another and differ in their last token alone are read once. */
#ifndef CZ_FEW_SHOT_LIKELIHOOD_H
#define CZ_FEW_SHOT_LIKELIHOOD_H

#include "nn/model.h"
#include "text/tokenizer.h"

typedef struct cz_likelihood cz_likelihood;

/* A text's own tokens. Good until the next text is added, or all are cleared. */
typedef struct cz_text_likelihood {
  const int32_t *ids;     /* [n] */
  const double *logprobs; /* [n] in nats; NaN: has none */
  size_t n;
  double sum; /* of those that there are */
} cz_text_likelihood;

/* A text as tokens, special ones included. */
typedef struct cz_text_tokens {
  const int32_t *ids, *types; /* [n] */
  size_t n;
  size_t own, n_own; /* those that are counted: n_own from number `own` on */
} cz_text_tokens;

CZ_MUST cz_status cz_likelihood_create(cz_likelihood **l, cz_model *model,
                                       const cz_tokenizer *tokenizer, int64_t batch_tokens);
CZ_MUST cz_status cz_likelihood_add(cz_likelihood *l, const char *text, size_t n);
CZ_MUST cz_status cz_likelihood_add_tokens(cz_likelihood *l, const cz_text_tokens *t);
int64_t cz_likelihood_pending(const cz_likelihood *l);
CZ_MUST cz_status cz_likelihood_run(cz_likelihood *l);
cz_text_likelihood cz_likelihood_of(const cz_likelihood *l, size_t i);
double cz_likelihood_read(const cz_likelihood *l);
void cz_likelihood_clear(cz_likelihood *l);
void cz_likelihood_destroy(cz_likelihood **l);

#endif
