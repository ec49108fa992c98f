/* Random spans (paper 3.3.4; released files span_2_15_u_u.gin to span_10_15_u_u.gin): the
 * number of noise tokens and of spans is fixed by the length of the piece, their places
 * are random; spans become sentinels as in iid_replace_spans. The raw length is solved so
 * that inputs fill inputs_length.
 *
 * As coded, a piece never begins with noise and always ends with it, so no sentinel
 * closes the targets, against the paper's own example (t5.md 0.4); the paper's text does
 * not say where spans lie, so `paper` is as coded. `corrected` rotates the mask by a
 * random offset: a span may then be split over both ends, which costs a sentinel, and one
 * more closes the targets; lengths are solved with room for them. */
#include "objectives/denoise.h"
#include "objectives/keys.h"

static const cz_key_spec keys[] = {CZ_KEYS_LENGTHS, CZ_KEY_DENSITY("0.15", 0.001, 0.95),
                                   CZ_KEY(cz_objective_config, mean_noise_span_length, REAL,
                                          .fallback = "3", .min = 1, .max = 1000, .unit = "tokens",
                                          .help = "mean length of a span of noise"),
                                   CZ_KEY_CONCATENATE("joined"), CZ_KEY_FIDELITY};

static cz_status solve(cz_objective *o) {
  const cz_objective_config *c = &o->config;
  int64_t split =
      c->fidelity ==
      CZ_FIDELITY_CORRECTED; /* 1: a span may be split, and a sentinel closes the targets */
  cz_span_lengths f;
  cz_span_solve(&f, c->inputs_length, c->noise_density, c->mean_noise_span_length, split);
  CZ_TRY(cz_need_sentinels(o, split ? f.spans + 2 : 1));
  CZ_TRY(cz_solve_caps(o, f.targets + split));
  o->cut.piece_tokens = f.raw;
  o->cut.concatenate = true;
  cz_warn_of_sentinels(o, (double)f.spans);
  return CZ_OK;
}

static cz_status mask(const cz_objective *o, bool *noise, cz_stream *s, int64_t n) {
  cz_noise_random_spans(noise, s, n, o->config.noise_density, o->config.mean_noise_span_length);
  if (o->config.fidelity == CZ_FIDELITY_CORRECTED) CZ_TRY(cz_noise_rotate(noise, s, n));
  return cz_noise_fit_spans(o, noise, s, n);
}

static cz_status corrupt(const void *self, const cz_piece *piece, cz_example *out) {
  return cz_denoise(self, out, piece, mask, cz_tokens_span_inputs, cz_tokens_span_targets);
}

const cz_objective_row cz_objective_random_spans = {
    .name = "random_spans",
    .help =
        "random spans are noise; reads a sentinel for each, writes the spans between the sentinels",
    .section = CZ_SECTION("objective", "random spans replaced with sentinels", keys),
    .solve = solve,
    .corrupt = corrupt,
};
