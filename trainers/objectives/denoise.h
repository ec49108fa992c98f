/* Building blocks of the objectives (docs/t5.md 3.2 and 3.4): a mask says which
 * tokens of a piece are noise, two token functions make inputs and targets from piece and
 * mask, and cz_denoise joins them, cuts to the caps and appends EOS. */
#ifndef CZ_OBJECTIVES_DENOISE_H
#define CZ_OBJECTIVES_DENOISE_H

#include "device/random.h"
#include "objectives/objective.h"

/* A mask function fills MASK[n], zeroed, with true where the token is noise. */
typedef cz_status (*cz_noise_fn)(const cz_objective *o, bool *mask, cz_stream *s, int64_t n);

/* A token function appends to OUT what it makes of the piece. */
typedef cz_status (*cz_tokens_fn)(const cz_objective *o, cz_ids *out, cz_stream *s,
                                  const cz_piece *piece, const bool *mask);

/* Masks. Each draws from the stream it is given and from nothing else, so two objectives
 * that use one mask function with equal parameters hide the same tokens of a piece (t5.md
 * 3.2). */
CZ_MUST cz_status cz_noise_iid(const cz_objective *o, bool *mask, cz_stream *s, int64_t n);
CZ_MUST cz_status cz_noise_prefix(const cz_objective *o, bool *mask, cz_stream *s, int64_t n);
void cz_noise_random_spans(bool *mask, cz_stream *s, int64_t n, double density, double mean_length);
CZ_MUST cz_status cz_noise_rotate(bool *mask, cz_stream *s, int64_t n);
CZ_MUST cz_status cz_noise_subsample(bool *mask, cz_stream *s, int64_t n, int64_t spans,
                                     int64_t tokens, int64_t per_span);
CZ_MUST cz_status cz_noise_fit_spans(const cz_objective *o, bool *mask, cz_stream *s, int64_t n);

/* Random spans: how many, and the length solver. */
typedef struct cz_span_lengths {
  int64_t raw;             /* tokens of a piece */
  int64_t noise, spans;    /* in a piece of that length */
  int64_t inputs, targets; /* tokens with sentinels and EOS */
} cz_span_lengths;

/* A piece of n tokens has round(n density) noise tokens in round(noise / mean length)
 * spans, both at least 1 and kept so that clear and noisy spans can alternate; every span
 * becomes one sentinel in the inputs and one before its tokens in the targets. The solver
 * finds the longest piece whose inputs still fit (t5.md 3.4). */
void cz_span_counts(int64_t *noise, int64_t *spans, int64_t n, double density, double mean_length);
void cz_span_solve(cz_span_lengths *out, int64_t inputs_length, double density, double mean_length,
                   int64_t extra);

/* Token functions. */
CZ_MUST cz_status cz_tokens_all(const cz_objective *o, cz_ids *out, cz_stream *s,
                                const cz_piece *piece, const bool *mask);
CZ_MUST cz_status cz_tokens_noise(const cz_objective *o, cz_ids *out, cz_stream *s,
                                  const cz_piece *piece, const bool *mask);
CZ_MUST cz_status cz_tokens_clear(const cz_objective *o, cz_ids *out, cz_stream *s,
                                  const cz_piece *piece, const bool *mask);
CZ_MUST cz_status cz_tokens_permuted(const cz_objective *o, cz_ids *out, cz_stream *s,
                                     const cz_piece *piece, const bool *mask);
CZ_MUST cz_status cz_tokens_masked(const cz_objective *o, cz_ids *out, cz_stream *s,
                                   const cz_piece *piece, const bool *mask);
CZ_MUST cz_status cz_tokens_masked_or_random(const cz_objective *o, cz_ids *out, cz_stream *s,
                                             const cz_piece *piece, const bool *mask);
CZ_MUST cz_status cz_tokens_span_inputs(const cz_objective *o, cz_ids *out, cz_stream *s,
                                        const cz_piece *piece, const bool *mask);
CZ_MUST cz_status cz_tokens_span_targets(const cz_objective *o, cz_ids *out, cz_stream *s,
                                         const cz_piece *piece, const bool *mask);

/* Whole objectives. */
CZ_MUST cz_status cz_denoise(const cz_objective *o, cz_example *out, const cz_piece *piece,
                             cz_noise_fn mask, cz_tokens_fn inputs, cz_tokens_fn targets);
CZ_MUST cz_status cz_denoise_masked(const cz_objective *o, cz_example *out, const cz_piece *piece,
                                    const bool *mask, cz_tokens_fn inputs, cz_tokens_fn targets);

/* Rules that solve functions share. */
CZ_MUST cz_status cz_solve_caps(cz_objective *o, int64_t own_targets);
CZ_MUST cz_status cz_solve_whole(cz_objective *o, bool concatenate);
CZ_MUST cz_status cz_need_sentinels(const cz_objective *o, int64_t n);
void cz_warn_of_sentinels(const cz_objective *o, double spans);
double cz_iid_span_limit(int64_t n, double density);

#endif
