/* What a card can do, before any kernel of ours exists: the ceilings that kernels are compared
 * with. A program of its own, built by scripts/gpu_check.sh on the machine that has the card.
 *
 *   probe card | copy | launch                one JSON object on stdout
 *   probe products MODEL [--quick]            the matrix products of a training step
 *
 * Products go through cuBLASLt, best of its heuristics' candidates, on random data that is checked
 * to leave finite results; split reductions are left out, since their order may change between
 * runs. Times are medians of events around one call each. Exit code: 3 no card, 1 a call failed. */
#include <cublasLt.h>
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#define CHECK(call)                                                                                \
  do {                                                                                             \
    auto status_ = (call);                                                                         \
    if ((int)status_ != 0) {                                                                       \
      std::fprintf(stderr, "%s:%d: %s gives %d\n", __FILE__, __LINE__, #call, (int)status_);       \
      std::exit(1);                                                                                \
    }                                                                                              \
  } while (0)

static double median(std::vector<double> x) {
  std::sort(x.begin(), x.end());
  return x.size() % 2 ? x[x.size() / 2] : (x[x.size() / 2 - 1] + x[x.size() / 2]) / 2;
}

/* Milliseconds between two events around CALL, the median of N after one call to warm up. */
template <class F> static double time_of(int n, F call) {
  std::vector<double> ms;
  cudaEvent_t begin, end;
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  call();
  for (int i = 0; i < n; i++) {
    float t;
    CHECK(cudaEventRecord(begin));
    call();
    CHECK(cudaEventRecord(end));
    CHECK(cudaEventSynchronize(end));
    CHECK(cudaEventElapsedTime(&t, begin, end));
    ms.push_back(t);
  }
  CHECK(cudaEventDestroy(begin));
  CHECK(cudaEventDestroy(end));
  return median(ms);
}

/* card ------------------------------------------------------------------------------------- */

static void card() {
  cudaDeviceProp p;
  int driver, runtime, clock_khz = 0, memory_khz = 0;
  size_t available, total;
  CHECK(cudaGetDeviceProperties(&p, 0));
  CHECK(cudaDriverGetVersion(&driver));
  CHECK(cudaRuntimeGetVersion(&runtime));
  CHECK(cudaMemGetInfo(&available, &total));
  CHECK(cudaDeviceGetAttribute(&clock_khz, cudaDevAttrClockRate, 0));
  CHECK(cudaDeviceGetAttribute(&memory_khz, cudaDevAttrMemoryClockRate, 0));
  std::printf("{\"name\": \"%s\", \"compute_capability\": \"%d.%d\", \"multiprocessors\": %d, "
              "\"memory_bytes\": %zu, \"memory_free_bytes\": %zu, \"l2_bytes\": %d, "
              "\"shared_bytes_per_block_optin\": %zu, \"clock_khz\": %d, \"memory_clock_khz\": %d, "
              "\"driver_api\": %d, \"runtime\": %d, \"cublaslt\": %zu}\n",
              p.name, p.major, p.minor, p.multiProcessorCount, total, available, p.l2CacheSize,
              p.sharedMemPerBlockOptin, clock_khz, memory_khz, driver, runtime,
              cublasLtGetVersion());
}

/* copy ------------------------------------------------------------------------------------- */

__global__ void copy_16(int4 *to, const int4 *from, size_t n) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
       i += (size_t)gridDim.x * blockDim.x)
    to[i] = from[i];
}

/* Rates count bytes read and bytes written on the card, and bytes once between it and the host. */
static void copy() {
  const size_t bytes = size_t(2) << 30, small = size_t(256) << 20; /* far above the cache */
  void *a, *b, *host;
  cudaDeviceProp p;
  CHECK(cudaGetDeviceProperties(&p, 0));
  CHECK(cudaMalloc(&a, bytes));
  CHECK(cudaMalloc(&b, bytes));
  CHECK(cudaMallocHost(&host, small));
  CHECK(cudaMemset(a, 0x5a, bytes));
  std::memset(host, 0x5a, small);
  double memcpy_ms =
      time_of(11, [&] { CHECK(cudaMemcpyAsync(b, a, bytes, cudaMemcpyDeviceToDevice)); });
  double kernel_ms = time_of(11, [&] {
    copy_16<<<p.multiProcessorCount * 16, 512>>>((int4 *)b, (const int4 *)a, bytes / 16);
    CHECK(cudaGetLastError());
  });
  double up_ms =
      time_of(11, [&] { CHECK(cudaMemcpyAsync(a, host, small, cudaMemcpyHostToDevice)); });
  double down_ms =
      time_of(11, [&] { CHECK(cudaMemcpyAsync(host, a, small, cudaMemcpyDeviceToHost)); });
  std::printf(
      "{\"bytes\": %zu, \"device_memcpy_gb_per_s\": %.1f, \"device_kernel_gb_per_s\": %.1f, "
      "\"host_bytes\": %zu, \"to_device_gb_per_s\": %.2f, \"from_device_gb_per_s\": %.2f}\n",
      bytes, 2e-6 * (double)bytes / memcpy_ms, 2e-6 * (double)bytes / kernel_ms, small,
      1e-6 * (double)small / up_ms, 1e-6 * (double)small / down_ms);
}

/* launch ----------------------------------------------------------------------------------- */

__global__ void nothing() {}

static double now_us() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return 1e6 * (double)t.tv_sec + 1e-3 * (double)t.tv_nsec;
}

/* Microseconds a call on the host, over N calls without a wait, median of eleven. */
template <class F> static double host_cost(int n, F call) {
  std::vector<double> us;
  for (int k = 0; k < 11; k++) {
    CHECK(cudaDeviceSynchronize());
    double began = now_us();
    for (int i = 0; i < n; i++) call();
    us.push_back((now_us() - began) / n);
  }
  return median(us);
}

static void launch() {
  const int n = 500; /* below the depth of the queue */
  cudaEvent_t event;
  cudaStream_t stream;
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  CHECK(cudaStreamCreate(&stream));
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  double submit = host_cost(n, [&] { nothing<<<1, 32, 0, stream>>>(); });
  double device = 1000 / (double)n * time_of(11, [&] {
                    for (int i = 0; i < n; i++) nothing<<<1, 32>>>();
                  });
  double round_trip = host_cost(100, [&] {
    nothing<<<1, 32, 0, stream>>>();
    CHECK(cudaStreamSynchronize(stream));
  });
  double record = host_cost(n, [&] { CHECK(cudaEventRecord(event, stream)); });
  double await = host_cost(n, [&] { CHECK(cudaStreamWaitEvent(stream, event)); });
  double query = host_cost(n, [&] { (void)cudaEventQuery(event); });
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  for (int i = 0; i < n; i++) nothing<<<1, 32, 0, stream>>>();
  CHECK(cudaStreamEndCapture(stream, &graph));
  CHECK(cudaGraphInstantiate(&exec, graph, 0));
  double replay = 1000 / (double)n * time_of(11, [&] { CHECK(cudaGraphLaunch(exec, 0)); });
  std::printf("{\"submit_us\": %.3f, \"device_us_per_kernel\": %.3f, \"round_trip_us\": %.3f, "
              "\"event_record_us\": %.3f, \"event_await_us\": %.3f, \"event_query_us\": %.3f, "
              "\"graph_us_per_kernel\": %.3f}\n",
              submit, device, round_trip, record, await, query, replay);
}

/* products --------------------------------------------------------------------------------- */

/* Even numbers in [-1, 1) by a hash of the place: zeros would run faster than real data. */
template <class T> __global__ void fill(T *x, size_t n, uint32_t seed) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
       i += (size_t)gridDim.x * blockDim.x) {
    uint64_t h = (i + 1) * 0x9E3779B97F4A7C15ull ^ seed * 0xD6E8FEB86659FD93ull;
    h ^= h >> 32, h *= 0xD6E8FEB86659FD93ull, h ^= h >> 32;
    x[i] = (T)((float)(uint32_t)h * 0x1p-31f - 1);
  }
}

template <class T> __global__ void count_bad(unsigned long long *bad, const T *x, size_t n) {
  for (size_t i = blockIdx.x * (size_t)blockDim.x + threadIdx.x; i < n;
       i += (size_t)gridDim.x * blockDim.x)
    if (!isfinite((float)x[i])) atomicAdd(bad, 1ull);
}

enum { LINEARS = 6 };

typedef struct model {
  const char *name;
  int tokens; /* of a step: rows of X */
  struct {
    const char *name;
    int in, out;
  } linear[LINEARS];
} model;

/* T5-small: eight segments of 512; T5-base: 32 of 512; RoBERTa-large: PET's 16 of 256. */
static const model models[] = {
    {"t5-small",
     4096,
     {{"qkvo", 512, 512}, {"wi", 512, 2048}, {"wo", 2048, 512}, {"vocabulary", 512, 32128}}},
    {"t5-base",
     16384,
     {{"qkvo", 768, 768},
      {"qkv joined", 768, 2304},
      {"wi", 768, 3072},
      {"wo", 3072, 768},
      {"vocabulary", 768, 32128}}},
    {"roberta-large",
     4096,
     {{"qkvo", 1024, 1024}, {"qkv joined", 1024, 3072}, {"wi", 1024, 4096}, {"wo", 4096, 1024}}}};

enum pass { FORWARD, DX, DW, PASSES };
static const char *const pass_names[] = {"forward", "dX", "dW"};

/* A product in cuBLASLt's column order. Row-major matrices are their transposes there:
 *
 *     forward  Y [T, out] = X [T, in] W^T      Y' [out, T] = W' ^T [out, in]  X' [in, T]
 *     dX       X [T, in]  = Y [T, out] W       X' [in, T]  = W' [in, out]     Y' [out, T]
 *     dW       W [out, in] = Y^T X             W' [in, out] = X' [in, T]      Y' ^T [T, out]  */
typedef struct problem {
  int64_t m, n, k, lda, ldb, ldc;
  cublasOperation_t ta, tb;
} problem;

static problem problem_of(int pass, int64_t T, int64_t in, int64_t out) {
  if (pass == FORWARD) return {out, T, in, in, in, out, CUBLAS_OP_T, CUBLAS_OP_N};
  if (pass == DX) return {in, T, out, in, out, in, CUBLAS_OP_N, CUBLAS_OP_N};
  return {in, out, T, in, out, in, CUBLAS_OP_N, CUBLAS_OP_T};
}

typedef struct setup {
  cublasLtHandle_t lt;
  void *a, *b, *c, *workspace;
  size_t room, workspace_bytes;
  int candidates, runs;
} setup;

static int64_t attribute(const cublasLtMatmulAlgo_t *algo, cublasLtMatmulAlgoConfigAttributes_t a) {
  int64_t value = 0;
  size_t written = 0;
  return cublasLtMatmulAlgoConfigGetAttribute(algo, a, &value, sizeof value, &written) ==
                     CUBLAS_STATUS_SUCCESS ||
                 cublasLtMatmulAlgoConfigGetAttribute(algo, a, &value, 4, &written) ==
                     CUBLAS_STATUS_SUCCESS
             ? value
             : -1;
}

/* What cublasLtMatmul wants to know of a problem. */
typedef struct description {
  cublasLtMatmulDesc_t op;
  cublasLtMatrixLayout_t a, b, c;
} description;

static description describe(const problem &p, cudaDataType_t type, cudaDataType_t c_type) {
  description d;
  const bool at = p.ta == CUBLAS_OP_T, bt = p.tb == CUBLAS_OP_T;
  CHECK(cublasLtMatmulDescCreate(&d.op, CUBLAS_COMPUTE_32F, CUDA_R_32F));
  CHECK(cublasLtMatmulDescSetAttribute(d.op, CUBLASLT_MATMUL_DESC_TRANSA, &p.ta, sizeof p.ta));
  CHECK(cublasLtMatmulDescSetAttribute(d.op, CUBLASLT_MATMUL_DESC_TRANSB, &p.tb, sizeof p.tb));
  CHECK(cublasLtMatrixLayoutCreate(&d.a, type, at ? p.k : p.m, at ? p.m : p.k, p.lda));
  CHECK(cublasLtMatrixLayoutCreate(&d.b, type, bt ? p.n : p.k, bt ? p.k : p.n, p.ldb));
  CHECK(cublasLtMatrixLayoutCreate(&d.c, c_type, p.m, p.n, p.ldc));
  return d;
}

static void forget(description *d) {
  cublasLtMatrixLayoutDestroy(d->a);
  cublasLtMatrixLayoutDestroy(d->b);
  cublasLtMatrixLayoutDestroy(d->c);
  cublasLtMatmulDescDestroy(d->op);
}

static std::vector<cublasLtMatmulHeuristicResult_t> candidates(const setup *s,
                                                               const description &d) {
  std::vector<cublasLtMatmulHeuristicResult_t> found((size_t)s->candidates);
  cublasLtMatmulPreference_t preference;
  const uint32_t whole = CUBLASLT_REDUCTION_SCHEME_NONE;
  int n = 0;
  CHECK(cublasLtMatmulPreferenceCreate(&preference));
  CHECK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                             &s->workspace_bytes, sizeof s->workspace_bytes));
  CHECK(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK,
                                             &whole, sizeof whole));
  CHECK(cublasLtMatmulAlgoGetHeuristic(s->lt, d.op, d.a, d.b, d.c, d.c, preference, s->candidates,
                                       found.data(), &n));
  cublasLtMatmulPreferenceDestroy(preference);
  found.resize((size_t)n);
  return found;
}

static void multiply(const setup *s, const description &d, const cublasLtMatmulAlgo_t *algo) {
  const float one = 1, zero = 0;
  CHECK(cublasLtMatmul(s->lt, d.op, &one, s->a, d.a, s->b, d.b, &zero, s->c, d.c, s->c, d.c, algo,
                       s->workspace, s->workspace_bytes, 0));
}

template <class T> static void expect_finite(const T *x, size_t n) {
  unsigned long long *bad, host = 0;
  CHECK(cudaMalloc(&bad, sizeof *bad));
  CHECK(cudaMemset(bad, 0, sizeof *bad));
  count_bad<<<1024, 256>>>(bad, x, n);
  CHECK(cudaMemcpy(&host, bad, sizeof host, cudaMemcpyDeviceToHost));
  CHECK(cudaFree(bad));
  if (!host) return;
  std::fprintf(stderr, "probe: %llu of %zu results are not finite\n", host, n);
  std::exit(1);
}

/* Times every candidate; the best one's result is what stays in C. */
typedef struct outcome {
  double ms, first_ms;
  size_t best;
} outcome;

static outcome tune(const setup *s, const description &d,
                    const std::vector<cublasLtMatmulHeuristicResult_t> &found) {
  outcome o = {1e30, 0, found.size()};
  for (size_t i = 0; i < found.size(); i++) {
    if (found[i].state != CUBLAS_STATUS_SUCCESS) continue;
    double ms = time_of(s->runs, [&] { multiply(s, d, &found[i].algo); });
    if (i == 0) o.first_ms = ms;
    if (ms < o.ms) o.ms = ms, o.best = i;
  }
  if (o.best == found.size()) {
    std::fprintf(stderr, "probe: cuBLASLt has no algorithm for this product\n");
    std::exit(1);
  }
  multiply(s, d, &found[o.best].algo);
  return o;
}

static void print(const model *mo, int l, int pass, const char *dtype, const problem &p,
                  const outcome &o, const std::vector<cublasLtMatmulHeuristicResult_t> &found) {
  const cublasLtMatmulAlgo_t *algo = &found[o.best].algo;
  const double flop = 2.0 * (double)p.m * (double)p.n * (double)p.k;
  std::printf("\n  {\"linear\": \"%s\", \"pass\": \"%s\", \"dtype\": \"%s\", \"tokens\": %d, "
              "\"in\": %d, \"out\": %d, \"ms\": %.5f, \"tflop_per_s\": %.1f, \"first_ms\": %.5f, "
              "\"candidates\": %zu, \"best\": %zu, \"algo\": %lld, \"tile\": %lld, "
              "\"stages\": %lld, \"swizzle\": %lld, \"cluster\": %lld, \"workspace\": %zu, "
              "\"waves\": %.3f}",
              mo->linear[l].name, pass_names[pass], dtype, mo->tokens, mo->linear[l].in,
              mo->linear[l].out, o.ms, 1e-9 * flop / o.ms, o.first_ms, found.size(), o.best,
              (long long)attribute(algo, CUBLASLT_ALGO_CONFIG_ID),
              (long long)attribute(algo, CUBLASLT_ALGO_CONFIG_TILE_ID),
              (long long)attribute(algo, CUBLASLT_ALGO_CONFIG_STAGES_ID),
              (long long)attribute(algo, CUBLASLT_ALGO_CONFIG_CTA_SWIZZLING),
              (long long)attribute(algo, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID),
              found[o.best].workspaceSize, (double)found[o.best].wavesCount);
  std::fflush(stdout);
}

/* One entry. Operands in T; dW in float32, as gradients are kept. */
template <class T>
static void product(const setup *s, const model *mo, int l, int pass, cudaDataType_t type,
                    const char *dtype) {
  const problem p = problem_of(pass, mo->tokens, mo->linear[l].in, mo->linear[l].out);
  description d = describe(p, type, pass == DW ? CUDA_R_32F : type);
  fill<<<1024, 256>>>((T *)s->a, (size_t)(p.m * p.k), 1);
  fill<<<1024, 256>>>((T *)s->b, (size_t)(p.k * p.n), 2);
  const auto found = candidates(s, d);
  const outcome o = tune(s, d, found);
  if (pass == DW)
    expect_finite((const float *)s->c, (size_t)(p.m * p.n));
  else
    expect_finite((const T *)s->c, (size_t)(p.m * p.n));
  print(mo, l, pass, dtype, p, o, found);
  forget(&d);
}

static void products(const char *name, bool quick) {
  const model *mo = nullptr;
  for (const model &m : models)
    if (!std::strcmp(m.name, name)) mo = &m;
  if (!mo) {
    std::fprintf(stderr, "no model '%s'; there are t5-small, t5-base, roberta-large\n", name);
    std::exit(2);
  }
  setup s = {};
  s.room = (size_t)mo->tokens * 32128 * 4; /* logits, the largest array, in float32 */
  s.workspace_bytes = size_t(64) << 20;
  s.candidates = quick ? 6 : 20, s.runs = quick ? 3 : 5;
  CHECK(cublasLtCreate(&s.lt));
  CHECK(cudaMalloc(&s.a, s.room));
  CHECK(cudaMalloc(&s.b, s.room));
  CHECK(cudaMalloc(&s.c, s.room));
  CHECK(cudaMalloc(&s.workspace, s.workspace_bytes));
  for (int l = 0; l < LINEARS && mo->linear[l].name; l++)
    for (int pass = 0; pass < PASSES; pass++) {
      std::printf(l || pass ? "," : "[");
      product<__nv_bfloat16>(&s, mo, l, pass, CUDA_R_16BF, "bf16");
      if (quick) continue;
      std::printf(",");
      product<float>(&s, mo, l, pass, CUDA_R_32F, "f32");
    }
  std::printf("\n]\n");
  CHECK(cublasLtDestroy(s.lt));
}

int main(int argc, char **argv) {
  int cards = 0;
  const char *part = argc > 1 ? argv[1] : "";
  if (cudaGetDeviceCount(&cards) != cudaSuccess || cards == 0) {
    std::fprintf(stderr, "probe: no CUDA card here\n");
    return 3;
  }
  CHECK(cudaSetDevice(0));
  if (!std::strcmp(part, "card"))
    card();
  else if (!std::strcmp(part, "copy"))
    copy();
  else if (!std::strcmp(part, "launch"))
    launch();
  else if (!std::strcmp(part, "products") && argc > 2)
    products(argv[2], argc > 3 && !std::strcmp(argv[3], "--quick"));
  else {
    std::fprintf(stderr, "probe: card | copy | launch | products MODEL [--quick]\n");
    return 2;
  }
  CHECK(cudaDeviceSynchronize());
  return 0;
}
