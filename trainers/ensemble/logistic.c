#include "ensemble/logistic.h"
#include "ensemble/ensemble.h"

#include <math.h>
#include <string.h>

/* With w_c and b_c the weights and the intercept of class c, over the classes that have a text,
 *
 *     f = sum_i -log softmax(w x_i + b)_(y_i)  +  r / (2 S) sum_c |w_c|^2
 *
 * where S is the strength. scikit-learn's LogisticRegression(C=S) minimises S f, with r = 1 for
 * three classes and more. For two it has one vector w = w_1 - w_0, and w_1 = -w_0 = w / 2 at the
 * minimum, so that 1/2 |w|^2 is sum_c |w_c|^2: r = 2. Intercepts are not penalised: their sum,
 * which changes nothing, stays 0 when it begins there, since the gradient's is 0.
 *
 * L-BFGS (Nocedal and Wright 2006, algorithm 7.4). f is convex, so that along a direction its slope
 * only grows: a step is found by halving an interval of slopes of either sign. */
enum {
  PAIRS = 12,        /* of steps and changes of the gradient that are remembered */
  ITERATIONS = 5000, /* some hundred are usual */
  HALVINGS = 60
};

/* Of the gradient, relative to the number of texts: where scores are exact to nine digits. */
static const double TOLERANCE = 1e-12;

typedef struct fitting {
  cz_logistic *model;
  const float *x;
  const int32_t *labels;
  size_t n, size; /* texts; parameters */
  double penalty; /* r / S */
  double *p;      /* [C] scratch */
  double *w, *g, *next_w, *next_g, *direction;
  double *s[PAIRS], *y[PAIRS], rho[PAIRS]; /* the newest at iteration % PAIRS */
} fitting;

static double dot(const double *a, const double *b, size_t n) {
  double sum = 0;
  for (size_t i = 0; i < n; i++) sum += a[i] * b[i];
  return sum;
}

static void score(double *scores, const cz_logistic *m, const double *w, const float *x) {
  size_t width = (size_t)m->width;
  for (int32_t c = 0; c < m->classes; c++, w += width + 1) {
    double sum = w[width];
    for (size_t k = 0; k < width; k++) sum += w[k] * (double)x[k];
    scores[c] = m->present[c] ? sum : -INFINITY;
  }
}

/* f at W, and its gradient G. */
static double evaluate(const fitting *f, double *g, const double *w) {
  const cz_logistic *m = f->model;
  size_t width = (size_t)m->width;
  double value = 0;
  memset(g, 0, f->size * sizeof *g);
  for (size_t i = 0; i < f->n; i++) {
    const float *x = f->x + i * width;
    score(f->p, m, w, x);
    cz_scores_softmax(f->p, f->p, 1, m->classes, 1);
    value -= log(fmax(f->p[f->labels[i]], 0x1p-1022));
    for (int32_t c = 0; c < m->classes; c++) {
      double d = f->p[c] - (c == f->labels[i]), *row = g + (size_t)c * (width + 1);
      for (size_t k = 0; k < width && d != 0; k++) row[k] += d * (double)x[k];
      row[width] += d;
    }
  }
  for (size_t k = 0; k < f->size; k++) {
    if (k % (width + 1) == width) continue;
    value += f->penalty / 2 * w[k] * w[k];
    g[k] += f->penalty * w[k];
  }
  return value;
}

/* The direction -H g, H the approximate inverse of the Hessian after AGE iterations. */
static void find_direction(fitting *f, int age) {
  double alpha[PAIRS] = {0}, *q = f->direction;
  int first = age > PAIRS ? age - PAIRS : 0;
  for (size_t k = 0; k < f->size; k++) q[k] = -f->g[k];
  for (int i = age - 1; i >= first; i--) {
    int at = i % PAIRS;
    alpha[at] = f->rho[at] * dot(f->s[at], q, f->size);
    for (size_t k = 0; k < f->size; k++) q[k] -= alpha[at] * f->y[at][k];
  }
  if (age > 0) { /* scaled by the newest curvature */
    int at = (age - 1) % PAIRS;
    double scale = 1 / (f->rho[at] * dot(f->y[at], f->y[at], f->size));
    for (size_t k = 0; k < f->size; k++) q[k] *= scale;
  }
  for (int i = first; i < age; i++) {
    int at = i % PAIRS;
    double beta = f->rho[at] * dot(f->y[at], q, f->size);
    for (size_t k = 0; k < f->size; k++) q[k] += f->s[at][k] * (alpha[at] - beta);
  }
}

/* A step along the direction that makes the slope at most 0.9 of what it is, and f not larger
 * beyond its rounding; next_w and next_g are where it leads. False: no step does, and w is as near
 * as arithmetic gets. */
static bool find_step(fitting *f, double *value, double first) {
  double slope = dot(f->g, f->direction, f->size), low = 0, high = INFINITY, step = first;
  double limit = *value + 1e-12 * fabs(*value);
  for (int i = 0; i < HALVINGS && slope < 0; i++) {
    for (size_t k = 0; k < f->size; k++) f->next_w[k] = f->w[k] + step * f->direction[k];
    double reached = evaluate(f, f->next_g, f->next_w);
    double now = dot(f->next_g, f->direction, f->size);
    if (fabs(now) <= -0.9 * slope && reached <= limit) {
      *value = reached;
      return true;
    }
    if (now < 0)
      low = step;
    else
      high = step;
    step = isinf(high) ? 2 * step : (low + high) / 2;
  }
  return false;
}

/* Remembers the step from w to next_w and takes it; whether it has a curvature to remember. */
static bool take_step(fitting *f, int age) {
  int at = age % PAIRS;
  for (size_t k = 0; k < f->size; k++) {
    f->s[at][k] = f->next_w[k] - f->w[k];
    f->y[at][k] = f->next_g[k] - f->g[k];
  }
  double curvature = dot(f->s[at], f->y[at], f->size);
  memcpy(f->w, f->next_w, f->size * sizeof *f->w);
  memcpy(f->g, f->next_g, f->size * sizeof *f->g);
  f->rho[at] = 1 / curvature;
  return curvature > 0 && isfinite(f->rho[at]);
}

static double largest(const double *g, size_t n) {
  double most = 0;
  for (size_t i = 0; i < n; i++) most = fmax(most, fabs(g[i]));
  return most;
}

static cz_status minimise(fitting *f) {
  cz_logistic *m = f->model;
  double tolerance = TOLERANCE * (double)f->n;
  int age = 0;
  m->objective = evaluate(f, f->g, f->w);
  for (m->iterations = 0; m->iterations < ITERATIONS; m->iterations++) {
    m->gradient = largest(f->g, f->size);
    if (m->gradient <= tolerance) return CZ_OK;
    find_direction(f, age);
    double first = age ? 1 : 1 / fmax(1, sqrt(dot(f->g, f->g, f->size)));
    if (find_step(f, &m->objective, first))
      age = take_step(f, age) ? age + 1 : 0;
    else if (age)
      age = 0; /* along the gradient itself */
    else
      break;
  }
  /* rounding may keep the gradient above what was aimed at */
  if (m->gradient <= 1e4 * tolerance) return CZ_OK;
  return CZ_FAIL(CZ_ENUMERIC,
                 "logistic regression on %zu vectors of %d numbers does not converge: after %d "
                 "iterations the gradient is %g, not %g; vectors of length near 1 would",
                 f->n, m->width, m->iterations, m->gradient, tolerance);
}

static cz_status check(const cz_logistic *m, const float *x, const int32_t *labels, size_t n,
                       double strength) {
  if (n == 0 || m->width < 1 || m->classes < 1)
    return CZ_FAIL(CZ_EINVAL, "logistic regression on %zu vectors of %d numbers for %d classes", n,
                   m->width, m->classes);
  if (!(strength > 0 && isfinite(strength)))
    return CZ_FAIL(CZ_EINVAL, "logistic regression with strength %g; above 0", strength);
  for (size_t i = 0; i < n; i++)
    if (labels[i] < 0 || labels[i] >= m->classes)
      return CZ_FAIL(CZ_EINVAL, "vector %zu has class %d of %d", i, labels[i], m->classes);
  for (size_t k = 0; k < n * (size_t)m->width; k++)
    if (!isfinite(x[k]))
      return CZ_FAIL(CZ_ENUMERIC, "number %zu of vector %zu is %g", k % (size_t)m->width,
                     k / (size_t)m->width, (double)x[k]);
  return CZ_OK;
}

static cz_status allocate(fitting *f, cz_arena *arena) {
  double **all[] = {&f->g, &f->next_w, &f->next_g, &f->direction};
  CZ_TRY(cz_arena_alloc(arena, &f->p, (size_t)f->model->classes, sizeof *f->p));
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    CZ_TRY(cz_arena_alloc(arena, all[i], f->size, sizeof **all[i]));
  for (int i = 0; i < PAIRS; i++) {
    CZ_TRY(cz_arena_alloc(arena, &f->s[i], f->size, sizeof *f->s[i]));
    CZ_TRY(cz_arena_alloc(arena, &f->y[i], f->size, sizeof *f->y[i]));
  }
  return CZ_OK;
}

/** Fits multinomial logistic regression with an L2 penalty, by a fixed sequence of operations from
 * weights of 0, to X [n, width] of the classes LABELS [n]. STRENGTH is scikit-learn's C, 1 by
 * default: less means a larger penalty. A class without a vector is never predicted. The model is
 * the arena's. CZ_EINVAL for no vector, a class that does not exist, a strength that is not
 * positive; CZ_ENUMERIC for a number that is not finite and where it does not converge. */
cz_status cz_logistic_fit(cz_logistic *out, cz_arena *arena, const float *x, const int32_t *labels,
                          size_t n, int32_t width, int32_t classes, double strength) {
  cz_arena *scratch = NULL;
  int32_t present = 0;
  cz_status st;
  *out = (cz_logistic){.classes = classes, .width = width};
  CZ_TRY(check(out, x, labels, n, strength));
  fitting f = {.model = out, .x = x, .labels = labels, .n = n};
  f.size = (size_t)classes * ((size_t)width + 1);
  CZ_TRY(cz_arena_alloc(arena, &out->present, (size_t)classes, sizeof *out->present));
  CZ_TRY(cz_arena_alloc(arena, &out->weights, f.size, sizeof *out->weights));
  for (size_t i = 0; i < n; i++) out->present[labels[i]] = true;
  for (int32_t c = 0; c < classes; c++) present += out->present[c];
  f.penalty = (present == 2 ? 2 : 1) / strength;
  f.w = out->weights;
  CZ_TRY(cz_arena_create(&scratch, "logistic regression"));
  CZ_GO(st, allocate(&f, scratch), done);
  st = minimise(&f);
done:
  cz_arena_destroy(&scratch);
  return st;
}

/** SCORES [n, C] of X [n, width]: w_c x + b_c, logits; minus infinity for a class that no vector
 * was of. */
void cz_logistic_scores(double *scores, const cz_logistic *model, const float *x, size_t n) {
  for (size_t i = 0; i < n; i++)
    score(scores + i * (size_t)model->classes, model, model->weights, x + i * (size_t)model->width);
}
