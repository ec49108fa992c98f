/* Prefix language modelling (paper 3.3.1; released file prefix_lm.gin): a piece is split
 * at a random point, the first part is read and the rest is written. As in the
 * released code documents are not joined, so that some examples are short, unless the key
 * `concatenate` says so. */
#include "objectives/denoise.h"
#include "objectives/keys.h"

static const cz_key_spec keys[] = {CZ_KEYS_LENGTHS, CZ_KEY_DENSITY("0.5", 0, 0.5),
                                   CZ_KEY_CONCATENATE("not joined"), CZ_KEY_FIDELITY};

static cz_status solve(cz_objective *o) { return cz_solve_whole(o, false); }

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  return cz_denoise(self, out, piece, cz_noise_prefix, cz_tokens_noise, cz_tokens_clear);
}

const cz_objective_row cz_objective_prefix_lm = {
    .name = "prefix_lm",
    .help = "reads the first part of a piece and writes the rest; noise_density is the expected "
            "share of the rest",
    .section = CZ_SECTION("objective", "prefix language modelling", keys),
    .solve = solve,
    .corrupt = corrupt,
};
