/* The fake cuDNN's descriptors and what it computes from them. */
#ifndef CZ_TESTS_CUDA_FAKE_CUDNN_GRAPH_H
#define CZ_TESTS_CUDA_FAKE_CUDNN_GRAPH_H

#include <cudnn_graph.h>
#include <stdbool.h>
#include <stdint.h>

enum { FAKE_ATTRIBUTES = 12, FAKE_ARRAYS = 24, FAKE_WORKSPACE = 1000 };

typedef struct fake_descriptor {
  int kind; /* cudnnBackendDescriptorType_t */
  bool finished;
  int n, number; /* number: of an engine */
  struct {
    int name;
    int64_t n;
    void *value;
  } attribute[FAKE_ATTRIBUTES];
  struct fake_descriptor *graph; /* of a configuration */
} fake_descriptor;

typedef struct fake_run {
  const fake_descriptor *graph;
  void *at[FAKE_ARRAYS];
  float value[FAKE_ARRAYS]; /* of those that are passed by value */
  void *workspace;
} fake_run;

/** An attribute that was set; null: it was not. */
const void *fake_attribute(const fake_descriptor *d, int name, int64_t *n);

/** Whether what the descriptor holds fits together. */
bool fake_cudnn_fits(const fake_descriptor *d);

/** Takes the numbers that are passed by value, which live as long as the call. */
void fake_cudnn_values(fake_run *run);

/** Computes the graph of a fake_run. */
void fake_cudnn_compute(void *argument);

void fake_cudnn_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
