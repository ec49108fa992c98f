/* A cuDNN that is none: libcudnn_fake.so, which CZ_CUDNN names in tests. It holds callers to what
 * the manual says of descriptors (types and sizes of attributes, what must be set before one is
 * finished, what may not be changed behind that, dimensions and strides that fit one another), and
 * computes a graph of operations number by number, as it stands, when its turn in the stream
 * comes. */
#ifndef CZ_TESTS_CUDA_FAKE_CUDNN_H
#define CZ_TESTS_CUDA_FAKE_CUDNN_H

#include <stdbool.h>
#include <stddef.h>

typedef struct fake_cudnn_state {
  /* what a test sets */
  size_t version;
  bool refuse_create, refuse_plans, refuse_runs;
  int engines;       /* that the search finds */
  int random_engine; /* the number of one that is noted as nondeterministic; -1: none */
  /* what it sees */
  int handles, descriptors; /* that are not released */
  int plans, runs, engine;  /* made; executed; of the last plan */
  int wrong;                /* calls that cuDNN forbids, see `why` */
  char why[200];
} fake_cudnn_state;

extern fake_cudnn_state fake_cudnn __attribute__((visibility("default")));

#endif
