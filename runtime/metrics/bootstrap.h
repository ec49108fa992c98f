/* Scores of test examples that are drawn again: how far a score would move with another
 * test set of the same kind (Efron 1979).
 *
 * An evaluation leaves, for each example, its part of each score: 0 or 100, the classes
 * that were predicted and wanted, counts of n-grams. cz_parts_score makes the score of
 * them, each example counted as often as its weight says. A replicate gives each cluster
 * of examples (those of one source) a weight of its own, Poisson with mean 1, keyed by
 * (cluster, replicate) alone (Hanley and MacGibbon 2006): two models that are scored on
 * the same examples get the same draw, which pairs them, and the same bits come out
 * whatever else is drawn. */
#ifndef CZ_METRICS_BOOTSTRAP_H
#define CZ_METRICS_BOOTSTRAP_H

#include "base/mem.h"

typedef enum cz_parts_kind {
  CZ_PARTS_MEAN,     /* [x]: the score is the mean; NaN: the record does not count */
  CZ_PARTS_F1,       /* [predicted, wanted] classes; of class 1 */
  CZ_PARTS_MACRO_F1, /* [predicted, wanted, number of classes] */
  CZ_PARTS_MCC,      /* the same */
  CZ_PARTS_PEARSON,  /* [predicted, wanted] numbers */
  CZ_PARTS_SPEARMAN, /* the same */
  CZ_PARTS_BLEU,     /* [output tokens, reference tokens, correct 1-4, total 1-4] */
  CZ_PARTS_KINDS
} cz_parts_kind;

/* The standard error of a standard error from R replicates is about 1 / sqrt(2 R) of it:
 * 2 % here. */
enum { CZ_BOOTSTRAP_REPLICATES = 1000 };

typedef struct cz_parts { /* of one score; borrowed */
  cz_parts_kind kind;
  size_t n;        /* examples */
  const double *x; /* [n][cz_parts_width(kind)] */
} cz_parts;

size_t cz_parts_width(cz_parts_kind kind);
CZ_MUST cz_status cz_parts_score(double *out, const cz_parts *p, const int32_t *weights);
int32_t cz_bootstrap_weight(uint64_t cluster, uint32_t replicate);
void cz_bootstrap_weights(int32_t *weights, const uint64_t *clusters, size_t n, uint32_t replicate);

#endif
