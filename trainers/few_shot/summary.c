#include "few_shot/summary.h"
#include "ensemble/ensemble.h"
#include "ensemble/judge.h"
#include "few_shot/candidates.h"
#include "json/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* What is put. */
typedef struct cz__judgement {
  cz_judged judged;
  const cz_examples *examples;
  const int32_t *labels; /* [n] answers */
  size_t n;
} judgement;

static cz_status put_accuracy(json_t *into, const char *key, const judgement *of) {
  return cz_json_set_real(into, key, of->judged.accuracy);
}

static cz_status put_macro_f1(json_t *into, const char *key, const judgement *of) {
  return cz_json_set_real(into, key, of->judged.macro_f1);
}

static cz_status put_ece(json_t *into, const char *key, const judgement *of) {
  return cz_json_set_real(into, key, of->judged.ece);
}

/* A number for each coverage, in per cent. */
static cz_status put_by_coverage(json_t *into, const char *key, const judgement *of,
                                 bool threshold) {
  json_t *object = json_object();
  char name[16];
  CZ_TRY(cz_json_set(into, key, object));
  for (int k = 0; k < CZ_JUDGE_COVERAGES; k++) {
    snprintf(name, sizeof name, "%d", cz_judge_coverages[k]);
    CZ_TRY(cz_json_set_real(object, name,
                            threshold ? of->judged.coverage[k].threshold
                                      : of->judged.coverage[k].accuracy));
  }
  return CZ_OK;
}

/* Accuracy on the most certain part. */
static cz_status put_coverage(json_t *into, const char *key, const judgement *of) {
  return put_by_coverage(into, key, of, false);
}

/* The probability from which on it is that part. */
static cz_status put_abstain_for(json_t *into, const char *key, const judgement *of) {
  return put_by_coverage(into, key, of, true);
}

/* What is answered, and how well, by who abstains below a probability, in per cent. */
static cz_status put_abstain(json_t *into, const char *key, const judgement *of) {
  json_t *all = json_object();
  char name[16];
  CZ_TRY(cz_json_set(into, key, all));
  for (int k = 0; k < CZ_JUDGE_ABSTAINS; k++) {
    json_t *one = json_object();
    snprintf(name, sizeof name, "%d", cz_judge_abstains[k]);
    CZ_TRY(cz_json_set(all, name, one));
    CZ_TRY(cz_json_set_real(one, "coverage", of->judged.abstain[k].coverage));
    CZ_TRY(cz_json_set_real(one, "accuracy", of->judged.abstain[k].accuracy));
  }
  return CZ_OK;
}

/* The bins that have texts. */
static cz_status put_reliability(json_t *into, const char *key, const judgement *of) {
  json_t *list = json_array();
  CZ_TRY(cz_json_set(into, key, list));
  for (int b = 0; b < CZ_JUDGE_BINS; b++) {
    const cz_reliability *r = &of->judged.reliability[b];
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
static cz_status put_shares(json_t *into, const char *key, const judgement *of) {
  const cz_examples *e = of->examples;
  json_t *object = json_object();
  double *shares;
  CZ_TRY(cz_json_set(into, key, object));
  if (e->file->candidates) return CZ_OK; /* a candidate's number says nothing */
  CZ_TRY(cz_alloc(&shares, (size_t)e->classes, sizeof *shares));
  cz_label_shares(shares, of->labels, of->n, e->classes);
  cz_status st = CZ_OK;
  for (int32_t c = 0; c < e->classes && st == CZ_OK; c++)
    st = cz_json_set_real(object, e->file->labels[c], shares[c]);
  free(shares);
  return st;
}

const cz_summary_key cz_summary_keys[CZ_SUMMARY_KEYS] = {{"accuracy", put_accuracy},
                                                         {"macro_f1", put_macro_f1},
                                                         {"ece", put_ece},
                                                         {"coverage", put_coverage},
                                                         {"abstain_for", put_abstain_for},
                                                         {"abstain", put_abstain},
                                                         {"reliability", put_reliability},
                                                         {"shares", put_shares}};

/** Adds to INTO what P [n, C], probabilities of the texts of SET, are worth, under cz_summary_keys:
 * where SET has no labels, null but for the share of each label among the answers. Of candidates
 * there is neither macro-F1 nor shares. */
cz_status cz_summary_judged(json_t *into, const cz_examples *e, const cz_text_set *set,
                            const double *p) {
  judgement of = {.examples = e, .n = set->n};
  int32_t *labels, *wanted;
  cz_status st;
  CZ_TRY(cz_alloc(&labels, 2 * set->n, sizeof *labels));
  wanted = labels + set->n;
  cz_scores_labels(labels, p, set->n, e->classes);
  cz_text_set_wanted(wanted, set, labels, e->classes);
  of.labels = labels;
  CZ_GO(st, cz_judge(&of.judged, p, set->labelled ? wanted : NULL, set->n, e->classes), done);
  if (e->file->candidates) of.judged.macro_f1 = NAN; /* nor does a mean over such numbers */
  for (int k = 0; k < CZ_SUMMARY_KEYS; k++)
    CZ_GO(st, cz_summary_keys[k].put(into, cz_summary_keys[k].name, &of), done);
done:
  free(labels);
  return st;
}
