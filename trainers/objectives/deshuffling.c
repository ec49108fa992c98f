/* Deshuffling (paper 3.3.1; released file all_permute.gin): reads the piece's tokens in
 * random order, writes the piece. The whole piece is shuffled, not sentence by sentence;
 * with noise_density below 1 only the i.i.d. noise tokens change places. As in the
 * released code documents are not joined, unless the key `concatenate` says so. */
#include "objectives/denoise.h"
#include "objectives/keys.h"

static const cz_key_spec keys[] = {CZ_KEYS_LENGTHS, CZ_KEY_DENSITY("1", 0, 1),
                                   CZ_KEY_CONCATENATE("not joined"), CZ_KEY_FIDELITY};

static cz_status solve(cz_objective *o) { return cz_solve_whole(o, false); }

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  return cz_denoise(self, out, piece, cz_noise_iid, cz_tokens_permuted, cz_tokens_all);
}

const cz_objective_row cz_objective_deshuffling = {
    .name = "deshuffling",
    .help = "reads the piece's tokens in random order, writes them in order",
    .section = CZ_SECTION("objective", "deshuffling", keys),
    .solve = solve,
    .corrupt = corrupt,
};
