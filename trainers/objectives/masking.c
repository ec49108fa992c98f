#include "objectives/masking.h"
#include "device/random.h"

#include <stdlib.h>

const cz_masking cz_masking_bert = {.density = 0.15, .random = 0.1, .kept = 0.1};

/** How objective O masks. Borrows O. */
cz_masking cz_masking_of(const cz_objective *o) {
  return (cz_masking){.vocabulary = &o->vocabulary,
                      .density = o->config.noise_density,
                      .random = o->config.random_token_probability,
                      .kept = o->config.kept_token_probability,
                      .fidelity = o->config.fidelity,
                      .seed = o->config.seed};
}

/** CZ_EUSAGE when objective O can't mask: shares above one, or no token to put there. */
cz_status cz_masking_check(const cz_objective *o) {
  const cz_objective_config *c = &o->config;
  if (c->random_token_probability + c->kept_token_probability > 1)
    return CZ_FAIL(CZ_EUSAGE,
                   "%s: random_token_probability %g and kept_token_probability %g are more than "
                   "all of the chosen tokens",
                   o->row->name, c->random_token_probability, c->kept_token_probability);
  CZ_TRY(cz_need_token(o->row, o->vocabulary.cls, "a token before a text ([CLS], <s>)"));
  CZ_TRY(cz_need_token(o->row, o->vocabulary.sep, "a token behind a text ([SEP], </s>)"));
  return cz_need_token(o->row, o->vocabulary.mask, "a mask token ([MASK], <mask>)");
}

/* Marks in ELIGIBLE [ids] the tokens that may be chosen under M's fidelity. */
static void mark_eligible(bool *eligible, const cz_masking *m, const cz_ids *ids) {
  const cz_vocabulary *v = m->vocabulary;
  for (size_t i = 0; i < ids->len; i++) {
    const int32_t id = ids->data[i];
    const bool around = id == v->cls || id == v->sep,
               role = id == v->mask || id == v->pad || id == v->eos;
    eligible[i] = !around && (m->fidelity == CZ_FIDELITY_CODE || !role);
  }
}

static int32_t replacement(const cz_masking *m, cz_stream *s, int32_t id) {
  const double u = cz_stream_uniform(s);
  if (u < m->kept) return id;
  if (u < m->kept + m->random) return (int32_t)cz_stream_below(s, (uint64_t)m->vocabulary->size);
  return m->vocabulary->mask;
}

/* Masks E in place, choosing among the inputs that ELIGIBLE [inputs] marks; its labels are
 * then as long as its inputs. EPOCH and NUMBER key the draws. */
static cz_status mask_tokens(cz_example *e, const cz_masking *m, const bool *eligible,
                             uint32_t epoch, uint32_t number) {
  cz_stream s;
  cz_stream_init(&s, m->seed, "masked tokens", epoch, number);
  e->labels.len = 0;
  for (size_t i = 0; i < e->inputs.len; i++) {
    int32_t *id = &e->inputs.data[i];
    const bool chosen = eligible[i] && cz_stream_uniform(&s) < m->density;
    CZ_TRY(cz_ids_add(&e->labels, chosen ? *id : CZ_NOT_COUNTED));
    if (chosen) *id = replacement(m, &s, *id);
  }
  return CZ_OK;
}

/** Appends padding to E up to LENGTH tokens, as the published PET code does with every text:
 * its attention reads none of it, and its masks fall on it (pet.md 1.2). Before masking. CZ_EINVAL
 * for a longer example, or one with labels already; CZ_EUSAGE without a padding token. */
cz_status cz_pad_example(cz_example *e, const cz_vocabulary *v, int64_t length) {
  if ((int64_t)e->inputs.len > length || e->labels.len)
    return CZ_FAIL(CZ_EINVAL, "an example of %zu tokens and %zu labels can't be padded to %lld",
                   e->inputs.len, e->labels.len, (long long)length);
  if (v->pad < 0) return CZ_FAIL(CZ_EUSAGE, "padding: the tokenizer names no padding token");
  while ((int64_t)e->inputs.len < length) {
    CZ_TRY(cz_ids_add(&e->inputs, v->pad));
    if (e->types.len) CZ_TRY(cz_ids_add(&e->types, 0));
    e->padding++;
  }
  return CZ_OK;
}

/** Pads E to MASKING's length (a cz_masking) and masks it in place, under its rule of eligible
 * tokens. */
cz_status cz_mask_example(const void *masking, cz_example *e, uint32_t epoch, uint32_t number) {
  const cz_masking *m = masking;
  bool *eligible;
  if (m->length) CZ_TRY(cz_pad_example(e, m->vocabulary, m->length));
  CZ_TRY(cz_alloc(&eligible, e->inputs.len, sizeof *eligible));
  mark_eligible(eligible, masking, &e->inputs);
  cz_status st = mask_tokens(e, masking, eligible, epoch, number);
  free(eligible);
  return st;
}
