/* A card that is none: the functions of the CUDA runtime and of cuBLASLt that runtime/cuda calls,
 * with which its sources make a module for tests. Nothing that is asked for runs before somebody
 * waits for it, device memory cannot be touched by the host, and clocks are counted, not read: the
 * card's, on which nothing begins before the host asked for it, and the host's.
 * The module shows one symbol besides its own, `fake`, by which a test says what is to go wrong and
 * sees what was asked. */
#ifndef CZ_TESTS_CUDA_FAKE_H
#define CZ_TESTS_CUDA_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FAKE_ALGORITHMS = 8, FAKE_SHAPES = 64 };

typedef struct fake_algorithm { /* what the heuristics propose, in this order */
  int scheme;                   /* cublasLtReductionScheme_t */
  double seconds[2];            /* of a run, and of every third one */
  bool runs;                    /* false: cublasLtMatmul refuses it */
  int64_t most_m;               /* cublasLtMatmulAlgoCheck refuses more rows of ours; 0: none */
} fake_algorithm;

typedef struct fake_state {
  /* what a test sets */
  int driver, cards, major, minor;
  const char *card;
  size_t library, memory; /* cublasLtGetVersion; bytes that there are */
  uint64_t fail_at;       /* the number of the kernel that fails, from 1; 0: none */
  bool refuse_launch;     /* the next launch is refused */
  bool refuse_epilogues;  /* the heuristics have none */
  bool refuse_products;   /* cublasLtMatmul */
  double submission;      /* seconds that the host takes to put a product into the stream */
  int cold;               /* so many products take five times as long: those that come first */
  int algorithms;
  fake_algorithm algorithm[FAKE_ALGORITHMS];
  /* what it sees */
  uint64_t kernels;                     /* that ran */
  int waiting;                          /* entries of the stream that did not run */
  size_t used;                          /* bytes of device memory */
  int allocations;                      /* of it, that were ever asked for */
  int pinned, streams, events, handles; /* that are not released */
  int heuristics;                       /* how often they were asked */
  int last_algorithm;                   /* of the last product that ran */
  int unpinned;                         /* copies between the card and memory that is not pinned */
  int wrong;                            /* calls that the real library forbids, see `why` */
  char why[200];
  double clock; /* seconds: the card's */
  double host;  /* the host's, which nothing but submission and waiting moves */
} fake_state;

/* Of the fake's sources: puts a function into the stream, which is called with a copy of its
 * argument when its turn comes; SECONDS on the clock. */
void fake_put(void (*run)(void *argument), const void *argument, size_t bytes, double seconds,
              bool kernel);

/* A stream, by which the fake cuDNN, a library of its own, finds the function above. */
struct CUstream_st {
  void (*put)(void (*run)(void *argument), const void *argument, size_t bytes, double seconds,
              bool kernel);
};

void fake_wrong(const char *format, ...) __attribute__((format(printf, 1, 2)));

extern fake_state fake __attribute__((visibility("default")));

#endif
