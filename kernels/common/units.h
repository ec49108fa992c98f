/* The matrix units of the processor, where it has some for bfloat16: AMX, or AVX-512's dot
 * products. oneDNN drives them, one single-threaded primitive a tile, so that no number of threads
 * has a say in the bits.
 *
 * A device of the host that computes in bfloat16 has one of these: it is the `stream` of its calls.
 * What is kept from call to call, primitives and packed weights, lives in it and not in a global.
 * Both appear in the first steps; later ones allocate nothing.
 *
 * A batch has another number of rows each time. So that primitives stay few, rows are cut into a
 * multiple of 64 and powers of two; and where they are summed over (dW) into pieces of 2048, a
 * multiple of 512, and a rest that is copied with zeros up to a multiple of 32. The cuts depend on
 * sizes alone.
 *
 * A kernel cannot return that something failed in it: the first failure is kept, and the device
 * asks for it after each call (cz_units_failed). */
#ifndef CZ_KERNELS_COMMON_UNITS_H
#define CZ_KERNELS_COMMON_UNITS_H

#include "kernels/common/product.h"

CZ_C_BEGIN

enum { CZ_UNITS_TEXT = 512 /* bytes of a reason or a failure */ };

/* How products of bfloat16 are computed, decided when the units are opened. */
typedef enum cz_units_path { CZ_UNITS_PANELS, CZ_UNITS_ONEDNN, CZ_UNITS_PATHS } cz_units_path;

extern const char *const cz_units_path_names[CZ_UNITS_PATHS];

const char *cz_units_library(void);

cz_units *cz_units_open(const char *wish, char *why, size_t why_bytes);
void cz_units_close(cz_units **units);
cz_units_path cz_units_path_of(const cz_units *u);
const char *cz_units_reason(const cz_units *u);
bool cz_units_failed(cz_units *u, char *text, size_t bytes);
void cz_units_forget(cz_units *u, const void *memory, size_t bytes);

/* What has been made so far; `packings` counts every time that an array was packed. */
typedef struct cz_units_counts {
  int64_t primitives, refused, packed, packed_bytes, packings;
} cz_units_counts;

cz_units_counts cz_units_count(cz_units *u);

/* For tests: products of float32 too; products of bfloat16 on any processor, computed in float32;
 * the N-th product from now on fails, -1: none does. */
bool cz_units_take_float32(cz_units *u);
void cz_units_take_bf16_here(cz_units *u);
void cz_units_fail_at(cz_units *u, int64_t n);

/* For product.c alone. */
bool cz_units_takes(const cz_units *u, cz_dtype dtype);
size_t cz_units_scratch(const cz_product *p, int64_t M, int64_t N);
void cz_units_multiply(cz_units *u, const cz_product *p, void *scratch);
void cz__product_here(const cz_product *p, void *scratch);
void cz__product_put(const cz_product *p, float *sums, int64_t ld);
size_t cz__product_here_scratch(const cz_product *p, int64_t M, int64_t N);

CZ_C_END

#endif
