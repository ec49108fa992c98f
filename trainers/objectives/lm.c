/* Causal language modelling (paper 3.2.2; released file lm.gin): no inputs, the targets
 * are the piece. For single-stack models. */
#include "objectives/denoise.h"
#include "objectives/keys.h"

static const cz_key_spec keys[] = {CZ_KEYS_LENGTHS, CZ_KEY_CONCATENATE("joined"), CZ_KEY_FIDELITY};

/* inputs_length stands in for the targets' cap when that is not given, so that one value
 * serves every objective of a table. */
static cz_status solve(cz_objective *o) {
  CZ_TRY(cz_solve_caps(o, o->config.inputs_length));
  o->inputs_cap = 0;
  o->cut.piece_tokens = o->targets_cap - 1;
  o->cut.concatenate = true;
  return CZ_OK;
}

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  return cz_denoise(self, out, piece, NULL, NULL, cz_tokens_all);
}

const cz_objective_row cz_objective_lm = {
    .name = "lm",
    .help = "writes the piece and reads nothing; for single stacks",
    .section = CZ_SECTION("objective", "causal language modelling", keys),
    .solve = solve,
    .corrupt = corrupt,
};
