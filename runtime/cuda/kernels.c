/* The CUDA kernels that there are: a line for each op. An op without one, and a dtype that its line
 * does not name, is refused by name (cz_device_kernels). A launcher serves all its dtypes: it looks
 * at those of the call. */
#include "cuda/context.h"
#include "kernels/activation/activation.h"
#include "kernels/adafactor/adafactor.h"
#include "kernels/adamw/adamw.h"
#include "kernels/add/add.h"
#include "kernels/attention/attention.h"
#include "kernels/cache_append/cache_append.h"
#include "kernels/cast/cast.h"
#include "kernels/choices/choices.h"
#include "kernels/clip/clip.h"
#include "kernels/cross_entropy/cross_entropy.h"
#include "kernels/dropout/dropout.h"
#include "kernels/embedding/embedding.h"
#include "kernels/gather/gather.h"
#include "kernels/label_words/label_words.h"
#include "kernels/linear/linear.h"
#include "kernels/norm/norm.h"
#include "kernels/pool/pool.h"
#include "kernels/sumsq/sumsq.h"

enum { REALS = 1 << CZ_F32 | 1 << CZ_BF16 | 1 << CZ_F16 };

static const struct row {
  cz_kernels kernels;
  int dtypes; /* a bit for each that a call may have (cz_call_dtype) */
} rows[CZ_OPS] = {
    [CZ_OP_activation] = {{cz_activation_fwd_cuda, cz_activation_bwd_cuda, NULL}, REALS},
    [CZ_OP_adafactor] = {{cz_adafactor_fwd_cuda, NULL, cz_adafactor_workspace_cuda}, REALS},
    [CZ_OP_adamw] = {{cz_adamw_fwd_cuda, NULL, cz_adamw_workspace_cuda}, REALS},
    [CZ_OP_add] = {{cz_add_fwd_cuda, cz_add_bwd_cuda, NULL}, REALS},
    [CZ_OP_attention] = {{cz_attention_fwd_cuda, cz_attention_bwd_cuda,
                          cz_attention_workspace_cuda},
                         REALS},
    [CZ_OP_cache_append] = {{cz_cache_append_fwd_cuda, NULL, NULL}, REALS},
    [CZ_OP_cast] = {{cz_cast_fwd_cuda, cz_cast_bwd_cuda, NULL}, REALS},
    [CZ_OP_choices] = {{cz_choices_fwd_cuda, cz_choices_bwd_cuda, NULL}, 1 << CZ_F32},
    [CZ_OP_clip] = {{cz_clip_fwd_cuda, NULL, NULL}, 1 << CZ_F32},
    [CZ_OP_cross_entropy] = {{cz_cross_entropy_fwd_cuda, cz_cross_entropy_bwd_cuda,
                              cz_cross_entropy_workspace_cuda},
                             REALS},
    [CZ_OP_dropout] = {{cz_dropout_fwd_cuda, cz_dropout_bwd_cuda, NULL}, REALS},
    [CZ_OP_embedding] = {{cz_gather_fwd_cuda, cz_embedding_bwd_cuda, cz_embedding_workspace_cuda},
                         REALS},
    [CZ_OP_gather] = {{cz_gather_fwd_cuda, cz_gather_bwd_cuda, cz_gather_workspace_cuda}, REALS},
    [CZ_OP_label_words] = {{cz_label_words_fwd_cuda, cz_label_words_bwd_cuda,
                            cz_label_words_workspace_cuda},
                           REALS},
    [CZ_OP_linear] = {{cz_linear_fwd_cuda, cz_linear_bwd_cuda, cz_linear_workspace_cuda}, REALS},
    [CZ_OP_norm] = {{cz_norm_fwd_cuda, cz_norm_bwd_cuda, cz_norm_workspace_cuda}, REALS},
    [CZ_OP_pool] = {{cz_pool_fwd_cuda, cz_pool_bwd_cuda, NULL}, REALS},
    [CZ_OP_sumsq] = {{cz_sumsq_fwd_cuda, NULL, cz_sumsq_workspace_cuda}, REALS},
};

/** The kernels of OP in DTYPE; null when there are none. */
const cz_kernels *cz_cuda_kernels(cz_device *d, cz_op op, cz_dtype dtype) {
  const struct row *row = &rows[op];
  (void)d;
  return row->kernels.forward && (row->dtypes >> dtype & 1) ? &row->kernels : NULL;
}
