/* I.i.d. noise, tokens dropped (paper 3.3.2; released file iid_15_d_d.gin): reads what is
 * left of the piece, writes what was dropped, with no mark of where it stood.
 *
 * `code` takes the released cap of 104 target tokens (at 15 % of 512, about one example
 * in 1,700 is cut); the paper names none, so `paper` has room for all, and so has
 * `corrected`, which clears random runs when an explicit targets_length is too small. */
#include "objectives/denoise.h"
#include "objectives/keys.h"

static const cz_key_spec keys[] = {CZ_KEYS_LENGTHS, CZ_KEY_DENSITY("0.15", 0, 1),
                                   CZ_KEY_CONCATENATE("joined"), CZ_KEY_FIDELITY};

static cz_status solve(cz_objective *o) {
  const cz_objective_config *c = &o->config;
  bool released =
      c->fidelity == CZ_FIDELITY_CODE && c->inputs_length == 512 && c->noise_density == 0.15;
  CZ_TRY(cz_solve_caps(o, released ? 104 : c->inputs_length));
  o->cut.piece_tokens = o->inputs_cap - 1;
  o->cut.concatenate = true;
  return CZ_OK;
}

static cz_status mask(const cz_objective *o, bool *noise, cz_stream *s, int64_t n) {
  CZ_TRY(cz_noise_iid(o, noise, s, n));
  if (o->config.fidelity != CZ_FIDELITY_CORRECTED) return CZ_OK;
  return cz_noise_subsample(noise, s, n, n, o->targets_cap - 1, 0);
}

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  return cz_denoise(self, out, piece, mask, cz_tokens_clear, cz_tokens_noise);
}

const cz_objective_row cz_objective_iid_drop_tokens = {
    .name = "iid_drop_tokens",
    .help = "single tokens are noise; reads the others, writes the noise",
    .section = CZ_SECTION("objective", "i.i.d. noise, tokens dropped", keys),
    .solve = solve,
    .corrupt = corrupt,
};
