#include "kernels/op.h"

#define CZ_OP(name) extern const cz_op_row cz_##name##_row;
#include "kernels/ops.def"
#undef CZ_OP

const char *const cz_dtype_names[CZ_DTYPES] = {
    [CZ_F64] = "f64", [CZ_F32] = "f32", [CZ_BF16] = "bf16", [CZ_F16] = "f16", [CZ_I32] = "i32"};

const cz_op_row *const cz_op_rows[CZ_OPS] = {
#define CZ_OP(name) [CZ_OP_##name] = &cz_##name##_row,
#include "kernels/ops.def"
#undef CZ_OP
};
