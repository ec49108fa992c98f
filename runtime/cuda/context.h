/* The CUDA device's own state, which `stream` of its calls points to. One stream orders all that
 * the device is asked for: kernels, copies through pinned memory (ring.h), products (product.h).
 * What goes wrong is kept in errors.h until it can be told.
 *
 * Of the CUDA runtime the folder uses few functions, so that tests/emulator and tests/cuda can
 * stand in for it. One thread at a time uses a device. */
#ifndef CZ_CUDA_CONTEXT_H
#define CZ_CUDA_CONTEXT_H

#include "cuda/errors.h"
#include "cuda/ring.h"
#include "device/module_side.h"

#include <cuda_runtime_api.h>

CZ_C_BEGIN

struct cz_cuda;
struct cz_cudnn;

/* Attention by cuDNN (cudnn.h). */
typedef struct cz_cuda_cudnn {
  cz_kernels kernels;
  void (*close)(struct cz_cuda *c);
  void (*account)(const struct cz_cuda *c, char *text,
                  size_t n);               /* of the library, for cz_device_info */
  const char *(*wrong)(struct cz_cuda *c); /* what a kernel has found wrong; null: nothing */
  void (*describe)(cz_library_info *out);  /* the library, with or without a card */
} cz_cuda_cudnn;

/* What a module is: the real one (cublaslt_module.c) and the emulated one (tests/emulator) differ
 * in this and in product.h. */
typedef struct cz_cuda_variant {
  const char *const *names;             /* of its devices, null behind the last */
  bool host_memory;                     /* of cz_device */
  bool exact;                           /* launches return when they have run */
  const cz_cuda_cudnn *cudnn;           /* null: it has none */
  bool (*refuses)(char *why, size_t n); /* to open, and WHY; null: it never does */
} cz_cuda_variant;

extern const cz_cuda_variant cz_cuda_module;

typedef struct cz_cuda_card {
  char name[CZ_INFO_BYTES];
  int major, minor; /* compute capability */
  int multiprocessors;
  int cards;     /* that there are; this is the first */
  size_t memory; /* bytes in all */
  size_t shared; /* bytes of shared memory that a block can have */
  int driver;    /* the CUDA version that it has: 13000 is 13.0 */
  int runtime;   /* the one that this module was built with */
} cz_cuda_card;

typedef struct cz_cuda {
  cz_device device; /* what the program has */
  cz_cuda_card card;
  char processor[CZ_PROCESSOR_BYTES];
  cudaStream_t stream;
  cz_cuda_errors errors;
  cz_cuda_ring up, down; /* to the card, and from it */
  struct cz_cuda_products *products;
  struct cz_cudnn *cudnn; /* null: not used so far */
} cz_cuda;

/* A table of the kernels that there are but cuDNN's (kernels.c); null where there is none. */
const cz_kernels *cz_cuda_kernels(cz_device *d, cz_op op, cz_dtype dtype);

/* The card that computes, or WHY there is none. */
bool cz_cuda_card_find(cz_cuda_card *card, char *why, size_t n);

/* Opens the device NAME, a literal, on CARD. */
cz_status cz_cuda_open(cz_device **device, const char *name, const cz_cuda_card *card);

CZ_C_END

#endif
