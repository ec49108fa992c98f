#include "objectives/vocabulary.h"

#include <stdio.h>

/** Fills V from the tokenizer: sentinels are its tokens <extra_id_0>, <extra_id_1>, ...
 * up to the first that it lacks, whatever their ids. CZ_EINVAL when it has no
 * end-of-sequence token. */
cz_status cz_vocabulary_of(cz_vocabulary *v, const cz_tokenizer *t) {
  const cz_tokenizer_facts *facts = cz_tokenizer_get_facts(t);
  if (facts->eos < 0)
    return CZ_FAIL(CZ_EINVAL,
                   "the tokenizer names no end-of-sequence token, which ends inputs and targets");
  *v =
      (cz_vocabulary){.size = facts->size, .pad = facts->pad, .eos = facts->eos, .unk = facts->unk};
  while (v->n_sentinels < CZ_SENTINELS_MAX) {
    char name[32];
    int n = snprintf(name, sizeof name, "<extra_id_%d>", v->n_sentinels);
    int32_t id = cz_tokenizer_id(t, name, (size_t)n);
    if (id < 0) break;
    v->sentinels[v->n_sentinels++] = id;
  }
  return CZ_OK;
}
