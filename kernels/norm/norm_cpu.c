#include "kernels/common/cpu.h"
#include "kernels/common/dropout_mask.h"
#include "kernels/common/rows.h"
#include "kernels/norm/norm.h"

/* The arrays of one call, so that functions of one row can be told which row. */
typedef struct job {
  float *y, *h, *rstd, *mean;                               /* forward's results */
  const float *x, *gain, *shift, *branch;                   /* forward's inputs */
  float *dx, *dbranch;                                      /* backward's results */
  const float *dy, *dh, *saved_h, *saved_rstd, *saved_mean; /* backward's inputs */
  cz_grad_mode mode_x, mode_branch;
  bool layer;
  int64_t D;
  float eps;
  cz_dropout_mask mask;
} job;

/* Sums over a row start anew after this many channels, so that their rounding hardly
 * grows with D even without vector instructions. */
enum { BLOCK = 128 };

static inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* h = x + branch * factor for N channels; without dropout FACTOR is null. */
CZ_CLONES static void add_branch(float *h, const float *x, const float *branch, const float *factor,
                                 int64_t n) {
  if (factor) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) h[i] = x[i] + branch[i] * factor[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) h[i] = x[i] + branch[i];
  }
}

CZ_CLONES static float mean_of(const float *h, int64_t n) {
  float total = 0;
  for (int64_t from = 0; from < n; from += BLOCK) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = from; i < least(n, from + BLOCK); i++) sum += h[i];
    total += sum;
  }
  return total / (float)n;
}

/* y = (h - m) r gain + shift for a row; gives r. */
CZ_CLONES static float normalise(float *y, const float *h, const float *gain, const float *shift,
                                 int64_t n, float m, float eps) {
  float total = 0;
  for (int64_t from = 0; from < n; from += BLOCK) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = from; i < least(n, from + BLOCK); i++) sum += (h[i] - m) * (h[i] - m);
    total += sum;
  }
  float r = 1 / __builtin_sqrtf(total / (float)n + eps);
  if (shift) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = (h[i] - m) * r * gain[i] + shift[i];
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = (h[i] - m) * r * gain[i];
  }
  return r;
}

static void fwd_row(const job *j, int64_t t) {
  int64_t D = j->D;
  const float *h = j->x + t * D;
  if (j->branch) {
    float buffer[CZ_DROPOUT_MASK_PIECE];
    for (int64_t d = 0; d < D; d += CZ_DROPOUT_MASK_PIECE) {
      int64_t n = least(D - d, CZ_DROPOUT_MASK_PIECE), i = t * D + d;
      const float *factor = j->mask.p > 0 ? cz_dropout_mask_piece(&j->mask, buffer, t, d, n) : NULL;
      add_branch(j->h + i, j->x + i, j->branch + i, factor, n);
    }
    h = j->h + t * D;
  }
  float m = j->layer ? mean_of(h, D) : 0,
        r = normalise(j->y + t * D, h, j->gain, j->shift, D, m, j->eps);
  if (j->rstd) j->rstd[t] = r;
  if (j->mean) j->mean[t] = m;
}

/** Forward in float32, see norm.h. SHIFT, BRANCH (then H too), RSTD and MEAN may be null;
 * H may be X. */
void cz_norm_fwd_cpu(float *y, float *h, float *rstd, float *mean, const float *x,
                     const float *gain, const float *shift, const float *branch,
                     const cz_norm_sizes *s, const cz_norm_attr *attr, void *workspace) {
  job j = {.y = y,
           .h = h,
           .rstd = rstd,
           .mean = mean,
           .x = x,
           .gain = gain,
           .shift = shift,
           .branch = branch,
           .layer = attr->kind == CZ_NORM_LAYER,
           .D = s->D,
           .eps = (float)attr->eps};
  if (branch) cz_dropout_mask_make(&j.mask, workspace, s->key, s->p, s->spans, s->B, s->T, s->D);
#pragma omp parallel for schedule(static) if (s->T * s->D > 16384)
  for (int64_t t = 0; t < s->T; t++) fwd_row(&j, t);
}

/* mean(g) and mean(g n) of a row, and its part of dgain and dshift, which are sums that
 * lie in cache. */
typedef struct moments {
  float g, gn;
} moments;

CZ_CLONES static moments row_moments(float *dgain, float *dshift, const float *dy, const float *h,
                                     const float *gain, float m, float r, int64_t D) {
  moments total = {0};
  for (int64_t from = 0; from < D; from += BLOCK) {
    float sum_g = 0, sum_gn = 0;
#pragma omp simd reduction(+ : sum_g, sum_gn)
    for (int64_t i = from; i < least(D, from + BLOCK); i++) {
      float n = (h[i] - m) * r, g = dy[i] * gain[i];
      dgain[i] += dy[i] * n;
      dshift[i] += dy[i];
      sum_g += g;
      sum_gn += g * n;
    }
    total.g += sum_g, total.gn += sum_gn;
  }
  return (moments){total.g / (float)D, total.gn / (float)D};
}

/* e = dh + r (g - mean(g) - n mean(g n)) */
CZ_CLONES static void gradient_of_h(float *e, const float *dy, const float *dh, const float *h,
                                    const float *gain, float m, float r, moments mean, int64_t n) {
  if (dy && dh) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      e[i] = dh[i] + r * (dy[i] * gain[i] - mean.g - (h[i] - m) * r * mean.gn);
  } else if (dy) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      e[i] = r * (dy[i] * gain[i] - mean.g - (h[i] - m) * r * mean.gn);
  } else if (dh) {
    memcpy(e, dh, (size_t)n * sizeof *e);
  } else {
    memset(e, 0, (size_t)n * sizeof *e);
  }
}

CZ_CLONES static void multiply(float *e, const float *factor, int64_t n) {
#pragma omp simd
  for (int64_t i = 0; i < n; i++) e[i] *= factor[i];
}

static void bwd_row(const job *j, float *dgain, float *dshift, int64_t t) {
  int64_t D = j->D;
  const float *h = j->saved_h + t * D;
  float r = j->saved_rstd[t], m = j->layer ? j->saved_mean[t] : 0, e[CZ_DROPOUT_MASK_PIECE],
        buffer[CZ_DROPOUT_MASK_PIECE];
  moments mean = {0};
  if (j->dy) mean = row_moments(dgain, dshift, j->dy + t * D, h, j->gain, m, r, D);
  if (!j->layer) mean.g = 0;
  for (int64_t d = 0; d < D; d += CZ_DROPOUT_MASK_PIECE) {
    int64_t n = least(D - d, CZ_DROPOUT_MASK_PIECE), i = t * D + d;
    gradient_of_h(e, j->dy ? j->dy + i : NULL, j->dh ? j->dh + i : NULL, h + d, j->gain + d, m, r,
                  mean, n);
    cz_grad_put(j->dx + i, e, n,
                j->mode_x); /* dh and dy of this piece are read: dx and dbranch may lie there */
    if (j->mode_branch == CZ_GRAD_SKIP) continue;
    if (j->mask.p > 0) multiply(e, cz_dropout_mask_piece(&j->mask, buffer, t, d, n), n);
    cz_grad_put(j->dbranch + i, e, n, j->mode_branch);
  }
}

static size_t mask_bytes(const cz_norm_sizes *s) {
  return cz_dropout_mask_bytes(s->p > 0 && s->spans, s->B, s->T, s->D);
}

/** Bytes of workspace: the shared mask; backward also the partial sums of dgain and
 * dshift. */
size_t cz_norm_cpu_bytes(const cz_norm_sizes *s, bool backward) {
  return mask_bytes(s) +
         (backward ? 2 * (size_t)(cz_row_blocks_most(s->T) * s->D) * sizeof(float) : 0);
}

/** Backward in float32, see norm.h. H is x when there was no branch. DY, DH, MEAN (RMS),
 * DSHIFT and DBRANCH may be null; DX may be DH, DBRANCH DY. */
void cz_norm_bwd_cpu(float *dx, float *dgain, float *dshift, float *dbranch, const float *dy,
                     const float *dh, const float *h, const float *rstd, const float *mean,
                     const float *gain, const cz_norm_sizes *s, const cz_norm_attr *attr,
                     const cz_grad_mode *mode, void *workspace) {
  job j = {.dx = dx,
           .dbranch = dbranch,
           .dy = dy,
           .dh = dh,
           .saved_h = h,
           .saved_rstd = rstd,
           .saved_mean = mean,
           .gain = gain,
           .mode_x = mode[CZ_NORM_X],
           .mode_branch = dbranch ? mode[CZ_NORM_BRANCH] : CZ_GRAD_SKIP,
           .layer = attr->kind == CZ_NORM_LAYER,
           .D = s->D,
           .eps = (float)attr->eps};
  int64_t T = s->T, D = s->D, blocks = cz_row_blocks(T), each = cz_row_block(T);
  if (dbranch) cz_dropout_mask_make(&j.mask, workspace, s->key, s->p, s->spans, s->B, T, D);
  float *gains = (float *)((char *)workspace + mask_bytes(s)), *shifts = gains + blocks * D;
#pragma omp parallel for schedule(static) if (T * D > 16384)
  for (int64_t b = 0; b < blocks; b++) {
    memset(gains + b * D, 0, (size_t)D * sizeof *gains);
    memset(shifts + b * D, 0, (size_t)D * sizeof *shifts);
    for (int64_t t = b * each; t < T && t < (b + 1) * each; t++)
      bwd_row(&j, gains + b * D, shifts + b * D, t);
  }
  cz_rows_reduce(dgain, gains, blocks, D, mode[CZ_NORM_GAIN]);
  if (dshift) cz_rows_reduce(dshift, shifts, blocks, D, mode[CZ_NORM_SHIFT]);
}
