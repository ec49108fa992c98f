/* The part of the device language (device.cuh) that only nvcc understands. Each instruction is one
 * function here and one model, written from the PTX manual, in tests/emulator/language.h. */
#ifndef CZ_KERNELS_COMMON_DEVICE_PTX_CUH
#define CZ_KERNELS_COMMON_DEVICE_PTX_CUH

#include <stdint.h>
#include <string.h>

#define CZ_PLACE
#define CZ_PASS

#define CZ_SHARED(type, name, ...) __shared__ __align__(16) type name __VA_ARGS__
/* One symbol serves all kernels of a file, whatever the type of their arrays. */
#define CZ_SHARED_DYNAMIC(type, name)                                                              \
  extern __shared__ __align__(128) unsigned char cz_shared_dynamic[];                              \
  type *const name = reinterpret_cast<type *>(cz_shared_dynamic)

/* Launches KERNEL in the stream's order; a grid without blocks is not launched. Errors go to
 * cz_cuda_launched. */
template <class... P, class... A>
static inline void cz_launch(const char *name, void (*kernel)(P...), dim3 grid, dim3 block,
                             size_t shared_bytes, void *stream, A... arguments) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  cudaError_t error = cudaSuccess;
  if (shared_bytes > CZ_SHARED_WITHOUT_ASKING)
    error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                 (int)shared_bytes);
  if (error == cudaSuccess) {
    kernel<<<grid, block, shared_bytes, (cudaStream_t)cz_cuda_stream_of(stream)>>>(
        static_cast<P>(arguments)...);
    error = cudaGetLastError();
  }
  cz_cuda_launched(stream, name, (int)error);
}

static inline __device__ uint4 cz_load_16(const void *p) {
  return *reinterpret_cast<const uint4 *>(p);
}

static inline __device__ void cz_store_16(void *p, uint4 bits) {
  *reinterpret_cast<uint4 *>(p) = bits;
}

/* 2^x by the special function unit, two units in the last place; subnormal results are 0. */
static inline __device__ float cz_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/* 1 / x by the special function unit, one unit in the last place; subnormal numbers count as 0. */
static inline __device__ float cz_reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/* X stays what it is, but the compiler no longer knows that it does: what is made of X again behind
 * this is made again, and not held in registers from before. */
static inline __device__ void cz_forget(uint32_t &x) { asm volatile("" : "+r"(x)); }

/* mma.sync.m16n8k16, row by column: d += a b in float32, a [16, 16], b [16, 8], both of bfloat16 or
 * both of float16. Lane l holds of d rows l / 4 and l / 4 + 8, columns 2 (l % 4) and the next. */
template <class T>
static inline __device__ void cz_mma(float d[4], const uint32_t a[4], const uint32_t b[2]) {
#define CZ_MMA(type)                                                                               \
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." type "." type ".f32 "                      \
               "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                   \
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                    \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
  static_assert(sizeof(T) == 2, "tensor cores have no float32");
  if constexpr (std::is_same<T, __half>::value)
    CZ_MMA("f16");
  else
    CZ_MMA("bf16");
#undef CZ_MMA
}

/* ldmatrix.x4: four 8 x 8 matrices of 16-bit numbers; lanes 8 i to 8 i + 7 give the addresses of
 * the rows of matrix i, 16 bytes each, and r[i] of lane l holds numbers 2 (l % 4) and the next of
 * row l / 4 of matrix i; TRANSPOSED, of column l / 4. */
template <bool TRANSPOSED>
static inline __device__ void cz_ldmatrix_4(uint32_t r[4], const void *row) {
  const uint32_t at = (uint32_t)__cvta_generic_to_shared(row);
  if (TRANSPOSED)
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
  else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(at)
                 : "memory");
}

/* cp.async: 16 bytes from global to shared memory, both aligned to 16, which are there when the
 * group that they belong to was waited for; without PRESENT zeros, and FROM is not read. */
static inline __device__ void cz_copy_16(void *shared, const void *from, bool present) {
  const uint32_t at = (uint32_t)__cvta_generic_to_shared(shared);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
               :
               : "r"(at), "l"(__cvta_generic_to_global(from)), "r"(present ? 16 : 0)
               : "memory");
}

/* Ends a group of this thread's copies. */
static inline __device__ void cz_copy_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}

/* Waits until all but the last GROUPS groups of this thread's copies have landed; other threads see
 * them behind a barrier. */
template <int GROUPS> static inline __device__ void cz_copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS) : "memory");
}

/* ---- wgmma, of Hopper alone: code for sm_90a has it, and no other, later ones neither. ---- */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#define CZ_WGMMA(...) asm volatile(__VA_ARGS__)
enum { CZ_HAS_WGMMA = 1 };
#else
#define CZ_WGMMA(...) __trap()
enum { CZ_HAS_WGMMA = 0 };
#endif

/* Where P lies in the block's shared memory. */
static inline __device__ uint32_t cz_shared_address(const void *p) {
  return (uint32_t)__cvta_generic_to_shared(p);
}

/* Behind this and a barrier wgmma sees what this thread has written to shared memory. */
static inline __device__ void cz_wgmma_publish() {
  CZ_WGMMA("fence.proxy.async.shared::cta;" ::: "memory");
}

/* Behind this wgmma sees what is in D; before the first product, and when D was touched since. */
static inline __device__ void cz_wgmma_fence(float d[4]) {
  CZ_WGMMA("wgmma.fence.sync.aligned;" : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])::"memory");
}

/* wgmma.mma_async.m64n8k16 of four warps: d += a b in float32, a [64, 16], b [16, 8] in shared
 * memory where A and B say (cz_wgmma_operand), both of bfloat16 or both of float16. Warp w holds of
 * d rows 16 w to 16 w + 15, its lanes as in cz_mma. D is nobody's until it was waited for. */
template <class T> static inline __device__ void cz_wgmma_n8(float d[4], uint64_t a, uint64_t b) {
#define CZ_PRODUCT(type)                                                                           \
  CZ_WGMMA("{\n.reg .pred add;\nsetp.eq.u32 add, 0, 0;\n"                                          \
           "wgmma.mma_async.sync.aligned.m64n8k16.f32." type "." type " "                          \
           "{%0, %1, %2, %3}, %4, %5, add, 1, 1, 0, 0;\n}"                                         \
           : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                        \
           : "l"(a), "l"(b)                                                                        \
           : "memory")
  static_assert(sizeof(T) == 2, "this shape has 16 numbers in a row");
  if constexpr (std::is_same<T, __half>::value)
    CZ_PRODUCT("f16");
  else
    CZ_PRODUCT("bf16");
#undef CZ_PRODUCT
}

/* Ends a group of this warp's products. */
static inline __device__ void cz_wgmma_commit() {
  CZ_WGMMA("wgmma.commit_group.sync.aligned;" ::: "memory");
}

/* Waits until all but the last GROUPS groups are done; D is of one that is. */
template <int GROUPS> static inline __device__ void cz_wgmma_wait(float d[4]) {
  CZ_WGMMA("wgmma.wait_group.sync.aligned %4;"
           : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
           : "n"(GROUPS)
           : "memory");
}

#endif
