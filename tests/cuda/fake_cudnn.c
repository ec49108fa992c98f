#include "fake.h"
#include "fake_cudnn.h"
#include "fake_cudnn_graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

fake_cudnn_state fake_cudnn = {.version = 91900, .engines = 3, .random_engine = -1};

static char last_error[200];

void fake_cudnn_wrong(const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(last_error, sizeof last_error, format, args);
  va_end(args);
  if (!fake_cudnn.wrong++) memcpy(fake_cudnn.why, last_error, sizeof fake_cudnn.why);
}

struct cudnnContext {
  cudaStream_t stream;
};

size_t cudnnGetVersion(void) { return fake_cudnn.version; }

void cudnnGetLastErrorString(char *text, size_t n) {
  snprintf(text, n, "%s", last_error);
  *last_error = 0;
}

static cudnnStatus_t refused(cudnnStatus_t st, const char *why) {
  snprintf(last_error, sizeof last_error, "%s", why);
  return st;
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle) {
  if (fake_cudnn.refuse_create) return refused(CUDNN_STATUS_NOT_INITIALIZED, "words of cuDNN");
  *handle = calloc(1, sizeof **handle);
  fake_cudnn.handles++;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  free(handle);
  fake_cudnn.handles--;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  handle->stream = stream;
  return CUDNN_STATUS_SUCCESS;
}

/* ---- descriptors ---- */

/* Attributes that a kind has: the type and the size of an element, how many there may be, and
 * whether the descriptor can do without. */
typedef struct attribute {
  int kind, name, type;
  size_t bytes;
  int least, most;
  bool optional;
} attribute;

#define DESC           CUDNN_TYPE_BACKEND_DESCRIPTOR, sizeof(void *), 1, 1
#define ENUM(type)     CUDNN_TYPE_##type, sizeof(int), 1, 1
#define OF(kind, name) CUDNN_BACKEND_##kind##_DESCRIPTOR, CUDNN_ATTR_##name
static const attribute attributes[] = {
    {OF(TENSOR, TENSOR_DATA_TYPE), ENUM(DATA_TYPE), false},
    {OF(TENSOR, TENSOR_DIMENSIONS), CUDNN_TYPE_INT64, 8, 4, 4, false},
    {OF(TENSOR, TENSOR_STRIDES), CUDNN_TYPE_INT64, 8, 4, 4, false},
    {OF(TENSOR, TENSOR_UNIQUE_ID), CUDNN_TYPE_INT64, 8, 1, 1, false},
    {OF(TENSOR, TENSOR_BYTE_ALIGNMENT), CUDNN_TYPE_INT64, 8, 1, 1, false},
    {OF(TENSOR, TENSOR_IS_VIRTUAL), CUDNN_TYPE_BOOLEAN, 1, 1, 1, true},
    {OF(TENSOR, TENSOR_IS_BY_VALUE), CUDNN_TYPE_BOOLEAN, 1, 1, 1, true},
    {OF(TENSOR, TENSOR_RAGGED_OFFSET_DESC), DESC, true},
    {OF(POINTWISE, POINTWISE_MODE), ENUM(POINTWISE_MODE), false},
    {OF(POINTWISE, POINTWISE_MATH_PREC), ENUM(DATA_TYPE), false},
    {OF(POINTWISE, POINTWISE_AXIS), CUDNN_TYPE_INT64, 8, 1, 1, true},
    {OF(OPERATION_POINTWISE, OPERATION_POINTWISE_PW_DESCRIPTOR), DESC, false},
    {OF(OPERATION_POINTWISE, OPERATION_POINTWISE_XDESC), DESC, false},
    {OF(OPERATION_POINTWISE, OPERATION_POINTWISE_BDESC), DESC, true},
    {OF(OPERATION_POINTWISE, OPERATION_POINTWISE_TDESC), DESC, true},
    {OF(OPERATION_POINTWISE, OPERATION_POINTWISE_YDESC), DESC, false},
    {OF(REDUCTION, REDUCTION_OPERATOR), ENUM(REDUCTION_OPERATOR_TYPE), false},
    {OF(REDUCTION, REDUCTION_COMP_TYPE), ENUM(DATA_TYPE), false},
    {OF(OPERATION_REDUCTION, OPERATION_REDUCTION_DESC), DESC, false},
    {OF(OPERATION_REDUCTION, OPERATION_REDUCTION_XDESC), DESC, false},
    {OF(OPERATION_REDUCTION, OPERATION_REDUCTION_YDESC), DESC, false},
    {OF(MATMUL, MATMUL_COMP_TYPE), ENUM(DATA_TYPE), false},
    {OF(OPERATION_MATMUL, OPERATION_MATMUL_DESC), DESC, false},
    {OF(OPERATION_MATMUL, OPERATION_MATMUL_ADESC), DESC, false},
    {OF(OPERATION_MATMUL, OPERATION_MATMUL_BDESC), DESC, false},
    {OF(OPERATION_MATMUL, OPERATION_MATMUL_CDESC), DESC, false},
    {OF(OPERATION_MATMUL, OPERATION_MATMUL_GEMM_M_OVERRIDE_DESC), DESC, true},
    {OF(OPERATION_MATMUL, OPERATION_MATMUL_GEMM_N_OVERRIDE_DESC), DESC, true},
    {OF(OPERATION_MATMUL, OPERATION_MATMUL_GEMM_K_OVERRIDE_DESC), DESC, true},
    {OF(OPERATION_RESHAPE, OPERATION_RESHAPE_XDESC), DESC, false},
    {OF(OPERATION_RESHAPE, OPERATION_RESHAPE_YDESC), DESC, false},
    {OF(OPERATIONGRAPH, OPERATIONGRAPH_OPS), CUDNN_TYPE_BACKEND_DESCRIPTOR, sizeof(void *), 1, 64,
     false},
    {OF(OPERATIONGRAPH, OPERATIONGRAPH_HANDLE), CUDNN_TYPE_HANDLE, sizeof(void *), 1, 1, false},
    {OF(ENGINEHEUR, ENGINEHEUR_OPERATION_GRAPH), DESC, false},
    {OF(ENGINEHEUR, ENGINEHEUR_MODE), ENUM(HEUR_MODE), false},
    {OF(EXECUTION_PLAN, EXECUTION_PLAN_HANDLE), CUDNN_TYPE_HANDLE, sizeof(void *), 1, 1, false},
    {OF(EXECUTION_PLAN, EXECUTION_PLAN_ENGINE_CONFIG), DESC, false},
    {OF(VARIANT_PACK, VARIANT_PACK_UNIQUE_IDS), CUDNN_TYPE_INT64, 8, 1, 64, false},
    {OF(VARIANT_PACK, VARIANT_PACK_DATA_POINTERS), CUDNN_TYPE_VOID_PTR, sizeof(void *), 1, 64,
     false},
    {OF(VARIANT_PACK, VARIANT_PACK_WORKSPACE), CUDNN_TYPE_VOID_PTR, sizeof(void *), 1, 1, false}};
enum { ATTRIBUTES = sizeof attributes / sizeof *attributes };

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t kind,
                                           cudnnBackendDescriptor_t *descriptor) {
  fake_descriptor *d = calloc(1, sizeof *d);
  d->kind = kind;
  fake_cudnn.descriptors++;
  *descriptor = d;
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  fake_descriptor *d = descriptor;
  for (int i = 0; i < d->n; i++) free(d->attribute[i].value);
  free(d);
  fake_cudnn.descriptors--;
  return CUDNN_STATUS_SUCCESS;
}

static const attribute *known(int kind, int name) {
  for (int i = 0; i < ATTRIBUTES; i++)
    if (attributes[i].kind == kind && attributes[i].name == name) return &attributes[i];
  return NULL;
}

const void *fake_attribute(const fake_descriptor *d, int name, int64_t *n) {
  for (int i = 0; i < d->n; i++)
    if (d->attribute[i].name == name) {
      if (n) *n = d->attribute[i].n;
      return d->attribute[i].value;
    }
  return NULL;
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t n,
                                       const void *value) {
  fake_descriptor *d = descriptor;
  const attribute *a = known(d->kind, (int)name);
  if (!a || a->type != (int)type || n < a->least || n > a->most || d->finished || !value ||
      fake_attribute(d, (int)name, NULL) || d->n == FAKE_ATTRIBUTES) {
    fake_cudnn_wrong("descriptor %d, attribute %d: type %d, %lld elements%s", d->kind, (int)name,
                     (int)type, (long long)n, d->finished ? ", behind finalize" : "");
    return CUDNN_STATUS_BAD_PARAM;
  }
  d->attribute[d->n].name = (int)name;
  d->attribute[d->n].n = n;
  d->attribute[d->n].value = malloc((size_t)n * a->bytes);
  memcpy(d->attribute[d->n++].value, value, (size_t)n * a->bytes);
  for (int64_t i = 0; a->type == CUDNN_TYPE_BACKEND_DESCRIPTOR && i < n; i++)
    if (!((fake_descriptor *const *)value)[i]->finished)
      fake_cudnn_wrong("descriptor %d, attribute %d is not finished", d->kind, (int)name);
  return CUDNN_STATUS_SUCCESS;
}

/* ---- finalize ---- */

static bool complete(const fake_descriptor *d) {
  for (int i = 0; i < ATTRIBUTES; i++)
    if (attributes[i].kind == d->kind && !attributes[i].optional &&
        !fake_attribute(d, attributes[i].name, NULL)) {
      fake_cudnn_wrong("descriptor %d is finished without attribute %d", d->kind,
                       attributes[i].name);
      return false;
    }
  return true;
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  fake_descriptor *d = descriptor;
  if (d->finished || !complete(d) || !fake_cudnn_fits(d)) return CUDNN_STATUS_BAD_PARAM;
  if (d->kind == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    if (fake_cudnn.refuse_plans) return refused(CUDNN_STATUS_NOT_SUPPORTED, "no such engine");
    const fake_descriptor *of =
        *(fake_descriptor *const *)fake_attribute(d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, NULL);
    fake_cudnn.engine = of->number;
    fake_cudnn.plans++;
  }
  d->finished = true;
  return CUDNN_STATUS_SUCCESS;
}

/* ---- what is asked ---- */

static cudnnStatus_t give_engines(const fake_descriptor *heuristics, int64_t most, int64_t *n,
                                  fake_descriptor *const *found) {
  for (*n = 0; *n < most && *n < fake_cudnn.engines; ++*n) {
    if (found[*n]->kind != CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) fake_cudnn_wrong("no room");
    found[*n]->graph = *(fake_descriptor *const *)fake_attribute(
        heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, NULL);
    found[*n]->number = (int)*n;
    found[*n]->finished = true;
  }
  return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t const descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t most, int64_t *n,
                                       void *value) {
  const fake_descriptor *d = descriptor;
  *n = 1;
  if (!d->finished) fake_cudnn_wrong("attribute %d is asked of what is not finished", (int)name);
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS) return give_engines(d, most, n, value);
  if (name == CUDNN_ATTR_ENGINECFG_ENGINE) {
    fake_descriptor *engine = *(fake_descriptor **)value;
    engine->number = d->number;
    return engine->finished = true, CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE && type == CUDNN_TYPE_NUMERICAL_NOTE) {
    *(int *)value = d->number == fake_cudnn.random_engine ? CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC
                                                          : CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
    return CUDNN_STATUS_SUCCESS;
  }
  if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE && type == CUDNN_TYPE_INT64) {
    *(int64_t *)value = FAKE_WORKSPACE;
    return CUDNN_STATUS_SUCCESS;
  }
  fake_cudnn_wrong("attribute %d is asked", (int)name);
  return CUDNN_STATUS_BAD_PARAM;
}

/* ---- execution ---- */

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack) {
  fake_run run = {0};
  const fake_descriptor *p = plan, *v = pack;
  int64_t n, pointers;
  if (!handle->stream) fake_cudnn_wrong("no stream");
  if (!p->finished || !v->finished) fake_cudnn_wrong("what is not finished is executed");
  if (fake_cudnn.refuse_runs) return refused(CUDNN_STATUS_EXECUTION_FAILED, "it failed");
  const int64_t *number = fake_attribute(v, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, &n);
  void *const *at = fake_attribute(v, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, &pointers);
  run.workspace = *(void *const *)fake_attribute(v, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, NULL);
  run.graph =
      (*(fake_descriptor *const *)fake_attribute(p, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, NULL))
          ->graph;
  if (n != pointers)
    fake_cudnn_wrong("%lld numbers, %lld pointers", (long long)n, (long long)pointers);
  for (int64_t i = 0; i < n; i++) {
    if (number[i] < 0 || number[i] >= FAKE_ARRAYS) fake_cudnn_wrong("an array's number");
    run.at[number[i]] = at[i];
  }
  if (!run.workspace) fake_cudnn_wrong("no workspace");
  fake_cudnn_values(&run);
  fake_cudnn.runs++;
  handle->stream->put(fake_cudnn_compute, &run, sizeof run, 1e-3, true);
  return CUDNN_STATUS_SUCCESS;
}
