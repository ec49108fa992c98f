#include "kernels/common/update_cases.h"

enum { MAXIMUM = 4 }; /* parts of a case */

typedef struct shape {
  int ndim;
  int64_t dim[CZ_DIMS];
  bool factored;
} shape;

/* A part behind *FLAT values and *STATE numbers, which grow, with gaps behind both at times. */
static void add(int32_t *row, cz_rand *r, const shape *s, bool timed, int64_t *flat,
                int64_t *state) {
  int64_t count = 1, rows = 1, cols;
  for (int i = 0; i < s->ndim; i++) count *= s->dim[i];
  cols = count;
  if (s->factored) rows = s->dim[s->ndim - 2], cols = s->dim[s->ndim - 1];
  *flat += CZ_FLAT_UNIT * cz_rand_int(r, 0, 1), *state += CZ_FLAT_UNIT * cz_rand_int(r, 0, 1);
  row[CZ_FLAT_OFFSET] = (int32_t)(*flat / CZ_FLAT_UNIT);
  row[CZ_FLAT_ROWS] = (int32_t)rows, row[CZ_FLAT_COLS] = (int32_t)cols;
  row[CZ_FLAT_COUNT] = (int32_t)count;
  row[CZ_FLAT_FLAGS] = s->factored ? CZ_FLAT_FACTORED : 0;
  if (cz_rand_int(r, 0, 1)) row[CZ_FLAT_FLAGS] |= CZ_FLAT_DECAY;
  if (cz_rand_int(r, 0, 2) || timed) row[CZ_FLAT_FLAGS] |= CZ_FLAT_COPY;
  row[CZ_FLAT_STATE] = (int32_t)(*state / CZ_FLAT_UNIT);
  *flat += cz_flat_room(count);
  *state += 2 * cz_flat_room(count) + CZ_FLAT_UNIT; /* enough for either form */
}

static shape draw(cz_rand *r, bool factors, bool small) {
  shape s = {.ndim = (int)cz_rand_int(r, 1, 3)};
  for (int i = 0; i < s.ndim; i++)
    s.dim[i] = small ? cz_rand_int(r, 0, 4) : cz_rand_size(r, s.ndim == 3 ? 11 : 37);
  s.factored = factors && s.ndim > 1 && cz_rand_int(r, 0, 1);
  return s;
}

/** Makes values and gradients, a state of zeros, parts, hyper, and a copy: at times, and where
 * there is one part, as in what is timed. The first part is that of S, further ones are drawn,
 * factored ones only where the op FACTORS. MAXIMUM is that of all parts. What lies between parts is
 * 0. */
void cz_update_case(cz_case *c, cz_rand *r, const cz_update_sizes *s, bool factors,
                    cz_parts_maximum *maximum) {
  const int64_t n = s->parts ? s->parts : cz_rand_int(r, 1, MAXIMUM), hypers = CZ_HYPERS;
  const bool timed = s->parts == 1;
  int32_t *rows = cz_case_int(c, CZ_UPDATE_PARTS, 2, (int64_t[]){n, CZ_FLAT_FIELDS});
  int64_t flat = 0, state = 0;
  *maximum = (cz_parts_maximum){0};
  for (int64_t i = 0; i < n; i++) {
    shape one = {.ndim = s->ndim, .factored = s->factored};
    for (int k = 0; k < s->ndim; k++) one.dim[k] = s->dim[k];
    if (i) one = draw(r, factors, n > MAXIMUM);
    add(rows + i * CZ_FLAT_FIELDS, r, &one, timed, &flat, &state);
    const cz_flat_part p = cz_flat_part_at(rows, i);
    cz_parts_count(maximum, &p);
  }
  double *w = cz_case_real(c, CZ_UPDATE_W, 1, &flat), *g = cz_case_real(c, CZ_UPDATE_G, 1, &flat);
  cz_case_real(c, CZ_UPDATE_STATE, 1, &state);
  if (cz_rand_int(r, 0, 1) || timed) cz_case_normal(c, r, CZ_UPDATE_COPY, 1, &flat, 1);
  for (int64_t i = 0; i < n; i++) {
    const cz_flat_part p = cz_flat_part_at(rows, i);
    for (int64_t k = p.offset; k < p.offset + p.count; k++) {
      w[k] = (float)(s->w * cz_rand_normal(r));
      g[k] = (float)(s->g * cz_rand_normal(r));
    }
  }
  double *hyper = cz_case_real(c, CZ_UPDATE_HYPER, 1, &hypers);
  hyper[CZ_HYPER_RATE] = (float)s->rate, hyper[CZ_HYPER_STEP] = s->step;
  hyper[CZ_HYPER_FACTOR] = (float)cz_rand_real(r, 0.01, 1);
  hyper[CZ_HYPER_KEEP] = s->parts || cz_rand_int(r, 0, 7) > 0;
}

/** Elements of A, an array of CALL, that a call of one part of COUNT elements reads or writes,
 * whose state has so many (cz_op_cases.rows). */
int64_t cz_update_touched(const cz_call *call, const cz_arg *a, int64_t count, int64_t state) {
  if (a == &call->in[CZ_UPDATE_STATE] || a == &call->out[CZ_UPDATE_OUT_STATE]) return state;
  return a == &call->in[CZ_UPDATE_PARTS] || a == &call->in[CZ_UPDATE_HYPER] ? a->dim[0] : count;
}
