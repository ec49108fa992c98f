/* A text under transformation: bytes, and for each byte the part of the original input it
 * stands for.
 *
 * The rules by which the alignment moves are those of the Hugging Face `tokenizers`
 * library (its NormalizedString), because the offsets it reports follow from them.
 * Alignments here are absolute: bytes of the whole input. */
#ifndef CZ_TEXT_ALIGNED_H
#define CZ_TEXT_ALIGNED_H

#include "text/tokenizer.h"

typedef struct cz__aligned {
  char *bytes;
  cz_text_span *spans; /* one per byte */
  size_t len, bytes_cap, spans_cap;
} cz__aligned;

/* One character of a new text. `change` 0: takes the place of the next old character; -k:
 * of the next 1 + k; 1: inserted, aligned with the byte before. */
typedef struct cz__change {
  uint32_t c;
  int32_t change;
} cz__change;

typedef struct cz__changes {
  cz__change *data;
  size_t len, cap;
} cz__changes;

CZ_MUST cz_status cz__aligned_reserve(cz__aligned *a, size_t len);
CZ_MUST cz_status cz__aligned_set(cz__aligned *a, const char *text, size_t n, uint32_t origin);
CZ_MUST cz_status cz__aligned_copy(cz__aligned *a, const cz__aligned *from, size_t begin,
                                   size_t end);
CZ_MUST cz_status cz__aligned_fill(cz__aligned *a, const char *bytes, size_t n, cz_text_span span);
CZ_MUST cz_status cz__aligned_transform(cz__aligned *a, cz__aligned *spare,
                                        const cz__changes *changes, size_t removed_first,
                                        uint32_t origin);
void cz__aligned_swap(cz__aligned *a, cz__aligned *b);
void cz__aligned_free(cz__aligned *a);

static inline CZ_MUST cz_status cz__changes_add(cz__changes *s, uint32_t c, int32_t change) {
  if (s->len == s->cap) CZ_TRY(cz_grow(&s->data, &s->cap, s->len + 1, sizeof *s->data));
  s->data[s->len++] = (cz__change){c, change};
  return CZ_OK;
}

#endif
