/* What inputs and targets are made of once the noise is marked: the second step of the
 * denoising objectives. */
#include "objectives/denoise.h"

#include <stdlib.h>

/** Every token as it is. */
cz_status cz_tokens_all(const cz_objective *o, cz_ids *out, cz_stream *s, const cz_piece *piece,
                        const bool *mask) {
  for (int64_t i = 0; i < piece->n; i++) CZ_TRY(cz_ids_add(out, piece->ids[i]));
  return CZ_OK;
}

/** Only the noise tokens. */
cz_status cz_tokens_noise(const cz_objective *o, cz_ids *out, cz_stream *s, const cz_piece *piece,
                          const bool *mask) {
  for (int64_t i = 0; i < piece->n; i++)
    if (mask[i]) CZ_TRY(cz_ids_add(out, piece->ids[i]));
  return CZ_OK;
}

/** Only the tokens that are not noise. */
cz_status cz_tokens_clear(const cz_objective *o, cz_ids *out, cz_stream *s, const cz_piece *piece,
                          const bool *mask) {
  for (int64_t i = 0; i < piece->n; i++)
    if (!mask[i]) CZ_TRY(cz_ids_add(out, piece->ids[i]));
  return CZ_OK;
}

/** Every token, the noise tokens shuffled among the noise positions. */
cz_status cz_tokens_permuted(const cz_objective *o, cz_ids *out, cz_stream *s,
                             const cz_piece *piece, const bool *mask) {
  cz_ids noise = {0};
  cz_status st;
  CZ_GO(st, cz_tokens_noise(o, &noise, s, piece, mask), done);
  cz_stream_shuffle(s, noise.data, (int64_t)noise.len);
  for (int64_t i = 0, k = 0; i < piece->n; i++)
    CZ_GO(st, cz_ids_add(out, mask[i] ? noise.data[k++] : piece->ids[i]), done);
done:
  free(noise.data);
  return st;
}

/** Every token, each noise token replaced with the shared mask token <extra_id_0>. */
cz_status cz_tokens_masked(const cz_objective *o, cz_ids *out, cz_stream *s, const cz_piece *piece,
                           const bool *mask) {
  for (int64_t i = 0; i < piece->n; i++)
    CZ_TRY(cz_ids_add(out, mask[i] ? o->vocabulary.sentinels[0] : piece->ids[i]));
  return CZ_OK;
}

static bool ordinary(const cz_vocabulary *v, int32_t id) {
  if (id == v->pad || id == v->eos || id == v->unk) return false;
  for (int32_t k = 0; k < v->n_sentinels; k++)
    if (id == v->sentinels[k]) return false;
  return true;
}

/* The released code draws from [3, size), sentinels included, and the paper says no more
 * than "a random token"; `corrected` takes ordinary pieces. */
static int32_t random_token(const cz_objective *o, cz_stream *s) {
  const cz_vocabulary *v = &o->vocabulary;
  for (;;) {
    int32_t id = 3 + (int32_t)cz_stream_below(s, (uint64_t)(v->size - 3));
    if (o->config.fidelity != CZ_FIDELITY_CORRECTED || ordinary(v, id)) return id;
  }
}

/** Every token; a noise token becomes a random token with probability
 * random_token_probability, else the shared mask token <extra_id_0>. */
cz_status cz_tokens_masked_or_random(const cz_objective *o, cz_ids *out, cz_stream *s,
                                     const cz_piece *piece, const bool *mask) {
  for (int64_t i = 0; i < piece->n; i++) {
    int32_t id = piece->ids[i];
    if (mask[i])
      id = cz_stream_uniform(s) < o->config.random_token_probability ? random_token(o, s)
                                                                     : o->vocabulary.sentinels[0];
    CZ_TRY(cz_ids_add(out, id));
  }
  return CZ_OK;
}

/* Sentinel j of an example. The paper wants each unique and no word piece, so it takes
 * enough of them for granted; when an example has more spans, `paper` keeps the second
 * and starts again at the first, and `code` counts on from the last, as the released code
 * does, into ordinary pieces. `corrected` has cleared runs of the mask before. */
static cz_status add_sentinel(const cz_objective *o, cz_ids *out, int64_t j) {
  const cz_vocabulary *v = &o->vocabulary;
  if (j < v->n_sentinels) return cz_ids_add(out, v->sentinels[j]);
  CZ_CHECK(o->config.fidelity != CZ_FIDELITY_CORRECTED);
  if (o->config.fidelity == CZ_FIDELITY_PAPER)
    return cz_ids_add(out, v->sentinels[j % v->n_sentinels]);
  int64_t id = v->sentinels[v->n_sentinels - 1] - (j - v->n_sentinels + 1);
  if (id < 0)
    return CZ_FAIL(CZ_EINVAL, "%s: span %lld has no id left, %d sentinels before it", o->row->name,
                   (long long)j, v->n_sentinels);
  return cz_ids_add(out, (int32_t)id);
}

/* Each maximal run of tokens with mask == HIDDEN becomes one sentinel, numbered from 0;
 * the other tokens stay. */
static cz_status hide_runs(const cz_objective *o, cz_ids *out, const cz_piece *piece,
                           const bool *mask, bool hidden) {
  int64_t run = 0;
  for (int64_t i = 0; i < piece->n; i++) {
    if (mask[i] != hidden)
      CZ_TRY(cz_ids_add(out, piece->ids[i]));
    else if (i == 0 || mask[i - 1] != hidden)
      CZ_TRY(add_sentinel(o, out, run++));
  }
  return CZ_OK;
}

/** The piece with each noise span replaced by its sentinel. */
cz_status cz_tokens_span_inputs(const cz_objective *o, cz_ids *out, cz_stream *s,
                                const cz_piece *piece, const bool *mask) {
  return hide_runs(o, out, piece, mask, true);
}

/** The noise spans and their sentinels. As coded, each run of clear tokens becomes a
 * sentinel: it stands before the span that follows it, closes the targets when the piece
 * ends clear, and stands after its span when the piece begins with noise. `corrected`:
 * sentinel k before span k, always, and one more at the end, always. */
cz_status cz_tokens_span_targets(const cz_objective *o, cz_ids *out, cz_stream *s,
                                 const cz_piece *piece, const bool *mask) {
  if (o->config.fidelity != CZ_FIDELITY_CORRECTED) return hide_runs(o, out, piece, mask, false);
  int64_t span = 0;
  for (int64_t i = 0; i < piece->n; i++) {
    if (!mask[i]) continue;
    if (i == 0 || !mask[i - 1]) CZ_TRY(add_sentinel(o, out, span++));
    CZ_TRY(cz_ids_add(out, piece->ids[i]));
  }
  return add_sentinel(o, out, span);
}
