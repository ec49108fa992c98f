/* Scaled dot-product attention over segments of a flat token list, with T5's bucketed
 * position bias and dropout on the probabilities.
 *
 * Inputs:
 *
 *     q [Tq, H*K]      queries, heads side by side in a row
 *     k [Tk, H*K]      keys
 *     v [Tk, H*K]      values
 *     q_spans [B, 2]   int32 (begin, end) rows of each query segment; disjoint, in any
 *                      order, together all Tq rows
 *     k_spans [B, 2]   int32, the key segment that the query segment with the same
 *                      number reads. Rows outside every span are read by nobody;
 *                      segments may overlap or be the same (beams that share one
 *                      encoder output)
 *     prefix [B]       int32, keys at a segment's start that every query sees; present
 *                      if and only if the mask is PREFIX
 *     position_bias [N, H]
 *                      by bucket, in Hugging Face's orientation; optional
 *
 * Outputs:
 *
 *     o [Tq, H*K]
 *     stats [Tq, H, 2] kept for backward: a row's largest visible score m_i, and the sum over j of
 *                      exp(s_ij - m_i). Two numbers, because float32 cannot hold m_i + log(sum)
 *                      well enough when scores are in the thousands
 *
 * Inside segment n, with nq queries and nk keys, query i stands at position p = i with
 * the FULL mask and at p = i + nk - nq otherwise. So one op serves training, where nq =
 * nk, and a decoder with a cache of nk keys, whose queries are the newest ones. Forward,
 * per head, with M the dropout multiplier (common/dropout_mask.h; 1 when not training):
 *
 *     s_ij = scale q_i . k_j + position_bias[bucket(j - p), h]      over visible j:
 *            FULL all;  CAUSAL j <= p;  PREFIX j <= p or j < prefix
 *     o_i  = sum_j softmax(s_i)_j M_ij v_j
 *
 * A query that sees no key has o_i = 0, stats_i = (-infinity, 0) and no gradient. What it
 * sees follows from positions alone, never from a value: a score that is NaN or +infinity
 * makes its row NaN; one of -infinity has the weight 0 that it has in exact arithmetic,
 * and a row of nothing else is NaN. A v that is NaN may reach rows of the same tile that
 * do not see it (0 times NaN).
 *
 * Backward, with P = softmax(s), Z = P M, D_i = do_i . o_i = sum_j Z_ij (do_i . v_j) and
 * dS_ij = Z_ij (do_i . v_j) - P_ij D_i:
 *
 *     dv_j = sum_i Z_ij do_i
 *     dq_i = scale sum_j dS_ij k_j
 *     dk_j = scale sum_i dS_ij q_i
 *     dposition_bias[b, h] = sum of dS_ij over all segments and the i, j with bucket(j - p) = b
 *
 * Dropout element numbers: cz_dropout_attention_element (common/dropout_mask.h) of segment * H + h,
 * i and j; with share_queries one mask serves all queries of a segment and head, as
 * mesh-tensorflow draws it (t5.md 0.8): that of i = 0.
 *
 * Sources: Vaswani et al. 2017, eq. 1; Raffel et al. 2020, section 2.1 (bias); Liu et al.
 * 2018 and Raffel fig. 4 (prefix mask); blockwise softmax, recomputed scores and the
 * D_i shortcut: Dao et al. 2022, "FlashAttention", algorithms 1 to 4.
 *
 * Aliasing: none.
 *
 * Deterministic: on the cpu every (segment, head) is one thread's work, on a card every tile of
 * queries or keys and head one block's, in a fixed order; the gradient of the position bias adds
 * their sums in order of segments or tiles.
 *
 * Memory: workspace only, bounded by blocks of keys; no score matrix of a batch ever
 * exists.
 *
 * See also: cache_append (fills k and v while decoding), dropout (the same random
 * numbers), linear (projections). */
#ifndef CZ_KERNELS_ATTENTION_H
#define CZ_KERNELS_ATTENTION_H

#include "kernels/op.h"

CZ_C_BEGIN

typedef enum cz_attention_mask {
  CZ_ATTENTION_MASK_FULL,
  CZ_ATTENTION_MASK_CAUSAL,
  CZ_ATTENTION_MASK_PREFIX
} cz_attention_mask;

typedef struct cz_attention_attr {
  int heads;
  int mask; /* cz_attention_mask */
  double scale;
  int buckets, max_distance; /* read with a position bias */
  bool bidirectional;        /* half of the buckets are for keys to the right of the query */
  double dropout;            /* probability of dropping, [0, 1) */
  bool share_queries;        /* one dropout mask per (segment, head, key) */
} cz_attention_attr;

enum {
  CZ_ATTENTION_Q,
  CZ_ATTENTION_K,
  CZ_ATTENTION_V,
  CZ_ATTENTION_Q_SPANS,
  CZ_ATTENTION_K_SPANS,
  CZ_ATTENTION_PREFIX,
  CZ_ATTENTION_POSITION_BIAS
};
enum { CZ_ATTENTION_O, CZ_ATTENTION_STATS };

/* Keys of a segment, at most, of which D_i is what the row's own dS say. Of more the host takes it
 * from o, which was rounded to its dtype. */
enum { CZ_ATTENTION_WHOLE = 2048 };

bool cz_attention_arrays(const cz_arg *in, char *why, size_t why_bytes);
double cz_attention_flops(const cz_call *call, bool backward);

int cz_attention_exact(int buckets, bool bidirectional);
int cz_attention_bucket(int64_t offset, int buckets, int max_distance, bool bidirectional);
void cz_attention_buckets(int32_t *map, int64_t reach, int buckets, int max_distance,
                          bool bidirectional);

void cz_attention_fwd_ref(const cz_call *call);
void cz_attention_bwd_ref(const cz_call *call);
void cz_attention_fwd_cpu(const cz_call *call);
void cz_attention_bwd_cpu(const cz_call *call);
size_t cz_attention_workspace_ref(const cz_call *call, bool backward);
size_t cz_attention_workspace_cpu(const cz_call *call, bool backward);
void cz_attention_fwd_cuda(const cz_call *call);
void cz_attention_bwd_cuda(const cz_call *call);
size_t cz_attention_workspace_cuda(const cz_call *call, bool backward);

CZ_C_END

#endif
