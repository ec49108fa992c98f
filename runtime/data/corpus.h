/* Writing corpora: HDF5 files of token ids that are built once and read by reader.h
 * (format: corpus_format.h).
 *
 * A corpus holds documents, each a list of tokens. No EOS is stored: objectives append it
 * after trimming. This folder knows no tokenizer, so whoever builds passes a function
 * that encodes. */
#ifndef CZ_DATA_CORPUS_H
#define CZ_DATA_CORPUS_H

#include "data/example.h"

/* Appends the ids of N bytes of text to OUT, without EOS. Called from one thread. */
typedef cz_status (*cz_encode_fn)(const void *self, cz_ids *out, const char *text, size_t n);

/* Where one document ends and the next begins. */
typedef enum cz_corpus_split { CZ_SPLIT_BLANK_LINE, CZ_SPLIT_LINE } cz_corpus_split;

/* What a corpus is bound to: ids mean nothing without the tokenizer that made them, so a
 * corpus carries its hash and is refused with any other. */
typedef struct cz_corpus_vocabulary {
  uint64_t hash; /* of the tokenizer; a reader with another one refuses the corpus */
  int64_t size;  /* ids are below this */
} cz_corpus_vocabulary;

/* A corpus from text files: every file is cut into documents, each is encoded and
 * added. */
typedef struct cz_corpus_job {
  cz_corpus_split split;
  cz_corpus_vocabulary vocabulary;
  cz_encode_fn encode;
  const void *encoder; /* `self` of encode */
  const char *const *files;
  size_t n_files;
} cz_corpus_job;

typedef struct cz_corpus_totals {
  int64_t documents, tokens;
  int64_t bytes; /* of text read */
} cz_corpus_totals;

/* The whole way from text to file, in one call and one pass; memory for one document and
 * one chunk. */
CZ_MUST cz_status cz_corpus_build(const char *path, cz_corpus_totals *totals,
                                  const cz_corpus_job *job);

/* The same file written piece by piece, by callers whose tokens do not come from text
 * files. */
typedef struct cz_corpus_writer cz_corpus_writer;

CZ_MUST cz_status cz_corpus_create(cz_corpus_writer **w, const char *path,
                                   cz_corpus_vocabulary vocabulary);
CZ_MUST cz_status cz_corpus_add_source(cz_corpus_writer *w, const char *name, uint64_t bytes,
                                       uint64_t hash);
CZ_MUST cz_status cz_corpus_add(cz_corpus_writer *w, const cz_ids *document);
CZ_MUST cz_status cz_corpus_commit(cz_corpus_writer **w, cz_corpus_totals *totals);
void cz_corpus_abandon(cz_corpus_writer **w);

#endif
