#include "kernels/common/units.h"

#include "kernels/common/bf16.h"
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"
#include "kernels/common/units_onednn.h"
#include "kernels/common/workspace.h"

#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const cz_units_path_names[CZ_UNITS_PATHS] = {"panels", "onednn"};

struct cz_units {
  cz__onednn *onednn; /* null: not needed, or not there */
  cz_units_path path;
  bool float32;
  bool here; /* a test's wish: products of bfloat16 are taken, and no piece is oneDNN's */
  char reason[CZ_UNITS_TEXT];
  pthread_mutex_t lock; /* of what follows */
  char failure[CZ_UNITS_TEXT];
  int64_t fail_at; /* products until one is made to fail, for tests; below 0: none is */
};

/** The library that drives the units with its version, or that this build has none. Static. */
const char *cz_units_library(void) { return cz__onednn_version(); }

/* Whether oneDNN computes bfloat16 by instructions made for it; the reason either way. oneDNN may
 * know less than the processor (an old version, ONEDNN_MAX_CPU_ISA), and would then compute by
 * conversions of its own: so both are asked. */
static bool fast(cz_units *u, char *text, size_t bytes) {
  char name[64];
  if (!cz_cpu_has_bf16()) {
    snprintf(text, bytes, "the processor has neither avx512_bf16 nor amx_bf16 (it has %s)",
             cz_cpu_extensions());
    return false;
  }
  u->onednn = cz__onednn_open(text, bytes);
  if (!u->onednn) return false;
  if (cz__onednn_implementation(u->onednn, name, sizeof name, CZ_BF16) == CZ__ONEDNN_DONE) {
    snprintf(text, bytes, "%s, %s", cz_units_library(), name);
    return true;
  }
  snprintf(text, bytes, "%s would compute by %s here (is ONEDNN_MAX_CPU_ISA set?)",
           cz_units_library(), name);
  return false;
}

/* False with a reason when the wish cannot be met. */
static bool choose(cz_units *u, const char *wish, char *why, size_t why_bytes) {
  bool automatic = !wish || !*wish || !strcmp(wish, "auto"), found;
  if (!automatic && !strcmp(wish, "panels")) {
    snprintf(u->reason, sizeof u->reason, "CZ_BF16=panels asks for it");
    return true;
  }
  if (!automatic && strcmp(wish, "onednn")) {
    snprintf(why, why_bytes, "CZ_BF16 is '%s', not auto, panels or onednn", wish);
    return false;
  }
  found = fast(u, u->reason, sizeof u->reason);
  u->path = found ? CZ_UNITS_ONEDNN : CZ_UNITS_PANELS;
  if (!found) cz__onednn_close(&u->onednn);
  if (found || automatic) return true;
  snprintf(why, why_bytes, "CZ_BF16=onednn cannot be had: %s", u->reason);
  return false;
}

/** Opens the units and decides how bfloat16 is computed: by oneDNN where it has instructions for
 * it, else in float32 panels. WISH is CZ_BF16's value, null or "auto" for that, or "panels" or
 * "onednn". Null with a reason in WHY when "onednn" cannot be had, or WISH is another word, or
 * there is no memory. The caller closes them after the last call. */
cz_units *cz_units_open(const char *wish, char *why, size_t why_bytes) {
  cz_units *u = calloc(1, sizeof *u);
  if (!u) {
    snprintf(why, why_bytes, "no memory for the matrix units' state");
    return NULL;
  }
  pthread_mutex_init(&u->lock, NULL);
  u->fail_at = -1;
  if (!choose(u, wish, why, why_bytes)) cz_units_close(&u);
  return u;
}

/** Frees the units with all that they keep, and clears the pointer; accepts null. */
void cz_units_close(cz_units **units) {
  cz_units *u = *units;
  *units = NULL;
  if (!u) return;
  cz__onednn_close(&u->onednn);
  pthread_mutex_destroy(&u->lock);
  free(u);
}

/** The path that was chosen. */
cz_units_path cz_units_path_of(const cz_units *u) { return u->path; }

/** Why it was, in a few words; as long as the units live. */
const char *cz_units_reason(const cz_units *u) { return u->reason; }

static void fail(cz_units *u, const char *text) {
  pthread_mutex_lock(&u->lock);
  if (!u->failure[0]) snprintf(u->failure, sizeof u->failure, "%s", text);
  pthread_mutex_unlock(&u->lock);
}

/** Whether something has failed since it was asked last: then the first failure is in TEXT, and
 * what was computed since means nothing. */
bool cz_units_failed(cz_units *u, char *text, size_t bytes) {
  pthread_mutex_lock(&u->lock);
  bool failed = u->failure[0];
  if (failed) snprintf(text, bytes, "%s", u->failure);
  u->failure[0] = '\0';
  pthread_mutex_unlock(&u->lock);
  return failed;
}

/** Frees what was packed of arrays in these BYTES, which are about to be freed. No product may be
 * running. */
void cz_units_forget(cz_units *u, const void *memory, size_t bytes) {
  if (u->onednn) cz__onednn_forget(u->onednn, memory, bytes);
}

/** Primitives and packed arrays so far; all 0 in the panel path. */
cz_units_counts cz_units_count(cz_units *u) {
  return u->onednn ? cz__onednn_count(u->onednn) : (cz_units_counts){0};
}

/** From now on float32 products are oneDNN's too: this is how a test drives all of the code on a
 * processor without bfloat16. False when oneDNN is not there. */
bool cz_units_take_float32(cz_units *u) {
  char why[CZ_UNITS_TEXT];
  if (!u->onednn) u->onednn = cz__onednn_open(why, sizeof why);
  u->float32 = u->onednn;
  return u->float32;
}

/** From now on products of bfloat16 are taken whatever the processor has; each piece is computed in
 * float32, as where oneDNN has no fast code for its shape. So a test sees all that is done for the
 * units in bfloat16, without them. */
void cz_units_take_bf16_here(cz_units *u) { u->here = true; }

/** The N-th product from now on, counted from 0, fails as if oneDNN had; below 0 none does. */
void cz_units_fail_at(cz_units *u, int64_t n) { u->fail_at = n; }

/** Whether products of DTYPE are computed by the units; U may be null. */
bool cz_units_takes(const cz_units *u, cz_dtype dtype) {
  if (dtype == CZ_BF16) return u && (u->path == CZ_UNITS_ONEDNN || u->here);
  return u && dtype == CZ_F32 && u->float32;
}

/* Pieces of a sum over rows: the sums of 2048 rows go through memory once, and a rest is at most
 * one in four. */
enum { SUMMED = 2048, SUMMED_STEP = 512, REST_STEP = 32, ROWS_STEP = 64 };

/* oneDNN 2.6 is fast for arrays without gaps only: a part of a wider array is copied. */
static bool b_has_gaps(const cz_product *p) { return p->ldb != (p->b_transposed ? p->K : p->N); }

/* Sums that are not c itself: several pieces may not be rounded one by one, and oneDNN scales a
 * bias with the product. */
static bool apart(const cz_product *p) {
  return p->ldc != p->N || (p->bias && p->alpha != 1) || (p->a_transposed && p->c_dtype != CZ_F32);
}

typedef struct copies {
  void *a, *b;
  float *c;
  void *rest; /* for a shape that oneDNN has no fast code for */
} copies;

/* Room for what any M rows or fewer and N columns or fewer may need: a product of few rows is cut
 * across its columns, and its c has gaps. */
static size_t lay_out(copies *s, const cz_product *p, int64_t M, int64_t N, uintptr_t begin) {
  uintptr_t at = begin;
  size_t each = cz_dtype_bytes(p->dtype);
  cz_product piece = *p; /* of a sum: its rows as they are padded, which may be more than p's */
  int64_t depth = p->a_transposed ? cz_minimum(cz_round_up(p->K, REST_STEP), SUMMED) : p->K;
  piece.K = depth;
  bool a = p->a_transposed || p->lda != p->K, b = p->a_transposed || !p->b_version;
  s->a = cz_take(&at, a ? (size_t)(M * depth) * each : 0);
  s->b = cz_take(&at, b ? (size_t)(N * depth) * each : 0);
  s->c = cz_take(&at, (size_t)((apart(p) ? M : cz_minimum(M, ROWS_STEP)) * N) * sizeof(float));
  s->rest = cz_take(&at, cz__product_here_scratch(&piece, cz_minimum(M, ROWS_STEP), N));
  return (size_t)(at - begin);
}

/** Bytes of scratch for M rows and N columns of P; they never fall when sizes grow. */
size_t cz_units_scratch(const cz_product *p, int64_t M, int64_t N) {
  copies s;
  return lay_out(&s, p, M, N, 0);
}

/* Rows r0 on and columns c0 on of x into an array without gaps of all_rows x all_columns, zeros
 * beyond. */
static void copy_part(void *to, const void *x, cz_dtype dtype, int64_t ld, int64_t r0, int64_t rows,
                      int64_t all_rows, int64_t c0, int64_t columns, int64_t all_columns) {
  size_t each = cz_dtype_bytes(dtype), width = (size_t)all_columns * each;
  for (int64_t r = 0; r < rows; r++) {
    char *row = (char *)to + (size_t)r * width;
    memcpy(row, (const char *)x + (size_t)((r0 + r) * ld + c0) * each, (size_t)columns * each);
    memset(row + (size_t)columns * each, 0, (size_t)(all_columns - columns) * each);
  }
  memset((char *)to + (size_t)rows * width, 0, (size_t)(all_rows - rows) * width);
}

/* In float32, 64 rows at a time. */
static void run_here(const cz__onednn_job *j, void *rest) {
  cz_product p = {.b = j->b,
                  .dtype = j->dtype,
                  .c_dtype = j->c_dtype,
                  .a_transposed = j->a_transposed,
                  .b_transposed = j->b_transposed,
                  .N = j->N,
                  .K = j->K,
                  .lda = j->a_transposed ? j->M : j->K,
                  .ldb = j->ldb,
                  .ldc = j->N,
                  .alpha = j->alpha,
                  .beta = j->add ? 1 : 0,
                  .bias = j->bias};
  for (int64_t m = 0; m < j->M; m += p.M) {
    p.M = cz_minimum(ROWS_STEP, j->M - m);
    p.a = cz_piece_at(j->a, j->dtype, j->a_transposed ? m : m * j->K);
    p.c = cz_piece_at(j->c, j->c_dtype, m * j->N);
    cz__product_here(&p, rest);
  }
}

/* One piece by oneDNN, or here where that has no fast code for its shape. */
static bool run_piece(cz_units *u, const cz__onednn_job *j, void *rest) {
  char why[CZ_UNITS_TEXT] = "";
  if (u->here && j->dtype == CZ_BF16) {
    run_here(j, rest);
    return true;
  }
  switch (cz__onednn_run(u->onednn, j, why, sizeof why)) {
  case CZ__ONEDNN_DONE: return true;
  case CZ__ONEDNN_REFUSED: run_here(j, rest); return true;
  case CZ__ONEDNN_FAILED: break;
  }
  fail(u, why);
  return false;
}

/* Rows in a multiple of 64 and powers of two. */
static int64_t rows_at(int64_t left) {
  int64_t n = left / ROWS_STEP * ROWS_STEP;
  for (int64_t power = ROWS_STEP / 2; !n; power /= 2)
    if (power <= left) n = power;
  return n;
}

static void multiply_rows(cz_units *u, const cz_product *p, const copies *s, cz__onednn_job job) {
  if (b_has_gaps(p) && !p->b_version) {
    int64_t rows = p->b_transposed ? p->N : p->K, columns = p->b_transposed ? p->K : p->N;
    copy_part(s->b, p->b, p->dtype, p->ldb, 0, rows, rows, 0, columns, columns);
    job.b = s->b, job.ldb = columns;
  }
  void *const c = job.c;
  for (int64_t m = 0; m < p->M; m += job.M) {
    job.M = rows_at(p->M - m);
    job.a = cz_piece_at(p->a, p->dtype, m * p->lda);
    job.c = cz_piece_at(c, job.c_dtype, m * p->N);
    if (p->lda != p->K) {
      copy_part(s->a, p->a, p->dtype, p->lda, m, job.M, job.M, 0, p->K, p->K);
      job.a = s->a;
    }
    if (!run_piece(u, &job, s->rest)) return;
  }
}

/* The next piece of a sum over `left` rows, and the rows that oneDNN sees. */
static int64_t summed_at(int64_t left, int64_t *seen) {
  int64_t n = cz_minimum(left, SUMMED);
  if (n >= SUMMED_STEP) return *seen = n / SUMMED_STEP * SUMMED_STEP;
  *seen = cz_round_up(n, REST_STEP);
  return n;
}

static void multiply_sums(cz_units *u, const cz_product *p, const copies *s, cz__onednn_job job) {
  int64_t n;
  for (int64_t k = 0; k < p->K; k += n, job.add = true, job.bias = NULL) {
    n = summed_at(p->K - k, &job.K);
    job.a = cz_piece_at(p->a, p->dtype, k * p->lda);
    job.b = cz_piece_at(p->b, p->dtype, p->b_transposed ? k : k * p->ldb), job.ldb = p->N;
    if (p->lda != p->M || n < job.K) {
      copy_part(s->a, p->a, p->dtype, p->lda, k, n, job.K, 0, p->M, p->M);
      job.a = s->a;
    }
    if (p->b_transposed) {
      copy_part(s->b, p->b, p->dtype, p->ldb, 0, p->N, p->N, k, n, job.K);
      job.b = s->b, job.ldb = job.K;
    } else if (p->ldb != p->N || n < job.K) {
      copy_part(s->b, p->b, p->dtype, p->ldb, k, n, job.K, 0, p->N, p->N);
      job.b = s->b;
    }
    if (!run_piece(u, &job, s->rest)) return;
  }
}

static bool made_to_fail(cz_units *u) {
  pthread_mutex_lock(&u->lock);
  bool now = u->fail_at == 0;
  if (u->fail_at >= 0) u->fail_at--;
  pthread_mutex_unlock(&u->lock);
  return now;
}

/** One product on the calling thread, by primitives of one thread. P's dtype is one that the units
 * take, and K is above 0. SCRATCH: cz_units_scratch's bytes. What fails is kept for
 * cz_units_failed; c means nothing then. */
void cz_units_multiply(cz_units *u, const cz_product *p, void *scratch) {
  copies s;
  lay_out(&s, p, p->M, p->N, (uintptr_t)scratch);
  cz__onednn_job job = {.c = p->c,
                        .b = p->b,
                        .bias = p->bias,
                        .dtype = p->dtype,
                        .c_dtype = p->c_dtype,
                        .M = p->M,
                        .N = p->N,
                        .K = p->K,
                        .a_transposed = p->a_transposed,
                        .b_transposed = p->b_transposed,
                        .add = p->beta != 0,
                        .alpha = p->alpha,
                        .ldb = p->ldb,
                        .b_version = p->a_transposed ? 0 : p->b_version};
  bool sums = apart(p);
  int threads = omp_get_max_threads();
  if (made_to_fail(u)) {
    fail(u, "oneDNN: made to fail");
    return;
  }
  if (sums) job.c = s.c, job.c_dtype = CZ_F32, job.add = false, job.bias = NULL;
  omp_set_num_threads(1); /* of regions that this thread would begin: oneDNN's */
  (p->a_transposed ? multiply_sums : multiply_rows)(u, p, &s, job);
  omp_set_num_threads(threads);
  if (sums) cz__product_put(p, s.c, p->N);
}
