#include "training/flops.h"

/* Per token: q, k, v and o products, 8 D HK; scores and their use against N keys, 4 N
 * HK. */
static double attention(const cz_model_config *c, double keys) {
  double inner = (double)(c->n_heads * c->d_kv);
  return 8 * (double)c->d_model * inner + 4 * keys * inner;
}

static double feed_forward(const cz_model_config *c) {
  return (c->gated ? 6 : 4) * (double)c->d_model * (double)c->d_ff;
}

/* The last block of N tokens of which READ rows are needed: keys and values are of all. */
static double last_block(const cz_model_config *c, double n, double read) {
  const double k_and_v = 4 * (double)c->d_model * (double)(c->n_heads * c->d_kv);
  return n * k_and_v + read * (attention(c, n) - k_and_v + feed_forward(c));
}

/* A single stack on N tokens. */
static double single_stack(const cz_model_config *c, double n, double read) {
  const double blocks = (double)cz_model_blocks(c), one = n * (attention(c, n) + feed_forward(c));
  return read > 0 && cz_model_reads_rows(c) ? (blocks - 1) * one + last_block(c, n, read)
                                            : blocks * one;
}

/** FLOP of the matrix products of one forward pass, a multiplication and an addition
 * counted as two; causal halves are not discounted. With B segments of S inputs and T
 * targets, inner = H K:
 *
 *   encoder   L B S (8 D inner + 4 S inner + 4 D F)
 *
 *   decoder   L B (T (8 D inner + 4 T inner + 4 D F)
 *                  + T (4 D inner + 4 S inner) + S 4 D inner)
 *
 *             its last two terms are cross-attention: q and o for each target, k and v
 *             for each input
 *
 *   output    2 D V for each position that is predicted
 *
 * A gated feed-forward has 6 D F. A single stack runs L blocks over S + T tokens; of an encoder's
 * last one heads need their rows alone, and of all tokens keys and values. The maps that some
 * families have before and behind their blocks, [D, E] and [E, D], are not counted.
 * docs/t5.md 6.5. */
double cz_flops_forward(const cz_model_config *c, const cz_step_shape *s) {
  double D = (double)c->d_model, inner = (double)(c->n_heads * c->d_kv), S = s->inputs,
         T = s->targets, n = S + T;
  double row = 2 * (double)cz_model_embedding_width(c) * (double)c->vocab_size;
  if (c->family->architecture != CZ_ENCODER_DECODER)
    return s->segments * (single_stack(c, n, s->read) + row * (s->loss_on_inputs ? n : T));
  double encoder = (double)c->n_layers * S * (attention(c, S) + feed_forward(c));
  double cross = T * (4 * D * inner + 4 * S * inner) + S * 4 * D * inner;
  double decoder = (double)c->n_decoder_layers * (T * (attention(c, T) + feed_forward(c)) + cross);
  return s->segments * (encoder + decoder + row * T);
}

/** FLOP of a training step: the forward pass, and twice as much for the gradients of
 * inputs and weights. Recomputation is not counted. */
double cz_flops_step(const cz_model_config *c, const cz_step_shape *s) {
  return 3 * cz_flops_forward(c, s);
}
