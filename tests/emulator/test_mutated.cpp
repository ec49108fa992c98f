/* Runs the kernels of mutated.cu; what they compute is not looked at, so that a lacking barrier is
 * seen as such or not at all. */
#include "emulator/control.h"
#include "emulator/mutated.h"

#include <cuda_runtime_api.h>
#include <stdio.h>

enum { N = 256 };

extern "C" void cz_cuda_launched(void *stream, const char *kernel, int error) {}
extern "C" void *cz_cuda_stream_of(void *stream) { return stream; }

int main(void) {
  float *x, *y, numbers[N] = {0};
  cudaMalloc((void **)&x, sizeof numbers);
  cudaMalloc((void **)&y, sizeof numbers);
  cudaMemcpy(x, numbers, sizeof numbers, cudaMemcpyHostToDevice);
  mutated(y, x);
  const char *error = emu_take_error();
  if (error) fprintf(stderr, "%s\n", error);
  cudaFree(x);
  cudaFree(y);
  return error ? 1 : 0;
}
