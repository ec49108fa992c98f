/* Dropout masks, the one place where they are defined: dropout, norm and attention draw
 * theirs here, and ref and cpu draw the same.
 *
 * Element e of a call's mask is kept iff cz_philox_at(key, e) >= cz_dropout_threshold(p);
 * its factor is 1 / (1 - p) when kept and 0 when not, and a masked value is value x
 * factor (so that a non-finite value stays visible). For a [T, D] array the element of
 * (row, channel) is row * D + channel, or segment * D + channel when one mask is shared
 * along each segment (the reference implementation's broadcast, see Mesh TensorFlow's
 * sublayer_dropout). With sharing, spans [B, 2] holds begin and end of each segment;
 * together they must cover every row (a row outside would get segment 0's mask). */
#ifndef CZ_KERNELS_COMMON_DROPOUT_MASK_H
#define CZ_KERNELS_COMMON_DROPOUT_MASK_H

#include "kernels/common/philox.h"

CZ_C_BEGIN

/* The maximum of factors that cz_dropout_mask_piece gives at once: 4 KiB, which a kernel
 * keeps on its stack and in its first cache. A multiple of 4, so a row's pieces begin at
 * one place of a quad. */
enum { CZ_DROPOUT_MASK_PIECE = 1024 };

/* The mask of one float32 call on a [T, D] array. */
typedef struct cz_dropout_mask {
  const cz_key *key;
  double p; /* 0: everything is kept and factors need not be asked for */
  int64_t D;
  const float *table;     /* shared: factors [B, D]; else null */
  const int32_t *segment; /* shared: the segment of each row */
} cz_dropout_mask;

/* What the ref kernels use: one element at a time. */
static inline CZ_HOST_DEVICE double cz_dropout_mask_factor(const cz_key *key, uint64_t element,
                                                           double p) {
  return cz_philox_at(key, element) >= cz_dropout_threshold(p) ? 1 / (1 - p) : 0;
}

/* The number of the draw for (row, channel). A linear search over segments: meant for
 * kernels that are written to be read. */
static inline CZ_HOST_DEVICE uint64_t cz_dropout_mask_element(const int32_t *spans, int64_t B,
                                                              int64_t row, int64_t channel,
                                                              int64_t D) {
  if (!spans) return (uint64_t)(row * D + channel);
  int64_t segment = 0;
  for (int64_t b = 0; b < B; b++)
    if (spans[2 * b] <= row && row < spans[2 * b + 1]) segment = b;
  return (uint64_t)(segment * D + channel);
}

void cz_dropout_mask_fill(float *factor, int64_t n, const cz_key *key, uint64_t first, double p);
size_t cz_dropout_mask_bytes(bool share, int64_t B, int64_t T, int64_t D);
void cz_dropout_mask_make(cz_dropout_mask *mask, void *workspace, const cz_key *key, double p,
                          const int32_t *spans, int64_t B, int64_t T, int64_t D);
const float *cz_dropout_mask_piece(const cz_dropout_mask *mask, float *buffer, int64_t row,
                                   int64_t channel, int64_t n);

CZ_C_END

#endif
