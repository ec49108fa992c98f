/* Between tokenizers and objectives: what objectives must know of a tokenizer, and texts
 * as the ids that they work on. */
#ifndef CZ_OBJECTIVES_VOCABULARY_H
#define CZ_OBJECTIVES_VOCABULARY_H

#include "objectives/objective.h"
#include "text/tokenizer.h"

/* Of T5's published vocabulary, sentinels included. */
enum { CZ_T5_VOCABULARY = 32100 };

void cz_vocabulary_of(cz_vocabulary *v, const cz_tokenizer *t);
CZ_MUST cz_status cz_vocabulary_like_t5(cz_vocabulary *v, int64_t size);
CZ_MUST cz_status cz_encode_text(cz_ids *out, const cz_tokenizer *t, cz_tokenizer_scratch *scratch,
                                 const char *text, size_t n, bool special);

#endif
