/* BERT-style denoising (paper 3.3.1; released file iid_15_r10s90_f.gin): each token is
 * noise with probability noise_density; of the noise, a share of random_token_probability
 * becomes random tokens and the rest the mask token <extra_id_0>; the targets are the
 * whole piece. Unlike BERT, no noise token is left as it was on purpose. */
#include "objectives/denoise.h"
#include "objectives/keys.h"

static const cz_key_spec keys[] = {
    CZ_KEYS_LENGTHS, CZ_KEY_DENSITY("0.15", 0, 1),
    CZ_KEY(cz_objective_config, random_token_probability, REAL, .fallback = "0.1", .min = 0,
           .max = 1,
           .help = "share of the noise that becomes random tokens instead of the mask token"),
    CZ_KEY_CONCATENATE("joined"), CZ_KEY_FIDELITY};

static cz_status solve(cz_objective *o) {
  CZ_TRY(cz_need_sentinels(o, 1));
  int32_t special = o->vocabulary.n_sentinels + 3;
  if (o->vocabulary.size - 3 <= special)
    return CZ_FAIL(CZ_EUSAGE,
                   "a vocabulary of %d tokens with %d sentinels has no ordinary token to draw",
                   o->vocabulary.size, special - 3);
  return cz_solve_whole(o, true);
}

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  return cz_denoise(self, out, piece, cz_noise_iid, cz_tokens_masked_or_random, cz_tokens_all);
}

const cz_objective_row cz_objective_bert_style = {
    .name = "bert_style",
    .help = "reads the piece with single tokens masked or replaced at random, writes all of it",
    .section = CZ_SECTION("objective", "BERT-style denoising", keys),
    .solve = solve,
    .corrupt = corrupt,
};
