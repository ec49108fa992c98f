#include "ensemble/sets.h"
#include "device/random.h"

#include <math.h>
#include <stdlib.h>

typedef struct ranked {
  double value;
  int32_t row;
} ranked;

/* The highest first; of equal ones the first row. */
static int highest_first(const void *a, const void *b) {
  const ranked *x = a, *y = b;
  return x->value > y->value ? -1 : x->value < y->value ? 1 : (x->row > y->row) - (x->row < y->row);
}

/* -log(-log u) for an even u in (0, 1): a draw of Gumbel's distribution. */
static double gumbel(cz_stream *s) { return -log(-log1p(-cz_stream_uniform(s))); }

/* Keeps the WANTED of POOL [n] that a sample without replacement takes, whose weights are the
 * exponentials of their values: those of the largest log w + Gumbel noise. This is exact: to take
 * one after another, each with probability w over the sum of what is left, has the same
 * distribution (Efraimidis and Spirakis 2006, whose keys u^(1/w) have this order; Vieira 2014). In
 * logarithms no weight underflows. NOISE [rows] belongs to rows, so that what is drawn for one
 * does not depend on who else is in the pool. Returns how many it took. */
static size_t sample(ranked *pool, size_t n, size_t wanted, const double *noise) {
  for (size_t i = 0; i < n; i++) pool[i].value += noise[pool[i].row];
  qsort(pool, n, sizeof *pool, highest_first);
  return wanted < n ? wanted : n;
}

/* What is known of a text once its teachers were heard, and what was taken. */
typedef struct drawing {
  const cz_ipet_given *given;
  size_t n;
  int32_t classes;
  bool zero_shot;   /* T is empty */
  double *mean;     /* [n, C] */
  double *total;    /* [n] log sum exp of the row: log p_c = mean_c - total */
  double *noise;    /* [n] */
  bool *candidates; /* [n] may be taken still */
  int32_t *label;   /* [n] of highest score */
  int32_t *taken;   /* [n] label it was taken for, or -1 */
  ranked *pool;     /* [n] scratch */
} drawing;

static double log_p(const drawing *d, size_t i, int32_t c) {
  return d->mean[i * (size_t)d->classes + (size_t)c] - d->total[i];
}

/* The texts whose class of highest score is C, with the logarithms of their confidence. */
static size_t pool_of_label(drawing *d, int32_t c) {
  size_t n = 0;
  for (size_t i = 0; i < d->n; i++)
    if (d->candidates[i] && d->label[i] == c) d->pool[n++] = (ranked){log_p(d, i, c), (int32_t)i};
  return n;
}

/* The texts that fit C best, as many as the settings say, or as are wanted if that is more. */
static size_t pool_of_likely(drawing *d, int32_t c, size_t wanted) {
  const cz_ipet *s = d->given->settings;
  bool raw = s->fidelity == CZ_FIDELITY_PAPER;
  size_t n = 0, limit = (size_t)s->likely < wanted ? wanted : (size_t)s->likely;
  for (size_t i = 0; i < d->n; i++)
    if (d->candidates[i])
      d->pool[n++] =
          (ranked){raw ? d->mean[i * (size_t)d->classes + (size_t)c] : log_p(d, i, c), (int32_t)i};
  qsort(d->pool, n, sizeof *d->pool, highest_first);
  if (n > limit) n = limit;
  for (size_t k = 0; k < n; k++) d->pool[k].value = log_p(d, (size_t)d->pool[k].row, c);
  return n;
}

static cz_status begin(drawing *d, cz_arena *arena, const cz_ipet_given *given) {
  size_t n = given->before->n, classes = (size_t)given->before->classes;
  const cz_pool pool = {.hashes = given->hashes, .n = n, .classes = given->before->classes};
  cz_drawn counts;
  *d = (drawing){.given = given, .n = n, .classes = pool.classes, .zero_shot = true};
  for (size_t c = 0; c < classes; c++) d->zero_shot &= given->labelled[c] == 0;
  CZ_TRY(cz_ensemble_check(given->before));
  if (n > INT32_MAX) return CZ_FAIL(CZ_EINVAL, "%zu unlabelled texts; at most %d", n, INT32_MAX);
  CZ_TRY(cz_arena_alloc(arena, &d->mean, n * classes, sizeof *d->mean));
  CZ_TRY(cz_arena_alloc(arena, &d->total, n, sizeof *d->total));
  CZ_TRY(cz_arena_alloc(arena, &d->noise, n, sizeof *d->noise));
  CZ_TRY(cz_arena_alloc(arena, &d->candidates, n, sizeof *d->candidates));
  CZ_TRY(cz_arena_alloc(arena, &d->label, n, sizeof *d->label));
  CZ_TRY(cz_arena_alloc(arena, &d->taken, n, sizeof *d->taken));
  CZ_TRY(cz_arena_alloc(arena, &d->pool, n, sizeof *d->pool));
  return cz_draw_candidates(d->candidates, &counts, &pool, given->in_t);
}

/* Hears the teachers of MEMBER. */
static cz_status hear_teachers(drawing *d, cz_ipet_set *out, cz_arena *arena, size_t member,
                               int64_t generation) {
  const cz_ipet *s = d->given->settings;
  const cz_ensemble *e = d->given->before;
  /* without T nothing is known to weigh by (pet.md 2) */
  cz_weighting weighting = d->zero_shot ? CZ_WEIGHT_UNIFORM : s->weighting;
  double *weights;
  bool *chosen;
  CZ_TRY(cz_arena_alloc(arena, &weights, e->n_members, sizeof *weights));
  CZ_TRY(cz_arena_alloc(arena, &chosen, e->n_members, sizeof *chosen));
  CZ_TRY(cz_ipet_teachers(chosen, &out->teachers, s, e, member, generation));
  CZ_TRY(cz_ensemble_weights(weights, &out->even, e, chosen, weighting, s->fidelity));
  cz_ensemble_mean(d->mean, e, weights);
  cz_scores_labels(d->label, d->mean, d->n, d->classes);
  for (size_t i = 0; i < d->n; i++) {
    const double *x = d->mean + i * (size_t)d->classes, highest = x[d->label[i]];
    double sum = exp(x[0] - highest);
    for (int32_t c = 1; c < d->classes; c++) sum += exp(x[c] - highest);
    d->total[i] = highest + log(sum);
    d->taken[i] = -1;
  }
  return CZ_OK;
}

static void take(drawing *d, size_t n, int32_t c) {
  for (size_t k = 0; k < n; k++) {
    d->taken[d->pool[k].row] = c;
    d->candidates[d->pool[k].row] = false;
  }
}

static cz_status finish(const drawing *d, cz_ipet_set *out, cz_arena *arena) {
  size_t n = 0;
  for (size_t i = 0; i < d->n; i++) n += d->taken[i] >= 0;
  CZ_TRY(cz_arena_alloc(arena, &out->rows, n, sizeof *out->rows));
  CZ_TRY(cz_arena_alloc(arena, &out->labels, n, sizeof *out->labels));
  for (size_t i = 0; i < d->n; i++) {
    if (d->taken[i] < 0) continue;
    out->rows[out->n] = (int32_t)i;
    out->labels[out->n++] = d->taken[i];
  }
  return CZ_OK;
}

/* Takes what each label wants of its pool. */
static void draw_labels(drawing *d, cz_ipet_set *out, size_t member, int64_t generation) {
  const cz_ipet_given *given = d->given;
  const cz_ipet *s = given->settings;
  bool likely = d->zero_shot && generation == 1 && s->likely > 0;
  cz_stream stream;
  cz_stream_init(&stream, s->seed, "iPET, texts", (uint32_t)generation,
                 cz_member_key(&given->before->members[member]));
  for (int32_t c = 0; c < d->classes; c++) {
    size_t wanted = (size_t)out->wanted[c], n;
    if (c == 0 || likely) /* a text may be in the pools of several labels: noise for each */
      for (size_t i = 0; i < d->n; i++) d->noise[i] = gumbel(&stream);
    n = likely ? pool_of_likely(d, c, wanted) : pool_of_label(d, c);
    n = sample(d->pool, n, wanted, d->noise);
    take(d, n, c);
    out->missing[c] = out->wanted[c] - (int64_t)n;
    out->never_added += !d->zero_shot && s->balance == CZ_BALANCE_RATIO && given->labelled[c] == 0;
  }
}

/** Draws the set of MEMBER (as of cz_ipet_teachers) of GENERATION, from 1, of GIVEN; the arena's.
 * It depends on the scores of the generation before and on (seed, generation, pattern, repetition),
 * on nothing else. CZ_EINVAL as cz_ipet_teachers, cz_ensemble_weights and cz_ensemble_check say. */
cz_status cz_ipet_draw(cz_ipet_set *out, cz_arena *arena, const cz_ipet_given *given, size_t member,
                       int64_t generation) {
  cz_arena *scratch = NULL;
  drawing d;
  cz_status st;
  *out = (cz_ipet_set){0};
  CZ_CHECK(generation > 0 && member <= given->before->n_members);
  CZ_TRY(cz_arena_create(&scratch, "a set of iPET"));
  CZ_GO(st, begin(&d, scratch, given), done);
  CZ_GO(st, hear_teachers(&d, out, scratch, member, generation), done);
  CZ_GO(st, cz_arena_alloc(arena, &out->wanted, (size_t)d.classes, sizeof *out->wanted), done);
  CZ_GO(st, cz_arena_alloc(arena, &out->missing, (size_t)d.classes, sizeof *out->missing), done);
  cz_ipet_counts(out->wanted, given->settings, given->labelled, d.classes, generation);
  draw_labels(&d, out, member, generation);
  st = finish(&d, out, arena);
done:
  cz_arena_destroy(&scratch);
  return st;
}
