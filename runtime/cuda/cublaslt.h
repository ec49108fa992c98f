/* Products by cuBLASLt: its handle, what it is told of a product, and which of its algorithms makes
 * it.
 *
 * The first product of a kind is tuned: the algorithms that the library proposes are timed on
 * random numbers and the fastest is kept for good, in this process and in a file for the next ones
 * (cublaslt_files.c). Which one that is depends on the card, the library and the key below: dtypes,
 * transpositions, alignment, epilogue, whether beta is 0, and the sizes, of which m and k only by
 * their class, since they change with the number of tokens. So the bits of a product are the same
 *   - for the same call in one process, whatever ran before;
 *   - in all processes that read the same file of choices. Without one another algorithm may win by
 *     a hair, and then the order of sums is another.
 * The bits of a row may change with the number of rows: the library promises nothing else, and
 * another class of m may have another algorithm.
 *
 * A sum is made in float32 and in one order: algorithms that cut k and add the parts in the order
 * in which they are ready, or rounded to the result's dtype, are never taken
 * (CUBLASLT_REDUCTION_SCHEME_INPLACE and _OUTPUT_TYPE); those that write the parts in float32 to
 * the workspace and add them in a second kernel (_COMPUTE_TYPE) are, for a weight's gradient has
 * few results and a long k. float32 means float32: never TF32. */
#ifndef CZ_CUDA_CUBLASLT_H
#define CZ_CUDA_CUBLASLT_H

#include "cuda/product.h"
#include "kernels/common/launch.h"

#include <cublasLt.h>

enum { CZ_CUDA_CANDIDATES = 20, CZ_CUDA_RUNS = 5 };
enum { CZ_CUDA_WORKSPACE = 32 << 20 }; /* bytes: what NVIDIA advises for Hopper */

/* The bit of an epilogue that writes what is before the activation. */
enum { CZ_CUDA_EPILOGUE_PRE = CUBLASLT_EPILOGUE_GELU_AUX & ~CUBLASLT_EPILOGUE_GELU };

/* What a product is to the library. Compared as bytes: to be cleared before it is filled. Sizes are
 * those of launch.h, strides in elements. Of a choice m and k are the largest of their class, and
 * strides are 0: only their alignment counts. */
typedef struct cz_cuda_key {
  int64_t m, n, k, lda, ldb, ldc;
  int32_t in, out; /* cz_dtype */
  int32_t transposed_a, transposed_b;
  int32_t align_a, align_b, align_c, align_bias; /* bytes, 16 at most, of all that begins there:
                                                    rows as well; c also for pre; 0: no bias */
  int32_t epilogue;                              /* cublasLtEpilogue_t */
  int32_t adds;                                  /* beta is not 0 */
} cz_cuda_key;

typedef struct cz_cuda_choice {
  cz_cuda_key key;
  cublasLtMatmulAlgo_t algorithm;
  double seconds; /* of the median run; 0: not measured */
  bool none;      /* the library has no such epilogue; never in a file */
} cz_cuda_choice;

/* A product of given sizes, ready to be asked for. */
typedef struct cz_cuda_problem {
  cz_cuda_key key;
  bool there; /* false: the library has no such epilogue */
  cublasLtMatmulAlgo_t algorithm;
  cublasLtMatmulDescOpaque_t operation;
  cublasLtMatrixLayoutOpaque_t a, b, c; /* of the library: its a is our b, see cublaslt_problem.c */
} cz_cuda_problem;

/* What a problem is made on. */
typedef struct cz_cuda_operands {
  void *c, *pre;
  const void *a, *b, *bias;
} cz_cuda_operands;

enum { CZ_CUDA_PROBLEMS = 4096 }; /* kept at once */

typedef struct cz_cuda_choices {
  cz_cuda_choice *row;
  size_t n, room;
  char path[1024]; /* of the file that is written; empty: there is none */
} cz_cuda_choices;

typedef struct cz_cuda_products {
  cublasLtHandle_t library;
  void *workspace;
  cz_cuda_problem *problem[2 * CZ_CUDA_PROBLEMS]; /* by hash */
  int problems;
  cz_cuda_choices choices;
  int tuned;
  double tuning; /* seconds */
  bool said_memory;
} cz_cuda_products;

/* cublaslt.c */
bool cz_cuda_cublaslt_fits(char *why, size_t n);
void cz_cuda_cublaslt_version(char *text, size_t n);

/* cublaslt_problem.c */
bool cz_cuda_epilogue_of(const cz_cuda_product *p, int32_t *epilogue);
cz_cuda_key cz_cuda_key_of(const cz_cuda_product *p, int32_t epilogue);
cz_cuda_key cz_cuda_key_choice(const cz_cuda_key *key);
cublasStatus_t cz_cuda_problem_open(cz_cuda_problem *q, const cz_cuda_key *key,
                                    const cz_cuda_operands *at);
cublasStatus_t cz_cuda_problem_run(cz_cuda_problem *q, cz_cuda *c, const cz_cuda_operands *at,
                                   float alpha, float beta);
bool cz_cuda_problem_accepts(cz_cuda *c, cz_cuda_problem *q, const cublasLtMatmulAlgo_t *algorithm);
int cz_cuda_problem_candidates(cz_cuda *c, cz_cuda_problem *q,
                               cublasLtMatmulHeuristicResult_t found[CZ_CUDA_CANDIDATES]);

/* cublaslt_tuning.c */
CZ_MUST cz_status cz_cuda_tune(cz_cuda *c, const cz_cuda_key *key, cz_cuda_choice *choice);

/* cublaslt_choices.c */
const cz_cuda_choice *cz_cuda_choice_find(const cz_cuda_choices *all, const cz_cuda_key *key);
CZ_MUST cz_status cz_cuda_choice_set(cz_cuda_choices *all, const cz_cuda_choice *choice);
void cz_cuda_choice_print(char *text, size_t n, const cz_cuda_choice *choice, const char *card);
bool cz_cuda_choice_parse(cz_cuda_choice *choice, const char *line, const char *card, char *why,
                          size_t why_bytes);

/* cublaslt_files.c */
CZ_MUST cz_status cz_cuda_choices_open(cz_cuda *c);
void cz_cuda_choices_keep(cz_cuda *c, const cz_cuda_choice *choice);
void cz_cuda_say(void (*to)(const char *text), const char *format, ...) CZ_PRINTF(2, 3);

#endif
