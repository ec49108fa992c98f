/* Text to token ids and back, exactly as a Hugging Face `tokenizer.json` says (models.md
 * 5): the file is run as written, never rebuilt from a name.
 *
 * A tokenizer never changes after it is opened, so any number of threads may encode with
 * one, each with a scratch of its own. */
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
  cz_text_span *offsets; /* what each token stands for, of its own text; 0, 0 for tokens that the
                            post-processor adds */
  int32_t *types;        /* type ids: of BERT, 0 for the first text and 1 for the second */
  size_t n, ids_cap, offsets_cap, types_cap;
  size_t begin[2]; /* the token at which the first and the second text begin; n: it is not there */
} cz_encoding;

/* Zero: the text's own tokens, added ones found in it, offsets in bytes. */
typedef struct cz_encode_options {
  bool add_special; /* what the post-processor puts around texts: [CLS], [SEP], </s> */
  bool text_only;   /* "[MASK]" or "</s>" in a text is text: no special token is found in it */
  bool no_special;  /* nor does the model make one of it: vocabularies of Unigram and WordLevel hold
                       "</s>" as a piece, which the Hugging Face library takes and sentencepiece
                       does not */
  bool truncate;    /* as the file's `truncation` says */
  bool characters;  /* offsets count code points, as the Python library does, not bytes */
} cz_encode_options;

typedef struct cz_tokenizer_facts {
  int32_t size;                               /* ids, added tokens included: 0 .. size - 1 */
  int32_t pad, eos, unk, mask, cls, sep, bos; /* special tokens; -1: there is none */
  int64_t max_length;                         /* of the file's truncation; -1: it has none */
  uint64_t bytes;                             /* of the tokenizer.json */
  uint64_t hash;                              /* of the file's bytes; corpora record it */
} cz_tokenizer_facts;

CZ_MUST cz_status cz_tokenizer_read(cz_buf *json, const char *path);
CZ_MUST cz_status cz_tokenizer_open(cz_tokenizer **t, const char *path);
CZ_MUST cz_status cz_tokenizer_parse(cz_tokenizer **t, const char *json, size_t n,
                                     const char *name);
CZ_MUST cz_status cz_tokenizer_json_of_folder(cz_buf *json, const char *folder);
bool cz_tokenizer_reads(const char *name);
void cz_tokenizer_destroy(cz_tokenizer **t);

CZ_MUST cz_status cz_tokenizer_scratch_create(cz_tokenizer_scratch **scratch,
                                              const cz_tokenizer *t);
void cz_tokenizer_scratch_destroy(cz_tokenizer_scratch **scratch);

CZ_MUST cz_status cz_tokenizer_encode(const cz_tokenizer *t, cz_encoding *out, const char *text,
                                      size_t n, cz_encode_options options,
                                      cz_tokenizer_scratch *scratch);
CZ_MUST cz_status cz_tokenizer_encode_pair(const cz_tokenizer *t, cz_encoding *out, const char *a,
                                           size_t n_a, const char *b, size_t n_b,
                                           cz_encode_options options,
                                           cz_tokenizer_scratch *scratch);
CZ_MUST cz_status cz_tokenizer_assemble(const cz_tokenizer *t, cz_encoding *out, const int32_t *a,
                                        size_t n_a, const int32_t *b, size_t n_b, bool pair);
size_t cz_tokenizer_added(const cz_tokenizer *t, bool pair);
CZ_MUST cz_status cz_tokenizer_decode(const cz_tokenizer *t, cz_buf *out, const int32_t *ids,
                                      size_t n, bool skip_special);

const cz_tokenizer_facts *cz_tokenizer_get_facts(const cz_tokenizer *t);
enum { CZ_SPECIAL_TOKENS = 7 };
int32_t cz_tokenizer_special(const cz_tokenizer *t, size_t i, const char **key);
int32_t cz_tokenizer_id(const cz_tokenizer *t, const char *token, size_t n);
const char *cz_tokenizer_token(const cz_tokenizer *t, int32_t id, size_t *n);

void cz_encoding_free(cz_encoding *e);

#endif
