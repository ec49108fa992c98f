#include "heads.h"

#include <math.h>
#include <stdlib.h>

const int32_t ids[TOKENS] = {5, 9, 4, 7, 22, 30, 8, 9, 9, 12, 28, 6, 17, 3, 25, 11, 4},
              spans[2 * TEXTS] = {0, 6, 6, 12, 12, 17},
              types[TOKENS] = {0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1};

const cz_graph_run_options keyed = {.key = {.seed = 5, .step = 2}, .training = true};

/** A small model of NAME's family with all heads that it has. */
cz_model *model_with(const char *name, cz_device *device, int64_t labels) {
  const cz_family *f;
  cz_model *m;
  OK(cz_family_find(&f, name));
  cz_model_config c = f->defaults;
  c.family = f;
  c.vocab_size = V, c.d_model = 12, c.d_kv = 4, c.n_heads = 3, c.d_ff = 14, c.n_labels = labels;
  c.n_layers = c.n_decoder_layers = 2, c.n_positions = POSITIONS + c.pad_id + 1;
  if (cz_family_key(f, CZ_FACT_D_EMBEDDING)) c.d_embedding = 5;
  c.init_factor = 0.3;
  c.heads = cz_family_heads(f);
  OK(cz_model_create(&m, &c, device));
  OK(cz_params_init(m->params, 11));
  return m;
}

/** The same with a number a class. */
cz_model *model_of(const char *name, cz_device *device) { return model_with(name, device, C); }

/** The three texts as M reads them, for HEADS. */
cz_feed batch_of(const cz_model *m, const cz_net_head_feed *heads) {
  return (cz_feed){.segments = TEXTS,
                   .decoder = {ids, spans, TOKENS, m->config.n_types > 1 ? types : NULL},
                   .heads = heads};
}

/** All gradients, in the order of the parameters; the caller frees them. */
double *gradients(const cz_model *m) {
  double *g = calloc((size_t)m->params->flat, sizeof *g);
  assert_non_null(g);
  for (size_t i = 0; i < m->params->n; i++) {
    const cz_param *p = m->params->list[i];
    OK(cz_device_read_real(m->device, g + p->offset, p->grad, p->count));
  }
  return g;
}

/** GOT is WANT, relative to it where it is large; a NaN is not. */
void near(const char *what, double got, double want, double tolerance) {
  if (!(fabs(got - want) <= tolerance * (1 + fabs(want))))
    fail_msg("%s: %.12g, not %.12g", what, got, want);
}

static void move(const cz_model *m, const double *from, const double *along, double by) {
  double *x = calloc((size_t)m->params->flat, sizeof *x);
  for (int64_t i = 0; i < m->params->flat; i++) x[i] = from[i] + by * along[i];
  for (size_t i = 0; i < m->params->n; i++) {
    const cz_param *p = m->params->list[i];
    OK(cz_device_write_real(m->device, p->value, x + p->offset, p->count));
  }
  cz_params_values_written(m->params);
  free(x);
}

/** M's gradients, which were just computed, along a random direction against central differences of
 * LOSS. ALL: each parameter has one that is not 0. */
void check_derivative(cz_model *m, cz_rand *r, double (*loss)(void *self), void *self, bool all) {
  const char *family = m->config.family->name;
  double *g = gradients(m), *x = calloc((size_t)m->params->flat, sizeof *x),
         *dir = calloc((size_t)m->params->flat, sizeof *dir), want = 0, best = INFINITY;
  for (size_t i = 0; i < m->params->n; i++) {
    const cz_param *p = m->params->list[i];
    OK(cz_device_read_real(m->device, x + p->offset, p->value, p->count));
    double size = 0;
    for (int64_t k = 0; k < p->count; k++) {
      dir[p->offset + k] = cz_rand_normal(r);
      want += dir[p->offset + k] * g[p->offset + k];
      size += fabs(g[p->offset + k]);
    }
    if (all && !(size > 0) && p != m->decoder.types) fail_msg("%s: %s gets none", family, p->name);
  }
  for (double h = 1e-4; h > 1e-6; h /= 10) {
    double side[2];
    for (int i = 0; i < 2; i++) {
      move(m, x, dir, i ? -h : h);
      side[i] = loss(self);
    }
    best = fmin(best, fabs((side[0] - side[1]) / (2 * h) - want));
  }
  if (!(best <= 1e-6 * (1 + fabs(want))))
    fail_msg("%s: derivative %.12g is off by %.3g", family, want, best);
  free(g);
  free(x);
  free(dir);
}
