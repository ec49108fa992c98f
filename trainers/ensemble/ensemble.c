#include "ensemble/ensemble.h"

#include <math.h>
#include <string.h>

const char *const cz_weighting_names[] = {"uniform", "weighted", NULL};

static cz_status check_member(const cz_ensemble *e, size_t i) {
  const cz_member *m = &e->members[i], *before = i ? m - 1 : NULL;
  if (m->pattern < 0 || m->repetition < 0 || m->pattern > 0xffff || m->repetition > 0xffff)
    return CZ_FAIL(CZ_EINVAL, "member %zu: pattern %d, repetition %d; both are from 0 to 65535", i,
                   m->pattern, m->repetition);
  if (before && (before->pattern > m->pattern ||
                 (before->pattern == m->pattern && before->repetition >= m->repetition)))
    return CZ_FAIL(CZ_EINVAL,
                   "member p%d-r%d comes after p%d-r%d: members are in ascending order of pattern "
                   "and repetition, each once",
                   m->pattern, m->repetition, before->pattern, before->repetition);
  for (size_t k = 0; k < e->n * (size_t)e->classes; k++)
    if (!isfinite(m->scores[k]))
      return CZ_FAIL(CZ_ENUMERIC, "member p%d-r%d: the score of text %zu for class %zu is %g",
                     m->pattern, m->repetition, k / (size_t)e->classes, k % (size_t)e->classes,
                     (double)m->scores[k]);
  return CZ_OK;
}

/** CZ_EINVAL when E has no member or no class, or its members are not in order; CZ_ENUMERIC for
 * a score that is not finite, with its member, text and class. */
cz_status cz_ensemble_check(const cz_ensemble *e) {
  if (e->n_members == 0) return CZ_FAIL(CZ_EINVAL, "an ensemble of no members");
  if (e->classes < 1) return CZ_FAIL(CZ_EINVAL, "an ensemble for %d classes", e->classes);
  for (size_t i = 0; i < e->n_members; i++) CZ_TRY(check_member(e, i));
  return CZ_OK;
}

/** The class of the highest of a member's SCORES [C]; of equal ones the first. */
int32_t cz_member_label(const float *scores, int32_t classes) {
  int32_t best = 0;
  for (int32_t c = 1; c < classes; c++)
    if (scores[c] > scores[best]) best = c;
  return best;
}

/** LABELS [n_members, n]: cz_member_label of each text by each member of E. */
void cz_ensemble_votes(int32_t *labels, const cz_ensemble *e) {
  for (size_t m = 0; m < e->n_members; m++)
    for (size_t i = 0; i < e->n; i++)
      *labels++ = cz_member_label(e->members[m].scores + i * (size_t)e->classes, e->classes);
}

static double raw_weight(const cz_member *m, cz_weighting weighting) {
  return weighting == CZ_WEIGHT_ACCURACY ? m->accuracy : 1;
}

/** WEIGHTS [n_members], w(p) / Z: what each member of E counts in the mean; they add up to 1. Those
 * that CHOSEN (null: all) leaves out weigh 0. Source: pet.md 1.5.
 *
 * When the accuracies of all chosen are 0, Z is 0: `paper` and `corrected` then weigh them alike
 * and set *EVEN, since with ten labelled texts and a pattern of little use that is no rare case;
 * `code` fails, as its `np.average` does. CZ_EINVAL when none is chosen, for an accuracy that is
 * no share, and for the weights of an ensemble that had no T to measure them on. */
cz_status cz_ensemble_weights(double *weights, bool *even, const cz_ensemble *e, const bool *chosen,
                              cz_weighting weighting, cz_fidelity fidelity) {
  double sum = 0;
  size_t n = 0;
  *even = false;
  for (size_t i = 0; i < e->n_members; i++) {
    const cz_member *m = &e->members[i];
    weights[i] = 0;
    if (chosen && !chosen[i]) continue;
    double w = raw_weight(m, weighting);
    if (isnan(w))
      return CZ_FAIL(
          CZ_EINVAL,
          "member p%d-r%d has no accuracy before training to weigh it by, since there is "
          "no labelled text: `uniform` is right here",
          m->pattern, m->repetition);
    if (!(w >= 0 && w <= 1))
      return CZ_FAIL(CZ_EINVAL, "member p%d-r%d has the accuracy %g, which is no share", m->pattern,
                     m->repetition, w);
    sum += weights[i] = w;
    n++;
  }
  if (!n) return CZ_FAIL(CZ_EINVAL, "the mean of no member: none of %zu was chosen", e->n_members);
  if (sum == 0 && fidelity == CZ_FIDELITY_CODE)
    return CZ_FAIL(
        CZ_EINVAL,
        "all %zu members weigh 0: no pattern named a right class of a labelled text before "
        "training. `fidelity: code` fails here as the published code does; `paper` weighs "
        "them alike",
        n);
  *even = sum == 0;
  for (size_t i = 0; i < e->n_members; i++)
    weights[i] = !*even ? weights[i] / sum : !chosen || chosen[i] ? 1 / (double)n : 0;
  return CZ_OK;
}

/** MEAN [n, C] = sum over members of WEIGHTS [n_members] times their raw scores, summed in the
 * order of the members. Raw: a member whose scores spread wider counts more (pet.md 1.5). */
void cz_ensemble_mean(double *mean, const cz_ensemble *e, const double *weights) {
  size_t size = e->n * (size_t)e->classes;
  memset(mean, 0, size * sizeof *mean);
  for (size_t i = 0; i < e->n_members; i++)
    for (size_t k = 0; k < size && weights[i] != 0; k++)
      mean[k] += weights[i] * (double)e->members[i].scores[k];
}

/** P [n, C] = softmax(SCORES / TEMPERATURE) by rows; may be the same array. With PET's
 * temperature of 2 these are the soft targets of distillation (pet.md 1.5). A score of minus
 * infinity has probability 0, where another one is finite. */
void cz_scores_softmax(double *p, const double *scores, size_t n, int32_t classes,
                       double temperature) {
  for (size_t i = 0; i < n; i++, p += classes, scores += classes) {
    double highest = scores[cz_scores_label(scores, classes)], sum = 0;
    for (int32_t c = 0; c < classes; c++) sum += p[c] = exp((scores[c] - highest) / temperature);
    for (int32_t c = 0; c < classes; c++) p[c] /= sum;
  }
}

/** The class of the highest of SCORES [C]; of equal ones the first, as `np.argmax` has it. */
int32_t cz_scores_label(const double *scores, int32_t classes) {
  int32_t best = 0;
  for (int32_t c = 1; c < classes; c++)
    if (scores[c] > scores[best]) best = c;
  return best;
}

/** LABELS [n]: cz_scores_label of each row of SCORES [n, C]. */
void cz_scores_labels(int32_t *labels, const double *scores, size_t n, int32_t classes) {
  for (size_t i = 0; i < n; i++) labels[i] = cz_scores_label(scores + i * (size_t)classes, classes);
}

/** -sum p log p of P [C], in nats; 0 log 0 is 0. */
double cz_scores_entropy(const double *p, int32_t classes) {
  double sum = 0;
  for (int32_t c = 0; c < classes; c++)
    if (p[c] > 0) sum -= p[c] * log(p[c]);
  return sum;
}

/** TEMPERATURE^2 times the mean entropy of the soft TARGETS [n, C]: what the cross-entropy that
 * `label_words` reports exceeds the Kullback-Leibler divergence by that the published code prints
 * (pet.md 1.5). `fidelity: code` reports the loss less this. NaN when N is 0. */
double cz_soft_targets_entropy(const double *targets, size_t n, int32_t classes,
                               double temperature) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += cz_scores_entropy(targets + i * (size_t)classes, classes);
  return temperature * temperature * sum / (double)n;
}

/** SHARES [C]: the share of each class among LABELS [n]; zeros when N is 0. */
void cz_label_shares(double *shares, const int32_t *labels, size_t n, int32_t classes) {
  memset(shares, 0, (size_t)classes * sizeof *shares);
  for (size_t i = 0; i < n; i++) shares[labels[i]]++;
  for (int32_t c = 0; c < classes && n; c++) shares[c] /= (double)n;
}
