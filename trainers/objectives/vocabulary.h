/* What objectives must know of a tokenizer, read from one. */
#ifndef CZ_OBJECTIVES_VOCABULARY_H
#define CZ_OBJECTIVES_VOCABULARY_H

#include "text/tokenizer.h"
#include "objectives/objective.h"

CZ_MUST cz_status cz_vocabulary_of(cz_vocabulary *v, const cz_tokenizer *t);

#endif
