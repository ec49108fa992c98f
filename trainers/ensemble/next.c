#include "ensemble/next.h"
#include "ensemble/agreement.h"
#include "ensemble/near.h"

#include <stdlib.h>

/* The largest disagreement first, ties by the entropy, then by the row. */
static int first_to_label(const void *a, const void *b) {
  const cz_next *x = a, *y = b;
  if (x->votes != y->votes) return x->votes > y->votes ? -1 : 1;
  if (x->entropy != y->entropy) return x->entropy > y->entropy ? -1 : 1;
  return (x->row > y->row) - (x->row < y->row);
}

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* VOTES [n, C]: the members' votes for a text as shares, smallest first: which classes they are for
 * does not matter to their entropy, and must not to its last bit, or ties would be broken by it. */
static cz_status share_votes(double *votes, const cz_ensemble *e) {
  size_t classes = (size_t)e->classes;
  int32_t *labels;
  CZ_TRY(cz_alloc(&labels, e->n_members * e->n, sizeof *labels));
  cz_ensemble_votes(labels, e);
  cz_members_votes(votes, labels, e->n_members, e->n, e->classes);
  for (size_t k = 0; k < e->n * classes; k++) votes[k] /= (double)e->n_members;
  for (size_t i = 0; i < e->n; i++) qsort(votes + i * classes, classes, sizeof *votes, ascending);
  free(labels);
  return CZ_OK;
}

static cz_status rank(cz_next *out, const cz_ensemble *e, const double *mean) {
  size_t classes = (size_t)e->classes;
  double *votes, *p;
  CZ_TRY(cz_alloc(&votes, e->n * classes + classes, sizeof *votes));
  p = votes + e->n * classes;
  cz_status st = share_votes(votes, e);
  for (size_t i = 0; i < e->n && st == CZ_OK; i++) {
    cz_scores_softmax(p, mean + i * classes, 1, e->classes, 1);
    out[i] = (cz_next){(int32_t)i, cz_scores_entropy(votes + i * classes, e->classes),
                       cz_scores_entropy(p, e->classes)};
  }
  free(votes);
  if (st == CZ_OK && e->n) qsort(out, e->n, sizeof *out, first_to_label);
  return st;
}

/** OUT [e->n], of which *N are filled, at most LIMIT: the texts of E in the order in which to
 * label them, by vote entropy (Dagan and Engelson 1995), ties by the entropy of softmax(MEAN [n,
 * C]), then by row; a near-duplicate of an earlier one is left out (near.h, keyed by SEED). FIELDS
 * [n, n_fields] are the texts. The vote entropy of one member is 0 everywhere: the ensemble's
 * decides. CZ_EINVAL and CZ_ENUMERIC as cz_ensemble_check. */
cz_status cz_label_next(cz_next *out, size_t *n, size_t limit, const cz_ensemble *e,
                        const double *mean, const char *const *fields, size_t n_fields,
                        uint64_t seed) {
  cz_near *near = NULL;
  cz_status st;
  *n = 0;
  CZ_TRY(cz_ensemble_check(e));
  if (e->n > INT32_MAX)
    return CZ_FAIL(CZ_EINVAL, "%zu unlabelled texts; at most %d", e->n, INT32_MAX);
  CZ_GO(st, rank(out, e, mean), done);
  CZ_GO(st, cz_near_create(&near, seed), done);
  for (size_t i = 0; i < e->n && *n < limit; i++) {
    bool added;
    CZ_GO(st, cz_near_add(near, &added, fields + (size_t)out[i].row * n_fields, n_fields), done);
    if (added) out[(*n)++] = out[i];
  }
done:
  cz_near_destroy(&near);
  return st;
}
