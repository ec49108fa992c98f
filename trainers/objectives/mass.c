/* MASS-style denoising (paper 3.3.2; released file iid_15_m_f.gin): each token is noise
 * with probability noise_density and becomes the mask token <extra_id_0>; the targets are
 * the whole piece. */
#include "objectives/denoise.h"
#include "objectives/keys.h"

static const cz_key_spec keys[] = {CZ_KEYS_LENGTHS, CZ_KEY_DENSITY("0.15", 0, 1),
                                   CZ_KEY_CONCATENATE("joined"), CZ_KEY_FIDELITY};

static cz_status solve(cz_objective *o) {
  CZ_TRY(cz_need_sentinels(o, 1));
  return cz_solve_whole(o, true);
}

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  return cz_denoise(self, out, piece, cz_noise_iid, cz_tokens_masked, cz_tokens_all);
}

const cz_objective_row cz_objective_mass = {
    .name = "mass",
    .help = "reads the piece with single tokens masked, writes all of it",
    .section = CZ_SECTION("objective", "MASS-style denoising", keys),
    .solve = solve,
    .corrupt = corrupt,
};
