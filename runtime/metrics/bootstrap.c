#include "metrics/bootstrap.h"
#include "metrics/scores.h"

#include <math.h>
#include <stdlib.h>

/** How many numbers an example has of a score of this kind. */
size_t cz_parts_width(cz_parts_kind kind) {
  static const size_t widths[CZ_PARTS_KINDS] = {1, 2, 3, 3, 2, 2, 2 + 2 * CZ_BLEU_ORDERS};
  return widths[kind];
}

static double weight_at(const int32_t *weights, size_t i) { return weights ? weights[i] : 1; }

static double mean_of(const cz_parts *p, const int32_t *weights) {
  double sum = 0, count = 0;
  for (size_t i = 0; i < p->n; i++) {
    if (isnan(p->x[i])) continue;
    sum += weight_at(weights, i) * p->x[i];
    count += weight_at(weights, i);
  }
  return sum / count;
}

static double bleu_of(const cz_parts *p, const int32_t *weights) {
  double sums[2 + 2 * CZ_BLEU_ORDERS] = {0};
  const size_t width = cz_parts_width(CZ_PARTS_BLEU);
  for (size_t i = 0; i < p->n; i++)
    for (size_t k = 0; k < width; k++) sums[k] += weight_at(weights, i) * p->x[i * width + k];
  cz_bleu b = {.predicted_tokens = (int64_t)sums[0], .reference_tokens = (int64_t)sums[1]};
  for (size_t k = 0; k < CZ_BLEU_ORDERS; k++) {
    b.correct[k] = (int64_t)sums[2 + k];
    b.total[k] = (int64_t)sums[2 + CZ_BLEU_ORDERS + k];
  }
  cz_score_bleu_finish(&b);
  return b.score;
}

/* The examples one after another, each as often as its weight says. */
typedef struct drawn {
  double *x, *y;
  int32_t *predicted, *wanted, classes;
  size_t n;
} drawn;

static cz_status draw(drawn *d, const cz_parts *p, const int32_t *weights) {
  const size_t width = cz_parts_width(p->kind);
  size_t room = 0;
  for (size_t i = 0; i < p->n; i++) room += (size_t)weight_at(weights, i);
  CZ_TRY(cz_alloc(&d->x, 2 * room, sizeof *d->x));
  CZ_TRY(cz_alloc(&d->predicted, 2 * room, sizeof *d->predicted));
  d->y = d->x + room;
  d->wanted = d->predicted + room;
  for (size_t i = 0; i < p->n; i++)
    for (int32_t k = (int32_t)weight_at(weights, i); k > 0; k--, d->n++) {
      d->x[d->n] = p->x[i * width];
      d->y[d->n] = p->x[i * width + 1];
    }
  if (p->kind == CZ_PARTS_PEARSON || p->kind == CZ_PARTS_SPEARMAN) return CZ_OK;
  d->classes = width > 2 && p->n ? (int32_t)p->x[2] : 2;
  for (size_t i = 0; i < d->n; i++) {
    d->predicted[i] = (int32_t)d->x[i];
    d->wanted[i] = (int32_t)d->y[i];
  }
  return CZ_OK;
}

static cz_status score_drawn(double *out, const cz_parts *p, const drawn *d) {
  switch (p->kind) {
  case CZ_PARTS_F1: *out = cz_score_f1(d->predicted, d->wanted, d->n, 1); return CZ_OK;
  case CZ_PARTS_MACRO_F1:
    *out = cz_score_f1_macro(d->predicted, d->wanted, d->n, d->classes);
    return CZ_OK;
  case CZ_PARTS_MCC: return cz_score_matthews(out, d->predicted, d->wanted, d->n, d->classes);
  case CZ_PARTS_PEARSON: *out = cz_score_pearson(d->x, d->y, d->n); return CZ_OK;
  case CZ_PARTS_SPEARMAN: return cz_score_spearman(out, d->x, d->y, d->n);
  case CZ_PARTS_MEAN:
  case CZ_PARTS_BLEU:
  case CZ_PARTS_KINDS: break;
  }
  return CZ_FAIL(CZ_EINVAL, "a score of kind %d is not one of drawn examples", (int)p->kind);
}

/** The score of P, as papers print it (shares and correlations times 100), with example i
 * counted WEIGHTS[i] times; WEIGHTS null: once each. NaN where it is not defined (no
 * example is left, a correlation with a constant). */
cz_status cz_parts_score(double *out, const cz_parts *p, const int32_t *weights) {
  drawn d = {0};
  if (p->kind == CZ_PARTS_MEAN) return *out = mean_of(p, weights), CZ_OK;
  if (p->kind == CZ_PARTS_BLEU) return *out = bleu_of(p, weights), CZ_OK;
  *out = NAN;
  cz_status st = draw(&d, p, weights);
  if (st == CZ_OK && d.n) st = score_drawn(out, p, &d);
  *out *= 100;
  free(d.x);
  free(d.predicted);
  return st;
}

/* SplitMix64's mixing function (Steele, Lea and Flood 2014). */
static uint64_t mixed(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
  x = (x ^ x >> 27) * 0x94D049BB133111EBu;
  return x ^ x >> 31;
}

/** How often a cluster counts in a replicate: Poisson with mean 1, from the uniform number
 * that is keyed by (CLUSTER, REPLICATE), by its inverse. */
int32_t cz_bootstrap_weight(uint64_t cluster, uint32_t replicate) {
  double u = (double)(mixed(mixed(cluster) ^ replicate) >> 11) * 0x1p-53;
  double p = 0x1.78b56362cef38p-2 /* exp(-1) */, below = p;
  int32_t k = 0;
  while (u >= below && k < 20) {
    p /= ++k;
    below += p;
  }
  return k;
}

/** The weights of N examples in a replicate; those of one cluster are equal. */
void cz_bootstrap_weights(int32_t *weights, const uint64_t *clusters, size_t n,
                          uint32_t replicate) {
  for (size_t i = 0; i < n; i++) weights[i] = cz_bootstrap_weight(clusters[i], replicate);
}
