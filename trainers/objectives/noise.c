/* Which tokens of a piece are noise: the first step of the denoising objectives. */
#include "objectives/denoise.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** Each token is noise with probability noise_density, independently. May mark nothing. */
cz_status cz_noise_iid(const cz_objective *o, bool *mask, cz_stream *s, int64_t n) {
  for (int64_t i = 0; i < n; i++) mask[i] = cz_stream_uniform(s) < o->config.noise_density;
  return CZ_OK;
}

/** Marks a prefix: its length is uniform in [max(1, rint((1 - 2 noise_density)(n - 1))),
 * n - 1]; nothing when n is 1. noise_density, at most 0.5, is the expected share of what
 * is not marked. */
cz_status cz_noise_prefix(const cz_objective *o, bool *mask, cz_stream *s, int64_t n) {
  int64_t maximum = n - 1,
          minimum = (int64_t)rintf((1 - 2 * (float)o->config.noise_density) * (float)maximum);
  if (minimum < 1) minimum = 1;
  if (minimum > maximum) minimum = maximum;
  int64_t k = minimum + (int64_t)cz_stream_below(s, (uint64_t)(maximum - minimum) + 1);
  for (int64_t i = 0; i < k; i++) mask[i] = true;
  return CZ_OK;
}

/** How many tokens are noise, and in how many spans, in a piece of N tokens (t5.md 3.4).
 * Products in float32 and halves to even, as TensorFlow does; at densities where that
 * many spans leave no room between them, as many as fit. */
void cz_span_counts(int64_t *noise, int64_t *spans, int64_t n, double density, double mean_length) {
  int64_t length = n < 2 ? 2 : n, k = (int64_t)rintf((float)length * (float)density);
  if (k < 1) k = 1;
  if (k > length - 1) k = length - 1;
  int64_t s = (int64_t)rintf((float)k / (float)mean_length),
          maximum = k < length - k ? k : length - k;
  if (s < 1) s = 1;
  *noise = k;
  *spans = s < maximum ? s : maximum;
}

/* State of a walk over one uniform composition of `items` into `parts` positive integers:
 * of the items - 1 gaps between items, parts - 1 are cut, chosen one after the other
 * (selection sampling, Knuth 3.4.2 algorithm S). */
typedef struct composition {
  int64_t gaps, cuts;
} composition;

static int64_t next_part(composition *c, cz_stream *s) {
  int64_t length = 1;
  while (c->gaps > 0) {
    bool cut = c->cuts > 0 && (int64_t)cz_stream_below(s, (uint64_t)c->gaps) < c->cuts;
    c->gaps--;
    c->cuts -= cut;
    if (cut) break;
    length++;
  }
  return length;
}

/** Random spans (t5.md 3.4): clear and noise runs alternate, clear first, each kind a
 * uniform composition. The first token is never noise, the last always is, except in a
 * piece of one token, which stays clear. */
void cz_noise_random_spans(bool *mask, cz_stream *s, int64_t n, double density,
                           double mean_length) {
  int64_t length = n < 2 ? 2 : n, noise, spans;
  cz_span_counts(&noise, &spans, n, density, mean_length);
  composition clear = {length - noise - 1, spans - 1}, dirty = {noise - 1, spans - 1};
  for (int64_t at = 0, span = 0; span < spans; span++) {
    at += next_part(&clear, s);
    for (int64_t end = at + next_part(&dirty, s); at < end; at++)
      if (at < n) mask[at] = true;
  }
}

/** Rotates the mask by a uniform offset. */
cz_status cz_noise_rotate(bool *mask, cz_stream *s, int64_t n) {
  bool *turned;
  CZ_TRY(cz_alloc(&turned, (size_t)n, sizeof *turned));
  int64_t offset = (int64_t)cz_stream_below(s, (uint64_t)n);
  for (int64_t i = 0; i < n; i++) turned[(i + offset) % n] = mask[i];
  memcpy(mask, turned, (size_t)n * sizeof *mask);
  free(turned);
  return CZ_OK;
}

/** Clears noise runs, picked at random, until at most SPANS are left and noise tokens +
 * PER_SPAN x runs are at most TOKENS. Does nothing, and draws nothing, when that holds
 * already. */
cz_status cz_noise_subsample(bool *mask, cz_stream *s, int64_t n, int64_t spans, int64_t tokens,
                             int64_t per_span) {
  int64_t runs = 0, noise = 0;
  for (int64_t i = 0; i < n; i++) {
    noise += mask[i];
    runs += mask[i] && (i == 0 || !mask[i - 1]);
  }
  if (runs <= spans && noise + per_span * runs <= tokens) return CZ_OK;
  int32_t *starts;
  CZ_TRY(cz_alloc(&starts, (size_t)runs, sizeof *starts));
  for (int64_t i = 0, k = 0; i < n; i++)
    if (mask[i] && (i == 0 || !mask[i - 1])) starts[k++] = (int32_t)i;
  cz_stream_shuffle(s, starts, runs);
  while (runs > 0 && (runs > spans || noise + per_span * runs > tokens)) {
    runs--;
    for (int64_t i = starts[runs]; i < n && mask[i]; i++, noise--) mask[i] = false;
  }
  free(starts);
  return CZ_OK;
}

/** What `corrected` does to the mask of an objective with sentinels: clears runs until every
 * span has one, with one to close the targets, and the targets fit their cap with EOS.
 * The other modes leave it alone. */
cz_status cz_noise_fit_spans(const cz_objective *o, bool *mask, cz_stream *s, int64_t n) {
  if (o->config.fidelity != CZ_FIDELITY_CORRECTED) return CZ_OK;
  return cz_noise_subsample(mask, s, n, o->vocabulary.n_sentinels - 1, o->targets_cap - 2, 1);
}

static cz_span_lengths lengths_of(int64_t raw, double density, double mean_length, int64_t extra) {
  cz_span_lengths f = {.raw = raw};
  cz_span_counts(&f.noise, &f.spans, raw, density, mean_length);
  f.inputs = raw - f.noise + f.spans + extra + 1;
  f.targets = f.noise + f.spans + extra + 1;
  return f;
}

/** The longest piece whose inputs, EOS included, have at most INPUTS_LENGTH tokens (t5.md
 * 3.4). EXTRA: sentinels that either side may need beyond one per span. At density 0.5
 * the piece is a token shorter when the targets would be longer than the inputs. */
void cz_span_solve(cz_span_lengths *out, int64_t inputs_length, double density, double mean_length,
                   int64_t extra) {
  int64_t raw = inputs_length - 1 - extra;
  while (lengths_of(raw + 1, density, mean_length, extra).inputs <= inputs_length) raw++;
  *out = lengths_of(raw, density, mean_length, extra);
  if (density == 0.5 && out->targets > out->inputs)
    *out = lengths_of(raw - 1, density, mean_length, extra);
}
