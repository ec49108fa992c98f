/* Fused attention by cuDNN's backend interface (kernels/attention_cudnn has the op).
 *
 * The library is opened when the first attention is planned, never linked: libcudnn.so.9 where the
 * loader or NVIDIA's folders have it, or the file that CZ_CUDNN names. cuDNN takes attention as a
 * graph of small operations, finds the pattern in it and has one kernel for the whole
 * (cudnn_plan.c). To find and compile that takes one to three seconds, so there are few plans, and
 * they are kept:
 *   - a plan is for a group of segments, the next power of two or 3/4 of one above the call's, and
 *     in backward no more than have a dS of CZ_CUDNN_DS bytes, in forward CZ_CUDNN_GROUP. Further
 *     segments are further groups; those behind the last segment are empty;
 *   - lengths are the longest that the call may have, rounded up to 64; when it does not say, the
 *     class of all its rows, made like that of segments, 64 at least, and backward then takes one
 *     segment after another.
 * Tried are versions 9.19.0 and later of 9: of earlier ones it is not known that they find this
 * pattern. Backward is deterministic because dQ is made of a dS that was written down, as cuDNN's
 * own front end asks for it; 9.19.0 does that for segments on cards of compute capability 9.0.
 * Others, also later ones, are refused. */
#ifndef CZ_CUDA_CUDNN_H
#define CZ_CUDA_CUDNN_H

#include "cuda/context.h"

#include <cudnn_graph.h>

enum { CZ_CUDNN_VERSION = 91900 /* the first */, CZ_CUDNN_END = 100000 };

#define CZ_CUDNN_CALLS(CALL)                                                                       \
  CALL(GetVersion)                                                                                 \
  CALL(GetLastErrorString)                                                                         \
  CALL(Create)                                                                                     \
  CALL(Destroy)                                                                                    \
  CALL(SetStream)                                                                                  \
  CALL(BackendCreateDescriptor)                                                                    \
  CALL(BackendDestroyDescriptor)                                                                   \
  CALL(BackendSetAttribute)                                                                        \
  CALL(BackendGetAttribute)                                                                        \
  CALL(BackendFinalize)                                                                            \
  CALL(BackendExecute)

typedef struct cz_cudnn_library {
#define CALL(name) __typeof__(&cudnn##name) name;
  CZ_CUDNN_CALLS(CALL)
#undef CALL
} cz_cudnn_library;

/* What a plan is made on: a handle, or without a card its properties (CUDNN_BACKEND_DEVICEPROP). */
typedef struct cz_cudnn_place {
  cudnnHandle_t handle;
  cudnnBackendDescriptor_t properties;
} cz_cudnn_place;

typedef struct cz_cudnn_shape {
  int64_t segments, queries, keys; /* of one segment */
  int heads, head;                 /* numbers of a head */
  cz_dtype dtype;
  bool causal, backward;
} cz_cudnn_shape;

/* The arrays of a plan, which are cuDNN's numbers for them. */
typedef enum cz_cudnn_array {
  CZ_CUDNN_Q = 1,
  CZ_CUDNN_K,
  CZ_CUDNN_V,
  CZ_CUDNN_O,
  CZ_CUDNN_DO,
  CZ_CUDNN_DQ,
  CZ_CUDNN_DK,
  CZ_CUDNN_DV,
  CZ_CUDNN_STATS,
  CZ_CUDNN_D,       /* [segments, heads, queries] float: D of the op's contract */
  CZ_CUDNN_Q_BEGIN, /* [segments + 1], as the three that follow of cz_attention_cudnn_segments */
  CZ_CUDNN_K_BEGIN,
  CZ_CUDNN_STATS_BEGIN,
  CZ_CUDNN_Q_LENGTH,
  CZ_CUDNN_K_LENGTH,
  CZ_CUDNN_SCALE, /* a float of the host, as those that follow */
  CZ_CUDNN_LOWEST,
  CZ_CUDNN_ONE,
  CZ_CUDNN_ARRAYS
} cz_cudnn_array;

enum { CZ_CUDNN_DESCRIPTORS = 160, CZ_CUDNN_OPERATIONS = 32 };

typedef struct cz_cudnn_plan {
  cz_cudnn_shape shape;
  cudnnBackendDescriptor_t plan; /* null: cuDNN has none, see `why` */
  size_t workspace;
  char why[400];
  uint32_t uses; /* a bit for each array */
  cudnnBackendDescriptor_t made[CZ_CUDNN_DESCRIPTORS];
  int n_made;
} cz_cudnn_plan;

/* cudnn_plan.c */
void cz_cudnn_plan_make(cz_cudnn_plan *p, const cz_cudnn_library *library,
                        const cz_cudnn_place *place, const cz_cudnn_shape *shape);
void cz_cudnn_plan_free(cz_cudnn_plan *p, const cz_cudnn_library *library);
cudnnStatus_t cz_cudnn_plan_run(const cz_cudnn_plan *p, const cz_cudnn_library *library,
                                cudnnHandle_t handle, void *const at[CZ_CUDNN_ARRAYS],
                                void *workspace);

enum { CZ_CUDNN_PLANS = 64 /* kept at once */, CZ_CUDNN_GROUP = 256, CZ_CUDNN_DS = 512 << 20 };

struct cz_cudnn { /* of a device */
  cz_cudnn_library library;
  cudnnHandle_t handle;
  cz_cudnn_plan *plan[CZ_CUDNN_PLANS];
  int plans, made;
  double seconds; /* that making them took */
  int32_t *wrong; /* pinned: of cz_attention_cudnn_segments */
  char why[1024]; /* it cannot be used; empty: it can */
};

/* cudnn_library.c */
#define CZ_CUDNN_FILE "libcudnn.so.9"
bool cz_cudnn_library_open(cz_cudnn_library *library, const char *name, char *why, size_t n);
void cz_cudnn_library_describe(cz_library_info *out);
void cz_cudnn_library_version(const cz_cudnn_library *library, char *text, size_t n);

#endif
