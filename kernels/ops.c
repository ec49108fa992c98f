#include "kernels/op.h"

#define CZ_OP(name) extern const cz_op_row cz_##name##_row;
#include "kernels/ops.def"
#undef CZ_OP

const cz_op_row *const cz_op_rows[CZ_OPS] = {
#define CZ_OP(name) [CZ_OP_##name] = &cz_##name##_row,
#include "kernels/ops.def"
#undef CZ_OP
};
