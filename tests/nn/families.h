/* Fixtures of scripts/make_family_fixtures.py: a folder's batch as a net reads it, and what Hugging
 * Face computes on it. */
#ifndef CZ_TESTS_NN_FAMILIES_H
#define CZ_TESTS_NN_FAMILIES_H

#include "common/common.h"
#include "checkpoint/safetensors.h"
#include "nn/hf.h"
#include "nn/net.h"

#define FAMILIES CZ_SOURCE_DIR "/tests/fixtures/families"

enum { TOKENS = 256, TEXTS = 8 };

typedef struct texts {
  int32_t ids[TOKENS], types[TOKENS], targets[TOKENS], spans[2 * TEXTS];
  int32_t rows[TEXTS]; /* that a classifier reads */
  int64_t segments, tokens;
  bool has_types, classes; /* targets are one for each segment */
} texts;

void texts_read(texts *t, const char *folder, const cz_model_config *c);
void texts_one(texts *out, const texts *t, int64_t segment, const cz_model_config *c);

/* A net with the head that the folder's class has, and what it is fed. */
cz_net *net_for(cz_model *m, const texts *t, cz_net_options o);
void feed_texts(cz_net *net, const texts *t, double denominator);
double counted_of(const texts *t);

/* Owned by the caller, [*n]. */
double *expected_of(cz_safetensors *s, const char *name, int64_t *n);
/* Logits of all texts one behind the other, of a classifier its scores. */
double *logits_of(cz_net *net, const texts *t, int64_t *n);
/* All gradients as float64, laid out like the list. */
double *gradients_of(const cz_model *m);

#endif
