/* Bound by memory: six bytes for each number of a float32 that becomes a bfloat16. */
#include "kernels/cast/cast.h"
#include "kernels/common/cpu.h"
#include "kernels/common/piece.h"

enum { CHUNK = 64 * CZ_PIECE }; /* a thread's share; less is not worth starting one */

static void cast(const cz_arg *to, const cz_arg *from, int64_t n, cz_grad_mode mode) {
#pragma omp parallel for schedule(static) if (n > (int64_t)2 * CHUNK)
  for (int64_t begin = 0; begin < n; begin += CHUNK)
    for (int64_t i = begin; i < cz_minimum(n, begin + CHUNK); i += CZ_PIECE) {
      float buffer[CZ_PIECE];
      int64_t k = cz_minimum(n - i, CZ_PIECE);
      cz_piece_grad(to->data, to->dtype, i, k, cz_piece_read(from->data, from->dtype, i, k, buffer),
                    mode);
    }
}

/** Forward between float32 and bfloat16: y = x, rounded. Contract: cast.h. */
void cz_cast_fwd_cpu(const cz_call *call) {
  cast(&call->out[0], &call->in[CZ_CAST_X], cz_numel(&call->out[0]), CZ_GRAD_WRITE);
}

/** Backward between float32 and bfloat16: dx = dy, rounded. Contract: cast.h. */
void cz_cast_bwd_cpu(const cz_call *call) {
  cast(&call->din[CZ_CAST_X], &call->dout[0], cz_numel(&call->dout[0]), call->mode[CZ_CAST_X]);
}
