/* The device language of the CUDA kernels (kernels/common/device.cuh) as the emulator gives it: a
 * kernel is an ordinary function, each CUDA thread of a block a fiber that runs until it waits for
 * others. What nvcc knows by itself is declared here; each instruction of device_ptx.cuh has a
 * model, written from the PTX manual and not from the kernels that use it.
 *
 * Places in error messages come from default arguments, which a compiler fills in where a function
 * is called; kernels need no decoration. */
#ifndef CZ_TESTS_EMULATOR_LANGUAGE_H
#define CZ_TESTS_EMULATOR_LANGUAGE_H

#include "kernels/common/launch.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime_api.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <tuple>
#include <type_traits>
#include <vector_functions.h>

#define __launch_bounds__(...)
#undef __shared__
#define __shared__ static_assert(false, "shared memory is declared by CZ_SHARED");

/* Where a kernel called something. */
struct emu_place {
  const char *file;
  int line;
};
#define EMU_PLACE  const char *file = __builtin_FILE(), int line = __builtin_LINE()
#define EMU_PASSED (emu_place{file, line})
#define CZ_PLACE   , EMU_PLACE
#define CZ_PASS    , file, line

/* Of the thread that runs. Functions, since the checks look at what a kernel reads itself; while it
 * runs they always give the same. */
#define EMU_INDEX __attribute__((const))
EMU_INDEX uint3 emu_thread_index(void);
EMU_INDEX uint3 emu_block_index(void);
EMU_INDEX dim3 emu_block_dim(void);
EMU_INDEX dim3 emu_grid_dim(void);
#define threadIdx (emu_thread_index())
#define blockIdx  (emu_block_index())
#define blockDim  (emu_block_dim())
#define gridDim   (emu_grid_dim())

/* One launch of KERNEL: BODY(argument) is what each thread does. Gives a cudaError_t. */
int emu_launch(const char *name, const void *kernel, dim3 grid, dim3 block, size_t shared_bytes,
               void (*body)(void *), void *argument, size_t argument_bytes);

/* Of each file its own: files may give the types of their kernels' arguments the same names. */
namespace {
template <class... P> struct emu_call {
  void (*kernel)(P...);
  std::tuple<P...> arguments;
  static void run(void *self) {
    emu_call *c = static_cast<emu_call *>(self);
    std::apply(c->kernel, c->arguments);
  }
};
} // namespace

template <class... P, class... A>
static inline void cz_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                             size_t shared_bytes, void *stream, A... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  emu_call<P...> call = {kernel, {static_cast<P>(arguments)...}};
  cz_cuda_launched(stream, name,
                   emu_launch(name, reinterpret_cast<const void *>(kernel), grid, block,
                              shared_bytes, call.run, &call, sizeof call));
}

/* The block's array of shared memory that the static object KEY stands for. */
void *emu_shared(const void *key, const char *name, size_t bytes);
void *emu_shared_dynamic(void);
#define CZ_SHARED(type, name, ...)                                                                 \
  typedef type name##_type __VA_ARGS__;                                                            \
  static const char name##_key = 0;                                                                \
  name##_type &name =                                                                              \
      *static_cast<name##_type *>(emu_shared(&name##_key, #name, sizeof(name##_type)))
#define CZ_SHARED_DYNAMIC(type, name) type *const name = static_cast<type *>(emu_shared_dynamic())

void emu_barrier(emu_place at);
static inline void __syncthreads(EMU_PLACE) { emu_barrier(EMU_PASSED); }

/* What a collective of a warp does: the last lane of MASK to come calls RUN with what each lane
 * gave, null for lanes outside the mask. */
typedef void (*emu_together)(void **lanes, unsigned mask);
void emu_gather(unsigned mask, const char *what, emu_place at, void *mine, emu_together run);

void emu_syncwarp(unsigned mask, emu_place at);
static inline void __syncwarp(unsigned mask = 0xffffffffu, EMU_PLACE) {
  emu_syncwarp(mask, EMU_PASSED);
}

enum emu_shuffle_kind { EMU_SHUFFLE_INDEX, EMU_SHUFFLE_XOR, EMU_SHUFFLE_UP, EMU_SHUFFLE_DOWN };
uint64_t emu_shuffle(unsigned mask, uint64_t bits, int lane, int width, emu_shuffle_kind kind,
                     emu_place at);

template <class T>
static inline T emu_shuffle_as(unsigned mask, T x, int lane, int width, emu_shuffle_kind kind,
                               emu_place at) {
  static_assert(sizeof(T) <= 8, "a shuffle moves up to 8 bytes");
  uint64_t bits = 0;
  memcpy(&bits, &x, sizeof x);
  bits = emu_shuffle(mask, bits, lane, width, kind, at);
  memcpy(&x, &bits, sizeof x);
  return x;
}

template <class T>
static inline T __shfl_sync(unsigned mask, T x, int lane, int width = 32, EMU_PLACE) {
  return emu_shuffle_as(mask, x, lane, width, EMU_SHUFFLE_INDEX, EMU_PASSED);
}
template <class T>
static inline T __shfl_xor_sync(unsigned mask, T x, int lane, int width = 32, EMU_PLACE) {
  return emu_shuffle_as(mask, x, lane, width, EMU_SHUFFLE_XOR, EMU_PASSED);
}
template <class T>
static inline T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = 32, EMU_PLACE) {
  return emu_shuffle_as(mask, x, (int)by, width, EMU_SHUFFLE_UP, EMU_PASSED);
}
template <class T>
static inline T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = 32, EMU_PLACE) {
  return emu_shuffle_as(mask, x, (int)by, width, EMU_SHUFFLE_DOWN, EMU_PASSED);
}

unsigned emu_ballot(unsigned mask, bool vote, emu_place at);
static inline unsigned __ballot_sync(unsigned mask, int vote, EMU_PLACE) {
  return emu_ballot(mask, vote != 0, EMU_PASSED);
}
static inline int __any_sync(unsigned mask, int vote, EMU_PLACE) {
  return emu_ballot(mask, vote != 0, EMU_PASSED) != 0;
}
static inline int __all_sync(unsigned mask, int vote, EMU_PLACE) {
  return emu_ballot(mask, vote != 0, EMU_PASSED) == mask;
}

int emu_atomic_add(int *to, int x, emu_place at);
static inline int atomicAdd(int *to, int x, EMU_PLACE) { return emu_atomic_add(to, x, EMU_PASSED); }

/* Functions of CUDA's that a C++ compiler lacks. */
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __clz(int x) { return x ? __builtin_clz((unsigned)x) : 32; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fadd_rn(float a, float b) { return a + b; }

/* The special function unit's: within two units of the last place of this. */
static inline float cz_exp2(float x) {
  const float y = exp2f(x);
  return y < 0x1p-126f ? 0 : y;
}

/* Within one unit in the last place of this. */
static inline float cz_reciprocal(float x) {
  const float y = 1 / (fabsf(x) < 0x1p-126f ? copysignf(0, x) : x);
  return fabsf(y) < 0x1p-126f ? copysignf(0, y) : y;
}

static inline void cz_forget(uint32_t &) {}

uint4 emu_load_16(const void *p, emu_place at);
void emu_store_16(void *p, uint4 bits, emu_place at);
static inline uint4 cz_load_16(const void *p, EMU_PLACE) { return emu_load_16(p, EMU_PASSED); }
static inline void cz_store_16(void *p, uint4 bits, EMU_PLACE) {
  emu_store_16(p, bits, EMU_PASSED);
}

/* Numbers in 16 bits, as the models of products see them. */
template <class T> struct emu_format;
template <> struct emu_format<__nv_bfloat16> {
  enum { HALF = 0 };
};
template <> struct emu_format<__half> {
  enum { HALF = 1 };
};
void emu_mma(float d[4], const uint32_t a[4], const uint32_t b[2], bool fp16, emu_place at);
template <class T>
static inline void cz_mma(float d[4], const uint32_t a[4], const uint32_t b[2], EMU_PLACE) {
  emu_mma(d, a, b, emu_format<T>::HALF, EMU_PASSED);
}

void emu_ldmatrix(uint32_t r[4], const void *row, bool transposed, emu_place at);
template <bool TRANSPOSED>
static inline void cz_ldmatrix_4(uint32_t r[4], const void *row, EMU_PLACE) {
  emu_ldmatrix(r, row, TRANSPOSED, EMU_PASSED);
}

void emu_copy_16(void *shared, const void *from, bool present, emu_place at);
void emu_copy_commit(void);
void emu_copy_wait(int groups, emu_place at);
static inline void cz_copy_16(void *shared, const void *from, bool present, EMU_PLACE) {
  emu_copy_16(shared, from, present, EMU_PASSED);
}
static inline void cz_copy_commit() { emu_copy_commit(); }
template <int GROUPS> static inline void cz_copy_wait(EMU_PLACE) {
  emu_copy_wait(GROUPS, EMU_PASSED);
}

enum { CZ_HAS_WGMMA = 1 };
uint32_t emu_shared_address(const void *p, emu_place at);
static inline uint32_t cz_shared_address(const void *p, EMU_PLACE) {
  return emu_shared_address(p, EMU_PASSED);
}
void emu_wgmma_n8(float d[4], uint64_t a, uint64_t b, bool fp16, emu_place at);
void emu_wgmma_commit(void);
void emu_wgmma_wait(int groups, emu_place at);
/* What these two order a fiber sees in order anyway. */
static inline void cz_wgmma_publish() {}
static inline void cz_wgmma_fence(float *) {}
template <class T> static inline void cz_wgmma_n8(float d[4], uint64_t a, uint64_t b, EMU_PLACE) {
  emu_wgmma_n8(d, a, b, emu_format<T>::HALF, EMU_PASSED);
}
static inline void cz_wgmma_commit() { emu_wgmma_commit(); }
template <int GROUPS> static inline void cz_wgmma_wait(float *, EMU_PLACE) {
  emu_wgmma_wait(GROUPS, EMU_PASSED);
}

#endif
