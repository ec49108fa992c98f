#include "cuda/cublaslt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 2 * CZ_CUDA_PROBLEMS };

static const char *status_text(cublasStatus_t st) { return cublasLtGetStatusString(st); }

/** The library's version, as NVIDIA writes it. */
void cz_cuda_cublaslt_version(char *text, size_t n) {
  const size_t version = cublasLtGetVersion();
  snprintf(text, n, "%zu.%zu.%zu", version / 10000, version / 100 % 100, version % 100);
}

/** Whether the library is of the major version that this module was built with, or WHY not. */
bool cz_cuda_cublaslt_fits(char *why, size_t n) {
  const size_t major = cublasLtGetVersion() / 10000;
  if (major == CUBLAS_VER_MAJOR) return true;
  snprintf(why, n, "cuBLASLt has version %zu, this module was built with %d", major,
           CUBLAS_VER_MAJOR);
  return false;
}

/** cuBLASLt and its version. */
void cz_cuda_products_library(char *text, size_t n) {
  char version[32];
  cz_cuda_cublaslt_version(version, sizeof version);
  snprintf(text, n, "cuBLASLt %s", version);
}

/** How many products were tuned and how long that took; empty when none was. */
void cz_cuda_products_account(const cz_cuda *c, char *text, size_t n) {
  const cz_cuda_products *p = c->products;
  *text = 0;
  if (p && p->tuned) snprintf(text, n, "%d products tuned in %.2f s", p->tuned, p->tuning);
}

/** Opens the library and reads the choices of before. CZ_EUSAGE when it is another than the one
 * that this module was built with, CZ_EIO when it does not open. */
cz_status cz_cuda_products_open(cz_cuda *c) {
  char why[128];
  if (!cz_cuda_cublaslt_fits(why, sizeof why))
    return CZ_FAIL(CZ_EUSAGE, "%s: %s", c->device.name, why);
  c->products = calloc(1, sizeof *c->products);
  if (!c->products) return CZ_FAIL(CZ_ENOMEM, "%s: no memory for products", c->device.name);
  const cublasStatus_t st = cublasLtCreate(&c->products->library);
  if (st != CUBLAS_STATUS_SUCCESS) {
    c->products->library = NULL;
    return CZ_FAIL(CZ_EIO, "%s: cuBLASLt does not open: %s", c->device.name, status_text(st));
  }
  return cz_cuda_choices_open(c);
}

static void forget_problems(cz_cuda_products *p) {
  for (int i = 0; i < SLOTS; i++) free(p->problem[i]);
  memset(p->problem, 0, sizeof p->problem);
  p->problems = 0;
}

/** Closes it; says what tuning took. */
void cz_cuda_products_close(cz_cuda *c) {
  cz_cuda_products *p = c->products;
  char account[128];
  if (!p) return;
  cz_cuda_products_account(c, account, sizeof account);
  if (*account)
    cz_cuda_say(cz_host->log, "%s: %s%s%s", c->device.name, account,
                *p->choices.path ? ", kept in " : "", p->choices.path);
  forget_problems(p);
  free(p->choices.row);
  if (p->workspace) (void)cudaFree(p->workspace);
  if (p->library) (void)cublasLtDestroy(p->library);
  free(p);
  c->products = NULL;
}

/* ---- an algorithm for a problem ---- */

/* Tunes the products of KEY, and puts the choice into table and file. That the library has no such
 * epilogue is kept as well, so that it is asked and refuses once a class, but in the table alone.
 */
static cz_status choose(cz_cuda *c, const cz_cuda_key *key) {
  cz_cuda_choice choice;
  const bool first = c->products->tuned == 0;
  CZ_TRY(cz_cuda_tune(c, key, &choice));
  if (choice.none && key->epilogue == CUBLASLT_EPILOGUE_DEFAULT)
    return CZ_FAIL(CZ_EIO, "cuBLASLt has no algorithm");
  if (first && !choice.none)
    cz_cuda_say(cz_host->log, "%s: the first products of each size are timed; %s", c->device.name,
                *c->products->choices.path ? "the next run finds what was chosen"
                                           : "there is no file to keep what is chosen in");
  CZ_TRY(cz_cuda_choice_set(&c->products->choices, &choice));
  if (choice.seconds > 0) cz_cuda_choices_keep(c, &choice);
  return CZ_OK;
}

/* Whether the choice of KEY says what becomes of the problem: an algorithm that the library takes
 * for these sizes, or that there is none. */
static bool decided(cz_cuda *c, cz_cuda_problem *q, const cz_cuda_key *key) {
  const cz_cuda_choice *choice = cz_cuda_choice_find(&c->products->choices, key);
  if (!choice) return false;
  q->there = !choice->none;
  return choice->none || cz_cuda_problem_accepts(c, q, &choice->algorithm);
}

/* The algorithm of the problem's class; where that is refused for these sizes, one for them alone.
 * A choice that the library refuses is made anew. */
static cz_status find_algorithm(cz_cuda *c, cz_cuda_problem *q) {
  cz_cuda_key key = cz_cuda_key_choice(&q->key);
  if (decided(c, q, &key)) return CZ_OK;
  if (!cz_cuda_choice_find(&c->products->choices, &key)) {
    CZ_TRY(choose(c, &key));
    if (decided(c, q, &key)) return CZ_OK;
  }
  key.m = q->key.m, key.k = q->key.k;
  if (decided(c, q, &key)) return CZ_OK;
  CZ_TRY(choose(c, &key));
  if (decided(c, q, &key)) return CZ_OK;
  return CZ_FAIL(CZ_EIO, "cuBLASLt refuses the algorithm that it proposes");
}

static cz_status open_problem(cz_cuda *c, cz_cuda_problem *q, const cz_cuda_key *key,
                              const cz_cuda_operands *at) {
  const cublasStatus_t st = cz_cuda_problem_open(q, key, at);
  if (st != CUBLAS_STATUS_SUCCESS) return CZ_FAIL(CZ_EIO, "%s", status_text(st));
  if (!c->products->workspace) {
    const cudaError_t error = cudaMalloc(&c->products->workspace, CZ_CUDA_WORKSPACE);
    if (error != cudaSuccess) c->products->workspace = NULL;
    CZ_TRY(cz_cuda_checked(c, error, "allocating the %d bytes of products' workspace",
                           CZ_CUDA_WORKSPACE));
  }
  return find_algorithm(c, q);
}

/* ---- problems by their keys ---- */

static size_t slot_of(const cz_cuda_key *key) {
  const unsigned char *byte = (const unsigned char *)key;
  uint64_t hash = 14695981039346656037u; /* FNV-1a */
  for (size_t i = 0; i < sizeof *key; i++) hash = (hash ^ byte[i]) * 1099511628211u;
  return (size_t)(hash % SLOTS);
}

/* The problem of KEY, made when it is asked for first; null when that failed, as the error chain
 * says. */
static cz_status find_problem(cz_cuda *c, const cz_cuda_key *key, const cz_cuda_operands *at,
                              cz_cuda_problem **problem) {
  cz_cuda_products *p = c->products;
  size_t slot = slot_of(key);
  for (; p->problem[slot]; slot = (slot + 1) % SLOTS)
    if (!memcmp(&p->problem[slot]->key, key, sizeof *key)) {
      *problem = p->problem[slot];
      return CZ_OK;
    }
  if (p->problems == CZ_CUDA_PROBLEMS) { /* sizes that come no more */
    forget_problems(p);
    slot = slot_of(key);
  }
  cz_cuda_problem *made = calloc(1, sizeof *made);
  if (!made) return CZ_FAIL(CZ_ENOMEM, "no memory for a product's description");
  cz_status st = open_problem(c, made, key, at);
  if (st != CZ_OK) {
    free(made);
    return st;
  }
  p->problems++;
  *problem = p->problem[slot] = made;
  return CZ_OK;
}

/* ---- the product ---- */

/* A sum of no terms: C = beta C. */
static void add_nothing(cz_cuda *c, const cz_cuda_product *p) {
  const size_t each = cz_dtype_bytes(p->out);
  if (p->beta == 1) return;
  if (p->beta != 0) {
    cz_cuda_refused(c, "%s: a product over no terms with beta %g is not made: 0 and 1 are",
                    c->device.name, (double)p->beta);
    return;
  }
  const cudaError_t error = cudaMemset2DAsync(p->c, (size_t)p->ldc * each, 0, (size_t)p->n * each,
                                              (size_t)p->m, c->stream);
  const cz_cuda_launch launch = {.kernel = "product over no terms", .m = -1};
  cz_cuda_note(c, &launch, error);
}

/* What `failed` tells of it, unless the card has failed before. */
static void refuse(cz_cuda *c, const cz_cuda_product *p, const char *why) {
  if (!cz_cuda_works(c, cudaStreamSynchronize(c->stream), c->errors.launched)) return;
  cz_cuda_refused(c, "%s: the product [%lld, %lld] x [%lld, %lld] of %s into %s failed: %s",
                  c->device.name, (long long)p->m, (long long)p->k, (long long)p->k,
                  (long long)p->n, cz_dtype_names[p->in], cz_dtype_names[p->out], why);
}

/** As launch.h says. */
bool cz_cuda_multiply(void *stream, const cz_cuda_product *p) {
  cz_cuda *c = stream;
  const cz_cuda_operands at = {p->c, p->epilogue.pre, p->a, p->b, p->epilogue.bias};
  cz_cuda_problem *q = NULL;
  int32_t epilogue;
  if (!cz_cuda_epilogue_of(p, &epilogue)) return false;
  if (p->m == 0 || p->n == 0 || *c->errors.cause) return true;
  if (p->k == 0) {
    if (epilogue == CUBLASLT_EPILOGUE_DEFAULT) add_nothing(c, p);
    return epilogue == CUBLASLT_EPILOGUE_DEFAULT;
  }
  const cz_cuda_key key = cz_cuda_key_of(p, epilogue);
  if (find_problem(c, &key, &at, &q) != CZ_OK) {
    char why[CZ_CUDA_TEXT];
    snprintf(why, sizeof why, "%s", cz_host->message());
    cz_host->clear();
    refuse(c, p, why);
    return true;
  }
  if (!q->there) return false;
  const cublasStatus_t st = cz_cuda_problem_run(q, c, &at, p->alpha, p->beta);
  const cz_cuda_launch launch = {"cuBLASLt product", p->m, p->n, p->k};
  if (st == CUBLAS_STATUS_SUCCESS)
    cz_cuda_note(c, &launch, cudaSuccess);
  else
    refuse(c, p, status_text(st));
  return true;
}
