/* Apart from ops.c, whose table holds all ops: a module links this alone. */
#include "kernels/op.h"

const char *const cz_dtype_names[CZ_DTYPES] = {
    [CZ_F64] = "f64", [CZ_F32] = "f32", [CZ_BF16] = "bf16", [CZ_F16] = "f16", [CZ_I32] = "i32"};
