#include "few_shot/summary.h"
#include "ensemble/ensemble.h"
#include "ensemble/judge.h"
#include "json/json.h"

#include <stdio.h>
#include <stdlib.h>

/* Accuracy on the most certain part, and the probability from which on it is that part. */
static cz_status put_coverage(json_t *into, const cz_judged *j) {
  json_t *object = json_object(), *from = json_object();
  char name[16];
  CZ_TRY(cz_json_set(into, "coverage", object));
  CZ_TRY(cz_json_set(into, "abstain_for", from));
  for (int k = 0; k < CZ_JUDGE_COVERAGES; k++) {
    snprintf(name, sizeof name, "%d", cz_judge_coverages[k]);
    CZ_TRY(cz_json_set_real(object, name, j->coverage[k].accuracy));
    CZ_TRY(cz_json_set_real(from, name, j->coverage[k].threshold));
  }
  return CZ_OK;
}

/* What is answered, and how well, by who abstains below a probability, in per cent. */
static cz_status put_abstain(json_t *into, const cz_judged *j) {
  json_t *all = json_object();
  char name[16];
  CZ_TRY(cz_json_set(into, "abstain", all));
  for (int k = 0; k < CZ_JUDGE_ABSTAINS; k++) {
    json_t *one = json_object();
    snprintf(name, sizeof name, "%d", cz_judge_abstains[k]);
    CZ_TRY(cz_json_set(all, name, one));
    CZ_TRY(cz_json_set_real(one, "coverage", j->abstain[k].coverage));
    CZ_TRY(cz_json_set_real(one, "accuracy", j->abstain[k].accuracy));
  }
  return CZ_OK;
}

/* The bins that have texts. */
static cz_status put_reliability(json_t *into, const cz_judged *j) {
  json_t *list = json_array();
  CZ_TRY(cz_json_set(into, "reliability", list));
  for (int b = 0; b < CZ_JUDGE_BINS; b++) {
    const cz_reliability *r = &j->reliability[b];
    json_t *bin = r->n ? json_object() : NULL;
    if (!bin) continue;
    CZ_TRY(cz_json_add(list, bin));
    CZ_TRY(cz_json_set_real(bin, "confidence", r->confidence));
    CZ_TRY(cz_json_set_real(bin, "accuracy", r->accuracy));
    CZ_TRY(cz_json_set_int(bin, "texts", (int64_t)r->n));
  }
  return CZ_OK;
}

/* The share of each label among the answers. */
static cz_status put_shares(json_t *into, const cz_examples *e, const int32_t *labels, size_t n) {
  json_t *object = json_object();
  double *shares;
  CZ_TRY(cz_json_set(into, "shares", object));
  CZ_TRY(cz_alloc(&shares, (size_t)e->classes, sizeof *shares));
  cz_label_shares(shares, labels, n, e->classes);
  cz_status st = CZ_OK;
  for (int32_t c = 0; c < e->classes && st == CZ_OK; c++)
    st = cz_json_set_real(object, e->file->labels[c], shares[c]);
  free(shares);
  return st;
}

/** Adds to INTO what P [n, C], probabilities of the texts of SET, are worth: accuracy, macro_f1,
 * ece, coverage, abstain_for, abstain, reliability (null where SET has no labels), and the share of
 * each label among the answers. */
cz_status cz_summary_judged(json_t *into, const cz_examples *e, const cz_text_set *set,
                            const double *p) {
  cz_judged judged;
  int32_t *labels;
  cz_status st;
  CZ_TRY(cz_alloc(&labels, set->n, sizeof *labels));
  cz_scores_labels(labels, p, set->n, e->classes);
  CZ_GO(st, cz_judge(&judged, p, set->labelled ? set->labels : NULL, set->n, e->classes), done);
  CZ_GO(st, cz_json_set_real(into, "accuracy", judged.accuracy), done);
  CZ_GO(st, cz_json_set_real(into, "macro_f1", judged.macro_f1), done);
  CZ_GO(st, cz_json_set_real(into, "ece", judged.ece), done);
  CZ_GO(st, put_coverage(into, &judged), done);
  CZ_GO(st, put_abstain(into, &judged), done);
  CZ_GO(st, put_reliability(into, &judged), done);
  st = put_shares(into, e, labels, set->n);
done:
  free(labels);
  return st;
}
