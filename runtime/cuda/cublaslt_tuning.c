/* The fastest of the library's algorithms for a kind of product, found by timing each on scratch
 * memory: random numbers, since a card that multiplies zeros draws less power and runs faster than
 * it ever will again. */
#include "cuda/cublaslt.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

enum { SEED_BYTES = CZ_CUDA_PIECE_BYTES, PRE = CZ_CUDA_EPILOGUE_PRE, MOST_PRODUCTS = 256 };

static const double RUN_SECONDS = 200e-6;

typedef struct scratch {
  void *a, *b, *c, *pre, *bias;
  cudaEvent_t first, last;
} scratch;

static uint32_t draw(uint64_t *state) { /* Steele and others 2014, SplitMix */
  uint64_t z = *state += 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return (uint32_t)(z >> 32);
}

/* A number of DTYPE of random sign and digits, its magnitude from 1/16 to 1/2. */
static uint32_t number(uint64_t *state, int32_t dtype) {
  const uint32_t bits = draw(state), exponent = draw(state) % 3;
  const int digits = dtype == CZ_F32 ? 23 : dtype == CZ_BF16 ? 7 : 10;
  const uint32_t sign = dtype == CZ_F32 ? bits & 1u << 31 : (bits & 1u << 31) >> 16;
  const uint32_t bias = dtype == CZ_F16 ? 15 : 127;
  return sign | (bias - 4 + exponent) << digits | (bits & ((1u << digits) - 1));
}

/* Fills N bytes on the card: a piece from the host, and copies of what is there already. */
static cz_status randomise(cz_cuda *c, void *p, size_t n, int32_t dtype, uint64_t *state) {
  size_t filled = n < SEED_BYTES ? n : SEED_BYTES;
  const size_t each = cz_dtype_bytes((cz_dtype)dtype);
  unsigned char *host = malloc(SEED_BYTES);
  if (!host) return CZ_FAIL(CZ_ENOMEM, "no memory for %d random bytes", SEED_BYTES);
  for (size_t i = 0; i < filled; i += each) {
    const uint32_t x = number(state, dtype);
    memcpy(host + i, &x, each); /* its low bytes: all processors here have those first */
  }
  cz_status st = cz_cuda_ring_write(c, p, host, filled);
  free(host);
  while (st == CZ_OK && filled < n) {
    const size_t more = n - filled < filled ? n - filled : filled;
    st = cz_cuda_checked(
        c, cudaMemcpyAsync((char *)p + filled, p, more, cudaMemcpyDeviceToDevice, c->stream),
        "copying %zu random bytes", more);
    filled += more;
  }
  return st;
}

/* The stride of rows of COLUMNS numbers that begin at multiples of ALIGN bytes and of no more. */
static int64_t stride(int64_t columns, int32_t dtype, int32_t align) {
  const int64_t each = (int64_t)cz_dtype_bytes((cz_dtype)dtype), whole = 16 / each;
  const int64_t ld = (columns + whole - 1) / whole * whole;
  return align < 16 ? ld + align / each : ld;
}

static cz_cuda_key with_strides(const cz_cuda_key *choice) {
  cz_cuda_key key = *choice;
  key.lda = stride(key.transposed_a ? key.m : key.k, key.in, key.align_a);
  key.ldb = stride(key.transposed_b ? key.k : key.n, key.in, key.align_b);
  key.ldc = stride(key.n, key.out, key.align_c);
  if (key.epilogue & PRE) key.ldc = (key.n + 7) / 8 * 8; /* as pre demands; its rows are c's */
  return key;
}

static void release(scratch *s) {
  void *const all[] = {s->a, s->b, s->c, s->pre, s->bias};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    if (all[i]) (void)cudaFree(all[i]);
  if (s->first) (void)cudaEventDestroy(s->first);
  if (s->last) (void)cudaEventDestroy(s->last);
  memset(s, 0, sizeof *s);
}

/* A block of random numbers; *FITS becomes false when the card has no room. */
static cz_status take(cz_cuda *c, void **p, int64_t rows, int64_t ld, int32_t dtype,
                      uint64_t *state, bool *fits) {
  const size_t bytes = (size_t)(rows * ld) * cz_dtype_bytes((cz_dtype)dtype);
  if (!*fits) return CZ_OK;
  const cudaError_t error = cudaMalloc(p, bytes);
  if (error == cudaErrorMemoryAllocation) {
    (void)cudaGetLastError();
    *fits = false;
    return CZ_OK;
  }
  CZ_TRY(cz_cuda_checked(c, error, "allocating %zu bytes to time products on", bytes));
  return randomise(c, *p, bytes, dtype, state);
}

static cz_status prepare(cz_cuda *c, scratch *s, const cz_cuda_key *k, bool *fits) {
  uint64_t state = 1;
  *fits = true;
  CZ_TRY(cz_cuda_checked(c, cudaEventCreateWithFlags(&s->first, cudaEventDefault), "no event"));
  CZ_TRY(cz_cuda_checked(c, cudaEventCreateWithFlags(&s->last, cudaEventDefault), "no event"));
  CZ_TRY(take(c, &s->a, k->transposed_a ? k->k : k->m, k->lda, k->in, &state, fits));
  CZ_TRY(take(c, &s->b, k->transposed_b ? k->n : k->k, k->ldb, k->in, &state, fits));
  CZ_TRY(take(c, &s->c, k->m, k->ldc, k->out, &state, fits));
  if (k->epilogue & PRE) CZ_TRY(take(c, &s->pre, k->m, k->ldc, k->out, &state, fits));
  if (k->align_bias) CZ_TRY(take(c, &s->bias, 1, k->n, k->out, &state, fits));
  return cz_cuda_checked(c, cudaStreamSynchronize(c->stream), "preparing to time products");
}

/* Puts N products into the stream; false when the library refuses them. */
static bool put(cz_cuda *c, const scratch *s, cz_cuda_problem *q, int n) {
  const cz_cuda_operands at = {s->c, s->pre, s->a, s->b, s->bias};
  for (int i = 0; i < n; i++)
    if (cz_cuda_problem_run(q, c, &at, 1, (float)q->key.adds) != CUBLAS_STATUS_SUCCESS)
      return false;
  return true;
}

/* Seconds of one product, the mean of N in a row; a negative number when the library refuses it.
 * The product before them is not timed: while it runs the host gets ahead, so that what it takes to
 * put products into the stream is no part of their time. One that is shorter than that is timed as
 * if it took as long. */
static cz_status time_run(cz_cuda *c, scratch *s, cz_cuda_problem *q, int n, double *seconds) {
  float ms = 0;
  *seconds = -1;
  if (!put(c, s, q, 1)) return CZ_OK;
  CZ_TRY(cz_cuda_checked(c, cudaEventRecord(s->first, c->stream), "timing a product"));
  if (!put(c, s, q, n)) return CZ_OK;
  CZ_TRY(cz_cuda_checked(c, cudaEventRecord(s->last, c->stream), "timing a product"));
  CZ_TRY(cz_cuda_checked(c, cudaEventSynchronize(s->last), "timing a product"));
  CZ_TRY(cz_cuda_checked(c, cudaEventElapsedTime(&ms, s->first, s->last), "timing a product"));
  *seconds = ms * 1e-3 / n;
  return CZ_OK;
}

/* How many products of SECONDS each take RUN_SECONDS, beside which an event's half a microsecond is
 * nothing. */
static int products_of_run(double seconds) {
  return seconds * MOST_PRODUCTS > RUN_SECONDS ? (int)(RUN_SECONDS / seconds) + 1 : MOST_PRODUCTS;
}

static int by_size(const void *a, const void *b) {
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

/* The median of several runs behind one that says how long they have to be; negative when it does
 * not run. */
static cz_status time_one(cz_cuda *c, scratch *s, cz_cuda_problem *q, double *seconds) {
  double run[CZ_CUDA_RUNS];
  CZ_TRY(time_run(c, s, q, 1, seconds));
  const int n = products_of_run(*seconds);
  for (int i = 0; i < CZ_CUDA_RUNS && *seconds >= 0; i++) {
    CZ_TRY(time_run(c, s, q, n, &run[i]));
    if (run[i] < 0) *seconds = -1;
  }
  if (*seconds < 0) return CZ_OK;
  qsort(run, CZ_CUDA_RUNS, sizeof *run, by_size);
  *seconds = run[CZ_CUDA_RUNS / 2];
  return CZ_OK;
}

/* The first candidate that runs is timed for nothing: the card's clock rises with work, and the
 * first product of all waits for the library's code. */
static cz_status warm_up(cz_cuda *c, scratch *s, cz_cuda_problem *q,
                         const cublasLtMatmulHeuristicResult_t *found, int n) {
  double seconds = -1;
  for (int i = 0; i < n && seconds < 0; i++) {
    q->algorithm = found[i].algo;
    CZ_TRY(time_one(c, s, q, &seconds));
  }
  return CZ_OK;
}

static cz_status time_all(cz_cuda *c, scratch *s, cz_cuda_problem *q,
                          const cublasLtMatmulHeuristicResult_t *found, int n,
                          cz_cuda_choice *choice) {
  choice->seconds = -1;
  CZ_TRY(warm_up(c, s, q, found, n));
  for (int i = 0; i < n; i++) {
    double seconds;
    q->algorithm = found[i].algo;
    CZ_TRY(time_one(c, s, q, &seconds));
    if (seconds < 0 || (choice->seconds >= 0 && seconds >= choice->seconds)) continue;
    choice->algorithm = found[i].algo;
    choice->seconds = seconds;
  }
  if (choice->seconds >= 0) return CZ_OK;
  return CZ_FAIL(CZ_EIO, "cuBLASLt proposes %d algorithms for a product and runs none of them", n);
}

/* Without room to time anything the library's first guess has to do. */
static void guess(cz_cuda *c, const cublasLtMatmulHeuristicResult_t *found,
                  cz_cuda_choice *choice) {
  choice->algorithm = found->algo;
  choice->seconds = 0;
  if (!c->products->said_memory)
    cz_cuda_say(cz_host->warn,
                "%s: the card has no room to time products of [%lld, %lld] x [%lld, %lld]: such "
                "ones are made as cuBLASLt guesses, and their bits may differ from those of a "
                "process that had room",
                c->device.name, (long long)choice->key.m, (long long)choice->key.k,
                (long long)choice->key.k, (long long)choice->key.n);
  c->products->said_memory = true;
}

/* The library is asked before memory is taken and filled: it may have nothing. */
static cz_status tune(cz_cuda *c, scratch *s, const cz_cuda_key *key, cz_cuda_choice *choice) {
  static char nowhere[256] __attribute__((aligned(256))); /* the heuristics look at its alignment */
  cublasLtMatmulHeuristicResult_t found[CZ_CUDA_CANDIDATES];
  const cz_cuda_key strided = with_strides(key);
  cz_cuda_problem q;
  bool fits;
  const cz_cuda_operands at = {.pre = key->epilogue & PRE ? nowhere : NULL,
                               .bias = key->align_bias ? nowhere : NULL};
  const cublasStatus_t st = cz_cuda_problem_open(&q, &strided, &at);
  const int n = st == CUBLAS_STATUS_SUCCESS ? cz_cuda_problem_candidates(c, &q, found) : 0;
  choice->none = n == 0;
  if (choice->none) return CZ_OK;
  CZ_TRY(prepare(c, s, &strided, &fits));
  if (!fits) guess(c, found, choice);
  return fits ? time_all(c, s, &q, found, n, choice) : CZ_OK;
}

/** Finds the algorithm for KEY, a choice's, or that the library has none. The scratch memory is
 * freed again. */
cz_status cz_cuda_tune(cz_cuda *c, const cz_cuda_key *key, cz_cuda_choice *choice) {
  const double began = cz_seconds();
  scratch s = {0};
  memset(choice, 0, sizeof *choice);
  choice->key = *key;
  cz_status st = tune(c, &s, key, choice);
  release(&s);
  if (!choice->none) c->products->tuned++;
  c->products->tuning += cz_seconds() - began;
  return st;
}
