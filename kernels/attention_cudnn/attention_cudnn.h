/* Scaled dot-product attention by NVIDIA's cuDNN: attention without a relative bias, without
 * dropout and without a prefix, on CUDA cards alone. The host has the oracle and nothing else, so
 * that a graph which asks for cuDNN is never computed by another path in silence.
 *
 * Inputs:
 *
 *     q [Tq, H*K]      queries, heads side by side in a row
 *     k [Tk, H*K]      keys
 *     v [Tk, H*K]      values
 *     q_spans [B, 2]   int32 (begin, end) rows of each query segment
 *     k_spans [B, 2]   int32, the key segment that the query segment with the same number reads
 *
 * cuDNN is told of segments by where each begins, so these must be in order and without gaps: the
 * first begins at row 0, each at the end of the one before it, the last ends with the array; and
 * none is empty or longer than the attributes say. Batches of training and of scoring are like
 * that (cz_net_feed checks it); the caches of a decoder and the beams that share an encoder's
 * output are not, and take `attention`. On a card, where the host sees no spans, a kernel checks
 * them: other ones are an error of the device, and the outputs then hold nothing.
 *
 * Outputs:
 *
 *     o [Tq, H*K]
 *     stats [Tq, H]    log(sum over j of exp(s_ij)), kept for backward
 *
 * Inside a segment with nq queries and nk keys, per head:
 *
 *     s_ij = scale q_i . k_j      over visible j: all, or with `causal` j <= i
 *     o_i  = sum_j softmax(s_i)_j v_j
 *
 * (`attention` counts from the last key where nq and nk differ.) Backward, with P = softmax(s), D_i
 * = do_i . o_i and dS_ij = P_ij (do_i . v_j - D_i):
 *
 *     dv_j = sum_i P_ij do_i
 *     dq_i = scale sum_j dS_ij k_j
 *     dk_j = scale sum_i dS_ij q_i
 *
 * K is a multiple of 8, at most 256; arrays have 16 bits, sums and stats 32. One number for a row's
 * statistics, as cuDNN keeps them: where scores are in the thousands float32 holds log(sum) to
 * three digits behind the point, and backward's probabilities no better; `attention` keeps two.
 * Which rows a NaN in q, k or v reaches is cuDNN's affair.
 *
 * Aliasing: none.
 *
 * Deterministic: cuDNN's deterministic backward, which cards of compute capability 9.0 have. Which
 * of its kernels computes, and so the bits, depends on the card, on cuDNN's version and on the
 * class of the sizes (runtime/cuda/cudnn.h).
 *
 * Memory: forward none of order S^2. Backward keeps dS in workspace, longest_q longest_k H numbers
 * of 16 bits for each segment: that is how cuDNN's is deterministic.
 *
 * See also: attention, which can all of this and more. */
#ifndef CZ_KERNELS_ATTENTION_CUDNN_H
#define CZ_KERNELS_ATTENTION_CUDNN_H

#include "kernels/op.h"

CZ_C_BEGIN

typedef struct cz_attention_cudnn_attr {
  int heads;
  bool causal;
  double scale;
  int64_t longest_q, longest_k; /* of any segment; 0: not known, which costs time */
} cz_attention_cudnn_attr;

enum {
  CZ_ATTENTION_CUDNN_Q,
  CZ_ATTENTION_CUDNN_K,
  CZ_ATTENTION_CUDNN_V,
  CZ_ATTENTION_CUDNN_Q_SPANS,
  CZ_ATTENTION_CUDNN_K_SPANS
};
enum { CZ_ATTENTION_CUDNN_O, CZ_ATTENTION_CUDNN_STATS };

enum { CZ_ATTENTION_CUDNN_HEAD = 256 /* the largest K, */, CZ_ATTENTION_CUDNN_STEP = 8 };

void cz_attention_cudnn_fwd_ref(const cz_call *call);
void cz_attention_cudnn_bwd_ref(const cz_call *call);
size_t cz_attention_cudnn_workspace_ref(const cz_call *call, bool backward);

/* What cuDNN is told of the segments, in the card's memory, by groups of as many as it is asked for
 * at once: where each begins, in elements, and the end; how long it is. Those behind the call's B
 * are empty. */
typedef struct cz_attention_cudnn_segments {
  int32_t *q_begin, *k_begin, *stats_begin; /* [groups, stride], of which group + 1 are written */
  int32_t *q_length, *k_length;             /* [groups, stride], of which group are written */
  int64_t groups, group, stride;            /* stride: at least group + 1 */
  int64_t longest_q, longest_k;
  int32_t *wrong; /* of the host, or null: set to 1 + the number of a segment that may not be; all
                     are empty then */
} cz_attention_cudnn_segments;

/* Fills S from the spans of CALL, in the stream's order. */
void cz_attention_cudnn_segments_cuda(const cz_call *call, const cz_attention_cudnn_segments *s);

CZ_C_END

#endif
