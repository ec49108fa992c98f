/* Text to token ids and back, exactly as a Hugging Face `tokenizer.json` says (models.md
 * 5): the file is run as written, never rebuilt from a name.
 *
 * A tokenizer never changes after it is opened, so any number of threads may encode with
 * one, each with a scratch of its own. Offsets count bytes of the text;
 * cz_encoding_to_characters turns them into the code points that the Python library
 * reports. */
#ifndef CZ_TEXT_TOKENIZER_H
#define CZ_TEXT_TOKENIZER_H

#include "base/mem.h"

#include <stdbool.h>

typedef struct cz_tokenizer cz_tokenizer;

/* Work space and word cache of one thread. */
typedef struct cz_tokenizer_scratch cz_tokenizer_scratch;

/* A part of the text: [begin, end). */
typedef struct cz_text_span {
  uint32_t begin, end;
} cz_text_span;

/* What encoding yields. Zero-initialised is empty; reused from call to call. */
typedef struct cz_encoding {
  int32_t *ids;
  cz_text_span
      *offsets; /* what each token stands for; 0, 0 for tokens that the post-processor adds */
  size_t n, ids_cap, offsets_cap;
} cz_encoding;

typedef struct cz_tokenizer_facts {
  int32_t size;                               /* ids, added tokens included: 0 .. size - 1 */
  int32_t pad, eos, unk, mask, cls, sep, bos; /* special tokens by their usual spellings; -1 where
                                                 the file has none */
  uint64_t hash;                              /* of the file's bytes; corpora record it */
} cz_tokenizer_facts;

CZ_MUST cz_status cz_tokenizer_open(cz_tokenizer **t, const char *path);
CZ_MUST cz_status cz_tokenizer_parse(cz_tokenizer **t, const char *json, size_t n,
                                     const char *name);
void cz_tokenizer_destroy(cz_tokenizer **t);

CZ_MUST cz_status cz_tokenizer_scratch_create(cz_tokenizer_scratch **scratch,
                                              const cz_tokenizer *t);
void cz_tokenizer_scratch_destroy(cz_tokenizer_scratch **scratch);

CZ_MUST cz_status cz_tokenizer_encode(const cz_tokenizer *t, cz_encoding *out, const char *text,
                                      size_t n, bool add_special, cz_tokenizer_scratch *scratch);
CZ_MUST cz_status cz_tokenizer_decode(const cz_tokenizer *t, cz_buf *out, const int32_t *ids,
                                      size_t n, bool skip_special);

const cz_tokenizer_facts *cz_tokenizer_get_facts(const cz_tokenizer *t);
int32_t cz_tokenizer_id(const cz_tokenizer *t, const char *token, size_t n);
const char *cz_tokenizer_token(const cz_tokenizer *t, int32_t id, size_t *n);

void cz_encoding_to_characters(cz_encoding *e, const char *text, size_t n);
void cz_encoding_free(cz_encoding *e);

#endif
