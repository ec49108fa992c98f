/* Dropout masks, the one place where they are defined: dropout, norm and attention draw theirs
 * here, on every device the same.
 *
 * Element e of a call's mask has a number of 16 bits, the (e mod 8)-th of eight that one call of
 * Philox gives (cz_philox_quad, number e / 8). It is kept iff that number is at least
 * round(p 2^16); its factor is then 2^16 / (2^16 - round(p 2^16)), so that the mean of all factors
 * is 1 to the last bit, and 0 when it is dropped. The rate is p to within 8e-6. A masked value is
 * value x factor (a non-finite value stays visible).
 *
 * Of a [T, D] array the element of (row, channel) is row * D + channel, or segment * D + channel
 * when one mask is shared along each segment (the reference implementation's broadcast, see Mesh
 * TensorFlow's sublayer_dropout). With sharing, spans [B, 2] holds begin and end of each segment;
 * together they must cover every row (a row outside would get segment 0's mask).
 *
 * Attention's elements are numbered by what one lane of a warp holds of two neighbouring fragments
 * of a tensor core's product: of queries i and i + 8 of a group of 16, and keys j, j + 1, j + 8,
 * j + 9 of a group of 16, both counted inside their segments (cz_dropout_attention_element). */
#ifndef CZ_KERNELS_COMMON_DROPOUT_MASK_H
#define CZ_KERNELS_COMMON_DROPOUT_MASK_H

#include "kernels/common/philox.h"

CZ_C_BEGIN

/* The maximum of factors that cz_dropout_mask_piece gives at once: 4 KiB, which a kernel
 * keeps on its stack and in its first cache. A multiple of 8, so a row's pieces begin at
 * one place of a call of Philox. */
enum { CZ_DROPOUT_MASK_PIECE = 1024 };

/* The mask of one float32 call on a [T, D] array. */
typedef struct cz_dropout_mask {
  const cz_key *key;
  double p; /* 0: everything is kept and factors need not be asked for */
  int64_t D;
  const float *table;     /* shared: factors [B, D]; else null */
  const int32_t *segment; /* shared: the segment of each row */
} cz_dropout_mask;

/* How many of the 2^16 numbers drop an element. Never all: something must carry the mean. */
static inline CZ_HOST_DEVICE uint32_t cz_dropout_threshold(double p) {
  const uint32_t nearest = (uint32_t)(p * 65536 + 0.5);
  return nearest < 65535 ? nearest : 65535;
}

/* The factor of what is kept. */
static inline CZ_HOST_DEVICE double cz_dropout_scale(double p) {
  return 65536.0 / (65536 - (int)cz_dropout_threshold(p));
}

/* Number I of the eight in what Philox gave. */
static inline CZ_HOST_DEVICE uint32_t cz_dropout_number(const uint32_t r[4], unsigned i) {
  return r[i >> 1] >> (16 * (i & 1)) & 0xffff;
}

/* What the ref kernels use: one element at a time. */
static inline CZ_HOST_DEVICE double cz_dropout_mask_factor(const cz_key *key, uint64_t element,
                                                           double p) {
  uint32_t r[4];
  cz_philox_quad(r, key, element >> 3);
  return cz_dropout_number(r, (unsigned)element & 7) >= cz_dropout_threshold(p)
             ? cz_dropout_scale(p)
             : 0;
}

/* The call of Philox for query I and key J of HEAD = segment * heads + head. It serves eight
 * elements: queries I and I + 8, whose bit 3 is 0, and keys J, J + 1, J + 8 and J + 9, whose bits 0
 * and 3 are 0. Calls for four pairs of keys are neighbours. Segments of more than 131,072 keys or
 * 262,144 queries would meet numbers of another head. Without signs, because a tile of the card may
 * begin before its segment, and asks for draws at a negative I that it does not use. */
static inline CZ_HOST_DEVICE uint64_t cz_dropout_attention_call(uint64_t head, int64_t i,
                                                                int64_t j) {
  const uint64_t query = (uint64_t)i, key = (uint64_t)j;
  return (head << 32) + (query >> 4 << 18) + (key >> 4 << 5 | (query & 7) << 2 | (key >> 1 & 3));
}

/* With one mask for all queries of a segment (share_queries) I is 0. */
static inline CZ_HOST_DEVICE uint64_t cz_dropout_attention_element(uint64_t head, int64_t i,
                                                                   int64_t j) {
  return cz_dropout_attention_call(head, i, j) * 8 +
         (uint64_t)((j >> 3 & 1) << 2 | (i >> 3 & 1) << 1 | (j & 1));
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
void cz_dropout_mask_fill_keys(float *factor, int64_t n, const cz_key *key, uint64_t head,
                               int64_t i, int64_t j, double p);
size_t cz_dropout_mask_bytes(bool share, int64_t B, int64_t T, int64_t D);
void cz_dropout_mask_make(cz_dropout_mask *mask, void *workspace, const cz_key *key, double p,
                          const int32_t *spans, int64_t B, int64_t T, int64_t D);
const float *cz_dropout_mask_piece(const cz_dropout_mask *mask, float *buffer, int64_t row,
                                   int64_t channel, int64_t n);

CZ_C_END

#endif
