/* What went wrong on the card. A launch and a product return before they have run, so an error of a
 * kernel shows at some later call; then the launches since the last point that is known to be good
 * are what can have caused it, and a ring of the last ones names them. CZ_CUDA_SYNC=1 waits after
 * every launch, and the error is that launch's. After such an error the card does nothing more for
 * this process, and every further call fails with the same words. */
#ifndef CZ_CUDA_ERRORS_H
#define CZ_CUDA_ERRORS_H

#include "base/status.h"
#include "kernels/common/language.h"

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

CZ_C_BEGIN

enum { CZ_CUDA_LAUNCHES = 256, CZ_CUDA_TEXT = 1024 };

struct cz_cuda;

typedef struct cz_cuda_launch {
  const char *kernel; /* a literal */
  int64_t m, n, k;    /* of a product; m negative: this is none */
} cz_cuda_launch;

typedef struct cz_cuda_errors {
  bool exact;        /* every launch is waited for */
  uint64_t launched; /* launches so far */
  uint64_t good;     /* of them, those that are known to have run well */
  cz_cuda_launch last[CZ_CUDA_LAUNCHES];
  char pending[CZ_CUDA_TEXT]; /* the first error of a launch or a library that was not yet told */
  char cause[CZ_CUDA_TEXT];   /* after which the card does nothing more; empty: it works */
} cz_cuda_errors;

CZ_MUST cz_status cz_cuda_alive(const struct cz_cuda *c);
CZ_MUST cz_status cz_cuda_checked(struct cz_cuda *c, cudaError_t error, const char *format, ...)
    CZ_PRINTF(3, 4);
bool cz_cuda_works(struct cz_cuda *c, cudaError_t error, uint64_t launched);
CZ_MUST cz_status cz_cuda_waited(struct cz_cuda *c, cudaError_t error, uint64_t launched);
CZ_MUST cz_status cz_cuda_failed(struct cz_cuda *c);
void cz_cuda_refused(struct cz_cuda *c, const char *format, ...) CZ_PRINTF(2, 3);
void cz_cuda_note(struct cz_cuda *c, const cz_cuda_launch *launch, cudaError_t error);

CZ_C_END

#endif
