#include "objectives/denoise.h"
#include "base/log.h"

#include <math.h>
#include <stdlib.h>

static cz_status finish(const cz_objective *o, cz_ids *side, int64_t cap) {
  if ((int64_t)side->len > cap - 1) side->len = (size_t)(cap - 1);
  return cz_ids_add(side, o->vocabulary.eos);
}

/** Makes OUT from PIECE under a given MASK: inputs and targets by their functions (INPUTS
 * null: none), each cut to its cap - 1, EOS appended (t5.md 3.1 step 6). */
cz_status cz_denoise_masked(const cz_objective *o, cz_example *out, const cz_piece *piece,
                            const bool *mask, cz_tokens_fn inputs, cz_tokens_fn targets) {
  cz_stream s;
  cz_stream_init(&s, o->config.seed, "objective tokens", piece->epoch, piece->index);
  cz_example_clear(out);
  if (inputs) {
    CZ_TRY(inputs(o, &out->inputs, &s, piece, mask));
    CZ_TRY(finish(o, &out->inputs, o->inputs_cap));
  }
  CZ_TRY(targets(o, &out->targets, &s, piece, mask));
  return finish(o, &out->targets, o->targets_cap);
}

/** Draws the piece's mask with MASK (null: nothing is noise) and makes OUT; an empty
 * piece gives an empty example, which the reader drops. */
cz_status cz_denoise(const cz_objective *o, cz_example *out, const cz_piece *piece,
                     cz_noise_fn mask, cz_tokens_fn inputs, cz_tokens_fn targets) {
  cz_example_clear(out);
  if (piece->n == 0) return CZ_OK;
  bool *noise;
  CZ_TRY(cz_alloc(&noise, (size_t)piece->n, sizeof *noise));
  cz_stream s;
  cz_stream_init(&s, o->config.seed, "objective mask", piece->epoch, piece->index);
  cz_status st = mask ? mask(o, noise, &s, piece->n) : CZ_OK;
  if (st == CZ_OK) st = cz_denoise_masked(o, out, piece, noise, inputs, targets);
  free(noise);
  return st;
}

/** Sets the caps: inputs_length, and targets_length or, when that is 0, OWN_TARGETS.
 * CZ_EUSAGE when no token fits beside EOS. */
cz_status cz_solve_caps(cz_objective *o, int64_t own_targets) {
  o->inputs_cap = o->config.inputs_length;
  o->targets_cap = o->config.targets_length ? o->config.targets_length : own_targets;
  if (o->inputs_cap < 2)
    return CZ_FAIL(CZ_EUSAGE, "inputs_length %lld leaves no room beside EOS",
                   (long long)o->inputs_cap);
  if (o->targets_cap < 2)
    return CZ_FAIL(CZ_EUSAGE, "targets_length %lld leaves no room beside EOS",
                   (long long)o->targets_cap);
  return CZ_OK;
}

/** Caps and cut of an objective whose targets may be as long as the piece: pieces fill
 * the inputs with EOS; where the targets' cap is smaller, they are cut to it, and
 * `corrected` takes shorter pieces instead. */
cz_status cz_solve_whole(cz_objective *o, bool concatenate) {
  CZ_TRY(cz_solve_caps(o, o->config.inputs_length));
  int64_t room = o->inputs_cap;
  if (o->config.fidelity == CZ_FIDELITY_CORRECTED && o->targets_cap < room) room = o->targets_cap;
  o->cut.piece_tokens = room - 1;
  o->cut.concatenate = concatenate;
  return CZ_OK;
}

/** CZ_EUSAGE unless the tokenizer has N sentinels. */
cz_status cz_need_sentinels(const cz_objective *o, int64_t n) {
  if (o->vocabulary.n_sentinels >= n) return CZ_OK;
  return CZ_FAIL(CZ_EUSAGE, "%s needs %lld sentinel%s (<extra_id_0>, ...); the tokenizer has %d",
                 o->row->name, (long long)n, n == 1 ? "" : "s", o->vocabulary.n_sentinels);
}

/** Says what will happen when pieces may hold more SPANS than the tokenizer has
 * sentinels. */
void cz_warn_of_sentinels(const cz_objective *o, double spans) {
  static const char *const what[] = {"they start again at <extra_id_0>",
                                     "ids run on into ordinary tokens, as in the released code",
                                     "random spans stay clear"};
  if (spans <= o->vocabulary.n_sentinels) return;
  cz_warn("%s: pieces of %lld tokens may need %.0f sentinels, the tokenizer has %d: %s",
          o->row->name, (long long)o->cut.piece_tokens, spans, o->vocabulary.n_sentinels,
          what[o->config.fidelity]);
}

/** A number of spans that few i.i.d. masks of N tokens exceed: mean and three deviations
 * of the count of maximal noise runs, and one that closes. */
double cz_iid_span_limit(int64_t n, double density) {
  double p = density * (1 - density), length = (double)n; /* a run ends where noise meets clear */
  return ceil(length * p + density + 3 * sqrt(length * p * fmax(0, 1 - 3 * p))) + 1;
}
