/* Pairs of texts as examples: for fine-tuning and evaluation. */
#include "data/source.h"
#include "device/random.h"

#include <stdlib.h>

static cz_status end_pair(cz_pairs *p) {
  CZ_TRY(cz_grow(&p->inputs_end, &p->inputs_cap, p->count + 1, sizeof *p->inputs_end));
  CZ_TRY(cz_grow(&p->targets_end, &p->targets_cap, p->count + 1, sizeof *p->targets_end));
  p->inputs_end[p->count] = p->inputs.len;
  p->targets_end[p->count] = p->targets.len;
  p->count++;
  return CZ_OK;
}

/** Copies one pair to the end of P, both without EOS. */
cz_status cz_pairs_add(cz_pairs *p, const int32_t *inputs, int64_t n_inputs, const int32_t *targets,
                       int64_t n_targets) {
  CZ_TRY(cz_ids_append(&p->inputs, inputs, n_inputs));
  CZ_TRY(cz_ids_append(&p->targets, targets, n_targets));
  return end_pair(p);
}

/** Frees the lists and empties P. */
void cz_pairs_free(cz_pairs *p) {
  free(p->inputs.data);
  free(p->targets.data);
  free(p->inputs_end);
  free(p->targets_end);
  *p = (cz_pairs){0};
}

typedef struct shuffled {
  const cz_pairs *pairs;
  int32_t eos;
  uint64_t seed;
  bool planned;
  uint32_t epoch;
  int32_t *order; /* [pairs] */
} shuffled;

static cz_status pairs_count(void *self, uint64_t *n, uint32_t epoch) {
  (void)epoch;
  *n = ((shuffled *)self)->pairs->count;
  return CZ_OK;
}

static void plan(shuffled *s, uint32_t epoch) {
  if (s->planned && s->epoch == epoch) return;
  cz_stream r;
  cz_stream_init(&r, s->seed, "data.pairs", epoch, 0);
  for (size_t i = 0; i < s->pairs->count; i++) s->order[i] = (int32_t)i;
  cz_stream_shuffle(&r, s->order, (int64_t)s->pairs->count);
  s->epoch = epoch;
  s->planned = true;
}

static cz_status copy_part(cz_ids *out, const cz_ids *all, const uint64_t *end, int32_t pair,
                           int32_t eos) {
  uint64_t begin = pair ? end[pair - 1] : 0;
  CZ_TRY(cz_ids_append(out, all->data + begin, (int64_t)(end[pair] - begin)));
  return cz_ids_add(out, eos);
}

static cz_status pairs_get(void *self, cz_example *out, uint32_t epoch, uint64_t index) {
  shuffled *s = self;
  plan(s, epoch);
  CZ_CHECK(index < s->pairs->count);
  int32_t pair = s->order[index];
  cz_example_clear(out);
  CZ_TRY(copy_part(&out->inputs, &s->pairs->inputs, s->pairs->inputs_end, pair, s->eos));
  CZ_TRY(copy_part(&out->targets, &s->pairs->targets, s->pairs->targets_end, pair, s->eos));
  out->text = (int64_t)(out->inputs.len + out->targets.len) - 2; /* both end with EOS */
  return CZ_OK;
}

static void pairs_destroy(void *self) {
  free(((shuffled *)self)->order);
  free(self);
}

/** A source of PAIRS in a new order each epoch, EOS appended to inputs and targets. PAIRS
 * is borrowed and must not grow until the source is destroyed. CZ_EINVAL when there are
 * none. Tasks of one mixture should get different seeds. */
cz_status cz_source_pairs(cz_source *out, const cz_pairs *pairs, int32_t eos, uint64_t seed) {
  *out = (cz_source){0};
  if (pairs->count < 1 || pairs->count > INT32_MAX)
    return CZ_FAIL(CZ_EINVAL, "%zu pairs are no task to train on", pairs->count);
  shuffled *s;
  CZ_TRY(cz_alloc(&s, 1, sizeof *s));
  *s = (shuffled){.pairs = pairs, .eos = eos, .seed = seed};
  cz_status st = cz_alloc(&s->order, pairs->count, sizeof *s->order);
  if (st != CZ_OK) {
    free(s);
    return st;
  }
  *out = (cz_source){.self = s, .count = pairs_count, .get = pairs_get, .destroy = pairs_destroy};
  return CZ_OK;
}
