#include "objectives/vocabulary.h"

#include <stdio.h>

/** Fills V from the tokenizer: sentinels are its tokens <extra_id_0>, <extra_id_1>, ...
 * up to the first that it lacks, whatever their ids. What a tokenizer does not have is -1;
 * whoever needs it refuses. */
void cz_vocabulary_of(cz_vocabulary *v, const cz_tokenizer *t) {
  const cz_tokenizer_facts *facts = cz_tokenizer_get_facts(t);
  *v = (cz_vocabulary){.size = facts->size,
                       .pad = facts->pad,
                       .eos = facts->eos,
                       .unk = facts->unk,
                       .cls = facts->cls,
                       .sep = facts->sep,
                       .mask = facts->mask};
  while (v->n_sentinels < CZ_SENTINELS_MAX) {
    char name[32];
    int n = snprintf(name, sizeof name, "<extra_id_%d>", v->n_sentinels);
    int32_t id = cz_tokenizer_id(t, name, (size_t)n);
    if (id < 0) break;
    v->sentinels[v->n_sentinels++] = id;
  }
}

/** Fills V with a vocabulary of SIZE ids like T5's: pad 0, EOS 1, unknown 2, and one hundred
 * sentinels from the last id downwards. For looking at recipes without their tokenizer.
 * CZ_EUSAGE when SIZE has no room for them. */
cz_status cz_vocabulary_like_t5(cz_vocabulary *v, int64_t size) {
  enum { SENTINELS = 100 };
  if (size < (int64_t)2 * SENTINELS || size > INT32_MAX)
    return CZ_FAIL(CZ_EUSAGE, "a vocabulary of %lld has no room for sentinels", (long long)size);
  *v = (cz_vocabulary){.size = (int32_t)size,
                       .pad = 0,
                       .eos = 1,
                       .unk = 2,
                       .cls = -1,
                       .sep = -1,
                       .mask = -1,
                       .n_sentinels = SENTINELS};
  for (int32_t k = 0; k < SENTINELS; k++) v->sentinels[k] = v->size - 1 - k;
  return CZ_OK;
}

/** Appends to OUT the ids of N bytes of text; with SPECIAL those too that the tokenizer puts
 * around a text. */
cz_status cz_encode_text(cz_ids *out, const cz_tokenizer *t, cz_tokenizer_scratch *scratch,
                         const char *text, size_t n, bool special) {
  cz_encoding e = {0};
  cz_status st =
      cz_tokenizer_encode(t, &e, text, n, (cz_encode_options){.add_special = special}, scratch);
  for (size_t i = 0; i < e.n && st == CZ_OK; i++) st = cz_ids_add(out, e.ids[i]);
  cz_encoding_free(&e);
  return st;
}
