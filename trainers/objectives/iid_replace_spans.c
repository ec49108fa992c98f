/* I.i.d. noise, spans replaced: T5's baseline (paper 3.1.4; released files iid_10_u_u.gin
 * to iid_50_u_u.gin). Each token is noise with probability noise_density; each maximal
 * run of noise becomes one sentinel in the inputs, and the targets are the runs between
 * their sentinels.
 *
 * `code` takes the targets' cap of the released file for the same density at 512 input
 * tokens; that of 10 % cuts a third of the examples (t5.md 0.6). The paper names no such
 * cap, so `paper` and `corrected` keep all targets: they always fit inputs_length. */
#include "objectives/denoise.h"
#include "objectives/keys.h"

static const cz_key_spec keys[] = {CZ_KEYS_LENGTHS, CZ_KEY_DENSITY("0.15", 0, 1),
                                   CZ_KEY_CONCATENATE("joined"), CZ_KEY_FIDELITY};

static int64_t released_cap(const cz_objective_config *c) {
  static const struct {
    double density;
    int64_t cap;
  } files[] = {{0.10, 103}, {0.15, 192}, {0.25, 256}, {0.50, 512}};
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    if (c->inputs_length == 512 && c->noise_density == files[i].density) return files[i].cap;
  return c->inputs_length;
}

static cz_status solve(cz_objective *o) {
  const cz_objective_config *c = &o->config;
  bool corrected = c->fidelity == CZ_FIDELITY_CORRECTED;
  CZ_TRY(cz_need_sentinels(o, corrected ? 2 : 1));
  CZ_TRY(cz_solve_caps(o, c->fidelity == CZ_FIDELITY_CODE ? released_cap(c) : c->inputs_length));
  o->cut.piece_tokens = o->inputs_cap - 1;
  o->cut.concatenate = true;
  cz_warn_of_sentinels(o, cz_iid_span_limit(o->cut.piece_tokens, c->noise_density));
  return CZ_OK;
}

static cz_status mask(const cz_objective *o, bool *noise, cz_stream *s, int64_t n) {
  CZ_TRY(cz_noise_iid(o, noise, s, n));
  return cz_noise_fit_spans(o, noise, s, n);
}

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  return cz_denoise(self, out, piece, mask, cz_tokens_span_inputs, cz_tokens_span_targets);
}

const cz_objective_row cz_objective_iid_replace_spans = {
    .name = "iid_replace_spans",
    .help = "single tokens are noise; reads sentinels in their place, writes the noise between the "
            "sentinels",
    .section = CZ_SECTION("objective", "i.i.d. noise, spans replaced with sentinels", keys),
    .solve = solve,
    .corrupt = corrupt,
};
